"""Recordings without annotations: who is judged by whom, on beats worked by hand."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from xdancer.errors import UserError
from xdancer.evaluation import recordings
from xdancer.music.frame import SAMPLE_RATE

GRID = np.arange(0, 60, 0.5)


def test_the_level_that_fits_counts_and_the_off_beat_of_a_whole_grid_does_not() -> None:
    for beats in (GRID, GRID[::2], GRID[1::2], np.arange(0, 59.6, 0.25)):
        assert recordings.fitted(GRID, beats) == pytest.approx(1.0, abs=0.01)
    assert recordings.fitted(GRID[:40], GRID[:40] + 0.25) == pytest.approx(2 / 3, abs=0.02)  # half of twice the grid
    assert recordings.fitted(GRID, np.array([])) == 0


def test_the_live_tracker_is_judged_by_both_and_they_by_each_other() -> None:
    row = recordings.judged({"ours": GRID[::2].tolist(), "a": GRID.tolist(), "b": (GRID + 0.02).tolist()})
    assert row["agree"] == 1.0 and row["f"] == {"ours against a": 1.0, "ours against b": 1.0}
    assert row["octave"] == pytest.approx(0.5, abs=0.01)
    row = recordings.judged({"ours": [], "a": GRID.tolist(), "b": (GRID * 1.37).tolist()})
    assert row["agree"] < 0.5 and row["octave"] == 0 == row["f"]["ours against a"]


def test_a_folder_of_recordings_is_judged_and_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    samples = 0.01 * np.random.default_rng(0).standard_normal(22 * SAMPLE_RATE)
    soundfile.write(tmp_path / "noise.wav", samples, SAMPLE_RATE)
    known = {"beats": GRID.tolist(), "downbeats": [], "tempo": 120.0}
    monkeypatch.setattr(recordings, "offline_peers", lambda: dict.fromkeys(("a", "b"), lambda samples: known))
    result = recordings.run(tmp_path, tmp_path / "pictures")
    assert result["agreed"] == 1 and result["recordings"][0]["seconds"] == pytest.approx(22.0)
    assert "noise.wav (22 s)" in recordings.report(result) and "mean of 1" in recordings.report(result)
    import cv2

    picture = cv2.imread(str(tmp_path / "pictures" / "noise.png"))
    row = picture[recordings.BANDS * recordings.SCALE + recordings.ROW + 5]  # of the second tracker's beats
    assert np.count_nonzero(np.all(row == recordings.COLOURS[1], axis=1)) == 40  # two a second


def test_what_is_missing_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="no recordings there"):
        recordings.run(tmp_path)
    soundfile.write(tmp_path / "noise.wav", np.zeros(SAMPLE_RATE), SAMPLE_RATE)
    monkeypatch.setattr(recordings, "offline_peers", lambda: {"a": lambda samples: {}})
    with pytest.raises(UserError, match="make peers"):
        recordings.run(tmp_path)
