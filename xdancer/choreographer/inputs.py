"""What the choreographer is told at each frame: one vector, laid out the same way in training and on stage.

Columns: music (features, then their means over three time constants), the beat clock of the frame to be made, lead,
energy, style; the plan it follows; the pose of the frame before and how it moved, as the tokens decode; then latents of
five parts each: the frame before, eight frames of the last two minutes, and the start pose. A latent is what a part's
tokens stand for: the sum of their code vectors.
"""

from collections.abc import Sequence

import numpy as np

from xdancer.choreographer.plan import N_PLAN
from xdancer.music.features import N_FEATURES, SILENCE
from xdancer.music.frame import FPS, MusicFrame
from xdancer.pose.layout import (
    CANVAS_HEIGHT,
    CANVAS_WIDTH,
    CODE_DIM,
    INDEX,
    N_JOINTS,
    N_PARTS,
    TOKENS_PER_FRAME,
    TOKENS_PER_PART,
)

SUMMARY_SECONDS = (1.0, 8.0, 60.0)
HARMONICS = 4
N_MUSIC = N_FEATURES * (1 + len(SUMMARY_SECONDS))
N_CLOCK = 4 * HARMONICS + 3
N_LEAD = 3
MAX_LEAD = 60
CONTEXT_FRAMES = 8  # of its own dance, chosen anew every CONTEXT_EVERY frames from the last CONTEXT_SPAN
CONTEXT_EVERY = 64
CONTEXT_SPAN = 120 * FPS
N_BODY = 5 * N_JOINTS
LEAST = 0.1  # confidence below which nothing is aimed at
UNIT, QUICK = 128.0, 4.0  # px; how much larger movement is written than places
CENTRE = np.array([CANVAS_WIDTH / 2, CANVAS_HEIGHT / 2], dtype=np.float32)
NECK = INDEX["neck"]
_KEEP = np.exp(-1.0 / (np.array(SUMMARY_SECONDS) * FPS))[:, None]


class Listener:
    """The music so far: the newest features and their means over 1, 8 and 60 s."""

    def __init__(self) -> None:
        self._sums = np.zeros((len(SUMMARY_SECONDS), N_FEATURES))
        self._weights = np.zeros((len(SUMMARY_SECONDS), 1))

    def push(self, features: np.ndarray) -> np.ndarray:
        """Take a frame's features (N_FEATURES,); return float32 (N_MUSIC,)."""
        self._sums = _KEEP * self._sums + (1.0 - _KEEP) * features
        self._weights = _KEEP * self._weights + (1.0 - _KEEP)
        return np.concatenate([features, (self._sums / self._weights).ravel()]).astype(np.float32)


def check_features(frame: MusicFrame) -> None:
    """Raises ValueError where a frame's features are not (N_FEATURES,) finite numbers."""
    if np.shape(frame.features) != (N_FEATURES,):
        raise ValueError(f"frame {frame.index}: features have shape {np.shape(frame.features)}, not ({N_FEATURES},)")
    if not np.isfinite(frame.features).all():
        raise ValueError(f"frame {frame.index}: features hold NaN or infinity")


def listened(features: np.ndarray) -> np.ndarray:
    """What `Listener` returns for each of the frames (T, N_FEATURES), at once: float32 (T, N_MUSIC)."""
    from scipy.signal import lfilter

    features = features.astype(np.float64)
    columns = [features]
    for keep in _KEEP[:, 0]:
        weights = 1.0 - keep ** np.arange(1, len(features) + 1)
        columns.append(lfilter([1.0 - keep], [1.0, -keep], features, axis=0) / weights[:, None])
    return np.concatenate(columns, axis=1).astype(np.float32)


def silence() -> np.ndarray:
    """The music vector before the first frame: float32 (N_MUSIC,)."""
    features = np.zeros(N_FEATURES, np.float32)
    features[SILENCE] = 1.0
    return np.tile(features, 1 + len(SUMMARY_SECONDS))


def clock(beat_phase: np.ndarray, bar_phase: np.ndarray, tempo: np.ndarray, confidence: np.ndarray) -> np.ndarray:
    """The beat clock (...) as float32 (..., N_CLOCK): phases as harmonics; zeros where the tempo is unknown (0)."""
    tempo = np.asarray(tempo, np.float32)
    turns = 2 * np.pi * np.arange(1, HARMONICS + 1)
    beat = np.asarray(beat_phase, np.float64)[..., None] * turns
    bar = np.asarray(bar_phase, np.float64)[..., None] * turns
    rest = np.stack([(tempo - 115) / 40, np.asarray(confidence, np.float32), np.ones_like(tempo)], axis=-1)
    out = np.concatenate([np.sin(beat), np.cos(beat), np.sin(bar), np.cos(bar), rest], axis=-1)
    return (out * (tempo > 0)[..., None]).astype(np.float32)


def ahead(lead: float) -> np.ndarray:
    """The lead in frames as float32 (N_LEAD,)."""
    lead = min(max(float(lead), 0.0), float(MAX_LEAD))
    return np.array([lead / MAX_LEAD, np.log1p(lead) / np.log1p(MAX_LEAD), min(lead, 8.0) / 8.0], np.float32)


def controls(energy: float | None, style: str | None, styles: Sequence[str]) -> np.ndarray:
    """Energy 0..1 and a style's name as float32 (2 + S,); None: as the music wills. ValueError on an unknown style."""
    out = np.zeros(2 + len(styles), np.float32)
    if energy is not None:
        out[:2] = 2 * min(max(float(energy), 0.0), 1.0) - 1, 1.0
    if style is not None:
        out[2 + style_number(style, styles)] = 1.0
    return out


