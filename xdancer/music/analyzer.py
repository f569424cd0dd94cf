"""`MusicAnalyzer`: samples in, music frames out."""

import numpy as np

from xdancer.music.activation import STEP_HOPS, BeatNet
from xdancer.music.clock import HOLD, BeatClock
from xdancer.music.features import CHROMA, HOP_RATE, HOPS, SILENT_AFTER, Spectrum
from xdancer.music.frame import FPS, HOP, BeatState, MusicFrame
from xdancer.music.tracker import BEATS_PER_BAR, BarPointer

DELAY = (
    -0.005
)  # seconds by which beats come out late beside the network's lag, measured: the pointer takes a beat's first stir


class MusicAnalyzer:
    """Causal features and beats of a stream of 48 kHz mono samples, 30 frames a second.

    Frame n is given out as soon as sample 1600 (n + 1) - 1 is there and depends on none after it; however the
    stream is cut into pushes, the frames are the same to the last bit, for all work is done a frame at a time.
    Samples that are not finite count as silence.
    """

    def __init__(self, net: BeatNet | None = None) -> None:
        """`net`: the beat network, with its state; the shipped one where none is given."""
        self._pending = np.zeros(0, np.float32)
        self._index = 0
        self._spectrum = Spectrum()
        self._net = net or BeatNet.from_pretrained("live")
        self._delay = DELAY + self._net.lag * STEP_HOPS / HOP_RATE
        self._pointer = BarPointer()
        self._clock = BeatClock(BEATS_PER_BAR)

    def push(self, samples: np.ndarray) -> list[MusicFrame]:
        """Take float samples (N,), N >= 0; return the frames they complete, in order."""
        samples = np.asarray(samples, np.float32)
        if samples.ndim != 1:
            raise ValueError(f"mono samples (N,) wanted, not {samples.shape}")
        samples = np.clip(np.where(np.isfinite(samples), samples, np.float32(0.0)), -16.0, 16.0)
        samples = np.concatenate([self._pending, samples]).astype(np.float32, copy=False)
        whole = len(samples) // HOP
        self._pending = samples[whole * HOP :].copy()
        return [self._frame(samples[k * HOP : (k + 1) * HOP]) for k in range(whole)]

    def _frame(self, samples: np.ndarray) -> MusicFrame:
        features, bands, level = self._spectrum.push(samples)
        frame = MusicFrame(self._index, features, self._beat((self._index + 1) / FPS, bands, features[CHROMA]), level)
        self._index += 1
        return frame

    def _beat(self, now: float, bands: np.ndarray, chroma: np.ndarray) -> BeatState:
        silent = self._spectrum.silent
        if silent > HOLD * FPS:
            self._clock.stop()
            self._pointer.reset()
            self._net.reset()
        for first in range(0, HOPS, STEP_HOPS):
            beat, downbeat = self._net.step(bands[first : first + STEP_HOPS], chroma)
            self._pointer.advance(STEP_HOPS)
            if silent <= SILENT_AFTER:
                self._pointer.weigh(beat, downbeat)
        tempo, phase, in_bar, confidence = self._pointer.state()
        phase += self._delay * tempo / 60.0
        if phase >= 1.0:
            phase, in_bar = phase - 1.0, (in_bar + 1) % BEATS_PER_BAR
        return self._clock.step(now, tempo, phase, in_bar, confidence)
