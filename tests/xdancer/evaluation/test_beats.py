"""The beat figures on grids worked by hand."""

from pathlib import Path

import numpy as np
import pytest

from xdancer.data.songs import Song
from xdancer.evaluation import beats


def song(tempo: float, quarters: int = 200) -> Song:
    times = np.arange(quarters) * 60.0 / tempo
    return Song("a", "midi", "val", Path("a.mid"), times, times[::4], 1.0, True, True, True)


def found(times: np.ndarray, downbeats: np.ndarray | None = None) -> dict[str, object]:
    return {"beats": times.tolist(), "downbeats": [] if downbeats is None else downbeats.tolist(), "tempo": 0.0}


def test_the_grid_itself_is_perfect() -> None:
    s = song(120.0)
    judged = beats.judge(found(s.quarters_s, s.downbeats_s), s, 100.0)
    assert judged == {"f": 1.0, "amlt": 1.0, "downbeat_f": 1.0, "locked_s": 0.0}


def test_off_beats_have_no_f_but_an_allowed_metrical_level() -> None:
    s = song(120.0)
    judged = beats.judge(found(s.quarters_s + 0.25), s, 100.0)
    assert judged["f"] == 0.0 and judged["amlt"] > 0.9


@pytest.mark.parametrize(("shift", "f"), [(0.060, 1.0), (0.080, 0.0)])
def test_70_ms_decide(shift: float, f: float) -> None:
    s = song(100.0)
    assert beats.judge(found(s.quarters_s + shift), s, 119.0)["f"] == pytest.approx(f, abs=0.02)


def test_either_phase_counts_where_a_song_is_folded() -> None:
    s = song(200.0)
    for phase in (0, 1):
        assert beats.judge(found(s.quarters_s[phase::2]), s, 59.0)["f"] == 1.0
    assert beats.judge(found(s.quarters_s), s, 59.0)["f"] == pytest.approx(2.0 / 3.0, abs=0.02)


def test_bars_of_a_folded_song_are_four_of_its_folded_beats() -> None:
    fast = beats.bar_references(song(200.0))
    assert [round(float(r[1] - r[0]), 6) for r in fast] == [2.4, 2.4]
    assert float(fast[1][0]) == pytest.approx(1.2)
    (slow,) = beats.bar_references(song(60.0))
    np.testing.assert_allclose(np.diff(slow), 2.0)
    (plain,) = beats.bar_references(song(120.0))
    np.testing.assert_allclose(plain, song(120.0).downbeats_s)


def test_the_first_eight_seconds_count_for_nobody() -> None:
    s = song(120.0)
    late = s.quarters_s[s.quarters_s >= 8.0]
    assert beats.judge(found(late), s, 100.0)["f"] == 1.0


def test_no_beats_are_no_error() -> None:
    judged = beats.judge(found(np.zeros(0)), song(120.0), 100.0)
    assert judged == {"f": 0.0, "amlt": 0.0, "downbeat_f": 0.0, "locked_s": 99.6}  # the last quarter and 0.1 s


def test_librosa_finds_the_beats_of_strokes() -> None:
    sound, rng = np.zeros(16 * 48_000, np.float32), np.random.default_rng(0)
    for first in range(0, len(sound), 24_000):
        sound[first : first + 4800] = rng.standard_normal(4800) * np.exp(-np.arange(4800) / 800.0)
    track = beats.peers()["librosa (offline)"]
    assert beats.judge(track(sound), song(120.0, 33), 16.0)["f"] > 0.9


def test_the_report_has_a_line_for_each_tracker() -> None:
    row = {"song": "a", "group": "4/4", "tempo": 100.0, "f": 0.5, "amlt": 0.25, "downbeat_f": 0.125, "locked_s": 3.0}
    groups = {"4/4": beats.summary([{**row, "tracker": "x"}, {**row, "tracker": "y", "f": 1.0}])}
    text = beats.report({"split": "val", "groups": groups, "demo": {"f": 1.0, "downbeat_f": 1.0}})
    assert [line.split()[:2] for line in text.splitlines()[1:3]] == [["x", "0.500"], ["y", "1.000"]]


def test_a_tracker_is_locked_where_four_beats_in_a_row_are_right() -> None:
    grid = np.arange(2.0, 60.0, 0.5)
    wrong = [3.2, 4.0, 4.5, 5.0, 5.3]  # three in a row are chance
    assert beats.locked(grid, np.array([*wrong, *grid[grid >= 7.0]]), 60.0) == pytest.approx(7.0 - 2.0)
    assert beats.locked(grid, np.array([*wrong, *grid[grid >= 7.0][::2]]), 60.0) == pytest.approx(5.0)
    assert beats.locked(grid, grid + 0.2, 60.0) == beats.locked(grid, np.array([]), 60.0) == 58.0
