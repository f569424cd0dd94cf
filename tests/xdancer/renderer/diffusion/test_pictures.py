"""Pictures to train on: pixels of triangles, skins that follow bones, scenes, and people where their joints are."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.xdancer.data.motion_fixtures import make_body, make_clip, t_pose
from xdancer.data import meshes
from xdancer.data.meshes import PALETTE
from xdancer.data.motion import splits
from xdancer.data.skeleton import BONES, PARENTS
from xdancer.errors import UserError
from xdancer.pose.layout import INDEX
from xdancer.renderer.reference import own
from xdancer.tokenizer import PoseTokenizer
from xdancer.training.renderer.darkroom import Darkroom
from xdancer.training.renderer.portrait import add, dressed, portrait
from xdancer.training.renderer.rasteriser import rasterise
from xdancer.training.renderer.scenes import Scenes, gathered, held_out
from xdancer.training.renderer.skinning import skinned, transforms

CPU = torch.device("cpu")


def brute(places: np.ndarray, faces: np.ndarray, height: int, width: int) -> np.ndarray:
    """The nearest face at each pixel, -1 where there is none, one pixel after the other; nan where two are as near."""
    out = np.full((height, width), -1.0)
    for y in range(height):
        for x in range(width):
            best = 0.0
            for number, face in enumerate(faces):
                corners = places[face].astype(np.float64)
                matrix = np.vstack([corners[:, :2].T, np.ones(3)])
                if abs(np.linalg.det(matrix)) < 1e-9:
                    continue
                share = np.linalg.solve(matrix, [x, y, 1])
                near = (share / corners[:, 2]).sum()
                if (share >= -1e-9).all() and near > best - 1e-7:
                    clash = abs(near - best) <= 1e-7 or (share < 1e-9).any()
                    best, out[y, x] = max(near, best), np.nan if clash else number
    return out


@settings(max_examples=25)
@given(seed=st.integers(0, 10**6))
def test_every_pixel_sees_the_nearest_face(seed: int) -> None:
    rng = np.random.default_rng(seed)
    places = np.concatenate([rng.uniform(-4, 12, (6, 2)), rng.uniform(1, 5, (6, 1))], axis=1).astype(np.float32)
    faces = rng.permutation(6)[[[0, 1, 2], [3, 4, 5], [1, 3, 5]]]
    hits = rasterise(torch.from_numpy(places)[None], torch.from_numpy(faces), 7, 9)
    seen = np.full(63, -1.0)
    seen[hits.pixel.numpy()] = hits.face.numpy()
    want = brute(places, faces, 7, 9)
    known = ~np.isnan(want)
    np.testing.assert_array_equal(seen.reshape(7, 9)[known], want[known])


def test_what_corners_carry_is_interpolated_in_perspective() -> None:
    # An edge from depth 1 to depth 3: half way on the screen is a quarter of the way in the world.
    places = torch.tensor([[[0.0, 0, 1], [4, 0, 3], [0, 4, 1]]])
    hits = rasterise(places, torch.tensor([[0, 1, 2]]), 5, 5)
    value = torch.zeros(25)
    value[hits.pixel] = hits.interpolate(torch.tensor([[0.0], [1], [0]]), torch.tensor([[0, 1, 2]]))[:, 0]
    assert value[2].item() == pytest.approx(0.25) and value[4].item() == pytest.approx(1) and value[0] == 0
    assert len(hits.pixel) == 15


def test_frames_are_by_themselves_and_what_is_too_near_or_outside_is_not_drawn() -> None:
    triangle = torch.tensor([[0.0, 0, 2], [4, 0, 2], [0, 4, 2]])
    places = torch.stack([triangle, triangle + torch.tensor([2.0, 0, 0]), triangle + 100, triangle * 0.05])
    hits = rasterise(places, torch.tensor([[0, 1, 2]]), 5, 5)
    assert torch.bincount(hits.frame, minlength=4).tolist() == [15, 12, 0, 0]
    assert set((hits.pixel % 25 % 5)[hits.frame == 1].tolist()) == {2, 3, 4}


def test_the_bones_of_a_skin_go_where_the_joints_go() -> None:
    body, clip = make_body(), make_clip(5)
    clip.fingers[:] = np.random.default_rng(0).uniform(-0.2, 0.8, clip.fingers.shape)
    rotations, offsets = transforms(body, clip)
    rest, now = body.skeleton(t_pose())[0], body.skeleton(clip)
    joints = body.joints(clip)
    for bone in range(1, len(BONES)):  # a joint ends its parent's bone and begins its own
        for carrier in (bone, PARENTS[bone]):
            moved = rotations[:, carrier] @ rest[bone] + offsets[:, carrier]
            np.testing.assert_allclose(moved, now[:, bone], atol=1e-5)
    for side, name in enumerate(("left", "right")):
        for finger, word in enumerate(("thumb", "index", "middle", "ring", "pinky")):
            for k in (1, 2, 3):
                bone = PALETTE.index(f"{name}_{word}_{k}")
                for end in (k - 1, k):
                    point = rest[BONES.index(f"{name}_hand")] + body.hands[side, finger, end]
                    want = joints[:, 18 + 21 * side + 1 + 4 * finger + end]
                    np.testing.assert_allclose(rotations[:, bone] @ point + offsets[:, bone], want, atol=1e-5)


def test_skinning_mixes_bones_by_weight() -> None:
    eye = torch.eye(3).expand(1, 2, 3, 3)
    offsets = torch.tensor([[[1.0, 0, 0], [0, 2, 0]]])
    points, weights = torch.tensor([[5.0, 5, 5], [1, 2, 3]]), torch.tensor([[0.25, 0.75], [1, 0]])
    torch.testing.assert_close(skinned(points, weights, eye, offsets), torch.tensor([[[5.25, 6.5, 5], [2, 2, 3]]]))
    torch.testing.assert_close(skinned(points, weights, eye, None), points[None])
    turned = torch.tensor([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]]).expand(2, 2, 3, 3)
    moved = skinned(points, weights, turned, offsets.expand(2, -1, -1))
    torch.testing.assert_close(moved[1, 1], torch.tensor([-1.0, 1, 3]))


def test_scenes_are_the_same_whoever_draws_them_and_no_two_are_alike(corpus: Path, tokenizer: PoseTokenizer) -> None:
    one, two = Scenes(corpus, "train", 4, tokenizer), Scenes(corpus, "train", 4, tokenizer)
    two[0]
    first, again, other = one[3], two[3], one[4]
    for key, value in first.items():
        np.testing.assert_array_equal(value, again[key])
    assert not np.array_equal(first["rotations"], other["rotations"])
    assert not np.array_equal(one.retold(4, seed=1)[3]["rotations"], first["rotations"])


def test_whole_people_and_whole_clips_are_held_out(corpus: Path, tokenizer: PoseTokenizer) -> None:
    train, val = (Scenes(corpus, split, 2, tokenizer) for split in ("train", "val"))
    people = [{b.person for b, _ in s.people} for s in (train, val)]
    clips = [{c.name for c in s.clips} for s in (train, val)]
    assert not people[0] & people[1] and len(people[0] | people[1]) == 5 and people[1]
    assert not clips[0] & clips[1] and len(clips[0] | clips[1]) == 4 and clips[1]


def test_a_corpus_that_was_split_before_is_split_afresh() -> None:
    first = splits([f"person {k}" for k in range(400)], 0.12)
    kept = [name for name, split in first.items() if split == "train"]  # all that a packed corpus holds
    again = held_out(kept, ["train"] * len(kept))
    assert 0.06 < list(again.values()).count("val") / len(kept) < 0.2
    assert held_out(["a", "b"], ["val", "train"]) == {"a": "val", "b": "train"}


def test_a_scene_keeps_its_contracts(corpus: Path, tokenizer: PoseTokenizer) -> None:
    scene = Scenes(corpus, "train", 6, tokenizer)[0]
    shapes = {key: np.shape(value) for key, value in scene.items()}
    assert shapes == {
        "skin": (), "rotations": (7, 51, 3, 3), "offsets": (7, 51, 3), "view": (7, 3, 3), "eye": (7, 3), "lens": (7, 3),
        "light": (4, 3), "backdrop": (3, 224, 128), "tokens": (6, 30), "poses": (6, 60, 3), "truth": (6, 60, 3),
        "posed": (60, 3),
    }  # fmt: skip


def test_people_are_where_their_joints_are(corpus: Path, tokenizer: PoseTokenizer) -> None:
    scenes = Scenes(corpus, "train", 3, tokenizer)
    batch = gathered([scenes[k] for k in range(6)])
    pictures, person = Darkroom(scenes.wardrobe, 224, 128, CPU).draw(batch)
    assert pictures.shape == (6, 4, 3, 224, 128) and person.shape == (6, 4, 1, 224, 128)
    assert pictures.min() >= -1 and pictures.max() <= 1
    hit = total = 0
    for name in ("right_elbow", "left_elbow", "right_knee", "left_knee", "right_hip", "left_hip"):
        pose = batch["truth"][:, :, INDEX[name]]
        x, y = ((pose[..., k] + 0.5).div(4).long() for k in (0, 1))
        seen = pose[..., 2] > 0
        at = person[:, 1:, 0].flatten(0, 1)[torch.arange(18), y.flatten(), x.flatten()].reshape(6, 3)
        hit, total = hit + int((at[seen] > 0.9).sum()), total + int(seen.sum())
    assert total > 60 and hit == total
    # What is not person is the backdrop, the same in all frames of a scene.
    both = (person[:, 1] == 0) & (person[:, 2] == 0)
    assert (pictures[:, 1] - pictures[:, 2])[both.expand(-1, 3, -1, -1)].abs().max() == 0


def test_a_long_scene_is_drawn_in_parts_as_it_would_be_at_once(
    corpus: Path, tokenizer: PoseTokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    scenes = Scenes(corpus, "train", 3, tokenizer)
    room, batch = Darkroom(scenes.wardrobe, 56, 32, CPU), gathered([scenes[0], scenes[1]])
    whole = [*room.draw(batch), *room.surfaces(batch)]
    monkeypatch.setattr("xdancer.training.renderer.darkroom.PART", 3)  # of four frames
    for a, b in zip(whole, [*room.draw(batch), *room.surfaces(batch)], strict=True):
        torch.testing.assert_close(a, b)


def test_meshes_come_back_as_they_were_packed(corpus: Path, tmp_path: Path) -> None:
    path = next((corpus / "meshes").glob("*.npz"))
    mesh = meshes.load(path)
    assert f"{mesh.person}_{mesh.outfit}" == path.stem
    np.savez_compressed(tmp_path / path.name, **mesh.arrays())
    again = meshes.load(tmp_path / path.name)
    for key in ("vertices", "uv", "faces", "bones", "weights"):
        np.testing.assert_array_equal(getattr(again, key), getattr(mesh, key))
    path = tmp_path / "broken_Box.npz"
    path.write_bytes(b"nothing")
    with pytest.raises(UserError, match="broken_Box.npz: damaged mesh"):
        meshes.load(path)


def test_a_corpus_without_skins_is_said(corpus: Path, tokenizer: PoseTokenizer, tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "manifest.json").write_text((corpus / "manifest.json").read_text())
    monkeypatch.setenv("XDANCER_DATA", str(tmp_path))
    with pytest.raises(UserError, match="no meshes, and no avatars"):
        Scenes(tmp_path, "train", 2, tokenizer)


def test_a_person_is_added_to_weights(corpus: Path, tokenizer: PoseTokenizer, tmp_path: Path) -> None:
    scenes = Scenes(corpus, "train", 1, tokenizer)
    picture, pose = portrait(scenes, 3)
    assert picture.shape == (896, 512, 3) and picture.dtype == np.uint8 and pose.shape == (60, 3)
    seen = pose[:, 2] > 0.5
    x, y = pose[seen, :2].round().astype(int).T
    wall = picture[:, :1].astype(int)
    apart = np.abs(picture.astype(int) - wall).mean(-1)
    assert np.median(apart[y, x]) > 20 > np.median(apart)  # they are where their joints are, before a quiet wall
    (tmp_path / "config.json").write_text('{"name": "x"}')
    add(corpus, tmp_path, 3)
    kept, where = own(tmp_path)
    assert np.array_equal(np.asarray(Image.open(kept)), picture) and np.abs(where - pose).max() < 1e-3


class Rack:
    """A wardrobe of names only."""

    paths = [Path(f"{name}.npz") for name in ("Ann_1_Busi", "Ann_1_Casual", "Ann_2_Casual", "Bob_1_Busi")]

    def outfits(self, person: str) -> list[int]:
        return [n for n, path in enumerate(self.paths) if path.stem.startswith(person)]


def test_the_person_wears_what_they_dance_in_where_they_have_it() -> None:
    assert [dressed(Rack(), skin) for skin in range(4)] == [1, 1, 2, 3]
