"""Captured positions to the canonical skeleton.

A bone's frame is built from directions between joints, then measured against the same frame in a neutral stance: the
mean over the frames in which dancers of that rig stand upright. So no rest pose of any file has to be trusted, and
every source ends in world rotations relative to one T-pose.
"""

from dataclasses import dataclass, field

import numpy as np

from xdancer.data import cleaning, rotation
from xdancer.data.readers import Capture
from xdancer.data.rigs import Rig, Side, finger_chains
from xdancer.data.skeleton import BONE, N_BONES

RATE = 30.0
UP = np.array([0.0, 1.0, 0.0])
ENOUGH = 90  # standing frames; with fewer, frames with bent legs are taken for neutral too
SHORTEST = 30  # frames: what is shorter after cleaning is dropped


@dataclass
class Take:
    """One cleaned stretch at 30 frames/s: positions of a rig's joints, and the head's rotation where recorded."""

    name: str
    rig: Rig
    points: dict[str, np.ndarray]
    head: np.ndarray | None
    leg: float  # thigh plus shin, in the units of the file
    floor: float = 0.0

    def __len__(self) -> int:
        return len(self.points["midhip"])


@dataclass
class Neutral:
    """Directions of a rig's torso segments and feet in a neutral stance, seen from the frame they hang on."""

    directions: dict[str, np.ndarray] = field(default_factory=dict)
    head: np.ndarray = field(default_factory=lambda: np.eye(3))
    foot_pitch: float = -0.5
    ankle: float = 0.08  # height above the floor in legs


# Accelerations believed of each joint, legs per frame squared.
LIMITS = {"shoulder": 0.1, "elbow": 0.14, "wrist": 0.2, "hip": 0.08, "knee": 0.12, "ankle": 0.2}


def takes(capture: Capture, rig: Rig, cutoff: float = cleaning.CUTOFF_HZ) -> list[Take]:
    """The clean stretches of a capture, Y up, at 30 frames/s, noise filtered, glitches bridged or cut out."""
    capture = cleaning.upright(capture, (rig.left.ankle, rig.chest[1]))
    points = {name: capture.positions[name] for name in _needed(rig) if name != "midhip"}
    points["midhip"] = (points[rig.left.hip] + points[rig.right.hip]) / 2
    leg = float(np.mean([_length(points, s.hip, s.knee) + _length(points, s.knee, s.ankle) for s in _sides(rig)]))
    watched = np.stack([points[getattr(s, k)] for s in _sides(rig) for k in LIMITS], axis=1)
    bad = cleaning.glitches(watched, leg * np.tile(list(LIMITS.values()), 2))
    turned = capture.rotations.get(rig.head or "")
    head = None if turned is None else rotation.continuous(rotation.to_quaternion(turned))
    gap = int(cleaning.LONGEST_GAP * capture.fps)
    out: list[Take] = []
    for run in cleaning.longest_runs(bad, gap, int(SHORTEST * capture.fps / RATE)):

        def clean(values: np.ndarray, run: slice = run) -> np.ndarray:
            filled = cleaning.bridged(values[run], bad[run])
            return cleaning.at_rate(cleaning.smooth(filled, capture.fps, cutoff), capture.fps, RATE)

        name = capture.name if not out else f"{capture.name}-{len(out) + 1}"
        heads = None if head is None else rotation.to_matrix(clean(head))
        out.append(Take(name, rig, {n: clean(p) for n, p in points.items()}, heads, leg))
    for take in out:
        take.floor = _floor(take)
    return out


def neutral(group: list[Take]) -> Neutral:
    """The neutral stance of one rig, from the upright frames of its takes; the canonical one if there are too few."""
    found: dict[str, list[np.ndarray]] = {}
    enough = sum(int(_standing(take).sum()) for take in group) >= ENOUGH
    for take in group:
        standing = _standing(take, straight=enough)
        if not standing.any():
            continue
        heading = _heading(take)
        for name, vector in _segments(take).items():
            local = np.einsum("tji,tj->ti", heading, rotation.unit(vector))
            found.setdefault(name, []).append(local[standing])
        if take.head is not None:
            found.setdefault("head", []).append(
                rotation.to_quaternion(np.swapaxes(heading, 1, 2) @ take.head)[standing]
            )
        for side in _sides(take.rig):
            foot = rotation.unit(take.points[side.toe] - take.points[side.ankle])
            low = take.points[side.ankle][:, 1] - take.floor
            found.setdefault("foot", []).append(np.arcsin(np.clip(foot[standing, 1], -1, 1)))
            found.setdefault("ankle", []).append(low[standing] / take.leg)
    out = Neutral()
    for name, values in found.items():
        stacked = np.concatenate(values)
        if name == "foot":
            out.foot_pitch = float(np.median(stacked))
        elif name == "ankle":
            out.ankle = float(np.clip(np.median(stacked), 0.03, 0.2))
        elif name == "head":
            out.head = rotation.to_matrix(_mean_quaternion(stacked))
        else:
            mean = np.median(stacked, axis=0)
            if name in ("pelvis", "spine", "chest", "neck"):
                mean[0] = 0.0  # people are symmetrical, takes are not
            out.directions[name] = rotation.unit(mean)
    left, right = out.directions.get("left_collar"), out.directions.get("right_collar")
    if left is not None and right is not None:
        both = rotation.unit(left + right * np.array([-1, 1, 1]))
        out.directions["left_collar"], out.directions["right_collar"] = both, both * np.array([-1, 1, 1])
    return out


