"""Motions to be scored, ours and others': npz, folders of OpenPose JSON frames, SMPL pickles of EDGE and Bailando."""

import json
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from xdancer.data import DAMAGED
from xdancer.errors import UserError
from xdancer.evaluation import smpl
from xdancer.evaluation.unpickle import read_arrays
from xdancer.evaluation.warp import at_times
from xdancer.pose.layout import CANVAS_HEIGHT, CANVAS_WIDTH, FPS, LEFT_HAND, N_JOINTS, RIGHT_HAND, check_pose

BAILANDO_FPS = 60.0
BODY_25 = [0, 1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18]  # in the order of our 18; 8 is the mid-hip
WANTED = "npz with pose (T, 60, 3), a folder of OpenPose JSON frames, or a pickle of SMPL joints"


@dataclass(frozen=True)
class Motion:
    """pose (T, 60, 3) at 30 frames/s; beats (B,) s of its music where the file has them."""

    name: str
    pose: np.ndarray
    beats: np.ndarray | None = None


def read_motion(path: Path, fps: float | None = None, canvas: tuple[int, int] | None = None) -> Motion:
    """One motion, resampled to 30 frames/s. Raises UserError where it cannot be read.

    fps: the file's, where it does not say: 60 for what Bailando writes, 30 for all else. canvas: width and height of
    the pictures in which OpenPose found its joints, else ours.
    """
    beats = None
    try:
        if path.is_dir():
            pose, own = _read_openpose(path, canvas or (CANVAS_WIDTH, CANVAS_HEIGHT)), float(FPS)
        elif path.suffix == ".npz":
            pose, own, beats = _read_npz(path)
        elif path.suffix in (".pkl", ".pickle", ".npy"):
            pose, own = _read_smpl(path)
        else:
            raise ValueError(f"unknown kind {path.suffix or 'of file'}")
        pose = check_pose(pose, "pose")
    except (*DAMAGED, TypeError) as error:
        why = f"no {error}" if isinstance(error, KeyError) else error
        raise UserError(f"{path}: not a motion to score ({why}); {WANTED} wanted") from error
    return Motion(name_of(path), resampled(pose, fps or own), beats)


def name_of(path: Path) -> str:
    """The name of a motion: of x.npz, x.pkl.npy and the folder x it is x."""
    return path.name.split(".")[0] if not path.is_dir() else path.name


def named(paths: Sequence[Path], taken: Sequence[str] = ()) -> dict[str, Path]:
    """The paths by their last names; by the whole path where two end alike, or the name is `taken`."""
    last = [path.name for path in paths]
    return {str(p.resolve()) if last.count(p.name) > 1 or p.name in taken else p.name: p for p in paths}


def find_motions(path: Path, names: list[str]) -> dict[str, Path]:
    """Which motion of the file or folder `path` is danced to which of the songs `names`: by its own name, which is the
    song's or ends in _<song>. Raises UserError where none is."""
    parts = [path] if not path.is_dir() or list(path.glob("*.json")) else sorted(path.iterdir())
    found = {}
    for name in names:
        for part in parts:
            if name_of(part) == name or name_of(part).endswith(f"_{name}"):
                found[name] = part
    if not found:
        raise UserError(
            f"{path}: no motion there is named after a held-out song ({', '.join(names[:3])}, ..); name it so, or give "
            "one motion and --beats, and no corpus"
        )
    return found


def read_beats(path: Path) -> np.ndarray:
    """Beats (B,) s from what `xdancer beats AUDIO --json` prints. Raises UserError where it is something else."""
    try:
        return np.asarray(json.loads(path.read_text())["beats"], np.float64).reshape(-1)
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise UserError(f"{path}: no beats there ({error}); write it by `xdancer beats AUDIO --json`") from error


