"""Which joint of which source is what: one `Rig` for each family of joint names."""

from dataclasses import dataclass

from xdancer.data.readers import Capture
from xdancer.errors import UserError

Pair = tuple[str, str]


@dataclass(frozen=True)
class Side:
    """One side: joints of arm and leg; `hand` is a point beyond the wrist, `thumbwards` points to the thumb's side."""

    collar: str | None
    shoulder: str
    elbow: str
    wrist: str
    hand: str
    hip: str
    knee: str
    ankle: str
    toe: str
    thumbwards: Pair | None = None


@dataclass(frozen=True)
class Rig:
    """Segments of the spine as pairs of joints that are rigid in their bone; `head` turns with the head."""

    name: str
    sign: str  # a joint that only this family has
    pelvis: Pair
    chest: Pair
    left: Side
    right: Side
    spine: Pair | None = None
    neck: Pair | None = None
    head: str | None = None


def _side(template: dict[str, str | Pair | None], **names: str) -> Side:
    def fill(value: str | Pair | None) -> str | Pair | None:
        if isinstance(value, tuple):
            return tuple(v.format(**names) for v in value)  # type: ignore[return-value]
        return value.format(**names) if value else None

    return Side(**{key: fill(value) for key, value in template.items()})  # type: ignore[arg-type]


_CMU = {
    "collar": "Spine1", "shoulder": "{s}Arm", "elbow": "{s}ForeArm", "wrist": "{s}Hand", "hand": "{s}HandIndex1",
    "hip": "{s}UpLeg", "knee": "{s}Leg", "ankle": "{s}Foot", "toe": "{s}ToeBase",
    "thumbwards": ("{s}Hand", "{i}Thumb_end"),
}  # fmt: skip
_JACKS = {
    "collar": "Chest2", "shoulder": "{s}Shoulder", "elbow": "{s}Elbow", "wrist": "{s}Wrist", "hand": "{i}Fingers",
    "hip": "{s}Hip", "knee": "{s}Knee", "ankle": "{s}Ankle", "toe": "{s}Toe",
    "thumbwards": ("{s}Wrist", "{i}Thumb_end"),
}  # fmt: skip
_SALSA = {
    "collar": "{i}Collar", "shoulder": "{i}Shldr", "elbow": "{i}ForeArm", "wrist": "{i}Hand", "hand": "{i}Mid1",
    "hip": "{i}Thigh", "knee": "{i}Shin", "ankle": "{i}Foot", "toe": "{i}Foot_end",
    "thumbwards": ("{i}Pinky1", "{i}Index1"),
}  # fmt: skip
_DRAWN = _CMU | {"collar": "{s}Shoulder", "hand": "{s}HandEnd", "thumbwards": ("{s}Hand", "{s}HandThumb1")}
_JESSE = _DRAWN | {"hand": "{s}HandMiddle1", "thumbwards": ("{s}HandPinky1", "{s}HandIndex1")}
_NEO = {key: ("Neo_" + value if isinstance(value, str) else None) for key, value in _DRAWN.items()} | {
    "hand": "Neo_{s}Hand"
}
_SOMA = _JESSE | {"hip": "{s}Leg", "knee": "{s}Shin"}
_G1 = {
    "collar": None, "shoulder": "{s}_shoulder_roll_link", "elbow": "{s}_elbow_link", "wrist": "{s}_wrist_yaw_link",
    "hand": "{s}_palm", "hip": "{s}_hip_roll_link", "knee": "{s}_knee_link", "ankle": "{s}_ankle_roll_link",
    "toe": "{s}_toe", "thumbwards": None,
}  # fmt: skip
_BASE = {
    "collar": "DEF-shoulder.{s}", "shoulder": "DEF-upper_arm.{s}", "elbow": "DEF-forearm.{s}", "wrist": "DEF-hand.{s}",
    "hand": "DEF-f_middle.01.{s}", "hip": "DEF-thigh.{s}", "knee": "DEF-shin.{s}", "ankle": "DEF-foot.{s}",
    "toe": "DEF-toe.{s}", "thumbwards": ("DEF-f_pinky.01.{s}", "DEF-f_index.01.{s}"),
}  # fmt: skip
_ADDON = {
    "collar": "clavicle_{s}", "shoulder": "upperarm_{s}", "elbow": "lowerarm_{s}", "wrist": "hand_{s}",
    "hand": "middle_01_{s}", "hip": "thigh_{s}", "knee": "calf_{s}", "ankle": "foot_{s}", "toe": "ball_{s}",
    "thumbwards": ("pinky_01_{s}", "index_01_{s}"),
}  # fmt: skip


