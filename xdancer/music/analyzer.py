"""`MusicAnalyzer`: samples in, music frames out."""

import numpy as np

from xdancer.music.clock import HOLD, BeatClock
from xdancer.music.features import HOP_RATE, HOPS, N_BANDS, SILENT_AFTER, Spectrum
from xdancer.music.frame import FPS, HOP, BeatState, MusicFrame
from xdancer.music.tracker import BEATS_PER_BAR, BarPointer

DELAY = 0.007  # seconds from an onset to the end of the hop in which its flux peaks, measured on clicks


class Onsets:
    """Beat and downbeat activation of a hop from the rise of its log bands."""

    def __init__(self) -> None:
        self._before = np.zeros((3, N_BANDS), np.float32)
        self._low = np.zeros(2)
        self._all = np.zeros(2)
        self._keep = float(np.exp(-1.0 / (3.0 * HOP_RATE)))

    def push(self, bands: np.ndarray) -> tuple[float, float]:
        """Take log bands (N_BANDS,); return (beat, downbeat), both 0..1 and downbeat below beat."""
        flux = np.maximum(bands - self._before[0], 0.0)
        self._before[:-1] = self._before[1:]
        self._before[-1] = bands
        low, whole = float(flux[:6].mean()), float(flux.mean())
        self._low = self._keep * self._low + (1.0 - self._keep) * np.array([low, 1.0])
        self._all = self._keep * self._all + (1.0 - self._keep) * np.array([whole, 1.0])
        a = whole / (self._all[0] / self._all[1] + 0.004)
        b = low / (self._low[0] / self._low[1] + 0.004)
        beat = min(0.95, 0.04 * a + 0.06 * b)
        return beat, beat * min(0.5, 0.2 + 0.03 * b)


class MusicAnalyzer:
    """Causal features and beats of a stream of 48 kHz mono samples, 30 frames a second.

    Frame n is given out as soon as sample 1600 (n + 1) - 1 is there and depends on none after it; however the
    stream is cut into pushes, the frames are the same to the last bit, for all work is done a frame at a time.
    Samples that are not finite count as silence.
    """

    def __init__(self) -> None:
        self._pending = np.zeros(0, np.float32)
        self._index = 0
        self._spectrum = Spectrum()
        self._onsets = Onsets()
        self._pointer = BarPointer()
        self._clock = BeatClock(BEATS_PER_BAR)

    def push(self, samples: np.ndarray) -> list[MusicFrame]:
        """Take float samples (N,), N >= 0; return the frames they complete, in order."""
        samples = np.asarray(samples, np.float32)
        if samples.ndim != 1:
            raise ValueError(f"mono samples (N,) wanted, not {samples.shape}")
        samples = np.clip(np.where(np.isfinite(samples), samples, 0.0), -16.0, 16.0)
        samples = np.concatenate([self._pending, samples]).astype(np.float32, copy=False)
        whole = len(samples) // HOP
        self._pending = samples[whole * HOP :].copy()
        return [self._frame(samples[k * HOP : (k + 1) * HOP]) for k in range(whole)]

    def _frame(self, samples: np.ndarray) -> MusicFrame:
        features, bands, level = self._spectrum.push(samples)
        now = (self._index + 1) / FPS
        beat = self._beat(now, bands)
        frame = MusicFrame(self._index, features, beat, level)
        self._index += 1
        return frame

    def _beat(self, now: float, bands: np.ndarray) -> BeatState:
        silent = self._spectrum.silent
        if silent > HOLD * FPS:
            self._clock.stop()
            self._pointer.reset()
        for hop in range(HOPS):
            activation = self._onsets.push(bands[hop])
            self._pointer.step(*activation, heard=silent <= SILENT_AFTER)
        tempo, phase, in_bar, confidence = self._pointer.state()
        phase += DELAY * tempo / 60.0
        if phase >= 1.0:
            phase, in_bar = phase - 1.0, (in_bar + 1) % BEATS_PER_BAR
        return self._clock.step(now, tempo, phase, in_bar, confidence)
