"""Waiting: what a dancer does while there is nothing to dance to."""

import numpy as np

from xdancer.data import hands, rotation
from xdancer.data.skeleton import BONE, N_BONES, Clip

X, Y, Z = np.eye(3)


def idle(rng: np.random.Generator, frames: int) -> Clip:
    """A standing figure that breathes, sways and shifts its weight: a Clip of `frames`, facing front at the origin."""
    stance = rng.uniform(0.04, 0.13)  # radians each leg is opened
    shift = 0.055 * np.tanh(1.5 * hands.noise(rng, frames, (1,), 0.15)[:, 0])
    breath = np.sin(2 * np.pi * (0.24 * np.arange(frames) / 30 + rng.random()))
    sway = hands.noise(rng, frames, (8,), 0.35)
    rotations = np.broadcast_to(np.eye(3), (frames, N_BONES, 3, 3)).copy()

    def set_bone(name: str, *turns: tuple[np.ndarray, np.ndarray | float]) -> None:
        for axis, angle in turns:
            rotations[:, BONE[name]] = rotations[:, BONE[name]] @ _about(axis, np.broadcast_to(angle, frames))

    lean = np.arcsin(shift)
    for side, sign in (("left", 1.0), ("right", -1.0)):
        # Both ankles stay where they are while the pelvis moves over them.
        for bone in ("thigh", "shin"):
            set_bone(f"{side}_{bone}", (Z, sign * stance - lean))
        down = np.radians(rng.uniform(72, 80)) + 0.03 * sway[:, 0]
        bend = np.radians(rng.uniform(8, 30)) + 0.05 * sway[:, 1]
        forward = np.radians(rng.uniform(-4, 8)) + 0.03 * sway[:, 2]
        set_bone(f"{side}_clavicle", (Z, sign * 0.015 * breath))
        set_bone(f"{side}_upper_arm", (X, forward), (Z, -sign * down))
        for bone in ("forearm", "hand"):
            set_bone(f"{side}_{bone}", (X, forward), (Z, -sign * down), (Y, -sign * bend))
    set_bone("pelvis", (Y, 0.04 * sway[:, 3]), (Z, -0.4 * lean))
    set_bone("spine", (Y, 0.05 * sway[:, 3]), (Z, 0.3 * lean), (X, 0.01 * breath))
    set_bone("chest", (Y, 0.06 * sway[:, 3]), (Z, 0.5 * lean), (X, 0.02 * breath))
    set_bone("neck", (Y, 0.15 * sway[:, 4]), (X, 0.06 * sway[:, 5]))
    set_bone("head", (Y, 0.3 * sway[:, 4]), (X, 0.1 * sway[:, 5] + 0.05))
    root = np.zeros((frames, 3), np.float32)
    root[:, 0] = shift
    root[:, 1] = np.cos(stance) - 0.5 * shift**2
    quiet = np.full(frames, 0.1)
    fingers = np.stack([hands.fingers(rng, quiet), hands.fingers(rng, quiet)], axis=1)
    return Clip("idle", "idle", "both", "idle", root, rotations.astype(np.float32), fingers.astype(np.float32))


def _about(axis: np.ndarray, angle: np.ndarray) -> np.ndarray:
    """Rotations (T, 3, 3) about one axis by angles (T,)."""
    return np.stack([rotation.about(axis, float(a)) for a in angle])
