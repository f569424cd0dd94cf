"""The room behind somebody: patterns have to go on, and plain rooms to stay plain."""

import torch

from xdancer.evaluation.rooms import patterned
from xdancer.renderer.diffusion.room import behind

HEIGHT, WIDTH = 112, 64
PERSON = (slice(20, 90), slice(24, 42))


def hidden(picture: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The picture (3, H, W) with noise where a person is, and what is free of them."""
    free = torch.ones(1, 1, HEIGHT, WIDTH, dtype=torch.bool)
    free[0, 0][PERSON] = False
    noise = torch.rand(3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(0)) * 2 - 1
    return torch.where(free, picture, noise), free


def error(made: torch.Tensor, true: torch.Tensor) -> float:
    return float((made[0] - true)[:, *PERSON].abs().mean())


def squares(side: int) -> torch.Tensor:
    y, x = torch.arange(HEIGHT)[:, None] // side, torch.arange(WIDTH) // side
    return torch.where((x + y) % 2 > 0, 0.6, -0.4).expand(3, -1, -1)


def test_a_pattern_goes_on_behind_the_person() -> None:
    for side in (3, 5, 8):
        assert error(behind(*hidden(squares(side))), squares(side)) < 0.02


def test_a_pattern_goes_on_over_light_that_changes() -> None:
    light = torch.linspace(-0.4, 0.4, HEIGHT)[:, None] * torch.ones(3, 1, WIDTH)
    true = 0.5 * squares(5) + light
    assert error(behind(*hidden(true)), true) < 0.06  # a tenth of the pattern's height


def test_a_floor_stays_a_floor() -> None:
    true = torch.where(torch.arange(HEIGHT)[:, None] < 70, 0.8, -0.8).expand(3, HEIGHT, WIDTH)
    assert error(behind(*hidden(true)), true) < 0.03


def test_what_can_be_seen_stays_as_it_is_and_what_is_hidden_says_nothing() -> None:
    picture, free = hidden(squares(5))
    made = behind(picture, free)
    assert torch.equal(made[0][:, free[0, 0]], picture[0][:, free[0, 0]])
    other = behind(torch.where(free, picture, 0.9), free)
    assert torch.allclose(made, other)


def test_a_wall_without_a_rule_keeps_its_contrast() -> None:
    leaves = torch.from_numpy(patterned(3))[:, : 2 * HEIGHT : 2, : 2 * WIDTH : 2] * 2 - 1
    made = behind(*hidden(leaves))[0][:, *PERSON]
    true = leaves[:, *PERSON]
    assert 0.5 < float(made.diff(dim=-1).abs().mean() / true.diff(dim=-1).abs().mean()) < 1.5


def test_several_pictures_are_filled_each_by_itself() -> None:
    (one, free), (two, _) = hidden(squares(5)), hidden(squares(8))
    both = behind(torch.cat([one, two]), torch.cat([free, free]))
    assert torch.equal(both[:1], behind(one, free)) and torch.equal(both[1:], behind(two, free))


def test_all_hidden_or_all_free_is_no_harm() -> None:
    picture, free = hidden(squares(5))
    assert behind(picture, torch.zeros_like(free)).isfinite().all()
    assert torch.equal(behind(picture, torch.ones_like(free)), picture)
