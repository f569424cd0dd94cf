"""Milliseconds a frame of the skeleton renderer on one core, beside a plain OpenCV stick figure of the same pose."""

import argparse
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

FRAMES = 200
SIZES = ((512, 896), (1024, 1792))


def run(args: argparse.Namespace) -> dict[str, Any]:
    import cv2

    from xdancer.renderer import SkeletonRenderer

    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        rows = []
        for width, height in SIZES:
            renderer = SkeletonRenderer(width, height)
            ours = _measure(partial(renderer.draw, beat_phase=0.3))
            peer = _measure(partial(_stick_figure, width=width, height=height))
            rows.append({"width": width, "height": height, "ours_ms": ours, "stick_figure_ms": peer,
                         "ratio": ours["p50"] / peer["p50"]})  # fmt: skip
    finally:
        cv2.setNumThreads(threads)
    return {"frames": FRAMES, "sizes": rows}


def report(result: dict[str, Any]) -> str:
    lines = [f"{'size':>12} {'skeleton p50':>13} {'p99':>7} {'stick figure p50':>17}   ms of one core a frame"]
    for row in result["sizes"]:
        size = f"{row['width']}x{row['height']}"
        ours, peer = row["ours_ms"], row["stick_figure_ms"]
        lines.append(f"{size:>12} {ours['p50']:>13.2f} {ours['p99']:>7.2f} {peer['p50']:>17.2f}")
    return "\n".join(lines)


def _measure(draw: Callable[[np.ndarray], np.ndarray]) -> dict[str, float]:
    """Processor time a frame: what others on the machine take does not count."""
    poses = swaying()
    draw(poses[0])
    spent = []
    for pose in poses:
        start = time.process_time()
        draw(pose)
        spent.append(1e3 * (time.process_time() - start))
    return {"p50": float(np.percentile(spent, 50)), "p99": float(np.percentile(spent, 99))}


def swaying() -> np.ndarray:
    """A standing figure 680 px tall that sways: float32 (FRAMES, 60, 3)."""
    from xdancer.pose.layout import N_JOINTS

    body = np.array([
        (256, 170), (256, 236), (196, 238), (150, 330), (120, 420), (316, 238), (372, 320), (410, 400), (222, 440),
        (200, 600), (210, 780), (292, 440), (330, 590), (326, 775), (246, 158), (268, 158), (230, 164), (282, 164),
    ], dtype=np.float32)  # fmt: skip
    pose = np.ones((N_JOINTS, 3), np.float32)
    pose[:18, :2] = body
    for first, wrist in ((18, body[7]), (39, body[4])):
        pose[first, :2] = wrist
        for joint in range(20):
            turn, reach = np.deg2rad(40 + 25 * (joint // 4)), 22 + 12 * (joint % 4)
            pose[first + 1 + joint, :2] = wrist + reach * np.array([np.cos(turn), np.sin(turn)])
    poses = np.repeat(pose[None], FRAMES, axis=0)
    poses[:, :, 0] += 20 * np.sin(np.arange(FRAMES) / 5)[:, None]
    return poses


def _stick_figure(pose: np.ndarray, width: int, height: int) -> np.ndarray:
    """The usual way to draw a pose: one anti-aliased line a bone on black."""
    import cv2

    from xdancer.pose.layout import BONES, CANVAS_WIDTH

    picture = np.zeros((height, width, 3), np.uint8)
    points = np.rint(pose[:, :2] * (width / CANVAS_WIDTH)).astype(int).tolist()
    for a, b in BONES:
        if min(pose[a, 2], pose[b, 2]) > 0:
            cv2.line(picture, points[a], points[b], (255, 255, 255), 4, cv2.LINE_AA)
    return picture
