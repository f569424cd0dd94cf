"""The room behind somebody, as it may look: its pattern goes on from where it can be seen.

Patterns repeat by a few shifts (He and Sun, Statistics of Patch Offsets for Image Completion, ECCV 2012). Those by
which the room around the person is most like itself are looked for at once, by Fourier transforms. Each hidden pixel
then takes what is fine in the pixel one shift away, by the shift that does best near by; what is coarse is spread from
around.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from xdancer.renderer.diffusion.cells import filled, highest, mean_around, reach_of

COARSE = 0.25  # of the picture's width: what changes more slowly than that is spread, not shifted
RING = 0.12  # of the width: so far around the person the room is compared with itself
NEAR = 0.03  # of the width: within it a shift does as well
COMPARED = 0.15  # share of the ring that has to have something to be compared with
USEFUL = 0.1  # share of the hidden pixels that a shift has to show something for
FEW = 4  # px to a side of what is looked at together
UNSEEN = 0.02  # of squared differences of colours in [-1, 1], summed up: nobody sees so little
OFF, ROUGH = 0.3, 6.0  # what the errors and the roughness count of a wall that a pattern may take the place of
APART = 3  # px between two shifts
TRIED, BEST, MORE = 400, 16, 12  # shifts that are likely; the best ones; others that show what these do not

Shift = tuple[int, int]  # px down and across


def behind(pictures: Tensor, free: Tensor) -> Tensor:
    """Pictures (B, 3, H, W) with what is not `free` (B, 1, H, W) of the person as the room may look there."""
    return torch.cat([_behind(one[None], known[None].to(one)) for one, known in zip(pictures, free, strict=True)])


def _behind(picture: Tensor, known: Tensor) -> Tensor:
    """Of one picture (1, 3, H, W), where `known` is 1."""
    coarse = filled(_blurred(picture * known, COARSE), _blurred(known, COARSE))
    fine = (picture - coarse) * known
    least, pattern = torch.full_like(known, torch.inf), coarse
    for shift in _shifts(fine, known):
        off, shown = _by(shift, fine, known)
        pattern = torch.where(off < least, coarse + shown, pattern)
        least = torch.minimum(least, off)
    off, plain = _spread(picture, known)
    better = _blurred((least < off).to(picture), NEAR)  # from one to the other without a seam
    return torch.where(known > 0, picture, torch.lerp(plain, pattern, better))


def _spread(picture: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
    """As `_by`, for what is merely filled from around. Before a plain wall it is as good as any pattern, and has no
    seams; of a rough one it leaves a blur."""
    hidden = highest(1 - known, RING)
    ring = hidden * known
    off = (picture - filled(picture * (1 - hidden), 1 - hidden)).square().sum(1, keepdim=True)
    local = _blurred(picture * known, NEAR) / _blurred(known, NEAR).clamp_min(1e-6)
    rough = (picture - local).square().sum(1, keepdim=True)
    off, rough = ((_near(v * ring, ring) - UNSEEN).clamp_min(0) for v in (off, rough))
    return OFF * off + ROUGH * rough, filled(picture * known, known)


def _shifts(fine: Tensor, known: Tensor) -> list[Shift]:
    """By which what is `fine` around the hidden pixels is like itself, best first."""
    hidden, (height, width) = 1 - known, fine.shape[-2:]
    if not hidden.any() or not known.any():
        return []
    ring = highest(hidden, RING) * known
    power = fine.square().sum(1, keepdim=True)
    alike = _correlated(ring * fine, fine).sum(1, keepdim=True)
    wrong = _correlated(ring * power, known) + _correlated(ring, power) - 2 * alike
    count = _correlated(ring, known)
    usable = (count > COMPARED * ring.sum()) & (_correlated(hidden, known) > USEFUL * hidden.sum())
    score = torch.where(usable, wrong / count.clamp_min(1), torch.inf)
    lowest = -F.max_pool2d(-score, 2 * APART + 1, 1, APART)
    found, at = torch.where(score == lowest, score, torch.inf).flatten().topk(TRIED, largest=False)
    numbers = at[found.isfinite()].tolist()
    likely = [(n // (2 * width) - height, n % (2 * width) - width) for n in numbers]
    return _covering(likely, known)


def _covering(likely: list[Shift], known: Tensor) -> list[Shift]:
    """The best shifts, and of the others those that show most of what they leave hidden."""
    if not likely:
        return []
    few = F.avg_pool2d(known, FEW, ceil_mode=True).floor()
    shows = torch.cat([_shifted(few, (round(down / FEW), round(across / FEW)))[0] for down, across in likely])
    chosen = list(range(min(BEST, len(likely))))
    left = (1 - few[0, 0]) * (1 - shows[chosen].amax(0))
    for _ in range(MORE):
        gain = (shows * left).sum((1, 2))
        if gain.max() < 1:
            break
        chosen.append(int(gain.argmax()))
        left = left * (1 - shows[chosen[-1]])
    return [likely[k] for k in chosen]


def _by(shift: Shift, fine: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
    """What a shift does: how wrong it is near each pixel (1, 1, H, W), infinitely where it shows nothing, and what it
    shows there (1, 3, H, W)."""
    shown, there = _shifted(torch.cat([fine, known], dim=1), shift).split([3, 1], dim=1)
    both = known * there
    near = _near((fine - shown).square().sum(1, keepdim=True) * both, both)
    return torch.where(there > 0, near, torch.inf), shown


def _near(off: Tensor, known: Tensor) -> Tensor:
    """The mean of what is `off` near each pixel (1, 1, H, W), of what is `known`. It varies slowly: few pixels do."""
    off, weight = (_blurred(F.avg_pool2d(v, FEW, ceil_mode=True), NEAR) for v in (off, known))
    size = [FEW * side for side in off.shape[-2:]]
    large = F.interpolate(filled(off, weight), size, mode="bilinear", align_corners=False)
    return large[..., : known.shape[-2], : known.shape[-1]]


def _correlated(a: Tensor, b: Tensor) -> Tensor:
    """For each shift (2 H, 2 W), none being in the middle, the sum over pixels of a's times b's one shift away."""
    height, width = a.shape[-2:]
    size = (2 * height, 2 * width)
    product = torch.fft.rfft2(a, s=size).conj() * torch.fft.rfft2(b, s=size)
    return torch.fft.irfft2(product, s=size).roll((height, width), (-2, -1))


def _shifted(values: Tensor, shift: Shift) -> Tensor:
    """At each pixel the value one shift away, 0 beyond the edge."""
    down, across = shift
    height, width = values.shape[-2:]
    out = torch.zeros_like(values)
    rows = slice(max(0, -down), height - max(0, down))
    columns = slice(max(0, -across), width - max(0, across))
    there = values[..., rows.start + down : rows.stop + down, columns.start + across : columns.stop + across]
    out[..., rows, columns] = there
    return out


def _blurred(values: Tensor, share: float) -> Tensor:
    """The mean of up to a `share` of the width to every side, taken twice, 0 beyond the edge."""
    reach = reach_of(share, values.shape[-1])
    return mean_around(mean_around(values, reach), reach)
