"""What `bench live` makes of what a browser reports."""

import numpy as np

from engine.bench.live import offsets, summed
from engine.bench.onbeat import STEP, beats_heard, picture_delay, verdict
from xdancer.music.demo import BEAT, demo_track
from xdancer.music.frame import SAMPLE_RATE


def test_the_track_is_found_in_what_the_page_heard() -> None:
    """35 s from 100.1234 s of the track on, past its end, heard from 7 s of the page's clock on."""
    block, start = round(STEP * SAMPLE_RATE), round(100.1234 * SAMPLE_RATE)
    heard = np.concatenate([demo_track().samples] * 2)[start : start + 35 * SAMPLE_RATE, 0]
    energy = 0.01 * np.square(heard).reshape(-1, block).sum(1)
    beats = beats_heard(7.0 + STEP * np.arange(1, len(energy) + 1), energy)
    first = np.ceil(100.1234 / BEAT) * BEAT - 100.1234 + 7.0
    np.testing.assert_allclose(beats[0], first, atol=STEP)
    assert len(beats) in (71, 72)  # also past the end of the looped track
    np.testing.assert_allclose(np.diff(beats), BEAT, atol=1e-3)


def test_a_dance_late_by_30_ms_is_told_from_chance() -> None:
    beats = np.arange(0.0, 60.0, 0.5)
    said = verdict(beats[1:-1] + 0.03, beats)
    np.testing.assert_allclose([said["median_ms"], said["bias_ms"]], 30.0)
    assert 100 < said["chance_ms"] < 150  # a quarter of a beat


def test_a_pictures_delay_is_counted_from_when_it_was_due() -> None:
    """Due every 33.3 ms from 1000 ms on; they come 0 to 20 ms later and are displayed 80 ms after they were due."""
    due = 1000 + np.arange(60) * 100 / 3
    shown = np.stack([4e9 + np.arange(60) * 3000, due + np.tile([20.0, 0.0, 7.0], 20), due + 80], axis=1)
    np.testing.assert_allclose(picture_delay(shown), 0.08, atol=1e-9)


def test_flashes_are_held_against_the_nearest_click_and_viewers_against_all() -> None:
    clicks = np.array([1000.0, 1500.0, 2000.0])
    early, late = offsets(clicks, clicks[1:] - 10), offsets(clicks, clicks + 30)
    np.testing.assert_allclose(early, [-10, -10])
    said = summed([early, late])
    assert (said["pairs"], said["median_ms"], said["biases_ms"]) == (5, 30.0, [-10.0, 30.0])
