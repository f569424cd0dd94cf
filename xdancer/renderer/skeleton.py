"""The skeleton renderer: a person made of light from one pose.

All shapes are blended by "lighten", so the order of drawing does not matter, a joint's confidence only ever adds
light, and an arm before the chest stays legible. The glow is the same picture blurred at a quarter of the resolution
and added. Thickness follows the figure's stature, which is read off its longest bones.
"""

import cv2
import numpy as np

from xdancer.pose.layout import CANVAS_HEIGHT, CANVAS_WIDTH, FINGERS, INDEX, LEFT_HAND, N_JOINTS, RIGHT_HAND
from xdancer.renderer.brush import Brush, Colour, Profile, Shade
from xdancer.renderer.head import NECK, NOSE, draw_head

GLOW_SCALE = 4  # the near glow is made at a quarter of the resolution, the far one at a sixteenth
TRAIL_DECAY = 0.80  # light left over from one frame to the next in a stream

# RGB. The dancer's right is warm, the left is cool, so that turns and crossings read at a glance.
CHEST: Colour = (150, 96, 255)
WARM, WARM_LEG = (255, 70, 130), (255, 104, 84)
COOL, COOL_LEG = (40, 190, 255), (70, 110, 255)
HEAD: Colour = (244, 150, 255)

BODY_SHADE = Shade((1.0, 0.30, 0.0), (0.75, 0.50, 0.02), (0.45, 0.72, 0.12), (0.12, 0.92, 0.36), steps=8)
CHEST_SHADE = Shade((1.0, 0.26, 0.0), (0.75, 0.40, 0.0), (0.45, 0.52, 0.06), (0.15, 0.60, 0.14), steps=11)
SHOULDER_SHADE = Shade((1.0, 0.26, 0.0), (0.70, 0.42, 0.0), (0.40, 0.53, 0.08))
FINGER_SHADE = Shade((1.0, 0.50, 0.0), (0.5, 1.0, 0.25))
SOFT = 0.005  # share of stature over which the steps of a shade are blurred

LIMBS = tuple(
    (INDEX[f"{side}_{a}"], INDEX[f"{side}_{b}"], profile, colours[which])
    for side, colours in (("right", (WARM, WARM_LEG)), ("left", (COOL, COOL_LEG)))
    for a, b, profile, which in (
        ("shoulder", "elbow", Profile(0.029, 0.029, 0.026, 0.021), 0),
        ("elbow", "wrist", Profile(0.021, 0.023, 0.018, 0.0125), 0),
        ("hip", "knee", Profile(0.050, 0.049, 0.042, 0.031), 1),
        ("knee", "ankle", Profile(0.030, 0.033, 0.0245, 0.0155), 1),
    )
)
FINGER = Profile(1.0, 0.9)
FINGER_GIRTH = np.tile([0.0062, 0.0063, 0.0057, 0.0051], len(FINGERS))  # from the palm to the tip
FINGER_LIGHT = np.tile([0.60, 1.0, 1.0, 1.0], len(FINGERS))  # the bones within the palm stay behind the fingers
FINGER_WHITE = np.repeat([0.05, 0.20, 0.35, 0.50, 0.65], 4)  # from thumb to little finger, so that they tell apart
FOOT = Profile(0.0165, 0.0185, 0.0175, 0.0155, 0.0095)
FOOT_LENGTH, HEEL, SOLE = 0.105, 0.22, 0.018  # ankle to toes, share of that behind it, ankle to the foot's middle
SPREAD = 0.36  # how far feet turn out, as they are seen from the front
SHOULDER = Profile(0.020, 0.025, 0.027)
SLOPE = 0.030  # by which shoulders lie lower than where the neck meets them
SPAN = 0.22  # from shoulder to shoulder
# Share of stature, after Drillis & Contini (1966) as reproduced in Winter, Biomechanics: foreshortening only ever
# shortens a bone, so the largest estimate is the best.
STATURE = tuple(
    (INDEX[f"{side}_{a}"], INDEX[f"{side}_{b}"], share)
    for side in ("right", "left")
    for a, b, share in (
        ("hip", "knee", 0.245), ("knee", "ankle", 0.246), ("shoulder", "hip", 0.288), ("shoulder", "elbow", 0.186)
    )
)  # fmt: skip
USUAL_STATURE = 680.0  # canvas pixels
TORSO = tuple(INDEX[name] for name in ("right_shoulder", "left_shoulder", "right_hip", "left_hip"))


