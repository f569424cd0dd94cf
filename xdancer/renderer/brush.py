"""Shapes of light: tapered limbs and nested outlines, blended by "lighten" (per channel, the brighter of the two)."""

import cv2
import numpy as np

SHIFT = 4  # OpenCV takes coordinates in 1/16 pixel
CAP_POINTS = 7  # on each round end of a limb

Colour = tuple[int, int, int]


class Profile:
    """The outline of a limb of stature 1: `radii` (shares of stature) at even stations from its first joint to its second.

    With complex numbers for points, the outline between joints a and b is a + direction (length along + stature across).
    """

    def __init__(self, *radii: float) -> None:
        stations = np.linspace(0.0, 1.0, len(radii))
        side = np.array(radii)
        cap = np.linspace(-np.pi / 2, np.pi / 2, CAP_POINTS)
        end = side[-1] * np.exp(1j * cap)  # round the second joint, from one side to the other
        start = side[0] * np.exp(1j * (cap + np.pi))
        self.along = np.concatenate([stations[:-1], np.ones(CAP_POINTS), stations[-2:0:-1], np.zeros(CAP_POINTS)])
        self.across = np.concatenate([-1j * side[:-1], end, 1j * side[-2:0:-1], start])

    def outlines(self, a: np.ndarray, b: np.ndarray, stature: float, shares: np.ndarray) -> np.ndarray:
        """(n_shares, n_points, 2): the limb from a to b at each share of its thickness."""
        bone = complex(*(b - a))
        length = abs(bone)
        direction = bone / length if length > 1e-6 else 1.0
        points = complex(*a) + direction * (length * self.along + stature * shares[:, None] * self.across)
        return np.stack([points.real, points.imag], axis=-1)


class Shade:
    """How a shape's light runs from its rim to its core: rows of (share of the thickness, brightness, share of white)."""

    def __init__(self, *rows: tuple[float, float, float]) -> None:
        self.shares, self.bright, self.white = np.array(rows).T

    def colours(self, colour: Colour, opacity: float) -> list[tuple[float, ...]]:
        tint = np.array(colour, dtype=np.float64)
        mixed = (tint + (255.0 - tint) * self.white[:, None]) * self.bright[:, None] * opacity
        return [tuple(row) for row in mixed.tolist()]


class Brush:
    """Draws into `picture` for one pose: `xy` (60, 2) in picture pixels, `seen` (60,) opacity, `stature` in pixels."""

    def __init__(self, picture: np.ndarray, xy: np.ndarray, seen: np.ndarray, stature: float) -> None:
        self.picture, self.xy, self.seen, self.stature = picture, xy, seen, stature

    def opacity(self, *joints: int) -> float:
        """As opaque as the least certain of the joints that a shape hangs on."""
        return float(self.seen[list(joints)].min())

    def limb(self, a: int, b: int, profile: Profile, colour: Colour, shade: Shade, soft: float = 0.0) -> None:
        """A limb between joints a and b."""
        self.bone(self.xy[a], self.xy[b], profile, colour, shade, self.opacity(a, b), soft)

    def bone(
        self, a: np.ndarray, b: np.ndarray, profile: Profile, colour: Colour, shade: Shade, opacity: float,
        soft: float = 0.0,
    ) -> None:  # fmt: skip
        """A limb between points a and b."""
        if opacity > 0.0:
            outlines = profile.outlines(a, b, self.stature, shade.shares)
            self.nest(outlines, shade.colours(colour, opacity), soft)

    def nest(self, outlines: np.ndarray, colours: list[tuple[float, ...]], soft: float = 0.0) -> None:
        """Nested outlines (k, n, 2), outermost first, in `colours`; `soft` (share of stature) blurs the steps between."""
        height, width = self.picture.shape[:2]
        blur = 2 * int(soft * self.stature / 2) + 1
        edge = 2 + blur
        (left, top), (right, bottom) = outlines[0].min(axis=0), outlines[0].max(axis=0)
        x0, y0 = max(int(left) - edge, 0), max(int(top) - edge, 0)
        x1, y1 = min(int(right) + edge + 1, width), min(int(bottom) + edge + 1, height)
        if x0 >= x1 or y0 >= y1:
            return
        patch = np.zeros((y1 - y0, x1 - x0, 3), np.uint8)
        fixed = np.rint((outlines - (x0, y0)) * (1 << SHIFT)).astype(np.int32)
        for points, colour in zip(fixed, colours, strict=True):
            cv2.fillPoly(patch, [points], colour, cv2.LINE_AA, SHIFT)
        if blur > 1:
            patch = cv2.blur(patch, (blur, blur), borderType=cv2.BORDER_REPLICATE)
        target = self.picture[y0:y1, x0:x1]
        np.maximum(target, patch, out=target)