def resampled(pose: np.ndarray, fps: float) -> np.ndarray:
    """Poses (T, 60, 3) at 30 frames/s from `fps`; frame n shows (n + 0.5) / fps s.

    Raises UserError where fps is not a rate.
    """
    if not 1 <= fps <= 1000:
        raise UserError(f"--fps {fps:g}: 1 to 1000 frames a second wanted")
    if fps == FPS or not len(pose):
        return pose
    count = max(int(len(pose) * FPS / fps), 1)
    return at_times(pose, (np.arange(count) + 0.5) * fps / FPS - 0.5)


def _read_npz(path: Path) -> tuple[np.ndarray, float, np.ndarray | None]:
    if path.exists() and not zipfile.is_zipfile(path):
        raise ValueError("not a zip archive")
    with np.load(path) as data:
        fps = float(data["fps"]) if "fps" in data else float(FPS)
        beats = np.asarray(data["beats_s"], np.float64) if "beats_s" in data else None
        return data["pose"], fps, beats


def _read_smpl(path: Path) -> tuple[np.ndarray, float]:
    """Poses and rate of EDGE's (`full_pose`, or `smpl_poses` and `smpl_trans`) or Bailando's (`pred_position`)."""
    held = read_arrays(path)
    if isinstance(held, np.ndarray):
        held = {"pred_position": held}
    if not isinstance(held, dict):
        raise ValueError(f"it holds a {type(held).__name__}, not named arrays")
    if "pred_position" in held:
        return smpl.projected(_joints(held["pred_position"])), BAILANDO_FPS
    if "full_pose" in held:
        return smpl.projected(_joints(held["full_pose"])), float(FPS)
    turns, root = _joints(held["smpl_poses"]), np.asarray(held["smpl_trans"], np.float64).reshape(-1, 3)
    if len(turns) != len(root):
        raise ValueError(f"{len(turns)} poses but {len(root)} places of the root")
    return smpl.projected(smpl.joints(turns, root)), float(FPS)


def _joints(values: Any) -> np.ndarray:
    """(T, 24, 3) from (T, 24, 3) or (T, 72)."""
    array = np.asarray(values, np.float64)
    if array.ndim < 2 or array[0].size != 3 * smpl.N_SMPL:
        raise ValueError(f"an array of shape {array.shape}, (T, 24, 3) wanted")
    if not np.isfinite(array).all():
        raise ValueError("NaN or infinity among the joints")
    return array.reshape(len(array), smpl.N_SMPL, 3)


def _read_openpose(folder: Path, canvas: tuple[int, int]) -> np.ndarray:
    """Of each frame the person with most confidence; frames in the order of their names."""
    files = sorted(folder.glob("*.json"))
    if not files:
        raise ValueError("no .json in the folder")
    scale = min(CANVAS_WIDTH / canvas[0], CANVAS_HEIGHT / canvas[1])
    shift = (np.array([CANVAS_WIDTH, CANVAS_HEIGHT]) - scale * np.array(canvas)) / 2
    out = np.zeros((len(files), N_JOINTS, 3), np.float32)
    for pose, file in zip(out, files, strict=True):
        people = [_person(person) for person in json.loads(file.read_text())["people"]]
        if people:
            pose[:] = max(people, key=lambda found: float(found[:, 2].sum()))
    seen = out[..., 2:] > 0
    out[..., :2] = np.where(seen, out[..., :2] * scale + shift, 0.0)
    out[..., 2] = np.clip(out[..., 2], 0, 1)
    return out


def _person(person: dict[str, Any]) -> np.ndarray:
    """(60, 3) of one of `people`: BODY_25 or COCO-18 body, both hands where they are."""
    out = np.zeros((N_JOINTS, 3), np.float32)
    body = np.array(person["pose_keypoints_2d"], np.float32).reshape(-1, 3)
    if len(body) not in (18, 25):
        raise ValueError(f"{len(body)} body joints; BODY_25 or COCO's 18 wanted")
    out[:18] = body[BODY_25] if len(body) == 25 else body
    for key, span in (("hand_left_keypoints_2d", LEFT_HAND), ("hand_right_keypoints_2d", RIGHT_HAND)):
        hand = np.array(person.get(key) or [], np.float32).reshape(-1, 3)
        if len(hand) == span.stop - span.start:
            out[span] = hand
    return out
