"""The dances of the corpus: every song danced a few times, seen by several cameras."""

import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from xdancer.data.cameras import Camera
from xdancer.data.confidence import observed
from xdancer.data.config import CorpusConfig
from xdancer.data.pairing import beats
from xdancer.data.pairing.chain import Phrase, phrase
from xdancer.data.parallel import in_parallel
from xdancer.data.skeleton import Body, Clip
from xdancer.errors import UserError
from xdancer.music.frame import FPS

SPLITS = ("train", "val")
Library = tuple[list[beats.Steps], np.ndarray]  # steps, and how often each is to be tried
ODD = 0.03  # of the views: a dancer who has learned from too many close-ups slips into one


class DancesConfig(BaseModel):
    """`dances:` of a corpus configuration. `each` dances a song, seen by `views` cameras, each on a body of its own."""

    model_config = ConfigDict(extra="forbid")
    each: int = Field(default=3, ge=1)
    views: int = Field(default=2, ge=1)


def settings(config: CorpusConfig) -> DancesConfig:
    """The checked `dances:` part. Raises UserError naming the wrong key."""
    try:
        return DancesConfig.model_validate(config.dances)
    except ValidationError as error:
        first = error.errors()[0]
        raise UserError(f"dances.{'.'.join(map(str, first['loc']))}: {first['msg']}") from error


def build_dances(config: CorpusConfig, out: Path, excluded: set[str]) -> None:
    """Write dances/<song>-<k>.npz; those that are there already are kept.

    A held-out song is danced by held-out clips on held-out bodies only, every other song by none of these.
    """
    wanted = settings(config)
    folder = out / "dances"
    folder.mkdir(parents=True, exist_ok=True)
    people = [Body.load(path) for path in sorted((out / "bodies").glob("*.npz"))]
    libraries = {split: library(config, out, split, people[0]) for split in SPLITS}
    songs = sorted((out / "songs").glob("*.npz"))
    if not songs:
        raise UserError(f"{out}: no songs; build the songs stage first")
    in_parallel(
        ((_dances, path, folder, config.seed, wanted, libraries, people) for path in songs),
        total=len(songs), desc="dances", unit="song",
    )  # fmt: skip


def _dances(
    path: Path, folder: Path, seed: int, wanted: DancesConfig, libraries: dict[str, Library], people: list[Body]
) -> None:
    """The dances to one song that are not there yet."""
    with np.load(path) as data:
        song = {key: data[key] for key in ("name", "split", "beats_s", "energy", "exact_tempo")}
    split = str(song["split"])
    bodies = [body for body in people if body.split == split]
    for k in range(wanted.each):
        target = folder / f"{path.stem}-{k}.npz"
        if not target.exists():
            rng = np.random.default_rng([seed, zlib.crc32(path.stem.encode()), k])
            _write(target, dance(rng, *libraries[split], song), song, bodies, wanted.views, rng)


def library(config: CorpusConfig, out: Path, split: str, body: Body) -> Library:
    """The clips of a split with their beats, and how often each is to be tried: length times its source's weight."""
    weights = {source.source: source.weight for source in config.motion}
    found, chances = [], []
    for path in sorted((out / "motion").glob("*.npz")):
        clip = Clip.load(path)
        if clip.split != split or not weights.get(clip.source, 0.0):
            continue
        for variant in (clip, replace(clip.mirrored(), name=clip.name)):
            steps = beats.steps(variant, body)
            if steps is not None:
                found.append(steps)
                chances.append(len(clip) * weights[clip.source])
    if not found:
        raise UserError(f"{out}: no {split} clip is long enough to dance; build the motion stage with more sources")
    return found, np.array(chances, dtype=np.float64)


def dance(rng: np.random.Generator, steps: list[beats.Steps], weights: np.ndarray, song: dict[str, Any]) -> Phrase:
    """One dance to a whole song."""
    return phrase(rng, steps, weights, song["beats_s"], song["energy"], len(song["exact_tempo"]))


def by_frame(beats_s: np.ndarray, energy: np.ndarray, frames: int) -> np.ndarray:
    """A song's energy by beat (B,) as one value a frame (T,)."""
    if not len(beats_s):
        return np.zeros(frames, np.float32)
    return np.interp((np.arange(frames) + 0.5) / FPS, beats_s, energy).astype(np.float32)


def _write(
    path: Path, made: Phrase, song: dict[str, Any], bodies: list[Body], views: int, rng: np.random.Generator
) -> None:
    seen = []
    for _ in range(views):
        body = bodies[rng.integers(len(bodies))].varied(rng)
        joints = body.joints(made.clip)
        seen.append(observed(rng, joints, Camera.sample(rng, joints, body.stature, ODD)))
    moving = np.linalg.norm(np.diff(made.clip.root, axis=0, prepend=made.clip.root[:1]), axis=-1)
    partial = path.with_suffix(".partial.npz")
    np.savez_compressed(
        partial,
        song=song["name"],
        split=song["split"],
        views=np.array(seen, dtype=np.float16),
        idle=made.idle,
        source=made.source,
        style=made.style,
        energy=by_frame(song["beats_s"], song["energy"], len(made.idle)),
        root_speed=(moving * FPS).astype(np.float16),
    )
    partial.rename(path)
