import json
import zipfile
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
import soundfile

from xdancer.config import load_config
from xdancer.data import config, corpus, motion, sheet
from xdancer.data.pack import pack
from xdancer.data.sampler import PoseSampler
from xdancer.data.skeleton import Body, Clip
from xdancer.errors import UserError
from xdancer.pose.layout import check_pose


def build(path: Path, out: Path, exclude: tuple[str, ...] = (), seed: int | None = None) -> dict:
    chosen = load_config(path, config.CorpusConfig)
    chosen = chosen if seed is None else chosen.model_copy(update={"seed": seed})
    return corpus.build(chosen, out, exclude, ("bodies", "motion", "sheet"))


def written(folder: Path) -> dict[str, int]:
    return {p.name: p.stat().st_mtime_ns for p in sorted(folder.rglob("*.npz"))}


def test_build_writes_clips_bodies_manifest_and_sheet(raw_data: Path, raw_config: Path, tmp_path: Path) -> None:
    out = tmp_path / "corpus"
    build(raw_config, out)
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["sources"]["five"]["clips"] == 5 and manifest["sources"]["one"]["clips"] == 1
    assert manifest["sources"]["five"]["minutes"] == pytest.approx(5 * 110 / 1800, abs=0.02)
    assert manifest["sources"]["five"]["val_clips"] >= 1, "of four clips or more at least one is held out"
    assert sum(len(p) for p in manifest["people"].values()) == 6 and manifest["people"]["val"]
    assert sum(s["share"] for s in manifest["sources"].values()) == pytest.approx(1, abs=1e-3)
    clip = Clip.load(out / "motion" / "five-take3.npz")
    assert (clip.source, clip.style, len(clip)) == ("five", "salsa", 120)
    sheet = cv2.imread(str(out / "contact_sheet.png"))
    assert sheet is not None and sheet.std() > 3


def test_a_second_build_makes_nothing_anew_and_a_new_seed_all(raw_data: Path, raw_config: Path, tmp_path: Path) -> None:
    out = tmp_path / "corpus"
    build(raw_config, out)
    before, sheet_before = written(out), (out / "contact_sheet.png").stat().st_mtime_ns
    build(raw_config, out)
    assert written(out) == before and (out / "contact_sheet.png").stat().st_mtime_ns == sheet_before
    build(raw_config, out, seed=4)
    after = written(out)
    assert after["five-take0.npz"] != before["five-take0.npz"]
    assert after["Tess_F_0.npz"] == before["Tess_F_0.npz"]


