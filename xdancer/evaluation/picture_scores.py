"""How like pictures of somebody are to true ones: on the person, beside them, around their hands, and from frame to
frame."""

from collections.abc import Sequence

import numpy as np
from scipy.ndimage import maximum_filter, uniform_filter

from xdancer.pose.layout import CANVAS_WIDTH, HANDS, SEEN

SSIM_SIDE = 7  # px
AROUND = 9  # px: so wide is what counts around a pixel of the person
BESIDE = 12  # canvas px beside a hand's joints that count as around it


def around_hands(poses: np.ndarray, height: int, width: int) -> np.ndarray:
    """Which pixels (T, H, W) of pictures are in the boxes around hands of poses (T, 60, 3), canvas px, all of whose
    joints are seen: 1 or 0."""
    boxes = np.zeros((len(poses), height, width))
    scale = width / CANVAS_WIDTH
    for box, pose in zip(boxes, poses, strict=True):
        for _, joints in HANDS:
            if (pose[joints, 2] >= SEEN).all():
                low, high = (edge(pose[joints, :2], axis=0) for edge in (np.min, np.max))
                left, top = np.maximum((low - BESIDE) * scale, 0).astype(int)
                right, bottom = np.maximum((high + BESIDE) * scale, 0).astype(int)
                box[top:bottom, left:right] = 1
    return boxes


def averaged(scores: list[dict[str, float]]) -> dict[str, float]:
    """Each mean of what `score` gives, of those scenes in which there is such a thing."""
    return {key: float(np.nanmean([s[key] for s in scores])) for key in scores[0]}


def score(
    true: np.ndarray, made: np.ndarray, person: np.ndarray, joins: Sequence[int] = (), hands: np.ndarray | None = None
) -> dict[str, float]:
    """Pictures uint8 (T, H, W, 3) against the truth, where the person is (T, H, W) in [0, 1], and their `hands`.

    psnr in dB and ssim (Wang et al. 2004, windows of 7 px) over the person's pixels; around: psnr over these and those
    just beside; sharpness: the squared difference between neighbouring pixels there, as a multiple of the truth's own,
    wherever the edges are; hands: psnr there, NaN where there are none; flicker: the mean difference between
    neighbouring frames on the person, as a multiple of the truth's own; seams, where windows join before the frames
    `joins`: how wrong those differences are at the joins, as a multiple of how wrong they are elsewhere.
    """
    weight, around = (where / max(where.sum(), 1e-9) for where in (person, maximum_filter(person, (1, AROUND, AROUND))))
    error = np.square(true.astype(np.float64) - made).mean(-1)
    psnr, widely = (_decibels(error, where) for where in (weight, around))
    alike = np.stack([similarity(a, b) for a, b in zip(true, made, strict=True)])
    both = np.minimum(person[1:], person[:-1])
    changes = [np.diff(pictures.astype(np.float32), axis=0) for pictures in (made, true)]
    steps = [float((np.abs(change).mean(-1) * both).sum()) for change in changes]
    edges = [_edges(pictures, around) for pictures in (made, true)]
    out = {
        "psnr": psnr, "ssim": float((alike * weight).sum()), "around": widely,
        "hands": _decibels(error, hands / hands.sum()) if hands is not None and hands.any() else float("nan"),
        "sharpness": edges[0] / max(edges[1], 1e-9), "flicker": steps[0] / max(steps[1], 1e-9),
    }  # fmt: skip
    joined = np.isin(np.arange(1, len(true)), joins)
    if joined.any() and not joined.all():
        wrong, area = (np.abs(changes[0] - changes[1]).mean(-1) * both).sum((1, 2)), both.sum((1, 2))
        at, inside = (wrong[where].sum() / max(area[where].sum(), 1e-9) for where in (joined, ~joined))
        out["seams"] = float(at / max(inside, 1e-9))
    return out


def _decibels(error: np.ndarray, weight: np.ndarray) -> float:
    return 10 * np.log10(255**2 / max(float((error * weight).sum()), 1e-9))


def _edges(pictures: np.ndarray, where: np.ndarray) -> float:
    across, down = (np.square(np.diff(pictures.astype(np.float32), axis=axis)).mean(-1) for axis in (2, 1))
    return float((across * where[:, :, 1:]).sum() + (down * where[:, 1:]).sum())


def similarity(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """SSIM (H, W) of the grey values of pictures uint8 (H, W, 3)."""
    x, y = (v.astype(np.float64).mean(-1) for v in (a, b))
    mean_x, mean_y = uniform_filter(x, SSIM_SIDE), uniform_filter(y, SSIM_SIDE)
    var_x = uniform_filter(x * x, SSIM_SIDE) - mean_x**2
    var_y = uniform_filter(y * y, SSIM_SIDE) - mean_y**2
    both = uniform_filter(x * y, SSIM_SIDE) - mean_x * mean_y
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    return (2 * mean_x * mean_y + c1) * (2 * both + c2) / ((mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2))
