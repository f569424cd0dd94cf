"""The corpus in one small file, for training on another machine. `unzip` makes a corpus folder of it again."""

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from xdancer.data import bodies, config, corpus, meshes, rotation
from xdancer.data.skeleton import Body, Clip

LIMIT = 26 * 2**20  # bytes of the whole file
MESHES = 9 * 2**20  # of which for skins at most
WHEN = (2000, 1, 1, 0, 0, 0)  # the same corpus makes the same file


def pack(folder: Path, out: Path, limit: int = LIMIT) -> dict[str, Any]:
    """Write manifest, train bodies and clips (joint rotations as float16) and thinned meshes with small textures.

    Held-out clips and people stay out. Sources go in by falling weight until `limit` bytes are full; what did not fit
    is named in the result. Raises UserError where there is no corpus, or no raw data to take meshes from.
    """
    manifest = corpus.read_manifest(folder)
    root = config.data_root()
    people = [b for b in (Body.load(p) for p in sorted((folder / "bodies").glob("*.npz"))) if b.split == "train"]
    weights = corpus.weights(folder)
    paths = sorted((folder / "motion").glob("*.npz"), key=lambda p: (-weights.get(p.stem.split("-")[0], 0), p.stem))
    result: dict[str, Any] = {"clips": 0, "people": len(people), "meshes": 0, "left_out": [], "bytes": 0}
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        kept = {"manifest": manifest | {"people": {"train": [b.person for b in people], "val": []}}}
        _add(archive, "manifest.json", json.dumps(kept["manifest"], indent=1).encode())
        for body in people:
            fields = {key: getattr(body, key) for key in ("person", "split", "offsets", "face", "hands", "toes")}
            _add(archive, f"bodies/{body.person}.npz", _npz(fields))
        for path in tqdm(_outfits(root, manifest, {b.person for b in people}), desc="meshes", unit="mesh", leave=False):
            content = _npz(meshes.read(path).arrays())
            if _size(archive) + len(content) > MESHES:
                break
            _add(archive, f"meshes/{path.stem}.npz", content)
            result["meshes"] += 1
        for path in tqdm(paths, desc="clips", unit="clip", leave=False):
            clip = Clip.load(path)
            if clip.split != "train":
                continue
            content = _npz(_small(clip))
            if _size(archive) + len(content) + 2**16 > limit:
                result["left_out"].append(clip.name)
                continue
            _add(archive, f"motion/{clip.name}.npz", content)
            result["clips"] += 1
    result["bytes"] = out.stat().st_size
    return result


def _outfits(root: Path, manifest: dict[str, Any], people: set[str]) -> list[Path]:
    """Avatar files of these people: everybody's first outfit, then everybody's second, and so on."""
    by_person: dict[str, list[Path]] = {}
    for path in sorted(root.glob(manifest.get("bodies", "avatars/*.npz"))):
        if bodies.person_of(path) in people:
            by_person.setdefault(bodies.person_of(path), []).append(path)
    rounds = max(map(len, by_person.values()), default=0)
    return [paths[k] for k in range(rounds) for paths in by_person.values() if k < len(paths)]


def _small(clip: Clip) -> dict[str, Any]:
    quaternions = rotation.continuous(rotation.to_quaternion(clip.rotations)).astype(np.float16)
    tags = {key: getattr(clip, key) for key in ("name", "source", "split", "style", "fps")}
    return {
        "root": clip.root.astype(np.float32),
        "quaternions": quaternions,
        "fingers": clip.fingers.astype(np.float16),
    } | tags


def _npz(arrays: dict[str, Any]) -> bytes:
    """The arrays as a compressed npz whose bytes depend on nothing else."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for key, value in arrays.items():
            buffer = io.BytesIO()
            np.lib.format.write_array(buffer, np.asarray(value), allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{key}.npy", WHEN), buffer.getvalue(), zipfile.ZIP_DEFLATED)
    return out.getvalue()


def _add(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    archive.writestr(zipfile.ZipInfo(name, WHEN), content)


def _size(archive: zipfile.ZipFile) -> int:
    return sum(entry.compress_size + 256 for entry in archive.infolist())