def test_the_same_seed_gives_the_same_motion(raw_data: Path, raw_config: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        build(raw_config, tmp_path / name)
    one, two = (Clip.load(tmp_path / name / "motion" / "five-take1.npz") for name in ("a", "b"))
    np.testing.assert_array_equal(one.rotations, two.rotations)
    np.testing.assert_array_equal(one.fingers, two.fingers)


def test_an_excluded_source_leaves_nothing_behind(raw_data: Path, raw_config: Path, tmp_path: Path) -> None:
    out = tmp_path / "corpus"
    build(raw_config, out)
    build(raw_config, out, ("five",))
    assert [p.name for p in (out / "motion").glob("*.npz")] == ["one-take0.npz"]
    assert list(json.loads((out / "manifest.json").read_text())["sources"]) == ["one"]
    with pytest.raises(UserError, match="no such source"):
        corpus.build(load_config(raw_config, config.CorpusConfig), out, ["six"])


def test_splits_follow_names_alone() -> None:
    keys = [f"clip{k}" for k in range(400)]
    split = motion.splits(keys, 0.12)
    assert 0.06 < sum(s == "val" for s in split.values()) / 400 < 0.2
    assert motion.splits(keys[::-1], 0.12) == split
    assert set(motion.splits(["a", "b", "c", "d"], 0.0).values()) == {"train", "val"}
    source = config.MotionSource(source="s", files="x", split_by="_(.*)")
    assert motion._split_key(source, "60_01-2") == motion._split_key(source, "61_01"), "a couple is held out together"


def test_the_sampler_keeps_to_its_split(raw_data: Path, raw_config: Path, tmp_path: Path) -> None:
    out = tmp_path / "corpus"
    build(raw_config, out)
    train, val = PoseSampler(out, "train", seed=1), PoseSampler(out, "val", seed=1)
    assert not {c.name for c in train.clips} & {c.name for c in val.clips}
    assert not {b.person for b in train.bodies} & {b.person for b in val.bodies}
    batch = train.batch(3, 70)
    assert batch.shape == (3, 70, 60, 3) and batch.dtype == np.float32
    for pose in batch:
        check_pose(pose)
    np.testing.assert_array_equal(batch, PoseSampler(out, "train", seed=1).batch(3, 70))
    assert (val.batch(1, 200)[..., 2] > 0).any(), "clips shorter than a window are held at their end"


def test_a_pack_unpacks_to_a_corpus_without_the_held_out(raw_data: Path, raw_config: Path, tmp_path: Path) -> None:
    out, file = tmp_path / "corpus", tmp_path / "small.zip"
    build(raw_config, out)
    result = pack(out, file)
    assert result["bytes"] == file.stat().st_size
    with zipfile.ZipFile(file) as archive:
        archive.extractall(tmp_path / "there")
    sampler = PoseSampler(tmp_path / "there", "train")
    assert {c.split for c in sampler.clips} == {"train"} and len(sampler.clips) == result["clips"]
    full = {c.name: c for c in PoseSampler(out, "train").clips}
    body = sampler.bodies[0]
    for clip in sampler.clips:
        error = np.abs(body.joints(clip) - body.joints(full[clip.name])).max()
        assert error < 0.003
    held_out = {Body.load(p).person for p in (out / "bodies").glob("*.npz")} - {b.person for b in sampler.bodies}
    assert held_out and not [p for p in (tmp_path / "there" / "meshes").glob("*.npz") if p.stem[:-7] in held_out]
    assert result["meshes"] == len(sampler.bodies)
    limited = pack(out, tmp_path / "tiny.zip", limit=150_000)
    assert limited["bytes"] <= 150_000 and limited["left_out"]


def test_missing_and_damaged_data_are_one_line(
    raw_data: Path, raw_config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "corpus"

    def complaint() -> str:
        with pytest.raises(UserError) as caught:
            build(raw_config, out)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    build(raw_config, out)
    (raw_data / "motion" / "one.npz").write_bytes(b"PK\x03\x04 cut short")
    assert "one.npz: damaged motion file" in complaint()
    (raw_data / "motion" / "one.npz").unlink()
    assert "--exclude one" in complaint()
    (raw_data / "avatars" / "Tess_F_0_Casual.npz").write_bytes(b"")
    assert "Tess_F_0_Casual.npz: damaged avatar" in complaint()
    monkeypatch.setenv("XDANCER_DATA", str(tmp_path / "nowhere"))
    assert "nowhere" in complaint() and "XDANCER_DATA" in complaint()
    raw_config.write_text("motion:\n- {source: a, files: b, colour: red}\n")
    assert "motion.0.colour" in complaint()
    with pytest.raises(UserError, match="no.yaml"):
        load_config(tmp_path / "no.yaml", config.CorpusConfig)
    with pytest.raises(UserError, match="xdancer corpus build"):
        pack(tmp_path / "nothing", tmp_path / "p")


def test_the_preview_is_a_video_of_dancers(raw_data: Path, raw_config: Path, tmp_path: Path) -> None:
    out = tmp_path / "corpus"
    build(raw_config, out)
    sheet.preview(out, tmp_path / "p.mp4", seconds=2, across=1)
    with av.open(str(tmp_path / "p.mp4")) as video:
        frames = [frame.to_ndarray(format="rgb24") for frame in video.decode(video=0)]
    assert len(frames) % 60 == 0 and len(frames) >= 120
    assert np.abs(frames[40].astype(int) - frames[20]).max() > 60, "they move"


def test_a_preview_of_dances_has_their_sound(raw_data: Path, raw_config: Path, tmp_path: Path) -> None:
    out = tmp_path / "corpus"
    build(raw_config, out)
    (out / "songs").mkdir()
    (out / "dances").mkdir()
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(4 * 48000) / 48000)
    soundfile.write(out / "songs" / "hum.flac", tone, 48000)
    pose = PoseSampler(out, "train").batch(2, 120)
    np.savez(out / "dances" / "hum-0.npz", views=pose.astype(np.float16), song="hum")
    sheet.preview(out, tmp_path / "p.mp4", seconds=2)
    with av.open(str(tmp_path / "p.mp4")) as video:
        sound = np.concatenate([frame.to_ndarray()[0] for frame in video.decode(audio=0)])
    assert abs(len(sound) - 2 * 48000) < 4096 and np.abs(sound[10000:80000]).max() > 0.3


def test_a_stage_cut_short_goes_on_and_one_made_from_something_else_starts_anew(tmp_path: Path) -> None:
    folder = tmp_path / "songs"
    corpus.renewed(folder, "seed 1")
    (folder / "a.npz").touch()
    corpus.renewed(folder, "seed 1")
    assert (folder / "a.npz").exists()
    corpus.renewed(folder, "seed 2")
    assert not (folder / "a.npz").exists()
