"""Shapes of light: tapered limbs and nested outlines, blended by "lighten" (per channel, the brighter of the two)."""

import cv2
import numpy as np

SHIFT = 4  # OpenCV takes coordinates in 1/16 pixel
CAP_POINTS = 7  # on each round end of a limb

Colour = tuple[int, int, int]


class Profile:
    """The outline of a limb: `radii` at even stations from its first joint to its second, with round ends.

    Radii are shares of stature. Points are complex numbers here.
    """

    def __init__(self, *radii: float) -> None:
        side = np.array(radii)
        stations = np.linspace(0.0, 1.0, len(radii))
        cap = np.exp(1j * np.linspace(-np.pi / 2, np.pi / 2, CAP_POINTS))
        # Down one side, round the second joint, back up the other side, round the first joint.
        self.along = np.concatenate([stations[:-1], np.ones(CAP_POINTS), stations[-2:0:-1], np.zeros(CAP_POINTS)])
        self.across = np.concatenate([-1j * side[:-1], side[-1] * cap, 1j * side[-2:0:-1], -side[0] * cap])

    def outlines(self, a: np.ndarray, b: np.ndarray, thickness: np.ndarray) -> np.ndarray:
        """Limbs from a (n, 2) to b (n, 2), each at k values of `thickness` (n, k) in pixels: (n, k, points, 2)."""
        bones = _complex(b - a)
        lengths = np.abs(bones)
        directions = np.where(lengths > 1e-6, bones / np.maximum(lengths, 1e-6), 1.0)
        axis = _complex(a)[:, None] + bones[:, None] * self.along
        points = axis[:, None] + (directions[:, None] * thickness)[..., None] * self.across
        return points.view(np.float64).reshape(*points.shape, 2)


class Shade:
    """How light runs from a shape's rim to its core: rows of (share of the thickness, brightness, share of white).

    `steps` nested shapes are drawn, the rows interpolated.
    """

    def __init__(self, *rows: tuple[float, float, float], steps: int | None = None) -> None:
        share, bright, white = np.array(rows)[::-1].T
        steps = steps or len(rows)
        self.shares = np.linspace(1.0, share[0], steps) if steps != len(rows) else share[::-1].copy()
        self.bright = np.interp(self.shares, share, bright)
        self.white = np.interp(self.shares, share, white)

    def colours(self, colour: Colour, opacity: float) -> np.ndarray:
        """RGB from the rim to the core, (k, 3)."""
        tint = np.array(colour, dtype=np.float64)
        return (tint + (255.0 - tint) * self.white[:, None]) * (self.bright * opacity)[:, None]


class Brush:
    """Draws into `picture` for one pose: `xy` (60, 2) in picture pixels, `seen` (60,) opacity, `stature` in pixels."""

    def __init__(self, picture: np.ndarray, xy: np.ndarray, seen: np.ndarray, stature: float) -> None:
        self.picture, self.xy, self.seen, self.stature = picture, xy, seen, stature

    def opacity(self, *joints: int) -> float:
        """As opaque as the least certain of the joints that a shape hangs on."""
        return float(min(self.seen[joint] for joint in joints))

    def limb(self, a: int, b: int, profile: Profile, colour: Colour, shade: Shade, soft: float = 0.0) -> None:
        """A limb between joints a and b."""
        self.bone(self.xy[a], self.xy[b], profile, colour, shade, self.opacity(a, b), soft)

    def bone(
        self, a: np.ndarray, b: np.ndarray, profile: Profile, colour: Colour, shade: Shade, opacity: float,
        soft: float = 0.0, convex: bool = True,
    ) -> None:  # fmt: skip
        """A limb between points a and b."""
        if opacity > 0.0:
            outlines = profile.outlines(a[None], b[None], self.stature * shade.shares[None])[0]
            self.fill(outlines, shade.colours(colour, opacity), soft, convex)

    def fill(self, outlines: np.ndarray, colours: np.ndarray, soft: float = 0.0, convex: bool = True) -> None:
        """Outlines (k, n, 2) in `colours` (k, 3), later ones over earlier ones, the whole lightened onto the picture.

        `soft` (a share of stature) blurs the steps from one to the next. Convex outlines OpenCV
        fills faster, and nearer to their place.
        """
        height, width = self.picture.shape[:2]
        blur = 2 * int(soft * self.stature / 2) + 1
        edge = 2 + blur
        left, top = outlines.min(axis=(0, 1))
        right, bottom = outlines.max(axis=(0, 1))
        x0, y0 = max(int(left) - edge, 0), max(int(top) - edge, 0)
        x1, y1 = min(int(right) + edge + 1, width), min(int(bottom) + edge + 1, height)
        if x0 >= x1 or y0 >= y1:
            return
        patch = np.zeros((y1 - y0, x1 - x0, 3), np.uint8)
        fixed = np.rint((outlines - (x0, y0)) * (1 << SHIFT)).astype(np.int32)
        for points, colour in zip(fixed, colours.tolist(), strict=True):
            if convex:
                cv2.fillConvexPoly(patch, points, colour, cv2.LINE_AA, SHIFT)
            else:
                cv2.fillPoly(patch, [points], colour, cv2.LINE_AA, SHIFT)
        if blur > 1:
            patch = cv2.blur(patch, (blur, blur), borderType=cv2.BORDER_REPLICATE)
        target = self.picture[y0:y1, x0:x1]
        cv2.max(target, patch, dst=target)


def _complex(points: np.ndarray) -> np.ndarray:
    return points[..., 0] + 1j * points[..., 1]
