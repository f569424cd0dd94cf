"""A motion graph as a baseline: what can be had by playing training clips back, in time with the music.

After Kovar et al. ("Motion graphs", SIGGRAPH 2002) with the music's say as in Kim et al. ("Rhythmic-motion synthesis
based on motion-beat analysis", SIGGRAPH 2003), in 2-D: dances are cut at their own beats, and to a song the next four
steps are always those that fit its tempo and energy and begin near the pose in which the last ones ended. They are
warped onto the song's beats and cross-faded. Nothing is learnt and nothing is drawn; the song is known as a whole.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np

from xdancer.evaluation.alignment import BODY, motion_beats, speed, torso
from xdancer.evaluation.dances import Dance
from xdancer.evaluation.warp import at_times, mixed
from xdancer.pose.layout import FPS, INDEX

STEPS = 4  # beats of a piece
STRETCH = 1.4  # a step is played at most so much faster or slower
HALF = 5  # frames a join reaches to either side of its beat
HIPS = [INDEX["right_hip"], INDEX["left_hip"]]
RECENT = 8  # pieces: a clip danced so lately is avoided
W_POSE, W_VELOCITY, W_ENERGY, W_STRETCH, W_REPEAT = 4.0, 0.3, 3.0, 2.0, 1.0


@dataclass(frozen=True)
class Place:
    """Where a dance stands on the canvas, and how large: `centre` (2,) of the hips and `trunk`, px."""

    centre: np.ndarray
    trunk: float

    @classmethod
    def of(cls, pose: np.ndarray) -> "Place":
        """Of poses (T, 60, 3): the median over frames that show the hips; else the middle of the canvas."""
        shown = (pose[:, HIPS, 2] > 0).all(axis=1)
        centre = np.median(pose[shown][:, HIPS, :2].mean(axis=1), axis=0) if shown.any() else np.array([256.0, 448.0])
        return cls(centre, torso(pose))


@dataclass
class Pieces:
    """All pieces of the library, an array row each. clip (N,): number of the clip; beats (N, 5) frames; ends (N, 2, 26)
    body joints in trunks from the clip's place, at the first and last beat, and velocity (N, 2, 26) a second; energy
    (N,) trunks a second."""

    paths: list[Path] = field(default_factory=list)
    places: list[Place] = field(default_factory=list)
    clip: np.ndarray = field(default_factory=lambda: np.zeros(0, int))
    beats: np.ndarray = field(default_factory=lambda: np.zeros((0, STEPS + 1)))
    ends: np.ndarray = field(default_factory=lambda: np.zeros((0, 2, 2 * len(BODY))))
    velocity: np.ndarray = field(default_factory=lambda: np.zeros((0, 2, 2 * len(BODY))))
    energy: np.ndarray = field(default_factory=lambda: np.zeros(0))

    def __len__(self) -> int:
        return len(self.clip)


def library(dances: Iterable[Dance]) -> Pieces:
    """Cut the first view of each dance at its own beats. Pieces that begin or end with an unseen joint are left out."""
    out = Pieces()
    rows: dict[str, list[np.ndarray]] = {"clip": [], "beats": [], "ends": [], "velocity": [], "energy": []}
    for dance in dances:
        pose = dance.view()
        beats = np.round(motion_beats(pose) * FPS - 0.5).astype(int)
        beats = beats[(beats > 0) & (beats < len(pose) - 1)]
        if len(beats) <= STEPS:
            continue
        place = Place.of(pose)
        at = ((pose[:, BODY, :2] - place.centre) / place.trunk).reshape(len(pose), -1)
        runs = np.lib.stride_tricks.sliding_window_view(beats, STEPS + 1)
        first_last = runs[:, [0, -1]]
        whole = np.asarray((pose[:, BODY, 2] > 0).all(axis=1))
        usable = whole[first_last[..., None] + np.arange(-1, 2)].all(axis=(1, 2))
        runs, first_last = runs[usable], first_last[usable]
        moved = np.concatenate([[0.0], np.cumsum(speed(pose))])
        rows["clip"].append(np.full(len(runs), len(out.paths)))
        rows["beats"].append(runs)
        rows["ends"].append(at[first_last])
        rows["velocity"].append((at[first_last + 1] - at[first_last - 1]) * FPS / 2)
        rows["energy"].append((moved[runs[:, -1]] - moved[runs[:, 0]]) / (runs[:, -1] - runs[:, 0]))
        out.paths.append(dance.path)
        out.places.append(place)
    for name, parts in rows.items():
        if parts:
            setattr(out, name, np.concatenate(parts))
    return out


def choose(pieces: Pieces, frames: np.ndarray, energy: float, last: int | None, recent: list[int]) -> int:
    """The piece for song beats at `frames` (5,) of that `energy` (0..1), after the piece `last`."""
    steps = np.diff(pieces.beats, axis=1) / np.diff(frames)  # how much faster than filmed
    stretch = np.abs(np.log(steps))
    whole = np.abs(np.log((pieces.beats[:, -1] - pieces.beats[:, 0]) / (frames[-1] - frames[0])))
    rank = np.searchsorted(np.sort(pieces.energy), pieces.energy) / max(len(pieces) - 1, 1)
    cost = W_STRETCH * stretch.mean(axis=1) + W_ENERGY * np.abs(rank - energy)
    if last is not None:
        cost += W_POSE * _apart(pieces.ends[:, 0], pieces.ends[last, 1])
        cost += W_VELOCITY * _apart(pieces.velocity[:, 0], pieces.velocity[last, 1])
    counts = np.bincount(recent, minlength=len(pieces.paths))
    cost += W_REPEAT * counts[pieces.clip]
    cost += np.where(whole > np.log(STRETCH), 100.0 * whole, 0.0)  # only where no other is there
    return int(np.argmin(cost))


def _apart(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Mean distance of the joints of rows a (N, 26) from b (26,)."""
    return np.asarray(np.linalg.norm((a - b).reshape(len(a), -1, 2), axis=-1).mean(axis=1))


