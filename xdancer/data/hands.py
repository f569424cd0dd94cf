"""Life for hands and heads that were not captured: slow walks among plausible poses, within joint limits."""

import numpy as np

from xdancer.data import rotation
from xdancer.data.cleaning import smooth
from xdancer.data.skeleton import BONE

RATE = 30.0
SHORTEST = 0.2  # s from one hand pose to the next
# Flexion at base, middle and tip joint and spread of thumb, index, middle, ring, little finger, degrees.
POSES = {
    "relaxed": [(10, 12, 15, 0), (14, 24, 12, 2), (20, 28, 15, 0), (24, 30, 16, 1), (28, 32, 18, 4)],
    "soft": [(18, 22, 20, 0), (32, 42, 24, 1), (38, 46, 26, 0), (42, 48, 28, 0), (44, 46, 28, 1)],
    "open": [(-8, 2, 2, 8), (-4, 3, 2, 9), (-4, 4, 2, 0), (-4, 4, 2, 8), (-4, 4, 2, 14)],
    "flat": [(2, 6, 4, 0), (0, 4, 2, 0), (0, 4, 2, 0), (0, 4, 2, 0), (0, 4, 2, 0)],
    "fist": [(30, 42, 48, 0), (76, 92, 55, 0), (80, 96, 58, 0), (82, 94, 58, 0), (84, 90, 56, 0)],
    "point": [(28, 40, 42, 0), (4, 6, 4, 0), (70, 88, 52, 0), (78, 90, 54, 0), (80, 88, 54, 0)],
    "ballet": [(22, 16, 10, 0), (2, 12, 8, 4), (26, 26, 14, 0), (16, 22, 12, 2), (0, 12, 8, 8)],
    "claw": [(4, 26, 30, 6), (6, 48, 36, 8), (6, 50, 38, 0), (6, 50, 36, 8), (4, 46, 34, 12)],
}
CALM = {"relaxed": 0.5, "soft": 0.25, "flat": 0.1, "ballet": 0.08, "fist": 0.04, "open": 0.03}
LIVELY = {"open": 0.28, "fist": 0.22, "flat": 0.16, "point": 0.1, "relaxed": 0.1, "claw": 0.07, "ballet": 0.07}
# Lowest and highest angles of thumb and of the other fingers, degrees (after clinical ranges of motion).
LIMITS = np.radians([[[-15, 50], [-10, 60], [-15, 80], [-10, 30]]] + [[[-20, 90], [0, 105], [0, 75], [-8, 18]]] * 4)


def limited(fingers: np.ndarray) -> np.ndarray:
    """Finger angles (..., 5, 4) radians brought within joint limits."""
    return np.clip(fingers, LIMITS[..., 0], LIMITS[..., 1])


def noise(rng: np.random.Generator, frames: int, shape: tuple[int, ...], hertz: float) -> np.ndarray:
    """Smooth noise (frames, *shape) of unit variance with little above `hertz`."""
    pad = int(2 * RATE / hertz)
    raw = rng.normal(size=(frames + 2 * pad, *shape))
    return smooth(raw, RATE, hertz)[pad : pad + frames] * np.sqrt(RATE / (2 * hertz)) * 0.95


def fingers(rng: np.random.Generator, speed: np.ndarray) -> np.ndarray:
    """Finger angles (T, 5, 4) radians of one hand that was not captured.

    `speed` (T,), legs a second, is how fast the wrist moves: fast arms open, close and point, slow arms relax, and
    the hand changes its pose more often.
    """
    frames = len(speed)
    lively = np.clip((speed - 0.5) / 2.0, 0, 1)
    keys, moments = [], []
    now = -float(rng.uniform(0, 1.5))
    while True:
        moments.append(now * RATE)
        keys.append(_pose(rng, float(lively[int(np.clip(now * RATE, 0, frames - 1))])))
        if now * RATE > frames:
            break
        wait = rng.gamma(3.0, 0.9 - 0.45 * lively[int(np.clip(now * RATE, 0, frames - 1))])
        now += max(float(wait), SHORTEST)
    path = _eased(np.array(keys), np.array(moments), frames, rng)
    jitter = np.radians(2.0) * noise(rng, frames, (5, 4), 1.2) * np.array([1.5, 1.5, 1.0, 0.5])
    return limited(path + jitter)


