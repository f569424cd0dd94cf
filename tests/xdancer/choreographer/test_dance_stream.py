import copy
import json
import shutil

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from models import TINY_CHOREOGRAPHER, music, tiny_choreographer, tiny_tokenizer

from xdancer import weights
from xdancer.choreographer import Choreographer, inputs, liveliness, plan
from xdancer.choreographer.build import Build
from xdancer.choreographer.footing import planted
from xdancer.choreographer.network import ChoreographerNetwork, Shape
from xdancer.choreographer.runtime import FAINT
from xdancer.errors import UserError
from xdancer.music.features import N_FEATURES
from xdancer.music.frame import BeatState, MusicFrame
from xdancer.training.choreographer import Parts, aims
from xdancer.training.dances import Song, Windows, clock_at, clock_rows


def danced(stream, frames, cuts=()):
    """All rows of a dance to `frames`, handed over in pieces that end at `cuts`."""
    edges = [0, *sorted(cuts), len(frames)]
    blocks = [stream.step(frames[a:b]) for a, b in zip(edges, edges[1:], strict=False)]
    row = 0
    for block in blocks:
        assert block.first == row, "frame numbers run on without gap or repeat"
        row += len(block.tokens)
    return np.concatenate([block.tokens for block in blocks])


@settings(max_examples=12, deadline=None)
@given(st.lists(st.integers(0, 80), max_size=8), st.integers(0, 99), st.sampled_from([0, 3, 16]))
def test_any_chunking_gives_the_same_dance(model, cuts, seed, lead):
    frames = music(80)
    whole = danced(model.stream(seed=seed, lead=lead), frames)
    assert len(whole) == 80 + lead and whole.dtype == np.int16
    np.testing.assert_array_equal(danced(model.stream(seed=seed, lead=lead), frames, cuts), whole)


def test_the_seed_the_start_and_the_music_each_matter(model):
    frames = music(20)
    dance = danced(model.stream(seed=7), frames)
    for other in (
        danced(model.stream(seed=8), frames),
        danced(model.stream(seed=7, start=model.start + 9), frames),
        danced(model.stream(seed=7), music(20, seed=5)),
    ):
        assert (other != dance).any()


