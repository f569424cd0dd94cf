"""`Renderer` as it is used, with random weights."""

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from diffusion_fixtures import TINY, person, tiny_model
from PIL import Image

import xdancer
from tests.models import tiny_tokenizer
from xdancer import weights
from xdancer.errors import UserError
from xdancer.pose.detector import standing
from xdancer.renderer import Renderer
from xdancer.renderer.reference import own
from xdancer.tokenizer import PoseTokenizer


@pytest.fixture(scope="session")
def folder(tokenizer: PoseTokenizer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A renderer of random weights, as training writes one."""
    path = tmp_path_factory.mktemp("renderer")
    weights.save(path, tiny_model().state_dict(), {"shape": TINY, "tokenizer": {"vocabulary": tokenizer.vocabulary}})
    return path


@pytest.fixture
def renderer(folder: Path, tokenizer: PoseTokenizer) -> Renderer:
    return Renderer.from_pretrained(str(folder), reference=person(), tokenizer=tokenizer)


def dance(frames: int) -> np.ndarray:
    return np.random.default_rng(3).integers(0, 512, (frames, 5, 6)).astype(np.int16)


def test_pictures_come_frame_by_frame_the_first_ones_early(renderer: Renderer) -> None:
    stream = renderer.stream()
    counts = [len(stream.step(row[None])) for row in dance(24)]
    assert counts == [0, 0, 0, 4, *[0] * 15, 4, 0, 0, 0, 4]
    assert stream.frame == 12
    rest = stream.finish()
    assert rest.shape == (12, 64, 40, 3) and rest.dtype == np.uint8 and stream.frame == 24


@pytest.mark.parametrize("pieces", [[26], [1] * 26, [3, 0, 7, 9, 6, 1]])
@pytest.mark.parametrize("stride", [1, 3])
def test_any_pieces_give_the_same_pictures(renderer: Renderer, pieces: list[int], stride: int) -> None:
    tokens = dance(26)
    whole = renderer.stream(seed=5, stride=stride)
    want = np.concatenate([whole.step(tokens), whole.finish()])
    assert len(want) == -(-26 // stride) and want.std() > 1
    stream, made = renderer.stream(seed=5, stride=stride), []
    for end, count in zip(np.cumsum(pieces), pieces, strict=True):
        made.append(stream.step(tokens[end - count : end]))
    # Convolutions of other batch sizes may differ in the last bit of a float, and so a picture by one.
    assert np.abs(np.concatenate([*made, stream.finish()]).astype(int) - want).max() <= 1


def test_streams_do_not_touch_each_other_and_the_seed_matters(renderer: Renderer) -> None:
    tokens = dance(8)
    alone = renderer.stream(seed=1).step(tokens)
    one, two = renderer.stream(seed=1), renderer.stream(seed=2)
    made = [(one.step(tokens[k : k + 4]), two.step(tokens[k : k + 4])) for k in (0, 4)]
    assert np.array_equal(np.concatenate([m[0] for m in made]), alone)
    assert not np.array_equal(made[0][1], made[0][0])


def test_the_reference_may_change_while_a_stream_runs(renderer: Renderer) -> None:
    tokens = dance(40)
    same, other = renderer.stream(), renderer.stream()
    before = same.step(tokens[:16]), other.step(tokens[:16])
    kept = same.step(tokens[16:])
    renderer.wear(person(seed=9))
    changed = other.step(tokens[16:])
    assert np.array_equal(before[0], before[1]) and kept.shape == changed.shape
    assert not np.array_equal(kept, changed)
    with pytest.raises(UserError, match="not a picture"):
        renderer.wear(b"nobody")
    assert np.array_equal(renderer.reference, xdancer.renderer.reference.load(person(seed=9), 64, 40))


def test_a_clip_is_drawn_as_a_whole_and_in_twice_the_size(renderer: Renderer) -> None:
    called: list[int] = []
    made = renderer.render(dance(18), steps=2, scale=2, progress=lambda: called.append(1))
    assert made.shape == (18, 128, 80, 3) and len(called) == 2 * 2
    assert renderer.render(dance(0)).shape == (0, 64, 40, 3)
    assert renderer.stream(scale=2).step(dance(4)).shape == (4, 128, 80, 3)


def test_in_four_times_the_size_it_is_what_it_is_in_twice_and_finer(renderer: Renderer) -> None:
    renderer.wear(cv2.resize(person(32, 20), (160, 256), interpolation=cv2.INTER_CUBIC))
    assert renderer.scales == (1, 2, 4)
    twice, four = (renderer.stream(scale=scale).step(dance(4)) for scale in (2, 4))
    assert four.shape == (4, 256, 160, 3)
    coarse = four.reshape(4, 128, 2, 80, 2, 3).mean((2, 4))
    assert np.corrcoef(coarse.ravel(), twice.ravel())[0, 1] > 0.9  # the same, but for what is clipped on the way
    clip = renderer.render(dance(4), steps=1, scale=4)
    assert clip.shape == four.shape and renderer.render(dance(0), scale=4).shape == (0, 256, 160, 3)
    with pytest.raises(ValueError, match=r"3 x their size.+\(1, 2, 4\)"):
        renderer.stream(scale=3)
    pieces = renderer.stream(scale=4)
    assert np.array_equal(np.concatenate([pieces.step(dance(4)[:1]), pieces.step(dance(4)[1:])]), four)


@pytest.mark.parametrize("chunk", [1, 2, 4])
@pytest.mark.parametrize("levels", [1, 2])
def test_fewer_passes_and_smaller_chunks_wait_for_less_of_the_dance(
    renderer: Renderer, levels: int, chunk: int
) -> None:
    stream = renderer.stream(levels=levels, chunk=chunk)
    counts = [len(stream.step(row[None])) for row in dance(16)]
    assert counts.index(chunk) == chunk - 1 and counts.index(chunk, chunk) == chunk - 1 + chunk * levels
    assert sum(counts) + len(stream.finish()) == 16


def test_the_person_is_carried_from_where_they_stand(renderer: Renderer) -> None:
    assert renderer.guessed
    upright = renderer.stream().step(dance(4))
    pose = standing()
    pose[:, 0] = np.where(pose[:, 2] > 0, pose[:, 0] - 100, 0)
    renderer.wear(person(), pose)
    assert not renderer.guessed and not np.array_equal(upright, renderer.stream().step(dance(4)))
    renderer.detector = Detector(pose)
    renderer.wear(person())
    assert not renderer.guessed and renderer.detector.asked == [(896, 512, 3)]
    assert np.array_equal(renderer.stream().step(dance(4)), made(renderer, pose))


class Detector:
    def __init__(self, pose: np.ndarray) -> None:
        self.pose = pose
        self.asked: list[tuple[int, ...]] = []

    def detect(self, picture: np.ndarray) -> np.ndarray:
        self.asked.append(picture.shape)
        return self.pose


def made(renderer: Renderer, pose: np.ndarray) -> np.ndarray:
    renderer.wear(person(), pose)
    return renderer.stream().step(dance(4))


def test_a_folder_may_bring_a_person_along(folder: Path, tokenizer: PoseTokenizer, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="brings no person along"):
        Renderer.from_pretrained(str(folder), tokenizer=tokenizer)
    shutil.copytree(folder, tmp_path / "own")
    Image.fromarray(person()).save(tmp_path / "own" / "reference.png")
    config = json.loads((folder / "config.json").read_text())
    (tmp_path / "own" / "config.json").write_text(json.dumps({**config, "reference": {"pose": standing().tolist()}}))
    renderer = Renderer.from_pretrained(str(tmp_path / "own"), tokenizer=tokenizer)
    assert not renderer.guessed
    assert np.array_equal(renderer.reference, xdancer.renderer.reference.load(person(), 64, 40))


def test_tokens_of_another_tokenizer_are_not_read_but_their_joints_are(folder: Path, tmp_path: Path) -> None:
    other = Renderer.from_pretrained(str(folder), reference=person(), tokenizer=tiny_tokenizer(tmp_path, seed=7))
    assert not other.reads_tokens
    assert not np.array_equal(other.stream().step(dance(4)), other.stream().step(dance(4)[::-1]))
    seen: list[object] = []
    other.model.motion.vector.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    other.stream().step(dance(4))
    assert seen and all(tokens is None for tokens in seen)


def test_the_shipped_one_draws_its_own_person_in_one_pass() -> None:
    shipped = xdancer.Renderer.from_pretrained("live")
    assert not shipped.guessed and shipped.reads_tokens and shipped.passes == 1
    picture, pose = own(weights.find("renderer", "live"))
    assert Image.open(picture).size == (512, 896)
    tokens = xdancer.PoseTokenizer.from_pretrained("live").encode(pose[None])
    made = shipped.stream(levels=1, chunk=1).step(tokens)[0].astype(int)
    person = np.abs(shipped.reference.astype(int) - shipped.reference[:, :1]).mean(-1) > 15
    assert 1000 < person.sum() < 10_000  # of 28672 px
    assert np.abs(made - shipped.reference)[person].mean() < 12  # in the same pose, as they are there
    other = xdancer.PoseTokenizer.from_pretrained("live").encode(np.where([1, 0, 0], pose + 60, pose)[None])
    assert np.abs(shipped.stream(levels=1, chunk=1).step(other)[0].astype(int) - made)[person].mean() > 20


def test_without_weights_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(weights, "SHIPPED", tmp_path)
    with pytest.raises(UserError, match="xdancer train renderer configs/renderer.yaml"):
        xdancer.Renderer.from_pretrained("live", reference=person())


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda c: c.pop("tokenizer"), "not a renderer"),
        (lambda c: c["shape"]["unet"].update(depth=4), "depth"),
        (lambda c: c["shape"].update(size=[63, 40]), "multiples of 8"),
        (lambda c: c["shape"]["unet"].update(channels=[8, 16, 32]), "has shape"),
        (lambda c: c["shape"].pop("motion"), "give one of the two"),
    ],
)
def test_a_damaged_folder_is_said_in_a_line(
    folder: Path, tokenizer: PoseTokenizer, tmp_path: Path, change, says: str
) -> None:
    config = json.loads((folder / "config.json").read_text())
    change(config)
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes())
    with pytest.raises(UserError, match=says):
        Renderer.from_pretrained(str(tmp_path), reference=person(), tokenizer=tokenizer)


def test_wrong_values_are_named(renderer: Renderer) -> None:
    with pytest.raises(ValueError, match="every 5th frame"):
        renderer.stream(stride=5)
    with pytest.raises(ValueError, match="in 5 passes"):
        renderer.stream(levels=5)
    with pytest.raises(ValueError, match="0 frames cannot"):
        renderer.stream(chunk=0)
    with pytest.raises(ValueError, match="shape"):
        renderer.stream().step(np.zeros((3, 30), dtype=np.int16))
    with torch.no_grad():
        assert renderer.stream().step(dance(0)).shape == (0, 64, 40, 3)
