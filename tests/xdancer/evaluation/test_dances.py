"""What the live clock struck, read off its phases."""

import numpy as np
import pytest

from xdancer.evaluation.dances import Song
from xdancer.music.frame import BeatState, MusicFrame


def song(phases: list[float], tempo: float = 120.0) -> Song:
    frames = [MusicFrame(n, np.zeros(1), BeatState(tempo=tempo, beat_phase=p)) for n, p in enumerate(phases)]
    return Song("a", np.zeros(0), np.zeros(0), frames)


def test_a_beat_is_heard_where_the_phase_comes_round():
    phases = [(0.5 + (n + 1) / 15) % 1 for n in range(40)]  # 120 BPM, half a beat on at 0 s: beats at 0.25, 0.75, 1.25
    assert song(phases).heard_beats == pytest.approx([0.25, 0.75, 1.25])


def test_a_beat_struck_again_after_the_clock_was_put_back_counts_once():
    phases = [0.9, 0.97, 0.03, 0.98, 0.04, 0.1, 0.17]
    assert song(phases).heard_beats == pytest.approx([3 / 30 - 0.03 / 2])


def test_no_beat_is_heard_without_a_tempo():
    assert len(song([0.9, 0.1, 0.9, 0.1], tempo=0.0).heard_beats) == 0
