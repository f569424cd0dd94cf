"""The corpus on disk: stages in order, each skipped while what it was made from stays the same."""

import hashlib
import importlib
import json
from collections import Counter
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from xdancer.data import bodies, motion, sheet
from xdancer.data.config import CorpusConfig, MotionSource, data_root
from xdancer.data.skeleton import Body
from xdancer.errors import UserError

VERSION = 1
SONG_SOURCES = ("midi_freedoom", "midi_helland", "sequenced")
STAGES = ("bodies", "motion", "songs", "dances", "sheet", "preview")


def build(
    config: CorpusConfig, out: Path, exclude: Iterable[str] = (), stages: Iterable[str] | None = None
) -> dict[str, Any]:
    """Build or resume the corpus in `out` and return its manifest. Raises UserError for missing or damaged raw data."""
    root, excluded = data_root(), set(exclude)
    known = [s.source for s in config.motion] + list(SONG_SOURCES)
    unknown = excluded - set(known)
    if unknown:
        raise UserError(f"--exclude {sorted(unknown)[0]}: no such source; there are {', '.join(known)}")
    chosen = config.model_copy(update={"motion": [s for s in config.motion if s.source not in excluded]})
    out.mkdir(parents=True, exist_ok=True)
    wanted = tuple(stages or STAGES)
    wrong = set(wanted) - set(STAGES)
    if wrong:
        raise UserError(f"no stage {sorted(wrong)[0]!r}; there are {', '.join(STAGES)}")
    if "bodies" in wanted:
        build_bodies(chosen, root, out / "bodies")
    if "motion" in wanted:
        build_motion(chosen, root, out)
    write_manifest(chosen, out)
    if "songs" in wanted:
        made_from = digest(config.songs, config.seed, config.val_share, sorted(excluded & set(SONG_SOURCES)), VERSION)
        renewed(out / "songs", made_from)
        importlib.import_module("xdancer.data.songs").build_songs(chosen, out, excluded)
    if "dances" in wanted:
        stamps = _stamps(out, "bodies", "motion", "songs")
        names = [p.name for p in sorted((out / "songs").glob("*.npz"))]
        weights = {s.source: s.weight for s in chosen.motion}
        renewed(out / "dances", digest(config.dances, config.seed, stamps, names, weights, VERSION))
        importlib.import_module("xdancer.data.pairing").build_dances(chosen, out, excluded)
    manifest = write_manifest(chosen, out)
    made_from = digest(_stamps(out, "bodies", "motion", "songs", "dances"), manifest["dances"], VERSION)
    for stage, file, make in (
        ("sheet", out / "contact_sheet.png", sheet.contact_sheet),
        ("preview", out / "preview.mp4", sheet.preview),
    ):
        if stage in wanted:
            once(out / f".{stage}.stamp", made_from, partial(make, out, file, config.seed))
    return manifest


def digest(*parts: Any) -> str:
    """A checksum of what a stage is made from: files by path, size and time, everything else by its text."""
    state = hashlib.sha256()
    for part in parts:
        if isinstance(part, Path):
            status = part.stat()
            part = f"{part.name} {status.st_size} {status.st_mtime_ns}"
        state.update(f"{part}\n".encode())
    return state.hexdigest()


def _stamps(out: Path, *stages: str) -> list[str]:
    """What the stages so far were made from."""
    return sorted(path.read_text() for stage in stages for path in (out / stage).glob(".*.stamp"))


def once(stamp: Path, made_from: str, make: Callable[[], None]) -> bool:
    """Call `make` unless `stamp` says it was done from the same; true where it was called."""
    if stamp.exists() and stamp.read_text() == made_from:
        return False
    make()
    stamp.parent.mkdir(parents=True, exist_ok=True)
    stamp.write_text(made_from)
    return True


def renewed(folder: Path, made_from: str) -> None:
    """Empty `folder` where what is in it was made from something else; a stage that was cut short goes on in it."""
    stamp = folder / f".{folder.name}.stamp"
    if not stamp.exists() or stamp.read_text() != made_from:
        for path in folder.glob("*.*"):
            path.unlink()
    folder.mkdir(parents=True, exist_ok=True)
    stamp.write_text(made_from)


