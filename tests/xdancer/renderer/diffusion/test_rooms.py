"""Rooms with patterns, as an evaluation draws them."""

from pathlib import Path

import numpy as np
import torch

from xdancer.evaluation.rooms import HEIGHT, WIDTH, PatternedScenes, patterned
from xdancer.tokenizer import PoseTokenizer
from xdancer.training.renderer.darkroom import Darkroom
from xdancer.training.renderer.scenes import Scenes, gathered


def test_a_room_is_always_the_same_and_no_two_are() -> None:
    rooms = [patterned(k) for k in range(10)]
    assert all(np.array_equal(room, patterned(k)) for k, room in enumerate(rooms))
    assert all(room.shape == (3, HEIGHT, WIDTH) and room.min() >= 0 and room.max() <= 1 for room in rooms)
    assert all(np.abs(a - b).mean() > 0.01 for k, a in enumerate(rooms) for b in rooms[:k])
    edges = [max(np.abs(np.diff(room, axis=axis)).mean() for axis in (1, 2)) for room in rooms]
    assert min(edges) > 1e-3  # none is plain


def test_scenes_differ_by_their_rooms_only(corpus: Path, tokenizer: PoseTokenizer) -> None:
    plain, other = (kind(corpus, "train", 2, tokenizer, seed=3) for kind in (Scenes, PatternedScenes))
    a, b = plain[1], other[1]
    assert np.array_equal(b["backdrop"], patterned(1))
    assert all(np.array_equal(a[key], b[key]) for key in a if key != "backdrop")
    darkroom = Darkroom(plain.wardrobe, 112, 64, torch.device("cpu"))
    (pictures, person), (others, same) = (darkroom.draw(gathered([scene])) for scene in (a, b))
    assert torch.equal(person, same)
    there = (person == 1).expand_as(pictures)
    assert torch.equal(pictures[there], others[there]) and not torch.allclose(pictures, others)
