"""Phrases: steps of many clips, warped and joined so that their beats fall on a song's beats."""

from dataclasses import dataclass, replace

import numpy as np
from scipy.ndimage import gaussian_filter1d

from xdancer.data.pairing.beats import FPS, Steps
from xdancer.data.pairing.idle import idle
from xdancer.data.skeleton import Clip

HALF = 7  # frames a join reaches to either side of its beat
STRETCH = 1.4  # a step is played at most so much faster or slower
CANDIDATES = 96
LENGTHS = (4, 8, 8, 8, 16)  # beats of one clip in a row
ACCENT = 0.38  # how much slower than its mean a movement is on the beat, and faster between beats
GLITCH = 220.0  # leg lengths a second squared: no dancer's acceleration
QUIET = 0.2  # of a song's energy: below it the dancer waits
QUIET_BEATS = 4  # but only where it lasts


@dataclass(frozen=True)
class Phrase:
    """A dance to a whole song, a frame for each of the song's: `idle` and `source` (T,) say what is danced when."""

    clip: Clip
    idle: np.ndarray
    source: np.ndarray
    style: np.ndarray


Joint = tuple[np.ndarray, np.ndarray]
Drawn = tuple[Steps, int, int, int]


@dataclass(frozen=True)
class Piece:
    """Part of a phrase: a clip that covers frames `start` .. `stop` of the song and HALF more at both ends.

    ending: shape and velocity (18, 3) of the step it ends on, None after idling.
    """

    clip: Clip
    start: int
    stop: int
    ending: Joint | None = None


