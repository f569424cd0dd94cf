"""The reference carried over a body: what has to come out where, worked out by hand on a flat one."""

from dataclasses import replace

import torch
from diffusion_fixtures import standing_pose, tiny_model

from xdancer.renderer.diffusion.body import Surface
from xdancer.renderer.diffusion.carry import carried, cut_out, looks

HEIGHT, WIDTH = 112, 64
STATURE = 80  # px


def board(left: float = 0.0, top: float = 0.0, grown: float = 1.0, hidden: slice | None = None) -> Surface:
    """A flat person, 24 x 80 px at 20 px from the left and 16 from the top: one frame (1, .., H, W). `hidden`: rows in
    which nobody is seen. Its places rise to the right and upwards, 1 px being 1/80 of its stature."""
    x = (torch.arange(WIDTH) - 20 - left) / grown
    y = ((torch.arange(HEIGHT) - 16 - top) / grown)[:, None]
    inside = (x >= 0) & (x < 24) & (y >= 0) & (y < STATURE)
    if hidden is not None:
        inside[hidden] = False
    places = torch.stack(torch.broadcast_tensors((x - 12) / STATURE, 1 - y / STATURE, torch.tensor(0.0)))
    return Surface(torch.where(inside, 12.0, -12.0)[None, None], places[None])


def picture() -> torch.Tensor:
    """(1, 3, H, W): red rises to the right, green downwards, so that a colour tells its place; the person is bluer."""
    x, y = torch.linspace(-1, 1, WIDTH), torch.linspace(-1, 1, HEIGHT)[:, None]
    blue = torch.where(board().shown[0, 0] > 0, 1.0, -1.0)
    return torch.stack([x.expand(HEIGHT, -1), y.expand(-1, WIDTH), blue])[None]


