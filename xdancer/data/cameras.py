"""Cameras that look at a dancer: mostly from the front, standing still, the dance kept on the canvas."""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d

from xdancer.pose.layout import CANVAS_HEIGHT, CANVAS_WIDTH, INDEX

TORSO = np.array([INDEX[n] for n in ("neck", "right_hip", "left_hip")])
BODY = slice(0, 18)
MARGIN = 100.0  # px the middle of the body keeps from the sides of the canvas
NEARER = 0.12  # of its distance: how far the dancer may come or go before the camera moves too
FOLLOW_SECONDS = (1.2, 0.35)  # what a following camera smooths over: first slowly, then as fast as it must


@dataclass(frozen=True)
class Camera:
    """Pinhole cameras, one for each leading index of the joints (none for a single phrase).

    centre: (..., T or 1, 3) metres, the point looked at, which moves with the dancer as little as the canvas allows.
    yaw, pitch, roll: (...) radians about that point (yaw 0 is in front, pi/2 at the dancer's left; pitch > 0 looks
    down). distance: (...) metres. focal: (...) px. offset: (..., 1, 2) px, the principal point.
    """

    centre: np.ndarray
    yaw: np.ndarray
    pitch: np.ndarray
    roll: np.ndarray
    distance: np.ndarray
    focal: np.ndarray
    offset: np.ndarray

    @classmethod
    def sample(
        cls, rng: np.random.Generator, joints: np.ndarray, stature: np.ndarray | float = 1.7, odd: float = 0.1
    ) -> "Camera":
        """Random cameras for phrases (..., T, 60, 3) metres of people of `stature` metres, framed on each phrase.

        Most see the figure 600 to 760 px tall and from the front; a share `odd` half as large, as many cropped near the
        hips, and half as many from anywhere around.
        """
        lead = joints.shape[:-3]

        def uniform(low: float, high: float) -> np.ndarray:
            return rng.uniform(low, high, lead)

        mode = rng.random(lead)
        tall = np.where(mode < odd, uniform(330, 560), np.where(mode < 2 * odd, uniform(900, 1300), uniform(600, 760)))
        yaw = np.where(rng.random(lead) < odd / 2, uniform(-np.pi, np.pi), np.radians(24) * rng.normal(size=lead))
        distance = uniform(3.0, 7.0)
        focal = tall * distance / stature
        centre = _followed(joints[..., TORSO, :].mean(-2), yaw, distance, focal)
        zeros = np.zeros((*lead, 1, 2))
        pitch = np.arctan2(uniform(-0.35, 0.8), distance)
        roll = np.radians(1.0) * rng.normal(size=lead)
        return cls(centre, yaw, pitch, roll, distance, focal, zeros)._framed(
            rng, joints, (mode >= odd) & (mode < 2 * odd)
        )

    def view(self, joints: np.ndarray) -> np.ndarray:
        """Camera coordinates (..., T, 60, 3): metres right, metres up, depth in metres."""
        p = joints - self.centre[..., None, :]
        sin, cos = (f(self.yaw)[..., None, None] for f in (np.sin, np.cos))
        across = p[..., 0] * cos - p[..., 2] * sin
        near = p[..., 0] * sin + p[..., 2] * cos
        sin, cos = (f(self.pitch)[..., None, None] for f in (np.sin, np.cos))
        up = p[..., 1] * cos - near * sin
        depth = self.distance[..., None, None] - (near * cos + p[..., 1] * sin)
        sin, cos = (f(self.roll)[..., None, None] for f in (np.sin, np.cos))
        return np.stack([across * cos + up * sin, up * cos - across * sin, np.maximum(depth, 0.3)], axis=-1)

    def project(self, joints: np.ndarray) -> np.ndarray:
        """Pixels (..., T, 60, 2) of joints (..., T, 60, 3), also outside the canvas."""
        return self.pixels(self.view(joints))

    def pixels(self, view: np.ndarray) -> np.ndarray:
        scale = self.focal[..., None, None] / view[..., 2]
        return np.stack([view[..., 0] * scale, -view[..., 1] * scale], axis=-1) + self.offset[..., None, :]

    def _framed(self, rng: np.random.Generator, joints: np.ndarray, cropped: np.ndarray) -> "Camera":
        """The camera with its principal point where the phrase, or of the `cropped` the upper body, is best seen."""
        lead, pixels = joints.shape[:-3], self.project(joints)
        middle = pixels[..., TORSO, 0].mean(-1)
        slack = np.maximum(CANVAS_WIDTH / 2 - MARGIN - np.ptp(middle, axis=-1) / 2, 0) * 0.5
        x = CANVAS_WIDTH / 2 - (middle.max(-1) + middle.min(-1)) / 2 + slack * rng.uniform(-1, 1, lead)
        body = pixels[..., BODY, 1]
        top, bottom = np.percentile(body, 2, axis=(-2, -1)), np.percentile(body, 99.5, axis=(-2, -1))
        whole = CANVAS_HEIGHT * rng.uniform(0.49, 0.54, lead) - (top + bottom) / 2
        close = CANVAS_HEIGHT * rng.uniform(0.24, 0.38, lead) - np.median(pixels[..., 1, 1], axis=-1)
        y = np.where(cropped, close, whole)
        return Camera(**{**self.__dict__, "offset": np.stack([x, y], axis=-1)[..., None, :]})


def _followed(middle: np.ndarray, yaw: np.ndarray, distance: np.ndarray, focal: np.ndarray) -> np.ndarray:
    """Points (..., T, 3) to look at, so that the body's `middle` (..., T, 3) stays on the canvas, near its distance."""
    right = np.stack([np.cos(yaw), 0 * yaw, -np.sin(yaw)], axis=-1)[..., None, :]
    front = np.stack([np.sin(yaw), 0 * yaw, np.cos(yaw)], axis=-1)[..., None, :]
    centre = np.zeros_like(middle, dtype=np.float64)
    centre[..., 1] = 0.9
    rooms = (CANVAS_WIDTH / 2 - MARGIN) * distance / focal, NEARER * distance
    for axis, room in zip((right, front), rooms, strict=True):
        left = (middle * axis).sum(-1)
        path = np.zeros_like(left)
        for seconds in FOLLOW_SECONDS:
            reach = np.ptp(left, axis=-1)[..., None] / 2
            follow = np.clip((reach - room[..., None]) / np.maximum(reach, 1e-6) * 1.3, 0, 1)
            step = follow * gaussian_filter1d(left, seconds * 30, axis=-1, mode="nearest")
            left, path = left - step, path + step
        still = (left.max(-1, keepdims=True) + left.min(-1, keepdims=True)) / 2
        centre += (path + still)[..., None] * axis
    return centre
