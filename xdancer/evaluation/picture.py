"""Pictures of poses, for people who judge a model by looking at it."""

from pathlib import Path

import numpy as np

from xdancer.pose.layout import BODY_BONES, CANVAS_HEIGHT, CANVAS_WIDTH, HAND_BONES

TRUE, MADE = (70, 200, 90), (60, 90, 250)  # BGR: green below, red on top


def side_by_side(pairs: list[tuple[np.ndarray, np.ndarray]], path: Path) -> None:
    """Write a PNG: for each pair (true pose, made pose), (60, 3) each, the true one in green under the made in red."""
    import cv2

    panels = []
    for true, made in pairs:
        panel = np.full((CANVAS_HEIGHT, CANVAS_WIDTH, 3), 18, dtype=np.uint8)
        for pose, colour in ((true, TRUE), (made, MADE)):
            _draw(panel, pose, colour)
        panels.append(panel)
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.concatenate(panels, axis=1))


def _draw(panel: np.ndarray, pose: np.ndarray, colour: tuple[int, int, int]) -> None:
    import cv2

    for bones, width in ((BODY_BONES, 2), (HAND_BONES, 1)):
        for a, b in bones:
            sure = min(pose[a, 2], pose[b, 2])
            if sure > 0:
                ends = [tuple(int(v * 8) for v in pose[j, :2]) for j in (a, b)]
                shade = tuple(int(c * (0.25 + 0.75 * sure)) for c in colour)
                cv2.line(panel, ends[0], ends[1], shade, width, cv2.LINE_AA, shift=3)
