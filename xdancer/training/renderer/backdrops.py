"""What people stand before, thought up anew: plain walls, and, for networks to learn from, walls that tell of nobody
although they are full of edges."""

import cv2
import numpy as np

PLAIN = (14, 8)  # colours of a plain backdrop, before it is enlarged
FULL = (224, 128)  # px, of one with a pattern
PATTERNED = 0.35  # share of those to learn from


def plain(rng: np.random.Generator) -> np.ndarray:
    """(3, 14, 8) colours in 0..1: a wall that shades off, mostly a floor of another colour, and something on the
    wall at times."""
    height, width = PLAIN
    wall = rng.uniform(0.05, 0.95) + 0.12 * rng.normal(size=3)
    colours = np.broadcast_to(wall[:, None, None], (3, height, width)).copy()
    colours += 0.1 * rng.normal() * np.linspace(-1, 1, height)[:, None] + 0.1 * rng.normal() * np.linspace(-1, 1, width)
    if rng.random() < 0.4:
        top, left = rng.integers(height - 5), rng.integers(width - 2)
        colours[:, top : top + rng.integers(2, 5), left : left + rng.integers(1, 4)] += 0.2 * rng.normal(size=(3, 1, 1))
    if rng.random() < 0.8:
        floor = wall * rng.uniform(0.4, 1.2) + 0.1 * rng.normal(size=3)
        colours[:, rng.integers(9, 13) :] = floor[:, None, None]
    return np.clip(colours + rng.uniform(0, 0.03) * rng.normal(size=colours.shape), 0, 1).astype(np.float32)


def any_kind(rng: np.random.Generator) -> np.ndarray:
    """(3, 224, 128) colours in 0..1: a plain backdrop, or one with what repeats itself, grows wild or stands about
    behind the floor, as sharp as a camera happens to make it."""
    height, width = FULL
    colours = cv2.resize(plain(rng).transpose(1, 2, 0), (width, height), interpolation=cv2.INTER_LINEAR)
    if rng.random() < PATTERNED:
        kind = (_repeated, _grown, _cluttered)[rng.integers(3)]
        pattern = kind(rng) * rng.uniform(0.05, 0.35)
        pattern[rng.integers(height * 2 // 3, height + height // 6) :] = 0
        colours = cv2.GaussianBlur(colours + pattern.astype(np.float32), (0, 0), rng.uniform(0.3, 1.5))
    return np.ascontiguousarray(np.clip(colours, 0, 1).transpose(2, 0, 1))


def _repeated(rng: np.random.Generator) -> np.ndarray:
    """(224, 128, 3), of about 1: a tile over and over, each row a little further on, as bricks and papers are."""
    tall, wide = rng.integers(3, 32), rng.integers(3, 32)
    small = rng.normal(size=(rng.integers(1, 4), rng.integers(1, 4), 3)) + rng.normal(size=3)
    tile = cv2.resize(small, (int(wide), int(tall)), interpolation=rng.choice([cv2.INTER_NEAREST, cv2.INTER_LINEAR]))
    y, x = np.indices(FULL)
    return tile[y % tall, (x + y // tall * rng.integers(wide)) % wide]


def _grown(rng: np.random.Generator) -> np.ndarray:
    """(224, 128, 3), of about 1: noise that is as strong in every size, as leaves and crowds are."""
    height, width = FULL
    out = np.zeros((height, width, 3))
    for size in (2, 4, 8, 16, 32):
        grain = cv2.resize(
            rng.normal(size=(height // size, width // size)), (width, height), interpolation=cv2.INTER_CUBIC
        )
        out += 0.5 * grain[..., None] * (0.7 + 0.4 * rng.normal(size=3))
    return out


def _cluttered(rng: np.random.Generator) -> np.ndarray:
    """(224, 128, 3), of about 1: things, each of a colour, before each other."""
    height, width = FULL
    out = np.zeros((height, width, 3))
    for _ in range(rng.integers(5, 60)):
        top, left = rng.integers(-20, height), rng.integers(-10, width)
        tall, wide = np.exp(rng.normal(3, 0.7, 2)).astype(int) + 2
        out[max(top, 0) : max(top + tall, 0), max(left, 0) : max(left + wide, 0)] = rng.normal(size=3)
    return out
