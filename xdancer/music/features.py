"""Causal music features: a log-band spectrum 120 times a second, summed up 30 times a second.

Column(s)   feature of a frame (all level-independent; energies and flux within 0..3, mostly 0..1)
0..15       log energy in 16 bands, 30 Hz to 16 kHz, mean over the frame
16..23      onset flux (rise of log energy) in 8 bands, most of the frame's hops
24..35      chroma C, C#, .. B of the last 171 ms, largest = 1
36          loudness: the frame's level above the reference, dB / 20, within -3..1
37          loudness trend: mean level of the last 2 s above that of the last 12 s, dB / 20, within -2..2
38          onset strength: flux over all bands against its own mean of the last seconds, within 0..8, / 4
39          1 in silence, that is after a third of a second below -70 dBFS (all else is then 0), else 0
"""

import numpy as np

from xdancer.music.frame import HOP, SAMPLE_RATE
from xdancer.music.gain import FLOOR_DB, SILENCE_DB, AutomaticGain, level_db

N_FEATURES = 40
N_BANDS = 32  # bands of the hop spectrum, 0..15 are pairs of them
CHROMA = slice(24, 36)  # columns of the chroma
LOUDNESS, TREND, ONSET, SILENCE = 36, 37, 38, 39
N_CHROMA = 12
HOPS = 4  # hops a frame
HOP_SAMPLES = HOP // HOPS  # 400 samples, 8.3 ms
HOP_RATE = SAMPLE_RATE / HOP_SAMPLES  # 120 Hz
WINDOW = 2048  # samples of a hop's spectrum: 43 ms
CHROMA_WINDOW = 8192
FLUX_LAG = 2  # hops
SILENT_AFTER = 10  # frames below the threshold
COMPRESSION = 1000.0


def band_matrix() -> np.ndarray:
    """Triangles, linear below 150 Hz and logarithmic above, 30 Hz to 16 kHz: float32 (WINDOW / 2 + 1, N_BANDS).

    Each sums its bins, so that wide high bands make up for the fall of music's spectrum with frequency.
    """
    edges = 150.0 * np.sinh(np.linspace(np.arcsinh(30.0 / 150.0), np.arcsinh(16_000.0 / 150.0), N_BANDS + 2))
    hertz = np.fft.rfftfreq(WINDOW, 1.0 / SAMPLE_RATE)[:, None]
    rise = (hertz - edges[:-2]) / (edges[1:-1] - edges[:-2])
    fall = (edges[2:] - hertz) / (edges[2:] - edges[1:-1])
    return np.maximum(0.0, np.minimum(rise, fall)).astype(np.float32)


def chroma_matrix() -> np.ndarray:
    """Pitch class of each bin from 100 Hz to 2 kHz: float32 (CHROMA_WINDOW / 2 + 1, 12); class 0 is C."""
    hertz = np.fft.rfftfreq(CHROMA_WINDOW, 1.0 / SAMPLE_RATE)
    heard = (hertz >= 100.0) & (hertz <= 2000.0)
    semitone = 12.0 * np.log2(np.where(heard, hertz, 440.0) / 440.0) + 69.0
    distance = (semitone[:, None] - np.arange(N_CHROMA) + 6.0) % 12.0 - 6.0
    weight = np.maximum(0.0, 1.0 - np.abs(distance)) / np.sqrt(np.maximum(hertz, 100.0))[:, None]
    return np.where(heard[:, None], weight, 0.0).astype(np.float32)