def style_number(style: str, styles: Sequence[str]) -> int:
    """The place of a style's name among `styles`. ValueError where it is none of them."""
    if style not in styles:
        raise ValueError(f"no style {style!r}; there are {', '.join(styles)}")
    return styles.index(style)


def context_rows(row: int) -> np.ndarray:
    """The eight rows of the dance that row `row` is reminded of, oldest first: (8,) int; empty before row 64."""
    stop = row // CONTEXT_EVERY * CONTEXT_EVERY
    if not stop:
        return np.zeros(0, np.int64)
    start = max(stop - CONTEXT_SPAN, 0)
    return start + (2 * np.arange(CONTEXT_FRAMES) + 1) * (stop - start) // (2 * CONTEXT_FRAMES)


class Codes:
    """The tokenizer's code vectors, placed where they stand in a part's latent, in units of the latents' spread."""

    def __init__(self, codebooks: np.ndarray, stages: int, spread: np.ndarray) -> None:
        """codebooks (5, 6, 512, 6) as the tokenizer has them: `stages` residual steps of 6 / stages groups;
        spread (5, D): standard deviation of each latent number."""
        groups = TOKENS_PER_PART // stages
        self.width = groups * CODE_DIM
        vectors = np.zeros((N_PARTS, *codebooks.shape[1:3], self.width), np.float32)
        for slot in range(TOKENS_PER_PART):
            first = slot % groups * CODE_DIM
            vectors[:, slot, :, first : first + CODE_DIM] = codebooks[:, slot]
        self.vectors = (vectors / spread[:, None, None]).reshape(TOKENS_PER_FRAME, -1, self.width)
        self._slots = np.arange(TOKENS_PER_FRAME)

    def look_up(self, rows: np.ndarray) -> np.ndarray:
        """Token rows (..., 30) or (..., 5, 6) -> code vectors float32 (..., 30, D)."""
        flat = rows.reshape(-1, TOKENS_PER_FRAME).astype(np.int64)
        return self.vectors[self._slots, flat]

    def latents(self, rows: np.ndarray) -> np.ndarray:
        """Token rows (T, 5, 6) -> latents float32 (T, 5, D)."""
        return self.look_up(rows).reshape(-1, N_PARTS, TOKENS_PER_PART, self.width).sum(2)


def places(pose: np.ndarray) -> np.ndarray:
    """Poses (..., 60, 3) -> float32 (..., 60, 2): each joint from the neck, the neck from the canvas's middle, in units
    of 128 px; 0 where a joint is not seen."""
    neck = np.where(pose[..., NECK, 2:] > 0, pose[..., NECK, :2], CENTRE)
    out = (pose[..., :2] - neck[..., None, :]) / UNIT
    out[..., NECK, :] = (neck - CENTRE) / UNIT
    return np.where(pose[..., 2:] > 0, out, 0.0).astype(np.float32)


def posed(place: np.ndarray, confidence: np.ndarray) -> np.ndarray:
    """The poses (..., 60, 3) that have these places (..., 60, 2) and confidences (..., 60); too low ones are none."""
    confidence = np.where(confidence < LEAST, 0.0, confidence)
    xy = place * UNIT
    xy[..., NECK, :] += CENTRE
    neck = xy[..., NECK : NECK + 1, :].copy()
    xy = xy + neck
    xy[..., NECK, :] -= neck[..., 0, :]
    return np.concatenate([xy, confidence[..., None]], axis=-1) * (confidence[..., None] > 0)


def body(before: np.ndarray, earlier: np.ndarray) -> np.ndarray:
    """The poses one and two frames before (..., 60, 3) as float32 (..., N_BODY): places, confidence, movement."""
    here, there = places(before), places(earlier)
    moved = (here - there) * ((before[..., 2:] > 0) & (earlier[..., 2:] > 0)) * QUICK
    size = before.shape[:-2]
    parts = (here.reshape(*size, -1), before[..., 2], moved.reshape(*size, -1))
    return np.concatenate(parts, axis=-1, dtype=np.float32)


def by_slot(order: Sequence[int]) -> np.ndarray:
    """The slots (30,) in the order in which they are chosen, part after part."""
    return (np.array(order)[:, None] * TOKENS_PER_PART + np.arange(TOKENS_PER_PART)).ravel()


def removed(things: Sequence[str], styles: int, width: int) -> np.ndarray:
    """Columns (N,) of the input vector that a model without these `things` is not told: "song", the means of the music
    so far; "beat", its clock; "past", what the dance is reminded of."""
    context = n_inputs(styles, width) - N_PARTS * width * (1 + CONTEXT_FRAMES)
    spans = {
        "song": range(N_FEATURES, N_MUSIC),
        "beat": range(N_MUSIC, N_MUSIC + N_CLOCK),
        "past": range(context, context + N_PARTS * width * CONTEXT_FRAMES),
    }
    return np.array([column for thing in things for column in spans[thing]], np.int64)


def n_inputs(styles: int, width: int) -> int:
    """Columns of a frame's input vector."""
    return n_outside(styles) + N_PLAN + N_BODY + N_PARTS * width * (2 + CONTEXT_FRAMES)


def n_outside(styles: int) -> int:
    """Columns that do not come from the dance itself: music, clock, lead, energy, style."""
    return N_MUSIC + N_CLOCK + N_LEAD + 2 + styles
