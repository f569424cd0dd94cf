"""Sources: what they give, that they never block, and what they say when there can be no sound."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from engine.audio.fifo import Fifo
from engine.audio.files import WaitingSource, file_source
from engine.audio.live import MOST_SKEW, LiveSource
from engine.audio.meter import Meter
from engine.audio.source import clean, open_source
from engine.config import AudioSettings
from xdancer.errors import UserError
from xdancer.music.frame import HOP


def pulled(source: WaitingSource, frames: int) -> np.ndarray:
    """The next frames, waited for."""
    out: list[np.ndarray] = []
    while len(out) < frames:
        block = source.pull()
        if block is None:
            time.sleep(0.002)
        else:
            assert block.shape == (HOP, 2) and block.dtype == np.float32
            out.append(block)
    return np.concatenate(out)


def ramp(samples: int) -> np.ndarray:
    return np.repeat(np.linspace(-1, 1, samples, dtype=np.float32)[:, None], 2, axis=1)


def test_a_file_is_heard_whole_and_then_silence(tmp_path: Path) -> None:
    sound = ramp(5 * HOP + 100)
    soundfile.write(tmp_path / "a.wav", sound, 48_000, subtype="FLOAT")
    source = file_source(str(tmp_path / "a.wav"), loop=False)
    source.start()
    heard = pulled(source, 8)
    np.testing.assert_array_equal(heard[: len(sound)], sound)
    assert not heard[len(sound) :].any() and source.status == "ended"
    source.close()


def test_a_looped_file_goes_on_without_a_gap(tmp_path: Path) -> None:
    sound = ramp(2 * HOP + 100)
    soundfile.write(tmp_path / "a.wav", sound, 48_000, subtype="FLOAT")
    source = file_source(str(tmp_path / "a.wav"), loop=True)
    source.start()
    np.testing.assert_array_equal(pulled(source, 9), np.tile(sound, (6, 1))[: 9 * HOP])
    source.close()


def test_a_decoder_that_breaks_off_ends_in_silence() -> None:
    def blocks() -> Iterator[np.ndarray]:
        yield ramp(HOP)
        raise RuntimeError("the disk is gone")

    source = WaitingSource("broken", blocks, loop=True)
    source.start()
    assert not pulled(source, 3)[HOP:].any()


def test_the_demo_goes_on_for_ever_from_its_first_beat() -> None:
    source = open_source(AudioSettings(source="demo"))
    source.start()
    assert np.abs(pulled(source, 3)).max() > 0.1
    source.close()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("nowhere.wav", "no such file"),
        ("ftp://somewhere/a.mp3", "ftp:// is not supported"),
        ("device:no such thing", "no such thing"),
    ],
)
def test_what_cannot_be_is_said_before_the_show(name: str, expected: str) -> None:
    with pytest.raises(UserError, match=expected):
        open_source(AudioSettings(source=name))


def test_clean_makes_stereo_in_range() -> None:
    odd = np.array([np.nan, np.inf, -np.inf, 3.0, -3.0, 0.25])
    expected = np.array([0, 0, 0, 1, -1, 0.25], np.float32)
    for sound in (odd, odd[:, None], np.stack([odd, odd], axis=1), np.stack([odd, odd, odd], axis=1)):
        np.testing.assert_array_equal(clean(sound), np.stack([expected, expected], axis=1))


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 50)), max_size=40))
def test_a_fifo_keeps_order_and_drops_the_oldest(steps: list[tuple[bool, int]]) -> None:
    fifo, model, counter = Fifo(100), [], 0
    dropped = 0
    for put, count in steps:
        if put:
            numbers = list(range(counter, counter + count))
            counter += count
            fifo.put(np.repeat(np.array(numbers, np.float32).reshape(-1, 1), 2, axis=1))
            model += numbers
            dropped += max(0, len(model) - 100)
            model = model[-100:]
        else:
            assert fifo.take(count)[:, 0].tolist() == model[:count]
            model = model[count:]
        assert fifo.fill == len(model) and fifo.dropped == dropped


def test_a_full_fifo_waits_until_stopped() -> None:
    fifo, stop = Fifo(10), threading.Event()
    assert fifo.put_waiting(ramp(10), stop)
    stop.set()
    assert not fifo.put_waiting(ramp(10), stop)


class Scripted(LiveSource):
    """A live source that is fed by the test."""

    def __init__(self) -> None:
        super().__init__("scripted", held=0.05, capacity=1.0)

    def feed(self, samples: int) -> None:
        self._fifo.put(np.full((samples, 2), 0.5, np.float32))


def test_a_live_source_fills_up_before_it_sounds_and_after_it_ran_dry() -> None:
    source = Scripted()
    assert not source.pull().any()
    source.feed(HOP)
    assert not source.pull().any()  # not enough against jitter yet
    source.feed(HOP + 2400)
    assert all(source.pull().all() for _ in range(3)) and source.underruns == 0
    assert source.pull()[:800].all() and source.underruns == 1
    source.feed(HOP)
    assert not source.pull().any()


def test_a_live_source_that_gains_on_us_asks_us_to_hurry() -> None:
    source = Scripted()
    source.feed(5 * HOP)
    for _ in range(2000):
        source.feed(HOP + 2)
        source.pull()
    assert 0 < source.skew() <= MOST_SKEW
    for _ in range(2900):
        source.feed(HOP - 4)
        source.pull()
    assert -MOST_SKEW <= source.skew() < 0


def test_the_meter() -> None:
    meter = Meter()
    meter.push(np.zeros((HOP, 2), np.float32))
    assert meter.level == meter.peak == -120.0
    meter.push(np.full((HOP, 2), 0.1, np.float32))
    assert meter.level == pytest.approx(-20.0, abs=1e-4)
    meter.push(np.ones((HOP, 2), np.float32))
    meter.push(np.zeros((HOP, 2), np.float32))
    assert (meter.clipped, meter.peak) == (1, -0.5)
