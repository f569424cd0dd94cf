"""Are a drawn person's limbs where they were meant to be? Asked of a detector that is not ours."""

from typing import Any

import cv2
import numpy as np

from xdancer.errors import UserError
from xdancer.pose.detector import PoseDetector
from xdancer.pose.layout import CANVAS_HEIGHT, CANVAS_WIDTH, INDEX, SEEN

LIMBS = [INDEX[f"{side}_{joint}"] for side in ("right", "left") for joint in ("elbow", "wrist", "knee", "ankle")]
EVERY = 4  # frames: neighbours say the same


def limb_error(detector: PoseDetector, pictures: np.ndarray, meant: np.ndarray) -> dict[str, Any]:
    """Of pictures uint8 (T, H, W, 3), enlarged to the canvas, and the poses they were drawn from (T, 60, 3), canvas px:
    `distances`, px, of the elbows, wrists, knees and ankles found from where they were meant to be, and how many were
    `wanted`, that is meant to be seen. Every fourth frame is looked at."""
    distances: list[float] = []
    wanted = 0
    for picture, pose in zip(pictures[::EVERY], meant[::EVERY], strict=True):
        large = cv2.resize(picture, (CANVAS_WIDTH, CANVAS_HEIGHT), interpolation=cv2.INTER_CUBIC)
        seen = [joint for joint in LIMBS if pose[joint, 2] >= SEEN]
        wanted += len(seen)
        try:
            found = detector.detect(large)
        except UserError:  # nobody is to be seen
            continue
        both = [joint for joint in seen if found[joint, 2] >= SEEN]
        distances += np.linalg.norm(found[both, :2] - pose[both, :2], axis=-1).tolist()
    return {"distances": distances, "wanted": wanted}


def summed(scenes: list[dict[str, Any]]) -> dict[str, float]:
    """Over all scenes: `limbs`, the median distance, and `far`, its 90th percentile, px (left out where nothing was
    found); `found`, the share of those wanted that were found at all."""
    distances = np.concatenate([np.array(scene["distances"], np.float64) for scene in scenes])
    wanted = sum(scene["wanted"] for scene in scenes)
    if not len(distances):
        return {"found": 0.0}
    near, far = np.percentile(distances, (50, 90))
    return {"limbs": float(near), "far": float(far), "found": len(distances) / max(wanted, 1)}
