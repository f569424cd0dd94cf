"""Pictures of poses, for people who judge a model by looking at it."""

from pathlib import Path

import numpy as np

from xdancer.pose.layout import BODY_BONES, CANVAS_HEIGHT, CANVAS_WIDTH, FPS, HAND_BONES

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


def strip(path: Path, pose: np.ndarray, beats: np.ndarray, columns: int = 16) -> None:
    """A strip of frames over two bars from a third of the dance, two a beat, the ones on the beat marked: PNG."""
    import cv2

    from xdancer.renderer import SkeletonRenderer

    renderer = SkeletonRenderer(176, 308)
    start = int(np.searchsorted(beats, len(pose) / FPS / 3))
    chosen = beats[start : start + columns // 2 + 1]
    times = np.sort(np.concatenate([chosen, (chosen[1:] + chosen[:-1]) / 2]))[:columns]
    pictures = []
    for k, moment in enumerate(times):
        picture = renderer.draw(pose[min(int(moment * FPS), len(pose) - 1)], 0.0 if k % 2 == 0 else 0.5).copy()
        if k % 2 == 0:
            picture[:4] = (255, 200, 60)
        pictures.append(picture)
    half = (len(pictures) + 1) // 2
    blank = np.zeros_like(pictures[0])
    lines = [np.hstack(pictures[:half]), np.hstack([*pictures[half:], *[blank] * (2 * half - len(pictures))])]
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.vstack(lines)[..., ::-1])