def danceable(beats: np.ndarray, frames: int) -> bool:
    """Whether a dance of so many frames has beats (B,) s enough for a piece."""
    return len(beats) > STEPS and bool(beats[0] * FPS < frames)


def graph_dance(pieces: Pieces, beats: np.ndarray, energy: np.ndarray, place: Place, frames: int) -> np.ndarray:
    """A dance (frames, 60, 3) to beats (B,) s with energy (B,) 0..1, at a place; held before and after the beats.

    Raises ValueError where there is no piece, or no four beats to dance to.
    """
    if not len(pieces) or not danceable(beats, frames):
        raise ValueError(f"{len(pieces)} pieces and {len(beats)} beats are too few for a dance of {frames} frames")
    at = beats * FPS - 0.5  # frame n shows the middle of its thirtieth of a second
    out = np.zeros((frames, 60, 3), np.float32)
    written, last = 0, None
    recent: list[int] = []
    for first in range(0, len(at) - STEPS, STEPS):
        marks = at[first : first + STEPS + 1]
        if marks[0] >= frames:
            break
        found = choose(pieces, marks, float(energy[first : first + STEPS].mean()), last, recent[-RECENT:])
        start, stop = max(round(float(marks[0])) - HALF, 0), min(round(float(marks[-1])) + HALF + 1, frames)
        made = _moved(_warped(pieces, found, marks, np.arange(start, stop)), pieces.places[pieces.clip[found]], place)
        if written:
            out[written:start] = out[written - 1]
            overlap = max(written - start, 0)
            made[:overlap] = _faded(out[start:written], made[:overlap])
        else:
            out[:start] = made[0]
        out[start:stop] = made
        written, last = stop, found
        recent.append(int(pieces.clip[found]))
    out[written:] = out[written - 1]
    return out


@lru_cache(maxsize=4)
def _poses(path: Path) -> np.ndarray:
    with np.load(path) as data:
        return np.asarray(data["views"][0], np.float32)


def _warped(pieces: Pieces, number: int, marks: np.ndarray, frames: np.ndarray) -> np.ndarray:
    """Poses of a piece at the song's `frames` (N,), its beats on the `marks` (5,); beyond them at its own pace."""
    pose, beats = _poses(pieces.paths[pieces.clip[number]]), pieces.beats[number]
    times = np.interp(frames, marks, beats)
    times = np.where(frames < marks[0], beats[0] - (marks[0] - frames), times)
    times = np.where(frames > marks[-1], beats[-1] + (frames - marks[-1]), times)
    return at_times(pose, times)


def _moved(pose: np.ndarray, here: Place, there: Place) -> np.ndarray:
    """Poses (T, 60, 3) taken from one place to another; what is not seen stays at 0."""
    at = (pose[..., :2] - here.centre) * (there.trunk / here.trunk) + there.centre
    return np.concatenate([np.where(pose[..., 2:] > 0, at, 0.0), pose[..., 2:]], axis=-1).astype(np.float32)


def _faded(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Cross-fade of poses (N, 60, 3): smoothstep from `before` to `after`."""
    weight = (np.arange(len(before), dtype=np.float32) + 1) / (len(before) + 1)
    return mixed(before, after, weight * weight * (3 - 2 * weight))
