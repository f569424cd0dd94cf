"""A head from five points: where the skull lies, which way it leans and which way it looks."""

from dataclasses import dataclass

import numpy as np

from xdancer.pose.layout import INDEX
from xdancer.renderer.brush import Brush, Colour, Profile, Shade

NOSE, NECK = INDEX["nose"], INDEX["neck"]
EYES = (INDEX["right_eye"], INDEX["left_eye"])
EARS = (INDEX["right_ear"], INDEX["left_ear"])
HALF_WIDTH, HALF_DEPTH, HALF_HEIGHT = 0.046, 0.056, 0.066  # of the skull, as shares of stature
CHIN = 0.24  # how much narrower the jaw is than the brow
TURN = np.linspace(0.0, 2 * np.pi, 32, endpoint=False)

WHITE: Colour = (255, 255, 255)
SKULL_SHADE = Shade((1.0, 0.46, 0.0), (0.90, 0.34, 0.0), (0.60, 0.26, 0.0), (0.30, 0.24, 0.0), steps=6)
FACE_SHADE = Shade((1.0, 0.28, 0.0), (0.80, 0.42, 0.05), (0.50, 0.58, 0.20), (0.20, 0.66, 0.30), steps=7)
FEATURE_SHADE = Shade((1.0, 0.70, 0.3), (0.6, 1.0, 0.9))
NOSE_SHADE = Shade((1.0, 0.40, 0.1), (0.7, 0.60, 0.25), (0.4, 0.74, 0.4))
NECK_SHADE = Shade((1.0, 0.20, 0.0), (0.75, 0.36, 0.0), (0.45, 0.48, 0.06), (0.15, 0.54, 0.12), steps=6)
NECK_PROFILE = Profile(0.040, 0.028, 0.024, 0.024)
EYE = Profile(0.0012, 0.0036, 0.0040, 0.0036, 0.0012)  # an almond
NOSE_RIDGE = Profile(0.0110, 0.0080, 0.0045)


@dataclass(frozen=True)
class Head:
    """`centre` of the skull in picture pixels, unit vectors `up` and `side`, half-sizes in pixels.

    `look` is where the face points along `side` and `up`, each -1 to 1; (0, 0) is straight at the viewer.
    """

    centre: np.ndarray
    up: np.ndarray
    side: np.ndarray
    half_width: float
    half_height: float
    look: np.ndarray
    opacity: float

    def outlines(self, shares: np.ndarray, size: float = 1.0, shift: float = 0.0) -> np.ndarray:
        """Eggs (k, 32, 2) at `shares` of `size`, moved by `shift` of the half-size to where the face looks."""
        jaw = np.clip(-np.cos(TURN), 0.0, 1.0)
        x = np.sin(TURN) * (1.0 - CHIN * jaw**1.5) + 0.22 * self.look[0] * jaw**2
        x = size * shares[:, None] * x + shift * self.look[0]
        y = size * shares[:, None] * np.cos(TURN) + shift * self.look[1]
        return self.centre + (x * self.half_width)[..., None] * self.side + (y * self.half_height)[..., None] * self.up


def find_head(xy: np.ndarray, seen: np.ndarray, stature: float) -> Head | None:
    """The head of a pose (`xy` (60, 2) picture pixels, `seen` (60,) confidence); None where no part of it is seen."""
    face = [NOSE, *EYES, *EARS]
    if seen[face].max() <= 0.0:
        return None
    known = [joint for joint in face if seen[joint] > 0]
    ears, eyes = [j for j in EARS if seen[j] > 0], [j for j in EYES if seen[j] > 0]
    middle = xy[ears].mean(0) if len(ears) == 2 else xy[known].mean(0)
    up = np.array([0.0, -1.0])
    if seen[NECK] > 0:
        up = _unit(middle - xy[NECK], up)
    # The line through the ears (or eyes) tells the head's roll; it fades out as a profile closes it.
    pair = ears if len(ears) == 2 else eyes
    if len(pair) == 2:
        line = xy[pair[1]] - xy[pair[0]]
        normal = np.array([line[1], -line[0]])
        normal = normal if normal @ up > 0 else -normal
        spread = min(1.0, float(np.hypot(*line)) / (1.5 * HALF_WIDTH * stature))
        up = _unit(up + spread * _unit(normal, up), up)
    side = np.array([-up[1], up[0]])
    look = np.zeros(2)
    if seen[NOSE] > 0:
        nose = (xy[NOSE] - middle) / (HALF_DEPTH * stature)
        # Looking straight ahead the nose is a little below the ears.
        look = np.clip([nose @ side, nose @ up + 0.25], -1.0, 1.0)
    half_width = (HALF_WIDTH + (HALF_DEPTH - HALF_WIDTH) * abs(look[0])) * stature
    centre = middle + (up * (0.010 + 0.016 * look[1]) + side * look[0] * 0.014) * stature
    return Head(centre, up, side, half_width, HALF_HEIGHT * stature, look, float(seen[face].max()))


def draw_head(brush: Brush, colour: Colour, neck_colour: Colour, soft: float) -> None:
    """Neck, skull, and a face that turns with the nose; seen from behind the face goes as its confidence goes."""
    head = find_head(brush.xy, brush.seen, brush.stature)
    if head is None:
        return
    throat = head.centre - head.up * 0.5 * head.half_height
    brush.bone(
        brush.xy[NECK],
        throat,
        NECK_PROFILE,
        neck_colour,
        NECK_SHADE,
        min(head.opacity, brush.opacity(NECK)),
        soft,
        convex=False,
    )
    brush.fill(head.outlines(SKULL_SHADE.shares), SKULL_SHADE.colours(colour, head.opacity))
    face = brush.opacity(NOSE)
    if face > 0.0:
        brush.fill(head.outlines(FACE_SHADE.shares, 0.78, 0.30), FACE_SHADE.colours(colour, face), soft)
        ridge = head.centre * 0.35 + brush.xy[NOSE] * 0.65
        brush.bone(ridge, brush.xy[NOSE], NOSE_RIDGE, colour, NOSE_SHADE, face, soft)
    for eye in EYES:
        half = head.side * 0.0095 * brush.stature
        brush.bone(brush.xy[eye] - half, brush.xy[eye] + half, EYE, WHITE, FEATURE_SHADE, brush.opacity(eye))


def _unit(vector: np.ndarray, fallback: np.ndarray) -> np.ndarray:
    length = float(np.hypot(*vector))
    return vector / length if length > 1e-6 else fallback