def carry(then: Surface, *now: Surface) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Of one window: pictures (F, 3, H, W), masks (F, 3, H, W), and where nobody is (F, 1, H, W)."""
    window = Surface(torch.cat([s.shown for s in now])[None], torch.cat([s.places for s in now])[None])
    return tuple(v[0] for v in carried(cut_out(picture(), then), window)[:2])


def test_in_their_own_pose_a_person_stays_as_they_are() -> None:
    (made,), (masks,) = carry(board(), board())
    inside = board().shown[0, 0] > 0
    assert (made - picture()[0]).abs()[:, inside].mean() < 0.02
    assert (masks[[0, 2]][:, inside] > 0.9).all() and (masks[1, 20:90, 24:40] > 0.95).all()
    assert not masks[:, ~inside].round().any()


def test_who_moves_takes_their_colours_along_and_leaves_the_room() -> None:
    (made,), (masks,) = carry(board(), board(left=12, top=10))
    assert torch.allclose(made[:, 66, 44], picture()[0, :, 56, 32], atol=0.03)  # the middle of the person
    assert masks[0, 66, 44] > 0.9 and masks[2, 66, 44] < 0.1
    room = made[:, 60, 22]  # where they stood, and nobody is now
    assert room[2] < -0.9 and (room[:2] - picture()[0, :2, 60, 22]).abs().max() < 0.2
    assert masks[0, 60, 22] < 0.1 and masks[2, 60, 22] > 0.9
    assert masks[0, 5, 5] < 1e-3 and torch.allclose(made[:, 5, 5], picture()[0, :, 5, 5], atol=1e-4)  # far from both
    assert masks[0, 66, 54] > 0.9  # within the edge of who has moved


def test_a_floor_goes_on_behind_who_stood_on_it() -> None:
    edge = 70  # the row in which a dark floor begins
    room = torch.where(torch.arange(HEIGHT)[:, None] < edge, 0.8, -0.8).expand(1, 3, HEIGHT, WIDTH)
    stands = board()
    filled = cut_out(torch.where(stands.shown > 0, 0.0, room), stands).room
    rows = torch.cat([torch.arange(30, edge - 5), torch.arange(edge + 5, 90)])  # behind the person, beside the edge
    assert (filled - room)[0, :, rows, 20:44].abs().max() < 0.1
    assert not (filled - room)[..., :8].any()


def test_who_comes_nearer_is_carried_larger() -> None:
    (made,), _ = carry(board(), board(left=-6, top=-8, grown=1.5))
    down, across = 40 * 1.5 - 8 + 16, 6 * 1.5 - 6 + 20
    assert torch.allclose(made[:, round(down), round(across)], picture()[0, :, 56, 26], atol=0.05)


def test_what_the_reference_does_not_show_is_filled_from_beside_it_and_not_trusted() -> None:
    (made,), (masks,) = carry(board(hidden=slice(60, None)), board())
    below = made[:, 75, 32]
    assert masks[0, 75, 32] > 0.9  # somebody is there
    assert masks[1, 75, 32] < 0.1  # and the reference does not say what they look like
    assert below[2] > 0.5  # still they are dressed
    assert masks[1, 40, 32] > 0.8


def test_nobody_is_the_room_without_a_hole_in_the_numbers() -> None:
    nobody = Surface(torch.full((1, 1, HEIGHT, WIDTH), -12.0), torch.zeros(1, 3, HEIGHT, WIDTH))
    made, masks = carry(board(), nobody)
    assert made.isfinite().all() and masks[:, :2].max() < 1e-3
    made, masks = carry(nobody, board(), nobody)
    assert made.isfinite().all() and masks[:, 1].max() < 1e-3
    assert torch.allclose(made[1], picture()[0], atol=1e-4)  # nobody known: the room is all of the picture


def test_the_room_is_filled_from_around_the_person() -> None:
    cutout = cut_out(picture(), board())
    inside = board().shown[0, 0] > 0
    assert (cutout.room[0, 2] < -0.9).all()  # nothing is left of them
    assert (cutout.room[0] - picture()[0])[:2, inside].abs().mean() < 0.15  # a slope goes on behind them
    assert torch.equal(cutout.room[0, :, :, :8], picture()[0, :, :, :8])


def test_how_somebody_looks_is_told_where_they_stand_out() -> None:
    told, slim = looks(picture(), board())[0], looks(picture(), board(left=4, grown=0.7))[0]
    inside = board().shown[0, 0] > 0
    inside, outside = inside.clone(), ~inside
    inside[:18], inside[-18:], inside[:, :22], inside[:, 42:] = False, False, False, False
    outside[12:100, 17:47] = False  # the edge is between the two
    assert (told[0, inside] > 0.9).all() and (told[0, outside] < -0.9).all()
    assert (told[3, inside] > 1.5).all() and told[1:, outside].abs().max() < 0.2
    assert (slim[0, 40:60, 24:40] > 0.9).all() and (slim[0, :, 50:] < -0.9).all()  # beside who was expected, too
    hidden = looks(torch.zeros(1, 3, HEIGHT, WIDTH), board())
    assert hidden.abs().max() < 1e-5


def test_before_a_wall_with_a_pattern_colours_decide_no_more_than_they_can() -> None:
    """The wall is as far from what it is taken for as the person: that it differs makes nobody of it."""
    rows, columns = torch.arange(HEIGHT)[:, None], torch.arange(WIDTH)
    wall = torch.where((rows // 4 + columns // 4) % 2 > 0, 0.5, -0.5).expand(1, 3, -1, -1)
    doubtful = board()
    doubtful.shown[..., 12:20] = 0.3  # beside the person, who may be wider than people mostly are
    person = torch.where(board().shown > 0, 0.9, wall)
    evidence = cut_out(person, doubtful).sure[0, 1]
    assert evidence[20:90, 12:19].mean() < 0.6
    window = Surface(doubtful.shown[None], doubtful.places[None])
    _, masks, _ = carried(cut_out(person, doubtful), window)
    assert masks[0, 0, 0, 30:80, 26:38].min() > 0.9 and masks[0, 0, 1, 30:80, 26:38].min() > 0.8


def test_the_middle_of_somebody_in_the_colours_of_the_room_is_theirs() -> None:
    window = Surface(board().shown[None], board().places[None])
    like_room = torch.zeros(1, 3, HEIGHT, WIDTH)
    like_room[..., 30:96, 20:44] = 0.9  # all of them stands out but the face
    _, masks, _ = carried(cut_out(like_room, board()), window)
    assert masks[0, 0, 1, 20:28, 26:38].min() > 0.8  # the face is carried as it is


def test_where_people_differ_in_shape_the_reference_decides() -> None:
    doubtful, shown = board(), picture()
    doubtful.shown[..., 20:26] = torch.where(doubtful.shown[..., 20:26] > 0, 0.3, -12.0)
    window = Surface(doubtful.shown[None], doubtful.places[None])
    _, masks, _ = carried(cut_out(shown, doubtful), window)
    assert masks[0, 0, 0, 50, 22] > 0.5  # somebody wide
    shown[..., 2, :, :26] = -1  # somebody who is six px narrower: there is room
    made, masks, _ = carried(cut_out(shown, doubtful), window)
    assert masks[0, 0, 0, 50, 22] < 0.2 and made[0, 0, 2, 50, 22] < -0.5
    assert masks[0, 0, 0, 50, 34] > 0.9 and made[0, 0, 2, 50, 34] > 0.9


def test_frames_do_not_depend_on_their_neighbours() -> None:
    together, _ = carry(board(), board(left=5), board(top=7))
    alone, _ = carry(board(), board(top=7))
    assert torch.equal(together[1], alone[0])


def test_detail_comes_from_what_is_carried_where_the_picture_is_like_it() -> None:
    model = tiny_model()
    reference = picture()[..., ::2, ::2]
    moved = model.carried(model.look(reference, standing_pose()[None]), standing_pose()[None, None])[0]
    latents = moved.maps[:, :4]
    everywhere = torch.ones_like(moved.person)
    moved = replace(moved, pictures=model.paint(latents) + 0.3 * torch.randn(1, 3, 56, 32), person=everywhere)
    plain, made = (model.paint(latents, with_it) for with_it in (None, moved))  # the same, without and with the detail
    assert (made - moved.pictures).abs().mean() < 0.35 * (plain - moved.pictures).abs().mean()
    right = everywhere.clone()
    right[..., :16] = 0
    room = model.paint(latents, replace(moved, person=right))
    assert torch.equal(room[..., :16], moved.pictures[..., :16]) and torch.equal(room[..., 16:], made[..., 16:])
    other = latents + 30  # somebody else altogether
    assert (model.paint(other, moved) - model.paint(other)).abs().max() < 0.05
    assert model.paint(latents, moved, sharp=True).shape == (1, 3, 112, 64)


def test_in_twice_the_size_the_reference_is_carried_in_twice_the_size() -> None:
    model = tiny_model()
    reference = picture()[..., ::2, ::2]
    sight = model.look(reference, standing_pose()[None], picture())
    coarse, fine = (model.carried(sight, standing_pose()[None, None], sharp)[0] for sharp in (False, True))
    assert coarse.pictures.shape == (1, 3, 56, 32) and fine.pictures.shape == (1, 3, 112, 64)
    assert fine.maps.shape == coarse.maps.shape and fine.person.shape == (1, 1, 112, 64)
    painted = model.paint(fine.maps[:, :4], fine, sharp=True)
    assert painted.shape == (1, 3, 112, 64) and painted.isfinite().all()
    assert model.paint(fine.maps[:, :4], fine).shape == (1, 3, 56, 32)
    without = model.look(reference, standing_pose()[None])
    assert torch.equal(model.carried(without, standing_pose()[None, None], True)[0].pictures, coarse.pictures)


def test_in_a_hurry_pictures_differ_by_a_shade() -> None:
    model = tiny_model()
    latents = torch.randn(2, 4, 7, 4)
    exact = model.paint(latents)
    model.hurries = True
    quick = model.paint(latents)
    assert quick.dtype == exact.dtype and 0 < (quick - exact).abs().max() < 0.05 * exact.abs().max()
