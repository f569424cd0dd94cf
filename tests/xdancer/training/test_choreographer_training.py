import argparse
import json
import os
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from models import TINY_CHOREOGRAPHER, tiny_tokenizer

from xdancer.choreographer import Choreographer, inputs, plan
from xdancer.config import load_config
from xdancer.errors import UserError
from xdancer.evaluation import choreographer as evaluation
from xdancer.music.features import N_FEATURES
from xdancer.pose.layout import N_JOINTS
from xdancer.tokenizer import PoseTokenizer
from xdancer.training import choreographer as training
from xdancer.training.dances import Dance, Song, Windows, clock_rows, first_codes, fit_leanings, load_dances

FRAMES = 150


def write_corpus(folder):
    """Two songs, one held out, each with a dance in two views that sways on the beat."""
    rng = np.random.default_rng(0)
    (folder / "songs").mkdir(parents=True)
    (folder / "dances").mkdir()
    beat = (np.arange(FRAMES) + 1) / 15
    clock = {"tempo": np.full(FRAMES, 120.0), "beat_phase": beat % 1, "bar_phase": beat / 4 % 1,
             "confidence": np.ones(FRAMES)}  # fmt: skip
    for name, split in (("one", "train"), ("two", "val")):
        np.savez(
            folder / "songs" / f"{name}.npz", name=name, split=split, beats_s=np.arange(0.5, 5, 0.5),
            energy=np.full(9, 0.5),
            heard_features=rng.random((FRAMES, N_FEATURES)).astype(np.float16),
            **{f"{kind}_{k}": v.astype(np.float32) for kind in ("heard", "exact") for k, v in clock.items()},
        )  # fmt: skip
        views = np.ones((2, FRAMES, N_JOINTS, 3), np.float32)
        views[..., :2] = rng.uniform(150, 400, (2, 1, N_JOINTS, 2)) + 20 * np.sin(np.pi * beat)[:, None, None]
        np.savez(
            folder / "dances" / f"{name}-0.npz", song=name, split=split, views=views.astype(np.float16),
            idle=np.zeros(FRAMES, bool), source=np.full(FRAMES, "x"), style=np.full(FRAMES, "salsa"),
            energy=np.ones(FRAMES, np.float32),
        )  # fmt: skip
    return folder


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    place = tmp_path_factory.mktemp("choreography")
    tiny_tokenizer(place / "tokenizer")
    write_corpus(place / "corpus")
    return place


def config(place, run, **more):
    values = {
        "name": "tiny", "corpus": str(place / "corpus"), "run": str(place / run), "steps": 30, "windows": 2,
        "tokenizer": str(place / "tokenizer"), "frames": 48, "check_every": 10, "threads": 1, "warmup": 2,
        "learning_rate": 5e-3, "shape": TINY_CHOREOGRAPHER, "bfloat16": False,
    }  # fmt: skip
    return training.ChoreographerConfig(**values | more)


def test_training_learns_and_an_interrupted_run_ends_the_same(place):
    straight = training.train(config(place, "straight"))
    log = [json.loads(line) for line in (place / "straight" / "log.jsonl").read_text().splitlines()]
    assert log[-1]["train_bits"] < 0.9 * log[0]["train_bits"]
    training.train(config(place, "cut"), stop_at=17)
    resumed = training.train(config(place, "cut"))
    assert resumed["sha256"] == straight["sha256"]
    again = training.train(config(place, "cut"))  # there is nothing left to do
    assert again == resumed
    assert (
        Choreographer.from_pretrained(
            straight["weights"], PoseTokenizer.from_pretrained(str(place / "tokenizer"))
        ).styles[1]
        == "salsa"
    )


def test_a_dance_that_was_built_anew_is_encoded_anew(place, tmp_path):
    tokenizer = PoseTokenizer.from_pretrained(str(place / "tokenizer"))
    corpus = write_corpus(tmp_path / "corpus")
    path = corpus / "dances" / "one-0.npz"

    def tokens():
        return load_dances(corpus, "train", tokenizer, ["salsa"])[0].tokens

    before, kept = tokens(), next(corpus.glob("tokens-*/one-0.npz"))
    written = kept.stat().st_mtime_ns
    tokens()
    assert kept.stat().st_mtime_ns == written
    with np.load(path) as data:
        values = dict(data)
    np.savez(path, **values | {"views": values["views"][:, ::-1]})
    os.utime(path, ns=(written + 1, written + 1))
    after = tokens()
    expected = tokenizer.encode(values["views"][0, ::-1].astype(np.float32)).reshape(len(after), -1)
    assert np.array_equal(after, expected) and not np.array_equal(after, before)