def canonical(take: Take, rest: Neutral) -> tuple[np.ndarray, np.ndarray]:
    """Root (T, 3) in legs, floor at 0, and world rotations (T, 21, 3, 3) of one take; unknown heads follow."""
    p, rig = take.points, take.rig
    out = np.broadcast_to(np.eye(3), (len(take), N_BONES, 3, 3)).copy()
    across_hips = p[rig.left.hip] - p[rig.right.hip]
    across_shoulders = p[rig.left.shoulder] - p[rig.right.shoulder]
    segments = _segments(take)

    def torso(name: str, across: np.ndarray, up_first: bool) -> np.ndarray:
        stood = rest.directions.get(name, UP)
        now = _torso_frame(segments[name], across, up_first)
        return now @ _torso_frame(stood, np.array([1.0, 0, 0]), up_first).T

    pelvis, chest = torso("pelvis", across_hips, False), torso("chest", across_shoulders, True)
    out[:, BONE["pelvis"]], out[:, BONE["chest"]] = pelvis, chest
    middle = _between(pelvis, chest, 0.5)
    out[:, BONE["spine"]] = torso("spine", middle[:, :, 0], True) if "spine" in segments else middle
    head = take.head @ rest.head.T if take.head is not None else None
    if "neck" in segments:
        neck = torso("neck", _between(chest, head, 0.5)[:, :, 0] if head is not None else chest[:, :, 0], True)
    else:
        neck = chest
    out[:, BONE["neck"]] = neck
    out[:, BONE["head"]] = _between(chest, neck, 0.5) if head is None else head
    for side, prefix, sign in ((rig.left, "left", 1.0), (rig.right, "right", -1.0)):
        _arm(out, p, side, prefix, sign, chest, rest)
        _leg(out, p, side, prefix, pelvis, rest)
    scale = take.leg * (1 + rest.ankle)
    root = (p["midhip"] - np.array([0, take.floor, 0])) / scale
    return root.astype(np.float32), out.astype(np.float32)


def fingers_of(take: Take, hands: np.ndarray, rest: dict[str, np.ndarray]) -> np.ndarray | None:
    """Finger angles (T, 2, 5, 4) of a take whose fingers were animated, relative to the rig's own rest fingers.

    `hands` (T, 2, 3, 3) are the hands' world rotations; `rest` has, by side, unit directions (5, 3, 3) of the finger
    segments in the hand's frame. None where the rig has no fingers.
    """
    out = np.zeros((len(take), 2, 5, 4))
    for index, name in enumerate(("left", "right")):
        directions = finger_directions(take, hands[:, index], name)
        if directions is None:
            return None
        out[:, index] = _angles(directions, rest[name], 1.0 if name == "left" else -1.0)
    return out


def finger_directions(take: Take, hand: np.ndarray, side: str) -> np.ndarray | None:
    """Unit directions (T, 5, 3, 3) of the finger segments in the hand's frame; a missing tip repeats the last one."""
    chains = finger_chains(take.rig, side)
    if not chains:
        return None
    joints = np.stack([np.stack([take.points[n] for n in (*c, *c[-1:])[:4]], axis=1) for c in chains], axis=1)
    segments = np.diff(joints, axis=2)
    local = np.einsum("tji,tfkj->tfki", hand, rotation.unit(segments))
    if len(chains[0]) == 3:
        local[:, :, 2] = local[:, :, 1]
    return local