def _both(template: dict, left: dict[str, str], right: dict[str, str]) -> tuple[Side, Side]:
    return _side(template, **left), _side(template, **right)


_LONG = ({"s": "Left", "i": "L"}, {"s": "Right", "i": "R"})
RIGS = (
    Rig("neo", "Neo_Hips", ("Neo_Hips", "Neo_Spine"), ("Neo_Spine2", "Neo_Neck"), *_both(_NEO, *_LONG),
        spine=("Neo_Spine", "Neo_Spine2"), neck=("Neo_Neck", "Neo_Head")),
    Rig("g1", "torso_link", ("pelvis", "torso_link"), ("torso_link", "head"),
        *_both(_G1, {"s": "left"}, {"s": "right"})),
    Rig("soma", "Jaw", ("Hips", "Spine1"), ("Chest", "Neck1"), *_both(_SOMA, *_LONG),
        spine=("Spine1", "Chest"), neck=("Neck1", "Head"), head="Head"),
    Rig("salsa", "lShldr", ("hip", "abdomen"), ("chest", "neck"), *_both(_SALSA, {"i": "l"}, {"i": "r"}),
        spine=("abdomen", "chest"), neck=("neck", "head"), head="head"),
    Rig("jacks", "lowerback", ("midhip", "Hips"), ("Chest", "Chest2"), *_both(_JACKS, *_LONG),
        spine=("Hips", "Chest"), neck=("lowerneck", "Head"), head="Head"),
    Rig("cmu", "LHipJoint", ("midhip", "Hips"), ("Spine", "Spine1"), *_both(_CMU, *_LONG),
        spine=("Hips", "Spine"), neck=("Neck", "Head"), head="Head"),
    Rig("jesse", "LeftInHandIndex", ("Hips", "Spine"), ("Spine2", "Neck"), *_both(_JESSE, *_LONG),
        spine=("Spine", "Spine2"), neck=("Neck", "Head"), head="Head"),
    Rig("drawn", "LeftHandEnd", ("Hips", "Spine"), ("Spine3", "Neck"), *_both(_DRAWN, *_LONG),
        spine=("Spine", "Spine3"), neck=("Neck", "Head"), head="Head"),
    Rig("base", "DEF-hips", ("DEF-hips", "DEF-spine.001"), ("DEF-spine.003", "DEF-neck"),
        *_both(_BASE, {"s": "L"}, {"s": "R"}), spine=("DEF-spine.001", "DEF-spine.003"),
        neck=("DEF-neck", "DEF-head"), head="DEF-head"),
    Rig("addon", "clavicle_l", ("pelvis", "spine_01"), ("spine_03", "neck_01"), *_both(_ADDON, {"s": "l"}, {"s": "r"}),
        spine=("spine_01", "spine_03"), neck=("neck_01", "head"), head="head"),
)  # fmt: skip


def finger_chains(rig: Rig, side: str) -> tuple[tuple[str, ...], ...]:
    """Five chains of joints, thumb to little finger, base to tip, for the rigs whose clips move fingers; else ()."""
    if rig.name == "base":
        s = side[0].upper()
        names = ("thumb", "f_index", "f_middle", "f_ring", "f_pinky")
        return tuple(tuple(f"DEF-{n}.{k:02d}.{s}" for k in (1, 2, 3)) for n in names)
    if rig.name == "addon":
        s = side[0]
        names = ("thumb", "index", "middle", "ring", "pinky")
        return tuple((*(f"{n}_{k:02d}_{s}" for k in (1, 2, 3)), f"{n}_04_leaf_{s}") for n in names)
    return ()


def detect(capture: Capture, where: str) -> Rig:
    """The rig of a take. Raises UserError naming `where` if its joints are of no known family."""
    for rig in RIGS:
        if rig.sign in capture.positions:
            return rig
    raise UserError(f"{where}: take {capture.name} has joints of no known rig; add one to xdancer/data/rigs.py")