@pytest.mark.parametrize(
    ("lead", "more"),
    [
        (0, {}),
        (5, {}),
        (0, {"without": ["song", "past"], "shape": TINY_CHOREOGRAPHER | {"order": [4, 1, 0, 3, 2]}}),
        (0, {"without": ["beat"]}),
    ],
    ids=["plain", "ahead", "less-and-reordered", "deaf"],
)
def test_streaming_is_the_one_pass_form(tokenizer, tmp_path, monkeypatch, lead, more):
    """Both the frame vectors and the logits: what is trained is what dances, past ring ends and reminders included."""
    folder, model = tmp_path, tiny_choreographer(tmp_path, tokenizer, **more)
    kind = "none" if "beat" in model.config["without"] else "heard"
    monkeypatch.setattr(inputs, "CONTEXT_SPAN", 96)
    monkeypatch.setattr(plan, "REACH", (1.0, 1.0))  # in training plans are what came; their swing has tests of its own
    frames = music(260 - lead, tempo=117.3)  # no half beat ends on a frame to the last bit
    seen, told, schemed = [], [], []
    stream = model.stream(seed=3, lead=lead)
    picker, plan_picker, tell = stream._picker, stream._plan_picker, stream._told

    def spying_picker():
        pick = picker()
        return lambda slot, logits: seen.append(logits) or pick(slot, logits)

    def spying_plan_picker():
        pick = plan_picker()

        def note(stage, logits):
            schemed.append((stream._row, pick(stage, logits), logits))
            return schemed[-1][1]

        return note

    monkeypatch.setattr(stream, "_picker", spying_picker)
    monkeypatch.setattr(stream, "_plan_picker", spying_plan_picker)
    monkeypatch.setattr(stream, "_told", lambda *a: told.append(tell(*a)) or told[-1])
    rows = danced(stream, frames).reshape(-1, 30)

    beats = [f.beat for f in frames]
    clock = np.array([(b.tempo, b.beat_phase, b.bar_phase, b.confidence) for b in beats], np.float32)
    song = Song(inputs.listened(np.array([f.features for f in frames])), clock, clock)
    plans = model.runtime.plans
    windows = Windows(
        [], model.runtime.codes, model.tokenizer, list(model.styles), np.zeros(2), plans, model.config["without"]
    )
    start = model.start.reshape(1, 30)
    shown = np.concatenate([np.repeat(start, windows.reach, axis=0), rows])
    poses, before = windows.decode(shown[:-1]), shown[windows.reach - 1 : -1]
    wishes = np.zeros((len(rows), 2 + len(model.styles)), np.float32)
    all_rows = np.arange(len(rows))
    tempo, phase = clock_at(song, all_rows, lead, kind)[:2]
    half, part, _ = plan.half_beats(all_rows, tempo, phase)
    struck = [float(at) if known > 0 else None for at, known in zip(phase, tempo, strict=True)]
    begun = [row for row, _, _ in schemed[:: plan.STAGES]]
    assert begun == [n for n in all_rows[1:] if half[n] != half[n - 1]]
    codes = np.array([code for _, code, _ in schemed]).reshape(-1, plan.STAGES)
    followed = [None, *plans.vectors(codes)]
    planned = np.stack([plan.columns(followed[np.searchsorted(begun, n, "right")], part[n]) for n in all_rows])
    outside = np.concatenate([clock_rows(song, np.arange(len(rows)), lead, kind), wishes, planned], axis=1)
    x = windows.assemble(outside, poses, before, start[0], 0, rows)
    untold = windows.removed  # on stage it is told, in vain; in training it is not
    np.testing.assert_allclose(np.delete(told, untold, axis=1), np.delete(x, untold, axis=1), atol=1e-4)
    x[:, untold] = 0.0

    state, config = weights.load(folder)
    network = ChoreographerNetwork(Shape(**config["shape"]), torch.from_numpy(model.runtime.codes.vectors), plans)
    network.load_state_dict({k: v for k, v in state.items() if k not in ("codebooks", "spread")}, strict=False)
    parts = Parts(tokenizer, model.runtime.spread, np.zeros(2), plans, model.runtime.liveliness, model.runtime.leanings)
    with torch.no_grad():
        states, foretold = network.frames(torch.from_numpy(x)[None])
        aim = aims(
            parts,
            poses[None],
            aimed_at(model, poses, foretold[0].numpy(), followed, begun, half, part, struck)[None],
            np.arange(len(rows)),
        )
        chosen, last = (torch.from_numpy(model.runtime.codes.look_up(r)) for r in (rows, before))
        logits = network.depth(states[0], torch.from_numpy(aim), chosen, last)
        clock = torch.from_numpy(x[begun, inputs.N_MUSIC : inputs.N_MUSIC + inputs.N_CLOCK])
        scheme = network.planner(states[0, np.array(begun) - 1], clock, torch.from_numpy(codes))
    seen = np.array(seen).reshape(logits.shape)[:, np.argsort(inputs.by_slot(config["shape"]["order"]))]
    # Logits reach 30, of which single precision keeps five digits and a half after so many sums.
    np.testing.assert_allclose(seen, logits.numpy(), rtol=1e-5, atol=1e-4)
    planned = np.array([logits for _, _, logits in schemed])
    np.testing.assert_allclose(planned, scheme.flatten(0, 1), rtol=1e-5, atol=1e-4)


def aimed_at(model, poses, foretold, followed, begun, half, part, struck):
    """The poses (T, 60, 3) aimed at, as places: foretold, led to the plan, on the beat, as large as ever, and on their
    feet."""
    aimed = foretold.copy()
    past = poses[-len(foretold) :]  # before each frame
    reached = began = inputs.places(past[0])
    build = Build(past[0])
    for n in range(len(foretold)):
        if n > 0:
            build.push(past[n])
        aimed[n, :, 2] = np.maximum(foretold[n, :, 2], FAINT)  # in training what is hidden may be aimed at as hidden
        pose = inputs.posed(foretold[n, :, :2], aimed[n, :, 2])
        places = inputs.places(pose)
        if n in begun:
            began = reached
        vector = followed[np.searchsorted(begun, n, "right")]
        if vector is not None:
            target = model.runtime.plans.places(vector)[0]
            led = plan.led(places, began, target, half[n], part[n], model.sampling["pull"])
            places = np.where(pose[:, 2:] > 0, led, places).astype(np.float32)
        if struck[n] is not None:
            seen = (pose[:, 2:] > 0) & (past[n][:, 2:] > 0)
            places = np.where(seen, plan.hit(places, inputs.places(past[n]), struck[n]), places)
        reached = inputs.places(planted(build.kept(inputs.posed(places, aimed[n, :, 2])), past[n]))
        aimed[n, :, :2] = reached
    return aimed


def test_lead_runs_ahead_and_waits(model):
    frames = music(12)
    stream = model.stream(lead=4)
    first = stream.step(frames[:1])
    assert first.first == 0 and len(first.tokens) == 5
    assert len(stream.step(frames[1:2]).tokens) == 1
    stream.lead = 7
    ahead = stream.step(frames[2:3])
    assert ahead.first == 6 and len(ahead.tokens) == 4
    stream.lead = 5
    waits = [stream.step([frame]) for frame in frames[3:6]]
    assert [len(block.tokens) for block in waits] == [0, 0, 1]
    assert waits[2].first == 10
    with pytest.raises(ValueError, match="lead is 61"):
        stream.lead = 61


