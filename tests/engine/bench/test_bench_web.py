"""The web bench: its arithmetic by hand, and that real viewers are counted in both ways."""

import argparse

import numpy as np
import pytest

from engine.bench import web


def test_what_waits_for_a_busy_loop_is_reckoned_over_all_moments() -> None:
    # One turn of 20 ms in a second: of 1000 moments 20 wait at all, and 10 of them longer than 10 ms.
    assert web.busy_lag(np.array([20.0]), 1000.0) == 20.0
    assert web.busy_lag(np.array([20.0, 10.0]), 1000.0) == 10.0
    assert web.busy_lag(np.array([5.0, 4.0, 3.0]), 10_000.0) == 3.0
    assert web.busy_lag(np.array([]), 1000.0) == 0.0


def test_lost_frames_are_charged_to_the_sender() -> None:
    viewer = web.Viewer()
    viewer._video = 97

    def send(sequence: int, timestamp: int, kind: int = 97) -> None:
        header = bytes([128, kind]) + sequence.to_bytes(2, "big") + timestamp.to_bytes(4, "big") + bytes(4)
        viewer._received(lambda data, addr: None, header, None)

    for index in range(10):  # two packets a frame, the numbers running over
        if index not in (4, 5):
            send((65_530 + 2 * index) % 65_536, 3000 * index)
            send((65_531 + 2 * index) % 65_536, 3000 * index)
        send(index, 960 * index, kind=96)  # sound
    assert viewer.frames == pytest.approx(10.0)
    viewer.forget()
    assert viewer.frames == 0.0


def test_both_ways_are_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "FEW", 1)
    monkeypatch.setattr(web, "MANY", 2)
    monkeypatch.setattr(web, "SETTLE", 0.2)
    result = web.run(argparse.Namespace(seconds=1.0, pace=0.5))
    for name in web.WAYS:
        for count in ("few", "many"):
            assert result[name][count]["fps"] > 0 and result[name][count]["frame_ms"] > 0
    assert "MediaRelay" in (web.__doc__ or "") and "goal 15 %" in web.report(result)
