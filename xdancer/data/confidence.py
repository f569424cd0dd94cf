"""What a pose detector would say of a projected skeleton: confidence that falls with occlusion, blur and the edge."""

import numpy as np
from scipy.signal import lfilter

from xdancer.data.cameras import Camera
from xdancer.pose.layout import CANVAS_HEIGHT, CANVAS_WIDTH, INDEX, LEFT_HAND, N_JOINTS, RIGHT_HAND

# Capsules that hide joints: two joints, radius in metres, and the joints that belong to them.
_LIMBS = (
    ("right_shoulder", "right_elbow", 0.045), ("right_elbow", "right_wrist", 0.038),
    ("left_shoulder", "left_elbow", 0.045), ("left_elbow", "left_wrist", 0.038),
    ("right_hip", "right_knee", 0.07), ("right_knee", "right_ankle", 0.05),
    ("left_hip", "left_knee", 0.07), ("left_knee", "left_ankle", 0.05),
    ("right_hip", "right_shoulder", 0.095), ("left_hip", "left_shoulder", 0.095),
    ("right_ear", "left_ear", 0.085), ("left_hand_wrist", "left_middle_2", 0.035),
    ("right_hand_wrist", "right_middle_2", 0.035),
)  # fmt: skip
_FROM = np.array([INDEX[a] for a, _, _ in _LIMBS])
_TO = np.array([INDEX[b] for _, b, _ in _LIMBS])
_RADIUS = np.array([r for _, _, r in _LIMBS], dtype=np.float32)


def _own() -> np.ndarray:
    """(60, capsules): the capsules that cannot hide a joint since it sits in or on them."""
    own = np.zeros((N_JOINTS, len(_LIMBS)), dtype=bool)
    for c, (a, b, _) in enumerate(_LIMBS):
        own[[INDEX[a], INDEX[b]], c] = True
    for names, capsules in (
        (("neck", "right_shoulder", "left_shoulder", "right_hip", "left_hip"), (8, 9)),
        (("nose", "right_eye", "left_eye"), (10,)),
    ):
        for name in names:
            own[INDEX[name], list(capsules)] = True
    own[RIGHT_HAND, 1] = own[RIGHT_HAND, 12] = True
    own[LEFT_HAND, 3] = own[LEFT_HAND, 11] = True
    own[INDEX["left_wrist"], 11] = own[INDEX["right_wrist"], 12] = True
    return own


_OWN = _own()
_IS_HAND = np.arange(N_JOINTS) >= 18
BEST = np.where(_IS_HAND, 0.78, 0.93).astype(np.float32)
BEST[[INDEX[n] for n in ("right_hip", "left_hip", "right_ear", "left_ear")]] = 0.86
BLUR = np.where(_IS_HAND, 45.0, 75.0).astype(np.float32)  # px a frame at which a joint is lost in motion blur
HIDDEN = np.where(_IS_HAND, 0.12, 0.3).astype(np.float32)  # what is left of the confidence behind a limb
LEAST = 0.06  # below this a detector reports nothing


def occlusion(view: np.ndarray) -> np.ndarray:
    """How far (0..1) each joint is hidden, (..., T, 60), from camera coordinates (..., T, 60, 3) metres."""
    # Limbs hide each other slowly: every other frame is looked at, those between are interpolated.
    every = _occlusion(view[..., ::2, :, :].astype(np.float32))
    out = np.repeat(every, 2, axis=-2)[..., : view.shape[-3], :]
    inner = out[..., 1:-1:2, :]
    out[..., 1 : 1 + 2 * inner.shape[-2] : 2, :] = (every[..., :-1, :] + every[..., 1:, :])[
        ..., : inner.shape[-2], :
    ] / 2
    return out


