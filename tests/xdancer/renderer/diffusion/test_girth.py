"""How wide limbs are seen to be beside what is expected, and people drawn as wide in other poses."""

import torch
from diffusion_fixtures import standing_pose, tiny_model
from torch import Tensor, nn

from xdancer.renderer.diffusion.body import SIZE, Surface
from xdancer.renderer.diffusion.figure import LIMBS, Figure
from xdancer.renderer.diffusion.girth import DOUBT, KIND, KINDS, PIECES, measured, widened

HALF = {"trunk": 60, "head": 50, "upper arm": 24, "forearm": 20, "hand": 20, "thigh": 36, "shin": 24}  # canvas px
SHIN = KINDS.index("shin")
SCALE = 4  # canvas px to a pixel of the maps


def people(pose: Tensor, **half: float) -> Surface:
    """Somebody, (1, ..), whose limbs are as wide as that to either side; places are the columns and rows of pixels."""
    height, width = SIZE
    x, y = ((torch.arange(n) + 0.5) * SCALE - 0.5 for n in (width, height))
    figure = Figure.of(pose[None])
    shown = torch.zeros(SIZE, dtype=torch.bool)
    for limb, kind in enumerate(KIND):
        if not figure.seen[0, limb]:
            continue
        start, end = figure.starts[0, limb], figure.ends[0, limb]
        along = (x - start[0]) * (end - start)[0] + (y[:, None] - start[1]) * (end - start)[1]
        share = (along / (end - start).square().sum()).clamp(0, 1)
        nearest = start[:, None, None] + share * (end - start)[:, None, None]
        shown |= torch.hypot(x - nearest[0], y[:, None] - nearest[1]) < {**HALF, **half}[KINDS[kind]]
    places = torch.stack(torch.broadcast_tensors(x, y[:, None], torch.zeros(())))
    return Surface(torch.where(shown, 9.0, -9.0)[None, None], places[None])


def across(surface: Surface, row: int, middle: int) -> int:
    """How many pixels of a row are shown, up to 12 from a column."""
    return int((surface.shown[0, 0, row, middle - 12 : middle + 12] > 0).sum())


def test_kinds_are_of_the_limbs_that_they_name() -> None:
    named = {
        (KINDS[kind], *(end.split("_")[-1] for end in (LIMBS[k].start, LIMBS[k].end))) for k, kind in enumerate(KIND)
    }
    assert named == {
        ("trunk", "hips", "neck"), ("head", "neck", "head"), ("upper arm", "shoulder", "elbow"),
        ("forearm", "elbow", "wrist"), ("hand", "wrist", "hand"), ("thigh", "hip", "knee"), ("shin", "knee", "ankle"),
    }  # fmt: skip


def test_slim_shins_are_seen_and_nothing_else_is() -> None:
    pose = standing_pose()
    girths = measured(people(pose), people(pose, shin=18), pose[None])
    assert girths.shape == (1, len(KINDS), PIECES)
    # Of both shins a piece is 40 canvas px long: 10 x 12 px expected, 10 x 9 px seen. At their ends they are round.
    worked = (2 * 10 * 9 + DOUBT) / (2 * 10 * 12 + DOUBT)
    assert (girths[0, SHIN, 1:3] - worked).abs().max() < 0.01
    others = [k for k in range(len(KINDS)) if k != SHIN]
    assert (girths[0, others] - 1).abs().max() < 0.05


def test_each_picture_tells_of_its_own_person() -> None:
    pose = standing_pose()
    slim, wide = people(pose, thigh=28), people(pose, thigh=44)
    seen = Surface(torch.cat([slim.shown, wide.shown]), torch.cat([slim.places, wide.places]))
    usual = Surface(*(v.expand(2, -1, -1, -1) for v in (people(pose).shown, people(pose).places)))
    thighs = measured(usual, seen, pose.expand(2, -1, -1))[:, KINDS.index("thigh")]
    assert (thighs[0] < 0.95).all() and (thighs[1] > 1.03).all()


def test_a_limb_that_is_hardly_seen_is_as_expected() -> None:
    pose = standing_pose(without=("left_ankle", "right_ankle"))
    girths = measured(people(pose), people(pose, shin=8), pose[None])
    assert (girths - 1).abs().max() < 0.05


def test_in_another_pose_limbs_are_as_wide_as_they_were_seen() -> None:
    pose = standing_pose(right_knee=(150, 600), right_ankle=(150, 760), left_ankle=(360, 780))
    girths = torch.ones(1, len(KINDS), PIECES)
    girths[:, SHIN] = 0.75
    before = people(pose, shin=40)
    after = widened(before, girths, pose[None])
    middle = 150 // SCALE
    assert across(before, 170, middle) == 20 and across(after, 170, middle) in (15, 16)
    # What was at the edge still is: 8 px from the middle is now what was 8 / 0.75 px from it.
    column = middle + 8
    assert abs(float(after.places[0, 0, 170, column]) - (150 + 8 * SCALE / 0.75)) < SCALE
    above = slice(0, 110)  # knees and what is higher
    assert torch.equal(after.shown[..., above, :] > 0, before.shown[..., above, :] > 0)


def test_who_is_as_wide_as_expected_stays_so() -> None:
    pose = standing_pose()
    before = people(pose)
    after = widened(before, torch.ones(1, len(KINDS), PIECES), pose[None])
    assert (after.shown - before.shown).abs().max() < 1e-3 and (after.places - before.places).abs().max() < 1e-2


def test_a_limb_of_no_length_or_unseen_bends_nothing() -> None:
    pose = standing_pose(without=("right_ankle",), left_ankle=(302, 640))
    girths = torch.full((1, len(KINDS), PIECES), 1.5)
    assert all(v.isfinite().all() for v in vars(widened(people(pose), girths, pose[None])).values())


class Seen(nn.Module):
    """Stands where a trained body would: expects usual people, and sees slim shins in any picture."""

    def forward(self, poses: Tensor, looks: Tensor | None = None) -> Surface:
        told = [people(pose, **({} if looks is None else {"shin": 8})) for pose in poses]
        return Surface(torch.cat([t.shown for t in told]), torch.cat([t.places for t in told]) / 1e4)


def test_who_has_slim_shins_in_a_picture_dances_with_them() -> None:
    model = tiny_model(size=list(SIZE))
    model.body = Seen()
    pose = standing_pose(right_knee=(150, 600), right_ankle=(150, 760))
    grey = torch.zeros(1, 3, *SIZE)
    sight = model.see(model.autoencoder.encode(grey), grey, standing_pose()[None])
    shin = slice(25, 50)
    drawn = float(model.carried(sight, pose[None, None]).person[0, 0, 0, 170, shin].sum())
    usual = float(torch.sigmoid(people(pose).shown)[0, 0, 170, shin].sum())
    assert 5 < drawn < 0.85 * usual