def two_poses_in_two_styles():
    """A dance at 120 BPM that stands in one pose in style 1 for 75 frames, then in another in style 0, and plans of
    which code 0 is the first, 1 the second."""
    books = np.full((plan.STAGES, plan.CODES, plan.SIZE), 9.0, np.float32)
    books[0, :2], books[1:, 0] = 0.0, 0.0
    books[0, 1, 0] = 1.0
    ways = plan.AHEAD * plan.JOINTS * 2
    plans = plan.Plans(np.zeros(ways, np.float32), np.eye(ways, plan.SIZE, dtype=np.float32), books)
    later = np.arange(FRAMES) >= 75
    places = np.zeros((FRAMES, plan.JOINTS, 2), np.float32)
    places[later, 0, 0] = 1.0
    beat = (np.arange(FRAMES) + 1) / 15
    clock = np.stack([np.full(FRAMES, 120.0), beat % 1, beat / 4 % 1, np.ones(FRAMES)], axis=1)
    unused = np.zeros(FRAMES)
    return Dance(unused, unused, unused, places, unused, np.where(later, 0, 1), Song(unused, unused, clock)), plans


def test_plans_are_counted_by_the_half_beat_and_style():
    dance, plans = two_poses_in_two_styles()
    codes, style = first_codes([dance], plans)
    assert len(codes) == 18  # of 19 that begin within 150 frames the last comes true after them
    before = [0] * 9 + [1]  # the last of them comes true after the change
    assert (codes[style == 0] == 1).all() and codes[style == 1].tolist() == before
    nothing, own, other = fit_leanings([dance], plans, ["modern", "salsa"])
    assert not nothing.any()
    assert own[1] - own[0] > 1 and other[0] - other[1] > 1


def test_a_trained_model_is_evaluated_beside_the_truth(place, tmp_path):
    made = training.train(config(place, "short", steps=1, check_every=1))
    arguments = [
        "--choreographer",
        made["weights"],
        "--tokenizer",
        str(place / "tokenizer"),
        "--pictures",
        str(tmp_path),
    ]
    parser = argparse.ArgumentParser()
    evaluation.add_arguments(parser)
    result = evaluation.run(parser.parse_args([str(place / "corpus"), *arguments]))
    assert result["songs"] == 1 and list(result["rows"])[:2] == ["model", "truth"]
    assert result["rows"]["truth"]["jerk"] != result["rows"]["model"]["jerk"]
    assert "model" in evaluation.report(result)
    assert (tmp_path / "two.png").exists()


def test_heard_clocks_are_run_on_by_the_lead_and_exact_ones_are_not():
    frames = 60
    beat = (np.arange(frames) + 1) / 15
    exact = np.stack([np.full(frames, 120.0), beat % 1, beat / 4 % 1, np.ones(frames)], axis=1).astype(np.float32)
    song = Song(np.zeros((frames, 160), np.float16), exact, exact)
    rows = np.arange(20, 40)
    heard, known = (clock_rows(song, rows, 10, kind) for kind in ("heard", "exact"))
    np.testing.assert_allclose(heard, known, atol=1e-4)  # a steady beat, run on, is the beat itself
    late = clock_rows(song, np.arange(20), 10, "heard")
    assert not late[:10, 160:179].any() and late[10:, 178].all(), "before the music there is no clock"
    assert (late[:10, 39] == 1).all(), "before the music there is silence"


def test_a_corpus_without_dances_is_one_line(place, tmp_path):
    with pytest.raises(UserError, match="no train dances"):
        training.train(config(place, "none", corpus=str(tmp_path)))


def test_a_part_left_out_of_the_order_is_named(place):
    with pytest.raises(UserError, match=r"order: \[0, 0, 1, 2, 3\] does not name each"):
        training.train(config(place, "wrong", shape=TINY_CHOREOGRAPHER | {"order": [0, 0, 1, 2, 3]}))