def _pose(rng: np.random.Generator, lively: float) -> np.ndarray:
    table = LIVELY if rng.random() < lively else CALM
    chances = np.array(list(table.values()))
    pose = np.radians(np.array(POSES[str(rng.choice(list(table), p=chances / chances.sum()))], dtype=np.float64))
    rest = np.radians(np.array(POSES["relaxed"], dtype=np.float64))
    degree = rng.uniform(0.6, 1.05)
    return rest + degree * (pose - rest) + np.radians(4) * rng.normal(size=(5, 1)) * np.array([1, 1, 0.5, 0])


def _eased(keys: np.ndarray, moments: np.ndarray, frames: int, rng: np.random.Generator) -> np.ndarray:
    """Each key is held, then eased into the next within 0.2 to 0.6 s before its moment, never before it is reached."""
    out = np.empty((frames, *keys.shape[1:]))
    out[:] = keys[0]
    times = np.arange(frames)
    for key, before, moment, reached in zip(keys[1:], keys[:-1], moments[1:], moments[:-1], strict=True):
        length = min(rng.uniform(SHORTEST, 0.6) * RATE, moment - reached)
        part = np.clip((times - (moment - length)) / length, 0, 1)
        part = (part * part * (3 - 2 * part))[:, None, None]
        after = times >= moment - length
        out[after] = (before + part * (key - before))[after]
    return out


def wrists(rng: np.random.Generator, rotations: np.ndarray) -> np.ndarray:
    """World rotations (T, 21, 3, 3) with hands turned about forearms that carried none: twist, bend and tilt."""
    out = rotations.copy()
    frames = len(out)
    for prefix, sign in (("left", 1.0), ("right", -1.0)):
        forearm = rotations[:, BONE[f"{prefix}_forearm"]]
        wander = noise(rng, frames, (3,), 0.5)
        twist = np.radians(20) + np.radians(35) * np.tanh(wander[:, 0] * 0.8)
        bend, tilt = np.radians(6) + np.radians(14) * np.tanh(wander[:, 1]), np.radians(7) * np.tanh(wander[:, 2])
        local = (
            rotation.about(np.array([1.0, 0, 0]), sign * twist)
            @ rotation.about(np.array([0.0, 0, 1]), -sign * bend)
            @ rotation.about(np.array([0.0, 1, 0]), -sign * tilt)
        )
        out[:, BONE[f"{prefix}_hand"]] = (forearm @ local).astype(out.dtype)
    return out


def heads(rng: np.random.Generator, rotations: np.ndarray) -> np.ndarray:
    """World rotations with a head that looks around: half upright, half with the chest, glancing and nodding."""
    out = rotations.copy()
    frames = len(out)
    chest = rotations[:, BONE["chest"]]
    forward = chest[:, :, 2] * np.array([1.0, 0.35, 1.0])
    level = np.cross(np.array([0.0, 1.0, 0.0]), forward)
    upright = np.stack([*(rotation.unit(v) for v in (level, np.cross(forward, level), forward))], axis=-1)
    # Upside down there is no level: the head goes with the chest.
    share = np.clip(chest[:, 1, 1] * 1.4 - 0.4, 0, 1)[:, None] * 0.55
    mixed = rotation.to_matrix(rotation.blend(rotation.to_quaternion(chest), rotation.to_quaternion(upright), share))
    wander = noise(rng, frames, (3,), 0.45)
    yaw, pitch, roll = np.radians([16.0, 8.0, 5.0])[:, None] * np.tanh(wander.T * 0.9) * 1.3
    look = (
        rotation.about(np.array([0.0, 1, 0]), yaw)
        @ rotation.about(np.array([1.0, 0, 0]), pitch + np.radians(2))
        @ rotation.about(np.array([0.0, 0, 1]), roll)
    )
    head = mixed @ look
    half = rotation.blend(rotation.to_quaternion(chest), rotation.to_quaternion(head), 0.5)
    out[:, BONE["head"]] = head.astype(out.dtype)
    out[:, BONE["neck"]] = rotation.to_matrix(half).astype(out.dtype)
    return out
