"""Poses in, pictures out: which frames are drawn, in which size."""

import numpy as np
import pytest

from engine.painter.pace import Setting
from engine.painter.painter import Painter
from tests.models import tiny_renderer, tiny_tokenizer
from xdancer.renderer import Renderer


@pytest.fixture(scope="module")
def renderer(tmp_path_factory: pytest.TempPathFactory) -> Renderer:
    folder = tmp_path_factory.mktemp("weights")
    tokenizer = tiny_tokenizer(folder / "tokenizer")
    tiny_renderer(folder / "renderer", tokenizer)
    return Renderer.from_pretrained(str(folder / "renderer"), tokenizer=tokenizer)


def paint(painter: Painter, first: int, count: int) -> list[tuple[int, np.ndarray]]:
    tokens = np.random.default_rng(1).integers(0, 512, (first + count, 5, 6)).astype(np.int16)
    poses = painter.renderer.tokenizer.decode(tokens)
    made = [painter.push(k, tokens[k], poses[k]) for k in range(first, first + count)]
    return [(painting.index, painting.picture) for some in made for painting in some]


@pytest.mark.parametrize(
    ("setting", "drawn"),
    [(Setting(1, 1), [*range(20)]), (Setting(1, 3), [0, 3, 6, 9, 12, 15]), (Setting(2, 1), [*range(16)])],
)
def test_frames_are_drawn_as_the_setting_says(renderer: Renderer, setting: Setting, drawn: list[int]) -> None:
    painter = Painter(renderer, 64, 112, setting)
    made = paint(painter, 0, 20)
    assert [index for index, _ in made] == drawn and painter.spent > 0
    assert all(picture.shape == (112, 64, 3) and picture.std() > 1 for _, picture in made)
    assert [p.index for p in painter.finish()] == [k for k in range(0, 20, setting.stride) if k not in drawn]


def test_it_is_drawn_in_the_size_of_the_show(renderer: Renderer) -> None:
    tall = paint(Painter(renderer, 128, 224, Setting(1, 1)), 0, 4)[0][1]
    assert tall.shape == (224, 128, 3)
    wide = paint(Painter(renderer, 224, 112, Setting(1, 1)), 0, 4)[0][1]
    plain = paint(Painter(renderer, 64, 112, Setting(1, 1)), 0, 4)[0][1]
    assert np.array_equal(wide[:, 80:144], plain)  # in the middle, the sides continued
    assert np.array_equal(wide[:, 0], plain[:, 0])


def test_with_less_memory_it_makes_do_step_by_step(renderer: Renderer) -> None:
    painter = Painter(renderer, 256, 448, Setting(4, 2))
    assert painter.make_do() == "pictures in one pass" and painter.setting == Setting(1, 2)
    made = [paint(painter, 0, 8)[0][1]]
    for scale in (2, 1):
        assert painter.make_do() == f"pictures of {scale * renderer.width} x {scale * renderer.height} px"
        made.append(paint(painter, 0, 8)[0][1])
    assert all(picture.shape == (448, 256, 3) for picture in made)
    assert not np.array_equal(made[0], made[1]) and not np.array_equal(made[1], made[2])
    assert painter.make_do() is None


def test_a_change_begins_anew_with_the_next_frame(renderer: Renderer) -> None:
    painter = Painter(renderer, 64, 112, Setting(1, 1))
    assert [k for k, _ in paint(painter, 0, 5)] == [0, 1, 2, 3]
    painter.change(Setting(1, 2))
    assert [k for k, _ in paint(painter, 6, 8)] == [6, 8, 10, 12]
