"""What a soak makes of what it saw: worked by hand."""

import pytest

from engine.soak.report import Check, longest, missing, order, silence, slope, summary, text
from engine.soak.verdict import Seen, verdict


def test_the_slope_is_that_of_the_line() -> None:
    assert slope([100, 110, 120, 130], [5, 7, 9, 11]) == pytest.approx(0.2)
    assert slope([1, 2], [0, 100]) == slope([], []) == slope([3, 3, 3], [1, 2, 3]) == 0


def test_the_longest_life_is_judged() -> None:
    assert longest([7, 7, 8, 8, 8, 9]) == slice(2, 5)
    assert longest([7]) == slice(0, 1) and longest([]) == slice(0, 0)
    assert longest([7, 8, 7, 7]) == slice(2, 4)


def test_holes_in_the_stream_count_unless_they_are_excused() -> None:
    arrivals = [(0.0, 10), (0.1, 11), (0.3, 14), (9.0, 100), (9.1, 103)]
    assert missing(arrivals, []) == 2 + 85 + 2
    assert missing(arrivals, [(1.0, 8.0)]) == 2 + 2
    assert missing(arrivals, [(0.0, 10.0)]) == 0
    assert order([1, 2, 2, 5, 4, 6]) == 2


def test_silence_is_the_longest_wait_that_touches_the_trouble() -> None:
    times = [0.0, 1.0, 5.0, 6.0, 20.0]
    assert silence(times, 2.0, 3.0) == 4.0
    assert silence(times, 5.5, 5.6) == 1.0
    assert silence(times, 4.0, 10.0) == 14.0
    assert silence(times, 10.0, 50.0) == 30.0
    assert silence([], 0.0, 1.0) == 1.0


def test_a_promise_that_is_not_kept_is_marked() -> None:
    checks = [Check("a", 1.0, 1.0), Check("b", 2.0, 1.0, "ms", speed=True), Check("c", 9.0, None)]
    result = summary(checks, {"seconds": 5})
    assert (result["held"], result["held_but_for_speed"], result["seconds"]) == (False, True, 5)
    assert [line.split()[0] for line in text(result).splitlines()] == ["ok", "MISSED", "ok"]
    assert not summary([Check("d", 1, 0)], {})["held_but_for_speed"]


def seen(leak: float = 0.0, first: float = 0.0, late: int = 0, twice: bool = False) -> Seen:
    """Three minutes in which the studio is killed after one, as an observer sees them."""
    seen = Seen(began=1000.0, tried=1070.0, struck=1)
    for n in range(180):
        replaced = int(n >= 60)
        frames = {"shown": 30 * n, "repeated": late * max(0, n - 100), "made": 30 * n}
        seen.states.append(
            (
                1000.0 + n,
                {
                    "frames": frames,
                    "frame": 30 * n + 8,
                    "loop_lag_p99_ms": 2.0,
                    "studio": {"replaced": replaced},
                    "pids": {"stage": 1, "studio": 2 + replaced},
                    "memory_mb": {"stage": 100 + leak * n / 60 + first * (n >= 65), "studio": 200.0 + 50 * replaced},
                },
            )
        )
    for frame in range(30 * 180):
        if not 1800 <= frame < 1830:
            seen.tokens.append((1000 + frame / 30, frame))
    if twice:
        seen.tokens.insert(3, seen.tokens[2])
    seen.troubles.append(("studio killed", 1059.9, 1062.0))
    seen.crowd = {"gap_s": {"audio": 0.05, "video": 0.1}, "refused": 0, "joined": 50}
    seen.malformed = {"refused": 10, "served": 0, "broken": 0, "hung_up": 2}
    return seen


@pytest.mark.parametrize(
    ("of", "broken"),
    [
        ({}, set()),
        ({"leak": 3.1}, {"memory of the stage grows"}),
        ({"leak": 2.9, "first": 50.0}, set()),
        ({"late": 1}, {"frames repeated while a studio was there"}),
        ({"twice": True}, {"tokens out of order or twice"}),
    ],
)
def test_the_verdict_finds_what_is_wrong(of: dict, broken: set[str]) -> None:
    result = verdict(seen(**of), 180.0)
    assert {check["what"] for check in result["checks"] if not check["held"]} == broken
    away = next(check for check in result["checks"] if "SIGKILL" in check["what"])
    assert away["value"] == pytest.approx(31 / 30)