def _occlusion(view: np.ndarray) -> np.ndarray:
    flat = view[..., :2] / view[..., 2:]
    a, b = flat[..., _FROM, :], flat[..., _TO, :]
    line = b - a
    length = np.maximum((line * line).sum(-1), 1e-9)
    hidden = np.zeros(view.shape[:-1], dtype=np.float32)
    for c, radius in enumerate(_RADIUS):
        away = flat - a[..., c : c + 1, :]
        along = np.clip((away * line[..., c : c + 1, :]).sum(-1) / length[..., c : c + 1], 0, 1)
        gap = np.linalg.norm(away - along[..., None] * line[..., c : c + 1, :], axis=-1)
        depth = view[..., _FROM[c], 2:3] + along * (view[..., _TO[c], 2:3] - view[..., _FROM[c], 2:3])
        behind = np.clip((view[..., 2] - depth - 0.5 * radius) / (0.6 * radius), 0, 1)
        inside = np.clip((radius / depth * 1.1 - gap) / (radius / depth * 0.4), 0, 1)
        hidden = np.maximum(hidden, np.where(_OWN[:, c], 0, behind * inside))
    return hidden


def confidence(rng: np.random.Generator, joints: np.ndarray, camera: Camera) -> np.ndarray:
    """Confidence (..., T, 60) in [0, 1] of joints (..., T, 60, 3) metres seen by `camera`; 0 outside the canvas."""
    return observed(rng, joints, camera)[..., 2]


def observed(rng: np.random.Generator, joints: np.ndarray, camera: Camera) -> np.ndarray:
    """The pose (..., T, 60, 3) float32 that a detector would report: px, confidence; all 0 where it sees nothing."""
    view = camera.view(joints)
    pixels = camera.pixels(view).astype(np.float32)
    seen = BEST * (1 - (1 - HIDDEN) * occlusion(view))
    seen = seen * _facing(joints, camera)
    steps = np.linalg.norm(np.diff(pixels, axis=-3, prepend=pixels[..., :1, :, :]), axis=-1)
    seen = seen * np.exp(-0.7 * (steps / BLUR) ** 2)
    seen = seen + 0.05 * _wander(rng, seen.shape, 0.75)
    for hand in (LEFT_HAND, RIGHT_HAND):
        seen[..., hand] *= _dropouts(rng, seen.shape[:-1])[..., None]
    x, y = pixels[..., 0], pixels[..., 1]
    inside = (x >= 0) & (x <= CANVAS_WIDTH - 1) & (y >= 0) & (y <= CANVAS_HEIGHT - 1)
    seen = np.where(inside & (seen > LEAST), np.clip(seen, 0, 1), 0)
    return np.where(seen[..., None] > 0, np.concatenate([pixels, seen[..., None]], axis=-1), 0).astype(np.float32)


def _facing(joints: np.ndarray, camera: Camera) -> np.ndarray:
    """Factor (..., T, 60): nose and eyes vanish as the head turns away."""
    ears = (joints[..., INDEX["right_ear"], :] + joints[..., INDEX["left_ear"], :]) / 2
    forward = joints[..., INDEX["nose"], :] - ears
    forward = forward / np.maximum(np.linalg.norm(forward, axis=-1, keepdims=True), 1e-6)
    towards = np.stack([np.sin(camera.yaw), 0 * camera.yaw, np.cos(camera.yaw)], axis=-1)[..., None, :]
    turned = (forward * towards).sum(-1)
    sideways = forward[..., 0] * np.cos(camera.yaw)[..., None] - forward[..., 2] * np.sin(camera.yaw)[..., None]
    factor = np.ones(joints.shape[:-1], dtype=np.float32)
    factor[..., INDEX["nose"]] = np.clip(0.5 + 2.2 * turned, 0.0, 1)
    # The eye on the far side goes first: at a profile only the near one is seen.
    for name, sign in (("left_eye", 1.0), ("right_eye", -1.0)):
        factor[..., INDEX[name]] = np.clip(0.45 + 2.2 * turned - 0.9 * sign * sideways, 0.0, 1)
    return factor


def _wander(rng: np.random.Generator, shape: tuple[int, ...], memory: float) -> np.ndarray:
    """Noise of about unit variance along time (axis -2), remembered from frame to frame."""
    raw = rng.standard_normal(shape, dtype=np.float32)
    return lfilter([np.sqrt(1 - memory**2)], [1, -memory], raw, axis=-2).astype(np.float32)


def _dropouts(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Factor (..., T) of a hand: mostly 1, at times low for some frames, as when a detector loses it."""
    return np.clip(3.6 + 1.6 * _wander(rng, (*shape, 1), 0.93)[..., 0], 0.0, 1.0)
