"""Rooms with patterns on their walls, as photographs have them, drawn otherwise than those to learn from: bricks,
stripes, checks, leaves and a shelf full of things."""

import cv2
import numpy as np

from xdancer.training.renderer.scenes import Scene, Scenes

HEIGHT, WIDTH = 448, 256
Drawn = np.ndarray  # (HEIGHT, WIDTH, 3) in 0..1


class PatternedScenes(Scenes):
    """Scenes that differ from others by their rooms only."""

    def __getitem__(self, number: int) -> Scene:
        return super().__getitem__(number) | {"backdrop": patterned(number)}


def patterned(number: int) -> np.ndarray:
    """Backdrop `number`, 0 or above, (3, HEIGHT, WIDTH) in 0..1, as a scene holds one; most have a floor."""
    rng = np.random.default_rng((13, number))
    picture = (_bricks, _stripes, _checks, _leaves, _shelf)[number % 5](rng)
    if rng.random() < 0.7:
        picture[rng.integers(300, 430) :] = _colour(rng)
    picture = cv2.GaussianBlur(picture.astype(np.float32), (5, 5), 1.0)
    return np.ascontiguousarray(np.clip(picture, 0, 1).transpose(2, 0, 1))


def _colour(rng: np.random.Generator) -> np.ndarray:
    return rng.uniform(0.08, 0.92, 3)


def _bricks(rng: np.random.Generator) -> Drawn:
    y, x = np.indices((HEIGHT, WIDTH))
    tall, wide = rng.integers(12, 28), rng.integers(24, 48)
    row = y // tall
    stone = (y % tall >= 2) & ((x + row % 2 * (wide // 2)) % wide >= 2)
    return np.where(stone[..., None], _colour(rng), _colour(rng)) + rng.normal(0, 0.03, (HEIGHT, WIDTH, 1))


def _stripes(rng: np.random.Generator) -> Drawn:
    y, x = np.indices((HEIGHT, WIDTH))
    turn, apart = rng.choice([0, np.pi / 2, rng.uniform(0, np.pi)]), rng.uniform(8, 40)
    wave = np.sin(2 * np.pi * (x * np.cos(turn) + y * np.sin(turn)) / apart)
    return np.where((wave > rng.uniform(-0.5, 0.5))[..., None], _colour(rng), _colour(rng))


def _checks(rng: np.random.Generator) -> Drawn:
    y, x = np.indices((HEIGHT, WIDTH)) // rng.integers(8, 24)
    return np.where(((x + y) % 2 > 0)[..., None], _colour(rng), _colour(rng))


def _leaves(rng: np.random.Generator) -> Drawn:
    out = np.broadcast_to(_colour(rng), (HEIGHT, WIDTH, 3)).copy()
    for size in (4, 8, 16, 32):
        grain = rng.normal(0, 0.07, (HEIGHT // size, WIDTH // size, 3))
        out += cv2.resize(grain, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    return out


def _shelf(rng: np.random.Generator) -> Drawn:
    out = np.broadcast_to(_colour(rng), (HEIGHT, WIDTH, 3)).copy()
    for _ in range(60):
        top, left = rng.integers(HEIGHT), rng.integers(WIDTH)
        out[top : top + rng.integers(12, 80), left : left + rng.integers(8, 48)] = _colour(rng)
    return out