class Spectrum:
    """What the beat tracker sees: log-band energies of each hop, and the parts of a frame's features."""

    def __init__(self) -> None:
        self._bands = band_matrix()
        chroma = chroma_matrix()
        pitched = np.flatnonzero(chroma.any(axis=1))
        self._pitched = slice(pitched[0], pitched[-1] + 1)  # the bins that have a pitch
        self._chroma = np.ascontiguousarray(chroma[self._pitched])
        self._window = np.hanning(WINDOW + 1)[:-1].astype(np.float32)
        self._chroma_window = np.hanning(CHROMA_WINDOW + 1)[:-1].astype(np.float32)
        self._scale = np.float32(1.0 / np.sum(self._window.astype(np.float64) ** 2) / WINDOW * 2.0)
        self._gain = AutomaticGain(HOP_RATE)
        self._history = np.zeros(CHROMA_WINDOW + HOP, np.float32)
        start = CHROMA_WINDOW + HOP_SAMPLES - WINDOW
        self._hops = np.lib.stride_tricks.sliding_window_view(self._history, WINDOW)[start::HOP_SAMPLES]
        self._before = np.zeros((FLUX_LAG, N_BANDS), np.float32)
        self.silent = SILENT_AFTER  # frames of silence up to now
        self._flux_mean = np.zeros(2)  # weighted sum, weight
        self._levels = np.zeros((2, 2))  # 2 s and 12 s means: weighted sum, weight

    def push(self, samples: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
        """Take one frame: float32 (HOP,). Returns (features (N_FEATURES,), log bands (HOPS, N_BANDS),
        level of the frame in dBFS)."""
        history = self._history
        history[:-HOP] = history[HOP:]
        history[-HOP:] = samples
        levels = level_db(samples.reshape(HOPS, HOP_SAMPLES))
        level = float(level_db(samples))
        self.silent = self.silent + 1 if level <= SILENCE_DB else 0
        reference = np.array([self._gain.push(float(hop)) for hop in levels])
        bands = self._log_bands(reference)
        rows = np.concatenate([self._before, bands])
        flux = np.maximum(rows[FLUX_LAG:] - rows[:-FLUX_LAG], 0.0)
        self._before = rows[-FLUX_LAG:]
        return self._features(bands, flux, level, float(reference[-1])), bands, level

    def _log_bands(self, reference: np.ndarray) -> np.ndarray:
        """Log energy of each hop's bands against the reference, about 0..1.5: float32 (HOPS, N_BANDS)."""
        spectrum = np.fft.rfft(self._hops * self._window)
        energy = (np.square(spectrum.real) + np.square(spectrum.imag)).astype(np.float32) @ self._bands
        against = 10.0 ** (-np.maximum(reference, FLOOR_DB) / 10.0)
        normal = energy * (self._scale * against.astype(np.float32))[:, None]
        return np.minimum(0.5 * np.log10(1.0 + COMPRESSION * normal), 3.0).astype(np.float32)

    def _features(self, bands: np.ndarray, flux: np.ndarray, level: float, reference: float) -> np.ndarray:
        features = np.zeros(N_FEATURES, np.float32)
        onset = self._onset(float(flux.mean(axis=1).max()))
        if self.silent > SILENT_AFTER:
            features[SILENCE] = 1.0
            return features
        features[0:16] = bands.mean(axis=0).reshape(16, 2).mean(axis=1)
        features[16:24] = flux.reshape(HOPS, 8, 4).mean(axis=2).max(axis=0)
        spectrum = np.fft.rfft(self._history[HOP:] * self._chroma_window)[self._pitched]
        chroma = np.abs(spectrum).astype(np.float32) @ self._chroma
        features[CHROMA] = chroma / max(float(chroma.max()), 1e-9)
        level = max(level, FLOOR_DB)
        features[LOUDNESS] = np.clip((level - reference) / 20.0, -3.0, 1.0)
        features[TREND] = np.clip(self._trend(level) / 20.0, -2.0, 2.0)
        features[ONSET] = onset / 4.0
        return features

    def _onset(self, flux: float) -> float:
        """Flux against its own mean over the last 4 s, 0..8."""
        keep = np.exp(-1.0 / (4.0 * 30.0))
        self._flux_mean = keep * self._flux_mean + (1.0 - keep) * np.array([flux, 1.0])
        mean = self._flux_mean[0] / self._flux_mean[1]
        return min(flux / mean, 8.0) if mean > 1e-6 else 0.0

    def _trend(self, level: float) -> float:
        keep = np.exp(-1.0 / (np.array([2.0, 12.0]) * 30.0))[:, None]
        self._levels = keep * self._levels + (1.0 - keep) * np.array([level, 1.0])
        means = self._levels[:, 0] / self._levels[:, 1]
        return float(means[0] - means[1])