def _angles(directions: np.ndarray, rest: np.ndarray, sign: float) -> np.ndarray:
    """Flexions and spread (T, 5, 4) that turn the rest directions (5, 3, 3) into `directions` (T, 5, 3, 3)."""
    palm = np.array([0.0, -1.0, 0.0])
    base = rest[:, 0]
    towards = np.broadcast_to(palm, (5, 3)).copy()
    towards[0] = rotation.unit(np.array([0.3 * sign, -0.5, -1.0]))
    axis = rotation.unit(np.cross(base, towards))
    down = np.cross(axis, base)
    turned = np.arctan2((directions * down[:, None]).sum(-1), (directions * base[:, None]).sum(-1))
    rest_turned = np.arctan2((rest * down[:, None]).sum(-1), (rest * base[:, None]).sum(-1))
    flexion = np.diff(turned - rest_turned, axis=-1, prepend=0.0)
    aside = np.array([1, 1, 0, -1, -1])
    lateral = np.arctan2(directions[:, :, 0, 2], np.maximum(directions[:, :, 0, 0] * sign, 0.3))
    rest_lateral = np.arctan2(base[:, 2], np.maximum(base[:, 0] * sign, 0.3))
    spread = (lateral - rest_lateral) * aside * np.cos(np.clip(flexion[..., 0], -1.5, 1.5))
    spread[:, 0] = 0.0  # the thumb's spread is in its flexion axis already
    return np.concatenate([flexion, spread[..., None]], axis=-1)


def _needed(rig: Rig) -> set[str]:
    names = {n for pair in (rig.pelvis, rig.spine, rig.chest, rig.neck) if pair for n in pair}
    for side, name in ((rig.left, "left"), (rig.right, "right")):
        names |= {getattr(side, k) for k in ("shoulder", "elbow", "wrist", "hand", "hip", "knee", "ankle", "toe")}
        names |= {side.collar} if side.collar else set()
        names |= set(side.thumbwards or ())
        names |= {joint for chain in finger_chains(rig, name) for joint in chain}
    if rig.name == "soma":
        names |= {"LeftEye", "RightEye"}
    return names


def _sides(rig: Rig) -> tuple[Side, Side]:
    return rig.left, rig.right


def _length(points: dict[str, np.ndarray], a: str, b: str) -> float:
    return float(np.median(np.linalg.norm(points[a] - points[b], axis=1)))


def _floor(take: Take) -> float:
    """Height of the floor: where the lower foot spends its lowest moments."""
    joints = [getattr(s, k) for s in _sides(take.rig) for k in ("toe", "ankle")]
    lowest = np.min([take.points[n][:, 1] for n in joints], axis=0)
    return float(np.percentile(lowest, 8)) - 0.02 * take.leg


def _standing(take: Take, straight: bool = True) -> np.ndarray:
    """Frames in which the torso is within 20 degrees of upright and, if `straight`, legs straight and feet low."""
    p, ok = take.points, np.ones(len(take), dtype=bool)
    for side in _sides(take.rig) if straight else ():
        reach = np.linalg.norm(p[side.hip] - p[side.ankle], axis=1)
        ok &= (reach > 0.96 * take.leg) & (p[side.ankle][:, 1] - take.floor < 0.2 * take.leg)
    shoulders = (p[take.rig.left.shoulder] + p[take.rig.right.shoulder]) / 2
    return ok & (rotation.unit(shoulders - p["midhip"])[:, 1] > np.cos(np.radians(20)))


def _heading(take: Take) -> np.ndarray:
    """(T, 3, 3): columns left, up and forward of a frame that turns about the vertical with hips and shoulders."""
    p, rig = take.points, take.rig
    across = rotation.unit(p[rig.left.hip] - p[rig.right.hip])
    across = across + rotation.unit(p[rig.left.shoulder] - p[rig.right.shoulder])
    left = rotation.unit(across * np.array([1, 0, 1]))
    return np.stack([left, np.broadcast_to(UP, left.shape), np.cross(left, UP)], axis=-1)


def _segments(take: Take) -> dict[str, np.ndarray]:
    p, rig = take.points, take.rig
    pairs = {"pelvis": rig.pelvis, "spine": rig.spine, "chest": rig.chest, "neck": rig.neck}
    out = {name: p[pair[1]] - p[pair[0]] for name, pair in pairs.items() if pair}
    for side, name in ((rig.left, "left"), (rig.right, "right")):
        if side.collar:
            out[f"{name}_collar"] = p[side.shoulder] - p[side.collar]
    return out


def _torso_frame(up: np.ndarray, across: np.ndarray, up_first: bool) -> np.ndarray:
    """Columns left, up, forward; exact along `up` or along `across` (the dancer's own left)."""
    if up_first:
        y = rotation.unit(up)
        x = rotation.unit(across - (across * y).sum(-1, keepdims=True) * y)
    else:
        x = rotation.unit(across)
        y = rotation.unit(up - (up * x).sum(-1, keepdims=True) * x)
    x, y = np.broadcast_arrays(x, y)
    return np.stack([x, y, np.cross(x, y)], axis=-1)


def _between(a: np.ndarray, b: np.ndarray, weight: float) -> np.ndarray:
    return rotation.to_matrix(rotation.blend(rotation.to_quaternion(a), rotation.to_quaternion(b), weight))