def test_what_is_removed_is_those_columns_and_no_others():
    """Of 160 columns of music the means, the clock after them, and the eight latents before the start pose's."""
    styles, width = 7, 12
    columns = inputs.n_inputs(styles, width)
    assert inputs.removed(["song"], styles, width).tolist() == list(range(40, 160))
    assert inputs.removed(["beat"], styles, width).tolist() == list(range(160, 179))
    assert inputs.removed(["past"], styles, width).tolist() == list(range(columns - 9 * 60, columns - 60))
    assert len(inputs.removed([], styles, width)) == 0


def test_dances_shorter_than_a_window_are_one_line(place):
    with pytest.raises(UserError, match="no train dance has the 151 frames"):
        training.train(config(place, "long", frames=151))


def test_a_wrong_key_is_named(tmp_path):
    path = tmp_path / "wrong.yaml"
    path.write_text("name: x\ncorpus: y\nrun: z\nsteps: 1\nstepz: 2\n")
    with pytest.raises(UserError, match="stepz"):
        load_config(path, training.ChoreographerConfig)


def test_what_a_slot_is_told_comes_from_the_past_and_the_slots_before():
    from xdancer.choreographer.network import slot_facts

    codes = torch.randn(1, 30, 12)
    told = slot_facts(codes, torch.zeros(1, 5, 12), torch.zeros(1, 30, 12))
    changed = codes.clone()
    changed[:, 8] += 1.0
    moved = slot_facts(changed, torch.zeros(1, 5, 12), torch.zeros(1, 30, 12)) - told
    assert np.flatnonzero((moved.abs() > 1e-4).any(-1)[0]).tolist() == [9, 10, 11]
    np.testing.assert_allclose(told[0, 10, 12:24], -codes[0, 6:10].sum(0), atol=1e-6)


def test_a_plan_says_where_the_dance_is_at_the_clocks_next_half_beats():
    frames = 120
    position = (np.arange(frames) + 1) / 30 * 117 / 60
    clock = np.stack([np.full(frames, 117.0), position % 1, position / 4 % 1, np.ones(frames)], axis=1).astype(
        np.float32
    )
    song = Song(np.zeros((frames, inputs.N_MUSIC), np.float16), clock, clock)
    places = np.zeros((frames, plan.JOINTS, 2), np.float16)
    places[:, 0, 0] = np.arange(frames) / 128  # the nose tells the frame
    blank = np.zeros((frames, 30), np.int16)
    dance = Dance(blank, blank, np.zeros(frames, bool), places, np.zeros(frames), np.zeros(frames, np.int8), song)

    class Noting:
        """Plans that only keep what they are asked."""

        def codes(self, ends):
            self.ends = np.round(128 * ends[:, :, 0, 0]).astype(int)
            return np.arange(len(ends))[:, None].repeat(plan.STAGES, axis=1)

        def vectors(self, codes):
            return codes[:, :1].repeat(plan.SIZE, axis=1).astype(np.float32)

    class Decoder:
        encoder_field, decoder_field = 5, 11

    class Tokenizer:
        runtime = Decoder()

    windows = Windows([dance], SimpleNamespace(width=12), Tokenizer(), ["salsa"], np.zeros(2), Noting())
    told, codes = windows.planned(dance, 40, 60, 0, "exact")
    struck = np.flatnonzero(np.diff(np.floor(2 * position))) + 1  # the first frame of each half beat
    begins = np.flatnonzero(codes[:, 0] >= 0) + 40
    np.testing.assert_array_equal(begins, struck[(struck >= 40) & (struck < 100)])
    ends = windows.plans.ends[codes[begins - 40, 0]]
    for begin, (near, far) in zip(begins, ends, strict=True):
        coming = struck[struck > begin][:2]
        assert len(coming) < 1 or abs(near - coming[0]) <= 1
        assert len(coming) < 2 or abs(far - coming[1]) <= 1
    np.testing.assert_allclose(told[begins - 40, 0], plan.SCALE * codes[begins - 40, 0])
    np.testing.assert_allclose(told[:, plan.SIZE + 1], (2 * position[40:100]) % 1, atol=1e-5)