class Chooser:
    """Draws the next clip: near in tempo and energy, easy to join, facing the audience, and not just danced."""

    def __init__(self, rng: np.random.Generator, library: list[Steps], weights: np.ndarray) -> None:
        self.rng = rng
        self.library = library
        self.chances = weights / weights.sum()
        energies = np.concatenate([s.energy for s in library])
        self.quantiles = np.quantile(energies, np.linspace(0, 1, 33))
        self.last: list[str] = []

    def rank(self, energy: np.ndarray) -> np.ndarray:
        """Movement energy (N,) as its rank among all steps, 0..1."""
        return np.asarray(np.interp(energy, self.quantiles, np.linspace(0, 1, len(self.quantiles))))

    def draw(self, period: float, wanted: np.ndarray, joint: Joint | None) -> Drawn | None:
        """The best of many random (steps, first beat, song beats a step, count): for `wanted` energies of the song's
        next beats at `period` frames a beat, after the pose and velocity `joint`. None where no clip fits the tempo."""
        best, chosen = np.inf, None
        for index in self.rng.choice(len(self.library), CANDIDATES, p=self.chances):
            steps = self.library[index]
            for each in (1, 2):  # half time: two song beats a step
                stretch = steps.period / (period * each)
                if not 1 / STRETCH <= stretch <= STRETCH:
                    continue
                count = int(self.rng.choice(LENGTHS)) // each
                count = min(count, len(steps.beats) - 1, max((len(wanted) - 1) // each, 1))
                first = int(self.rng.integers(0, len(steps.beats) - count))
                music = float(wanted[: count * each].mean())
                cost = self._cost(steps, slice(first, first + count), each, stretch, music, joint)
                if cost < best:
                    best, chosen = cost, (steps, first, each, count)
        return chosen

    def _cost(self, steps: Steps, part: slice, each: int, stretch: float, music: float, joint: Joint | None) -> float:
        cost = 3.0 * abs(float(self.rank(steps.energy[part] * stretch).mean()) - music)
        cost -= 1.5 * float(steps.rest[part].mean())
        cost += 4.0 * float(steps.jerked[part].max() * stretch**2 > GLITCH)
        cost += 1.5 * abs(np.log(stretch)) + (0.35 if each == 2 else 0.0) + 1.6 / ((part.stop - part.start) * each)
        cost += 0.8 * self.last[-6:].count(steps.clip.name)
        begin, end = int(steps.beats[part.start]), int(steps.beats[part.stop])
        if joint is not None:
            shape, velocity = joint
            cost += 4.0 * float(np.linalg.norm(steps.shape[begin] - shape, axis=-1).mean())
            cost += 8.0 * float(np.linalg.norm(steps.velocity[begin] - velocity, axis=-1).mean())
        heading = steps.clip.heading()[[begin, (begin + end) // 2, end]]
        cost += 0.8 * float(np.abs(np.angle(np.exp(1j * (heading - heading[0])))).mean())
        travel = (steps.clip.root[end] - steps.clip.root[begin])[[0, 2]]
        return cost + 0.4 * float(np.linalg.norm(travel))  # little: the phrase is centred in the end


def quiet_spans(energy: np.ndarray) -> np.ndarray:
    """True for beats (B,) in a stretch of at least four with too little to dance to."""
    low = energy < QUIET
    out = np.zeros_like(low)
    start = 0
    for k in range(1, len(low) + 1):
        if k == len(low) or low[k] != low[start]:
            if low[start] and k - start >= QUIET_BEATS:
                out[start:k] = True
            start = k
    return out


def phrase(
    rng: np.random.Generator, library: list[Steps], weights: np.ndarray, beats_s: np.ndarray, energy: np.ndarray,
    frames: int,
) -> Phrase:  # fmt: skip
    """A dance of `frames` frames to beats (B,) seconds with energy (B,) 0..1: idle where it is quiet."""
    chooser = Chooser(rng, library, weights)
    at = beats_s * FPS - 0.5  # frame n shows the middle of its thirtieth of a second
    inside = (at > 0) & (at < frames - 1)
    at, energy = at[inside], energy[inside]
    quiet = quiet_spans(energy) if len(at) else np.zeros(0, bool)
    pieces: list[Piece] = []
    k = 0
    while k < len(at) - 1:
        if quiet[k]:
            stop = k + int(np.argmin(quiet[k:])) if not quiet[k:].all() else len(at) - 1
            pieces.append(_waiting(rng, at[k], at[stop]))
            k = stop
            continue
        until = k + int(np.argmax(quiet[k:])) if quiet[k:].any() else len(at) - 1
        piece, used = _dancing(chooser, at[k : until + 1], energy[k : until + 1], pieces[-1] if pieces else None)
        pieces.append(piece)
        k += used
    return _joined(rng, pieces, frames)


def _waiting(rng: np.random.Generator, start: float, stop: float) -> Piece:
    a, b = round(start), round(stop)
    return Piece(idle(rng, max(b - a, 1) + 2 * HALF + 1), a, b)


def _dancing(chooser: Chooser, at: np.ndarray, energy: np.ndarray, before: Piece | None) -> tuple[Piece, int]:
    """The next piece of dancing from beat frames `at` (N,) on, N >= 2, and how many beats it covers."""
    period = float(np.median(np.diff(at)))
    drawn = chooser.draw(period, energy, before.ending if before else None)
    if drawn is None:  # nothing fits this tempo: let anything be stretched
        steps = chooser.library[int(chooser.rng.integers(len(chooser.library)))]
        drawn = (steps, 0, 1, min(len(steps.beats) - 1, len(at) - 1, 8))
    steps, first, each, count = drawn
    used = min(count * each, len(at) - 1)
    count = max(used // each, 1)
    chooser.last.append(steps.clip.name)
    start, stop = round(at[0]), round(at[used])
    frames = np.arange(start - HALF, stop + HALF + 1)
    song_beats = at[: used + 1 : each][: count + 1]
    clip_beats = steps.beats[first : first + len(song_beats)].astype(float)
    position = _extended(frames, song_beats, np.arange(len(song_beats), dtype=float))
    # On every beat the movement slows down: people hit the beat, mocap pulled onto a grid only passes it.
    position = position - ACCENT / (2 * np.pi) * np.sin(2 * np.pi * position)
    times = _extended(position, np.arange(len(clip_beats), dtype=float), clip_beats)
    last = int(clip_beats[-1])
    return Piece(steps.clip.resampled(times), start, stop, (steps.shape[last], steps.velocity[last])), used


def _extended(x: np.ndarray, known: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Linear interpolation that goes on beyond both ends at the slope of the first and last stretch."""
    out = np.interp(x, known, values)
    if len(known) > 1:
        low, high = (values[1] - values[0]) / (known[1] - known[0]), (values[-1] - values[-2]) / (known[-1] - known[-2])
        out = np.where(x < known[0], values[0] + (x - known[0]) * low, out)
        out = np.where(x > known[-1], values[-1] + (x - known[-1]) * high, out)
    return out


def _joined(rng: np.random.Generator, pieces: list[Piece], frames: int) -> Phrase:
    """All pieces in a row, idle before the first and after the last, brought back to the middle and to the front."""
    first = pieces[0].start if pieces else frames
    last = pieces[-1].stop if pieces else frames
    whole = [*([_waiting(rng, -HALF, first)] if first > 0 else []), *pieces]
    if last < frames:
        whole.append(_waiting(rng, last, frames + HALF))
    out = whole[0].clip
    begin = whole[0].start - HALF
    marks = np.zeros(frames, dtype=bool)
    sources = np.full(frames, "idle", dtype="U24")
    styles = np.full(frames, "idle", dtype="U16")
    for number, piece in enumerate(whole):
        if number:
            out = out.joined(piece.clip, 2 * HALF + 1)
        span = slice(max(piece.start, 0), max(min(piece.stop, frames), 0))
        marks[span] = piece.clip.source == "idle"
        sources[span], styles[span] = piece.clip.source, piece.clip.style
    out = out.cut(-begin, -begin + frames)
    return Phrase(_centred(out), marks, sources, styles)


def _centred(clip: Clip) -> Clip:
    """The phrase with its slow drift taken away, in place and in heading: a dancer comes back to the audience.

    The slow heading is that of the mean direction, so that a spin stays a spin and is not turned back.
    """
    faced = np.exp(1j * clip.heading())
    mean = gaussian_filter1d(faced.real, 2.0 * FPS, mode="nearest") + 1j * gaussian_filter1d(
        faced.imag, 2.0 * FPS, mode="nearest"
    )
    slow = gaussian_filter1d(np.unwrap(np.angle(mean)), 0.7 * FPS, mode="nearest")
    turned = _turned(clip, -slow)
    root = turned.root.astype(np.float64)
    drift = gaussian_filter1d(root[:, [0, 2]], 2.0 * FPS, axis=0, mode="nearest")
    root[:, [0, 2]] -= 0.95 * drift
    return replace(turned, root=root.astype(np.float32))


def _turned(clip: Clip, angles: np.ndarray) -> Clip:
    """The clip turned by an angle (T,) of its own at each frame, walking on the turned ground."""
    sin, cos, zero, one = np.sin(angles), np.cos(angles), np.zeros_like(angles), np.ones_like(angles)
    about = np.stack([cos, zero, sin, zero, one, zero, -sin, zero, cos], axis=-1).reshape(-1, 3, 3).astype(np.float32)
    step = np.diff(clip.root, axis=0, prepend=clip.root[:1])
    root = clip.root[:1] * np.array([1, 0, 1]) + np.cumsum(np.einsum("tij,tj->ti", about, step), axis=0)
    root[:, 1] = clip.root[:, 1]
    return replace(clip, root=root.astype(np.float32), rotations=about[:, None] @ clip.rotations)
