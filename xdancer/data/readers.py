"""Raw motion files to joint positions: BVH (also gzipped), skeletal GLB, and npz of positions."""

import gzip
import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from xdancer.data import DAMAGED, rotation
from xdancer.errors import UserError

TAKE_FPS = 60.0  # at which the tracks of a GLB are sampled


@dataclass
class Capture:
    """One take as recorded: world positions (T, 3) and, where the file has them, world rotations (T, 3, 3) by joint."""

    name: str
    fps: float
    positions: dict[str, np.ndarray]
    rotations: dict[str, np.ndarray] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(next(iter(self.positions.values())))


def read(path: Path, fps: float | None = None) -> Iterator[Capture]:
    """The takes of one file, by its suffix; `fps` is for npz. Raises UserError where the file cannot be read."""
    readers = {".gz": _read_bvh, ".bvh": _read_bvh, ".glb": _read_glb}
    try:
        if path.suffix == ".npz":
            yield from _read_npz(path, fps or 30.0)
        else:
            yield from readers[path.suffix](path)
    except (*DAMAGED, struct.error) as error:
        why = f"no {error}" if isinstance(error, KeyError) else error
        raise UserError(f"{path}: damaged motion file ({why}); fetch it again or leave it out of the config") from error


def _read_bvh(path: Path) -> Iterator[Capture]:
    raw = path.read_bytes()
    text = (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode("ascii", errors="replace")
    header, _, motion = text.partition("MOTION")
    if not motion:
        raise ValueError("no MOTION section")
    names, parents, offsets, channels = _hierarchy(header)
    rows = [line for line in motion.strip().split("\n") if line.strip()]
    count, step = int(rows[0].split(":")[1]), float(rows[1].split(":")[1])
    values = np.array([row.split() for row in rows[2 : 2 + count]], dtype=np.float64)
    if values.shape != (count, sum(len(c) for c in channels)):
        raise ValueError(f"{values.shape} numbers where {count} frames were promised")
    positions, turned = _forward(names, parents, offsets, channels, values)
    # Many files begin with a left-over T-pose: the first frame of every BVH is dropped.
    yield Capture(
        path.name.split(".")[0],
        1.0 / step,
        {n: p[1:] for n, p in positions.items()},
        {n: r[1:] for n, r in turned.items()},
    )


def _hierarchy(header: str) -> tuple[list[str], list[int], list[np.ndarray], list[list[str]]]:
    names: list[str] = []
    parents: list[int] = []
    offsets: list[np.ndarray] = []
    channels: list[list[str]] = []
    stack: list[int] = []
    for line in header.split("\n"):
        words = line.split()
        if not words:
            continue
        if words[0] in ("ROOT", "JOINT", "End"):
            parents.append(stack[-1] if stack else -1)
            names.append(f"{names[stack[-1]]}_end" if words[0] == "End" else words[1])
            channels.append([])
        elif words[0] == "{":
            stack.append(len(names) - 1)
        elif words[0] == "}":
            stack.pop()
        elif words[0] == "OFFSET":
            offsets.append(np.array([float(w) for w in words[1:4]]))
        elif words[0] == "CHANNELS":
            channels[-1] = words[2:]
    return names, parents, offsets, channels


def _forward(
    names: list[str], parents: list[int], offsets: list[np.ndarray], channels: list[list[str]], values: np.ndarray
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    positions: list[np.ndarray] = []
    turned: list[np.ndarray] = []
    column = 0
    for joint, parent in enumerate(parents):
        move = np.broadcast_to(offsets[joint], (len(values), 3)).copy()
        local = np.broadcast_to(np.eye(3), (len(values), 3, 3))
        for channel in channels[joint]:
            axis = "XYZ".index(channel[0])
            if channel.endswith("position"):
                move[:, axis] += values[:, column]
            else:
                local = local @ rotation.about(np.eye(3)[axis], np.radians(values[:, column]))
            column += 1
        if parent < 0:
            positions.append(move)
            turned.append(local)
        else:
            positions.append(positions[parent] + np.einsum("tij,tj->ti", turned[parent], move))
            turned.append(turned[parent] @ local)
    return dict(zip(names, positions, strict=True)), dict(zip(names, turned, strict=True))


def _read_glb(path: Path) -> Iterator[Capture]:
    raw = path.read_bytes()
    if raw[:4] != b"glTF":
        raise ValueError("not a binary glTF")
    size = struct.unpack("<I", raw[12:16])[0]
    scene, blob = json.loads(raw[20 : 20 + size]), raw[28 + size :]

    def array(index: int) -> np.ndarray:
        accessor = scene["accessors"][index]
        view = scene["bufferViews"][accessor["bufferView"]]
        width = {"SCALAR": 1, "VEC3": 3, "VEC4": 4}[accessor["type"]]
        start = view.get("byteOffset", 0) + accessor.get("byteOffset", 0)
        return np.frombuffer(blob, "<f4", accessor["count"] * width, start).reshape(accessor["count"], width)

    nodes = scene["nodes"]
    parents = {child: i for i, node in enumerate(nodes) for child in node.get("children", [])}
    for animation in scene["animations"]:
        tracks = {
            (c["target"]["node"], c["target"]["path"]): [
                array(animation["samplers"][c["sampler"]][k]) for k in ("input", "output")
            ]
            for c in animation["channels"]
        }
        end = max(float(times[-1, 0]) for times, _ in tracks.values())
        clock = np.arange(0, end, 1 / TAKE_FPS)
        done: dict[int, tuple[np.ndarray, np.ndarray]] = {}

        def world(node: int, tracks: dict = tracks, clock: np.ndarray = clock, done: dict = done) -> tuple:
            if node not in done:
                move = _track(tracks.get((node, "translation")), nodes[node].get("translation", [0, 0, 0]), clock)
                xyzw = _track(tracks.get((node, "rotation")), nodes[node].get("rotation", [0, 0, 0, 1]), clock)
                local = rotation.to_matrix(xyzw[:, [3, 0, 1, 2]])
                if node in parents:
                    above, turned = world(parents[node])
                    move, local = above + np.einsum("tij,tj->ti", turned, move), turned @ local
                done[node] = move, local
            return done[node]

        placed = {node.get("name", str(i)): world(i) for i, node in enumerate(nodes)}
        yield Capture(
            animation["name"].replace(" ", "_"),
            TAKE_FPS,
            {n: p for n, (p, _) in placed.items()},
            {n: r for n, (_, r) in placed.items()},
        )


def _track(track: list[np.ndarray] | None, rest: list[float], clock: np.ndarray) -> np.ndarray:
    if track is None:
        return np.broadcast_to(np.asarray(rest, dtype=np.float64), (len(clock), len(rest)))
    times, values = track[0][:, 0], track[1].astype(np.float64)
    if values.shape[1] == 4:
        values = rotation.continuous(values)
    return np.stack([np.interp(clock, times, values[:, k]) for k in range(values.shape[1])], axis=1)


def _read_npz(path: Path, fps: float) -> Iterator[Capture]:
    with np.load(path, allow_pickle=False) as data:
        joints = [str(name) for name in data["joint_names"]]
        for key in data.files:
            if key in ("joint_names", "parents"):
                continue
            values = data[key].astype(np.float64)
            if values.ndim != 3 or values.shape[1:] != (len(joints), 3):
                raise ValueError(f"{key} has shape {values.shape}, expected (T, {len(joints)}, 3)")
            yield Capture(key, fps, {name: values[1:, i] for i, name in enumerate(joints)})
