"""What happens to music between the mixer and the microphone: level, EQ, compression, clipping, noise."""

import numpy as np
from scipy.signal import sosfilt

from xdancer.music.frame import SAMPLE_RATE


def degraded(rng: np.random.Generator, samples: np.ndarray) -> np.ndarray:
    """Mono samples (N,) at 48 kHz with a random selection of the usual injuries: float32 (N,)."""
    out = np.asarray(samples, dtype=np.float32)
    if rng.random() < 0.6:
        out = shelved(out, rng.uniform(-9, 9), rng.uniform(120, 400), low=True)
    if rng.random() < 0.6:
        out = shelved(out, rng.uniform(-12, 6), rng.uniform(2_500, 8_000), low=False)
    if rng.random() < 0.5:
        out = compressed(out, threshold_db=rng.uniform(-30, -12), ratio=rng.uniform(2, 8))
    peak = float(np.abs(out).max()) or 1.0
    if rng.random() < 0.25:
        out = np.clip(out, -(limit := peak * rng.uniform(0.15, 0.6)), limit)
    out = out / (float(np.abs(out).max()) or 1.0) * 10 ** (rng.uniform(-26, -1) / 20)
    if rng.random() < 0.5:
        out = out + rng.standard_normal(len(out), dtype=np.float32) * np.float32(10 ** (rng.uniform(-75, -48) / 20))
    return out.astype(np.float32)


def shelved(samples: np.ndarray, gain_db: float, hertz: float, *, low: bool) -> np.ndarray:
    """A shelving filter of `gain_db` below (`low`) or above `hertz` (RBJ audio EQ cookbook, slope 1)."""
    a = 10 ** (gain_db / 40)
    w = 2 * np.pi * hertz / SAMPLE_RATE
    cos, alpha = np.cos(w), np.sin(w) / 2 * np.sqrt(2)
    s = 1 if low else -1
    beta = 2 * np.sqrt(a) * alpha
    b = (
        a * ((a + 1) - s * (a - 1) * cos + beta),
        2 * s * a * ((a - 1) - s * (a + 1) * cos),
        a * ((a + 1) - s * (a - 1) * cos - beta),
    )
    d = (
        (a + 1) + s * (a - 1) * cos + beta,
        -2 * s * ((a - 1) + s * (a + 1) * cos),
        (a + 1) + s * (a - 1) * cos - beta,
    )
    return sosfilt(np.array([[*b, *d]]) / d[0], samples).astype(np.float32)


def compressed(samples: np.ndarray, threshold_db: float, ratio: float, block: int = 480) -> np.ndarray:
    """A feed-forward compressor working in blocks of 10 ms, with 100 ms of release."""
    blocks = np.pad(samples, (0, -len(samples) % block)).reshape(-1, block)
    level = 20 * np.log10(np.sqrt(np.square(blocks).mean(axis=1)) + 1e-6)
    over = np.maximum(level - threshold_db, 0) * (1 - 1 / ratio)
    held = np.empty_like(over)
    now = 0.0
    for i, wanted in enumerate(over):
        now = max(wanted, now * 0.9)
        held[i] = now
    gain = np.interp(np.arange(len(samples)), (np.arange(len(held)) + 0.5) * block, 10 ** (-held / 20))
    return (samples * gain).astype(np.float32)