def _mean_quaternion(values: np.ndarray) -> np.ndarray:
    """The mean of unit quaternions (N, 4): leading eigenvector of their outer products (Markley 2007)."""
    return np.linalg.eigh(values.T @ values)[1][:, -1]


def _swing(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """The shortest rotations (T, 3, 3) that carry direction `start` (3,) or (T, 3) to `end` (T, 3)."""
    start, end = rotation.unit(start), rotation.unit(end)
    scalar = 1 + (start * end).sum(-1, keepdims=True)
    return rotation.to_matrix(np.concatenate([np.maximum(scalar, 1e-6), np.cross(start, end)], axis=-1))


def _hinge(upper: np.ndarray, lower: np.ndarray, prior: np.ndarray) -> np.ndarray:
    """Axis (T, 3) about which a limb bends, `prior` where it is straight, perpendicular to `upper`, steady in time."""
    bend = np.cross(rotation.unit(upper), rotation.unit(lower))
    agrees = np.sign((bend * prior).sum(-1, keepdims=True))
    weighted = bend * np.where(agrees == 0, 1, agrees) + 0.15 * prior
    weighted = cleaning.smooth(weighted, RATE, 4.0)
    along = rotation.unit(upper)
    return rotation.unit(weighted - (weighted * along).sum(-1, keepdims=True) * along)


def _limb(direction: np.ndarray, axis: np.ndarray, rest_direction: np.ndarray, rest_axis: np.ndarray) -> np.ndarray:
    return rotation.frame(direction, axis) @ rotation.frame(rest_direction, rest_axis).T


def _arm(
    out: np.ndarray, p: dict[str, np.ndarray], side: Side, prefix: str, sign: float, chest: np.ndarray, rest: Neutral
) -> None:
    outward = np.array([sign, 0.0, 0.0])
    collar = chest
    if side.collar:
        stood = rest.directions.get(f"{prefix}_collar", outward)
        local = np.einsum("tji,tj->ti", chest, p[side.shoulder] - p[side.collar])
        collar = chest @ _swing(stood, local)
    upper, lower = p[side.elbow] - p[side.shoulder], p[side.wrist] - p[side.elbow]
    rest_axis = np.array([0.0, -sign, 0.0])  # in a T-pose with palms down the forearm bends forward
    carried = collar @ _swing(outward, np.einsum("tji,tj->ti", collar, upper)) @ rest_axis
    axis = _hinge(upper, lower, carried)
    forearm = _limb(lower, axis, outward, rest_axis)
    reach = p[side.hand] - p[side.wrist]
    if side.thumbwards:
        thumb = p[side.thumbwards[1]] - p[side.thumbwards[0]]
        hand = _limb(reach, thumb, outward, np.array([0.0, 0.0, 1.0]))
    else:
        hand = forearm
    out[:, BONE[f"{prefix}_clavicle"]] = collar
    out[:, BONE[f"{prefix}_upper_arm"]] = _limb(upper, axis, outward, rest_axis)
    out[:, BONE[f"{prefix}_forearm"]] = forearm
    out[:, BONE[f"{prefix}_hand"]] = hand


def _leg(out: np.ndarray, p: dict[str, np.ndarray], side: Side, prefix: str, pelvis: np.ndarray, rest: Neutral) -> None:
    down, left = -UP, np.array([1.0, 0.0, 0.0])
    upper, lower = p[side.knee] - p[side.hip], p[side.ankle] - p[side.knee]
    # A knee bends back: its axis is the dancer's left. Where the leg is straight the pelvis and the foot say which way.
    toe = p[side.toe] - p[side.ankle]
    prior = rotation.unit(0.5 * pelvis[:, :, 0] + rotation.unit(np.cross(-rotation.unit(lower), rotation.unit(toe))))
    axis = _hinge(upper, lower, prior)
    out[:, BONE[f"{prefix}_thigh"]] = _limb(upper, axis, down, left)
    out[:, BONE[f"{prefix}_shin"]] = _limb(lower, axis, down, left)
    across = rotation.unit(axis - (axis * rotation.unit(toe)).sum(-1, keepdims=True) * rotation.unit(toe))
    stood = np.array([0.0, np.sin(rest.foot_pitch), np.cos(rest.foot_pitch)])
    foot = _limb(toe, across, stood, left)
    out[:, BONE[f"{prefix}_foot"]] = foot
    # The ball stays flat while the heel is lifted: the toe keeps the foot's heading, and its pitch only upward.
    forward = foot[:, :, 2]
    lifted = forward * np.array([1, 0, 1]) + np.array([0, 1, 0]) * np.maximum(forward[:, 1:2], 0)
    out[:, BONE[f"{prefix}_toe"]] = _torso_frame(np.cross(lifted, foot[:, :, 0]), foot[:, :, 0], False)