def test_a_cold_dance_takes_the_likeliest_tokens(model):
    frames = music(6)
    dances = []
    for seed in (1, 2):
        stream = model.stream(seed=seed)
        stream.temperature = 0.0
        dances.append(danced(stream, frames))
    np.testing.assert_array_equal(*dances)


def test_energy_and_style_take_hold_on_the_next_frame(model):
    frames = music(20)
    plain, steered = model.stream(), model.stream()
    np.testing.assert_array_equal(danced(plain, frames[:10]), danced(steered, frames[:10]))
    steered.energy, steered.style = 1.0, "salsa"
    assert (plain.step(frames[10:]).tokens != steered.step(frames[10:]).tokens).any()


def test_a_style_leans_to_plans_of_its_own(model, monkeypatch):
    leanings = np.full_like(model.runtime.leanings, -100.0)
    leanings[0, 11] = leanings[1 + model.styles.index("salsa"), 7] = 100.0
    monkeypatch.setattr(model.runtime, "leanings", leanings)
    stream, frames = model.stream(seed=3), music(60)
    for style, code in ((None, 11), ("salsa", 7), (None, 11)):
        stream.style = style
        pick = stream._plan_picker()
        assert pick(0, np.zeros(plan.CODES, np.float32)) == code
        assert len({pick(1, np.eye(plan.CODES)[k] * 100) for k in (2, 9)}) == 2  # finer codes are the network's own
    assert stream.step(frames).tokens.shape == (60, 5, 6)


def test_an_unknown_style_is_named_whenever_it_comes(model):
    stream, frames = model.stream(), music(60)
    for frame in frames:  # at some of them a plan begins
        stream.style = "polka"
        with pytest.raises(ValueError, match="no style 'polka'; there are modern"):
            copy.deepcopy(stream).step([frame])
        stream.style = None
        stream.step([frame])


def test_the_beat_is_hit_where_there_is_one(model, monkeypatch):
    heard = music(60)
    unheard = [MusicFrame(frame.index, frame.features) for frame in heard]
    hit, passed = (danced(model.stream(), frames) for frames in (heard, unheard))
    monkeypatch.setattr(plan, "PACE", (1.0, 1.0))
    assert (danced(model.stream(), heard) != hit).any()
    np.testing.assert_array_equal(danced(model.stream(), unheard), passed)


def test_left_to_itself_a_dance_is_as_lively_as_the_music_wants(model, monkeypatch):
    asked = []
    swung = model.runtime.plans.swung
    monkeypatch.setattr(model.runtime.plans, "swung", lambda v, b, energy: asked.append(energy) or swung(v, b, energy))
    frames = music(120)
    stream = model.stream(seed=3)
    stream.step(frames[:90])
    listener = inputs.Listener()
    heard = [listener.push(frame.features) for frame in frames]
    wanted = {liveliness.wanted(row, model.runtime.liveliness) for row in heard}
    assert len(asked) > 5 and set(asked) <= wanted
    asked.clear()
    stream.energy = 0.25
    stream.step(frames[90:])
    assert asked and set(asked) == {0.25}


def test_silence_and_nothing_at_all(model):
    stream = model.stream()
    assert stream.step([]).tokens.shape == (0, 5, 6)
    features = np.zeros(N_FEATURES, np.float32)
    features[39] = 1.0
    tokens = danced(stream, [MusicFrame(n, features, BeatState()) for n in range(30)])
    assert tokens.min() >= 0 and tokens.max() < 512


def test_music_that_is_none_is_refused_and_spoils_nothing(model):
    stream, other = model.stream(), model.stream()
    for wrong, reason in ((np.full(N_FEATURES, np.nan, np.float32), "NaN"), (np.zeros(N_FEATURES - 1), "shape")):
        with pytest.raises(ValueError, match=reason):
            stream.step([*music(1), MusicFrame(1, wrong, BeatState())])
    frames = music(3)
    np.testing.assert_array_equal(stream.step(frames).tokens, other.step(frames).tokens)


def test_another_tokenizer_is_refused(folder, tmp_path, model):
    other = tiny_tokenizer(tmp_path, seed=1)
    with pytest.raises(UserError, match="trained on the tokens"):
        Choreographer.from_pretrained(str(folder), other)
    with pytest.raises(UserError, match="trained on the tokens"):
        model.check(other)


def test_a_foreign_folder_is_one_line(folder, tmp_path):
    broken = tmp_path / "broken"
    shutil.copytree(folder, broken)
    config = json.loads((broken / "config.json").read_text())
    del config["shape"]
    (broken / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match="not a choreographer"):
        Choreographer.from_pretrained(str(broken))


def test_a_wrong_start_is_refused(model):
    with pytest.raises(ValueError, match="start"):
        model.stream(start=np.full((1, 5, 6), 512))
    with pytest.raises(ValueError, match="no token row"):
        model.stream(start=np.zeros((0, 5, 6), np.int16))