def build_bodies(config: CorpusConfig, root: Path, folder: Path) -> None:
    """One npz for each person, from the first outfit."""
    files = sorted(root.glob(config.bodies))
    if not files:
        raise UserError(f"no avatars at {root / config.bodies}; set XDANCER_DATA to the folder of raw data")
    people: dict[str, Path] = {}
    for path in files:
        people.setdefault(bodies.person_of(path), path)
    split = motion.splits([f"person/{p}" for p in people], config.val_share)
    folder.mkdir(parents=True, exist_ok=True)
    for person, path in tqdm(people.items(), desc="bodies", unit="person", leave=False):

        def make(person: str = person, path: Path = path) -> None:
            bodies.read(path, split[f"person/{person}"]).save(folder / f"{person}.npz")

        once(folder / f".{person}.stamp", digest(path, split[f"person/{person}"], VERSION), make)


def build_motion(config: CorpusConfig, root: Path, out: Path) -> None:
    """The clips of every source. A source is made anew when its files or its entry in the configuration changed."""
    folder = out / "motion"
    folder.mkdir(parents=True, exist_ok=True)
    reference = Body.load(min((out / "bodies").glob("*.npz")))
    with tqdm(config.motion, desc="motion", unit="source", leave=False) as bar:
        for source in bar:
            bar.set_postfix_str(source.source)
            files = motion.files_of(source, root)
            what = source.model_dump_json(exclude={"weight"})
            made_from = digest(*files, what, config.seed, config.val_share, VERSION)

            def make(source: MotionSource = source) -> None:
                clips = {c.name: c for c in motion.clips(source, root, config.seed, config.val_share, reference)}
                for name, clip in clips.items():
                    clip.save(folder / f"{name}.npz")
                for old in folder.glob(f"{source.source}-*.npz"):
                    if old.stem not in clips:
                        old.unlink()

            once(folder / f".{source.source}.stamp", made_from, make)
    kept = {s.source for s in config.motion}
    for path in folder.glob("*.npz"):
        if path.stem.split("-")[0] not in kept:
            path.unlink()
            (folder / f".{path.stem.split('-')[0]}.stamp").unlink(missing_ok=True)


def write_manifest(config: CorpusConfig, out: Path) -> dict[str, Any]:
    """Count what there is and write manifest.json.

    sources: clips, minutes, weight, and share of what the sampler draws. people: by split. songs: by source. dances: by
    split. danced: share of each source in all that is danced (what a model card has to state).
    """
    sources: dict[str, dict[str, Any]] = {}
    for source in config.motion:
        entry: dict[str, Any] = {"weight": source.weight, "clips": 0, "val_clips": 0, "minutes": 0.0}
        for path in sorted((out / "motion").glob(f"{source.source}-*.npz")):
            with np.load(path) as data:
                entry["clips"] += 1
                entry["val_clips"] += str(data["split"]) == "val"
                entry["minutes"] += len(data["root"]) / 1800
        sources[source.source] = entry
    total = sum(s["minutes"] * s["weight"] for s in sources.values()) or 1.0
    for entry in sources.values():
        entry["share"] = round(entry["minutes"] * entry["weight"] / total, 4)
        entry["minutes"] = round(entry["minutes"], 2)
    people: dict[str, list[str]] = {"train": [], "val": []}
    for path in sorted((out / "bodies").glob("*.npz")):
        body = Body.load(path)
        people[body.split].append(body.person)
    songs = Counter(_field(path, "source") for path in (out / "songs").glob("*.npz"))
    danced: Counter[str] = Counter()
    splits: Counter[str] = Counter()
    for path in (out / "dances").glob("*.npz"):
        with np.load(path) as data:
            danced.update(dict(zip(*np.unique(data["source"], return_counts=True), strict=True)))
            splits[str(data["split"])] += 1
    frames = max(sum(danced.values()), 1)
    manifest = {
        "version": VERSION,
        "seed": config.seed,
        "sources": sources,
        "people": people,
        "songs": dict(sorted(songs.items())),
        "dances": dict(sorted(splits.items())),
        "danced_minutes": round(sum(danced.values()) / 1800, 1),
        "danced": {str(name): round(int(count) / frames, 4) for name, count in danced.most_common()},
    }
    (out / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n")
    return manifest


def _field(path: Path, key: str) -> str:
    with np.load(path) as data:
        return str(data[key])


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a corpus. Raises UserError where there is none."""
    try:
        return json.loads((folder / "manifest.json").read_text())
    except (OSError, ValueError) as error:
        raise UserError(
            f"{folder}: no corpus there; make one with `xdancer corpus build CONFIG -o {folder}`"
        ) from error


def weights(folder: Path) -> dict[str, float]:
    """How often each source is to be drawn, against its length."""
    return {name: float(entry["weight"]) for name, entry in read_manifest(folder)["sources"].items()}