class SkeletonRenderer:
    """Draws poses on a dark stage. `width` and `height` are the picture's, in pixels; the canvas is fitted into it.

    Holds no state between frames: the same pose and beat phase give the same bytes.
    Raises ValueError for a picture smaller than 64 x 64.
    """

    def __init__(self, width: int = CANVAS_WIDTH, height: int = CANVAS_HEIGHT) -> None:
        if width < 64 or height < 64:
            raise ValueError(f"a picture of {width} x {height} is too small to draw on; at least 64 x 64")
        self.width, self.height = width, height
        self.scale = min(width / CANVAS_WIDTH, height / CANVAS_HEIGHT)
        # Whole coordinates are the middles of pixels, in OpenCV and on the canvas.
        spare = np.array([width - CANVAS_WIDTH * self.scale, height - CANVAS_HEIGHT * self.scale])
        self.offset = spare / 2 + (self.scale - 1) / 2
        self.background = _background(width, height)

    def draw(self, pose: np.ndarray, beat_phase: float = 0.0) -> np.ndarray:
        """One picture, uint8 (height, width, 3) RGB, of a pose float32 (60, 3) in canvas pixels with confidence.

        `beat_phase` in [0, 1) lets the glow breathe, brightest on the beat. Joints with confidence 0 are not drawn.
        Raises ValueError for a pose of another shape.
        """
        figure = self._figure(pose)
        return self._light(figure, self._halo(figure), beat_phase)

    def stream(self) -> "SkeletonStream":
        """A drawer that keeps the light of the last frames as a fading trail."""
        return SkeletonStream(self)

    def _figure(self, pose: np.ndarray) -> np.ndarray:
        pose = np.asarray(pose, dtype=np.float64)
        if pose.shape != (N_JOINTS, 3):
            raise ValueError(f"pose has shape {pose.shape}, expected ({N_JOINTS}, 3)")
        picture = np.zeros((self.height, self.width, 3), np.uint8)
        seen = np.where(np.isfinite(pose).all(axis=1), np.clip(pose[:, 2], 0.0, 1.0), 0.0)
        if not seen.any():
            return picture
        # Far outside the picture the fixed-point coordinates would overflow; nobody sees where exactly.
        xy = np.clip(np.nan_to_num(pose[:, :2]), -4 * CANVAS_HEIGHT, 4 * CANVAS_HEIGHT) * self.scale + self.offset
        brush = Brush(picture, xy, _opacity(seen), _stature(xy, seen, USUAL_STATURE * self.scale))
        _draw_torso(brush)
        for a, b, profile, colour in LIMBS:
            brush.limb(a, b, profile, colour, BODY_SHADE, SOFT)
        _draw_feet(brush)
        draw_head(brush, HEAD, CHEST, SOFT)
        _draw_hand(brush, LEFT_HAND.start, COOL)
        _draw_hand(brush, RIGHT_HAND.start, WARM)
        return picture

    def _halo(self, figure: np.ndarray) -> np.ndarray:
        """The figure at 1 / GLOW_SCALE, in halves: OpenCV has a fast path for those."""
        half = cv2.resize(figure, (self.width // 2, self.height // 2), interpolation=cv2.INTER_AREA)
        return cv2.resize(half, (self.width // GLOW_SCALE, self.height // GLOW_SCALE), interpolation=cv2.INTER_AREA)

    def _light(self, figure: np.ndarray, halo: np.ndarray, beat_phase: float) -> np.ndarray:
        """Background + blurred halo + figure."""
        pulse = (0.5 + 0.5 * np.cos(2 * np.pi * beat_phase)) ** 2
        near = cv2.GaussianBlur(halo, (0, 0), 2.4 * self.scale)
        small = cv2.resize(halo, (halo.shape[1] // 4, halo.shape[0] // 4), interpolation=cv2.INTER_AREA)
        far = cv2.GaussianBlur(small, (0, 0), 2.6 * self.scale)
        far = cv2.resize(far, (halo.shape[1], halo.shape[0]), interpolation=cv2.INTER_LINEAR)
        glow = cv2.addWeighted(near, 0.35 + 0.20 * pulse, far, 0.70 + 0.50 * pulse, 0.0)
        glow = cv2.resize(glow, (self.width, self.height), interpolation=cv2.INTER_LINEAR)
        cv2.add(glow, self.background, dst=glow)
        return cv2.add(glow, figure, dst=glow)


class SkeletonStream:
    """Draws frame after frame; the light of moving limbs lingers. `draw` is as `SkeletonRenderer.draw`."""

    def __init__(self, renderer: SkeletonRenderer) -> None:
        self.renderer = renderer
        self._trail: np.ndarray | None = None

    def draw(self, pose: np.ndarray, beat_phase: float = 0.0) -> np.ndarray:
        """uint8 (height, width, 3) RGB of this pose over the fading light of those before."""
        figure = self.renderer._figure(pose)
        halo = self.renderer._halo(figure)
        if self._trail is not None:
            halo = cv2.max(halo, cv2.addWeighted(self._trail, TRAIL_DECAY, self._trail, 0.0, -1.0))
        self._trail = halo
        return self.renderer._light(figure, halo, beat_phase)


def _draw_torso(brush: Brush) -> None:
    """Chest, waist and hips. The near side is enough to see a torso by, the far one being hidden in profile."""
    shoulders, hips = TORSO[:2], TORSO[2:]
    opacity = min(float(brush.seen[list(pair)].max()) for pair in (shoulders, hips))
    if opacity <= 0.0:
        return
    right_shoulder, left_shoulder = _beside(brush, *shoulders)
    right_hip, left_hip = _beside(brush, *hips)
    top, bottom = (right_shoulder + left_shoulder) / 2, (right_hip + left_hip) / 2
    spine = bottom - top
    down = spine / max(float(np.hypot(*spine)), 1e-6)
    across = np.array([down[1], -down[0]])
    # Half-widths; a torso seen from the side keeps its depth.
    chest = max(
        abs(float((left_shoulder - right_shoulder) @ across)) / 2 + 0.010 * brush.stature, 0.068 * brush.stature
    )
    pelvis = max(abs(float((left_hip - right_hip) @ across)) / 2 + 0.044 * brush.stature, 0.070 * brush.stature)
    waist = max(0.40 * (chest + pelvis), 0.060 * brush.stature)
    # Down the spine from the neck to the crotch; inner outlines draw in towards the middle.
    share = CHEST_SHADE.shares[:, None]
    along = 0.52 + (np.array([-0.09, 0.0, 0.16, 0.38, 0.66, 0.92, 1.06, 1.13]) - 0.52) * (0.25 + 0.75 * share)
    half = np.array([0.30 * chest, chest, 0.97 * chest, 0.86 * chest, waist, pelvis, 0.86 * pelvis, 0.34 * pelvis])
    axis = top + along[..., None] * spine
    side = (share * half)[..., None] * across
    outlines = _smooth(np.concatenate([axis + side, (axis - side)[:, ::-1]], axis=1))
    brush.fill(outlines, CHEST_SHADE.colours(CHEST, opacity), SOFT, convex=False)
    for joint, shoulder in zip(shoulders, (right_shoulder, left_shoulder), strict=True):
        nape = top - SLOPE * brush.stature * down
        brush.bone(nape, shoulder, SHOULDER, CHEST, SHOULDER_SHADE, brush.opacity(joint), SOFT)


def _beside(brush: Brush, right: int, left: int) -> tuple[np.ndarray, np.ndarray]:
    """Where two joints are, each drawn to the other as it goes out of sight."""
    trust = np.minimum(brush.seen[[right, left]] / 0.2, 1.0)
    a, b = brush.xy[right], brush.xy[left]
    return b + (a - b) * trust[0], a + (b - a) * trust[1]


def _smooth(points: np.ndarray, steps: int = 2) -> np.ndarray:
    """Closed polygons (k, n, 2) with their corners cut (Chaikin 1974)."""
    for _ in range(steps):
        following = np.concatenate([points[:, 1:], points[:, :1]], axis=1)
        cut = np.stack([0.75 * points + 0.25 * following, 0.25 * points + 0.75 * following], axis=2)
        points = cut.reshape(len(points), -1, 2)
    return points


def _draw_feet(brush: Brush) -> None:
    """The layout ends at the ankles: feet that carry the shins on, and point where the body faces."""
    front, aside = _facing(brush)
    for side, outward, colour in (("right", -1.0, WARM_LEG), ("left", 1.0, COOL_LEG)):
        knee, ankle = INDEX[f"{side}_knee"], INDEX[f"{side}_ankle"]
        bone = brush.xy[ankle] - brush.xy[knee]
        shin = bone / max(float(np.hypot(*bone)), 1e-6)
        ground = np.array([aside + SPREAD * outward * front, 0.08])
        foot = FOOT_LENGTH * brush.stature * (ground + (0.52 - 0.30 * abs(aside)) * shin)
        middle = brush.xy[ankle] + SOLE * brush.stature * shin
        heel, toe = middle - HEEL * foot, middle + foot
        brush.bone(heel, toe, FOOT, colour, BODY_SHADE, brush.opacity(knee, ankle), SOFT)


def _facing(brush: Brush) -> tuple[float, float]:
    """How far the body faces the viewer (1; from behind -1), and how far the right of the picture (1; the left -1)."""
    pairs = [(a, b) for a, b in (TORSO[:2], TORSO[2:]) if min(brush.seen[a], brush.seen[b]) > 0]
    if not pairs:
        return 1.0, 0.0
    span = max((brush.xy[b, 0] - brush.xy[a, 0] for a, b in pairs), key=abs) / (SPAN * brush.stature)
    front = float(np.clip(span, -1.0, 1.0))
    if min(brush.seen[NOSE], brush.seen[NECK]) <= 0:
        return front, 0.0
    nose = float(brush.xy[NOSE, 0] - brush.xy[NECK, 0]) / (0.06 * brush.stature)
    return front, float(np.clip(nose, -1.0, 1.0)) * (1.0 - front**2)


def _draw_hand(brush: Brush, wrist: int, colour: Colour) -> None:
    """A palm and twenty finger bones. Drawn from dim to bright, which is "lighten" for shapes of one hue."""
    joints = np.arange(wrist + 1, wrist + 21)
    before = np.where(np.arange(20) % 4 == 0, wrist, joints - 1)
    opacity = np.minimum(brush.seen[joints], brush.seen[before])
    if opacity.max() <= 0.0:
        return
    knuckles = [wrist, *joints[::4].tolist()]
    palm = brush.opacity(*knuckles)
    if palm > 0.0:
        hull = cv2.convexHull(brush.xy[knuckles].astype(np.float32))[:, 0].astype(np.float64)
        brush.fill(hull[None], 0.30 * palm * np.array([colour], dtype=np.float64))
    outlines = FINGER.outlines(
        brush.xy[before], brush.xy[joints], brush.stature * FINGER_GIRTH[:, None] * FINGER_SHADE.shares
    )
    tint = (
        np.array(colour)
        + (255.0 - np.array(colour)) * (FINGER_WHITE[:, None, None] + FINGER_SHADE.white[:, None]) / 1.25
    )
    light = (opacity * FINGER_LIGHT)[:, None, None] * FINGER_SHADE.bright[:, None] * tint
    order = np.argsort(light.sum(axis=2), axis=None, kind="stable")
    drawn = order[np.repeat(opacity > 0, len(FINGER_SHADE.shares))[order]]
    brush.fill(outlines.reshape(-1, *outlines.shape[2:])[drawn], light.reshape(-1, 3)[drawn])


def _opacity(confidence: np.ndarray) -> np.ndarray:
    """Confidence as opacity: what a detector is fairly sure of shines steadily, guesses at hidden joints fade out."""
    ramp = np.clip((confidence - 0.05) / 0.65, 0.0, 1.0)
    return 0.85 * ramp**2 * (3.0 - 2.0 * ramp) + 0.15 * confidence


def _stature(xy: np.ndarray, seen: np.ndarray, usual: float) -> float:
    """The figure's height in picture pixels, from its longest bones; `usual` where no bone is seen."""
    estimates = [float(np.hypot(*(xy[a] - xy[b]))) / share for a, b, share in STATURE if min(seen[a], seen[b]) > 0]
    return float(np.clip(max(estimates, default=usual), 0.3 * usual, 2.0 * usual))


def _background(width: int, height: int) -> np.ndarray:
    """A dark stage: night blue that lifts a little towards the floor, with a faint pool of light there."""
    y = np.linspace(0.0, 1.0, height, dtype=np.float32)[:, None, None]
    x = np.linspace(-1.0, 1.0, width, dtype=np.float32)[None, :, None]
    wall = np.array([5.0, 5.0, 12.0]) + y * np.array([7.0, 5.0, 16.0])
    pool = np.exp(-(((y - 0.93) / 0.06) ** 2) - (x / 0.75) ** 2) * np.array([26.0, 18.0, 44.0])
    # An ordered dither hides the banding of so dark a gradient.
    threshold = np.array([[0, 8, 2, 10], [12, 4, 14, 6], [3, 11, 1, 9], [15, 7, 13, 5]]) / 16.0
    dither = np.tile(threshold, (height // 4 + 1, width // 4 + 1))[:height, :width, None]
    return np.clip(np.floor(wall + pool + dither), 0, 255).astype(np.uint8)
