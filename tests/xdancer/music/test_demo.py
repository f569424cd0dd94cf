"""The demo track: the same every time, looping cleanly, its beats where its sound is."""

import numpy as np

from xdancer.music.demo import BEAT, click_track, demo_track
from xdancer.music.frame import SAMPLE_RATE


def test_beats_fall_on_kicks() -> None:
    track = demo_track(20.0)
    assert track.samples.shape == (20 * SAMPLE_RATE, 2)
    for beat in track.beats_s[1:30]:
        at = round(float(beat) * SAMPLE_RATE)
        assert np.abs(track.samples[at : at + 400]).max() > 2 * np.abs(track.samples[at - 400 : at - 20]).max()


def test_the_track_is_the_same_every_time_and_loops() -> None:
    whole = demo_track()
    longer = demo_track(len(whole.samples) / SAMPLE_RATE + 4 * BEAT)
    np.testing.assert_array_equal(longer.samples[: len(whole.samples)], whole.samples)
    np.testing.assert_array_equal(longer.samples[len(whole.samples) :], whole.samples[: round(4 * BEAT * SAMPLE_RATE)])
    assert np.abs(whole.samples).max() <= 1.0
    np.testing.assert_allclose(np.diff(longer.beats_s), BEAT)


def test_clicks_are_on_their_beats_and_nothing_between() -> None:
    track = click_track(3.0, tempo=60)
    loud = np.flatnonzero(np.abs(track.samples[:, 0]) > 0.5) / SAMPLE_RATE
    assert np.unique(np.round(loud)).tolist() == [0.0, 1.0, 2.0]
    assert np.abs(loud - np.round(loud)).max() < 0.006
