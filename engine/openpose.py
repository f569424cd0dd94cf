"""A pose as OpenPose writes it: what pose-conditioned image models and other tools read.

Format: OpenPose, doc/02_output.md, version 1.3; the body in its COCO-18 order, which is ours.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np

from xdancer.errors import UserError
from xdancer.pose.layout import LEFT_HAND, RIGHT_HAND


def people(pose: np.ndarray | None) -> dict[str, Any]:
    """`pose` float32 (60, 3) in canvas pixels -> the document; nobody is in it where no joint is seen."""
    found = [] if pose is None or not (pose[:, 2] > 0).any() else [_person(pose)]
    return {"version": 1.3, "people": found}


def _person(pose: np.ndarray) -> dict[str, Any]:
    joints = np.nan_to_num(np.asarray(pose, dtype=np.float64)).round(3)
    return {
        "person_id": [-1],
        "pose_keypoints_2d": joints[:18].ravel().tolist(),
        "face_keypoints_2d": [],
        "hand_left_keypoints_2d": joints[LEFT_HAND].ravel().tolist(),
        "hand_right_keypoints_2d": joints[RIGHT_HAND].ravel().tolist(),
        "pose_keypoints_3d": [],
        "face_keypoints_3d": [],
        "hand_left_keypoints_3d": [],
        "hand_right_keypoints_3d": [],
    }


def write(folder: Path, name: str, poses: np.ndarray) -> None:
    """Write poses (T, 60, 3) to `folder`, a file a frame, as OpenPose names them: NAME_000000000042_keypoints.json.

    Raises UserError where it cannot.
    """
    try:
        folder.mkdir(exist_ok=True)
        for index, pose in enumerate(poses):
            path = folder / f"{name}_{index:012d}_keypoints.json"
            path.write_text(json.dumps(people(pose), separators=(",", ":")))
    except OSError as error:
        raise UserError(f"{folder}: cannot be written ({error.strerror})") from None
