"""The studio in one process: chunking, handles, and going on with another's dance; with tiny models."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from models import tiny_choreographer, tiny_tokenizer

from engine.clock.source import exact
from engine.params import Params
from engine.studio.frame import StudioFrame, beat_at
from engine.studio.models import Models
from engine.studio.studio import Studio
from xdancer.music import BeatState, MusicAnalyzer
from xdancer.music.demo import click_track
from xdancer.pose.layout import mirror
from xdancer.renderer import SkeletonRenderer

SOUND = click_track(4.0).samples


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    folder: Path = tmp_path_factory.mktemp("models")
    tokenizer = tiny_tokenizer(folder / "tokenizer")
    dancer = tiny_choreographer(folder / "choreographer", tokenizer)
    return Models(MusicAnalyzer, tokenizer, dancer, SkeletonRenderer(64, 112))


def dance(models: Models, params: Params, sound: np.ndarray = SOUND) -> list[StudioFrame]:
    return Studio(models, params).push(sound, draw=False)


@settings(max_examples=5, deadline=None)
@given(st.lists(st.integers(0, 5000), max_size=12))
def test_any_chunking_gives_the_same_frames(models: Models, cuts: list[int]) -> None:
    sound = SOUND[: 30 * 1600]
    whole = Studio(models, Params(seed=3)).push(sound)
    studio = Studio(models, Params(seed=3))
    pieces = [frame for part in np.split(sound, np.cumsum(cuts)) for frame in studio.push(part)]
    assert [frame.index for frame in pieces] == list(range(30))
    for a, b in zip(whole, pieces, strict=True):
        assert (a.tokens == b.tokens).all() and (a.picture == b.picture).all() and a.beat == b.beat


def test_the_pose_is_what_the_tokens_decode_to(models: Models) -> None:
    for params in (Params(), Params(mirror=True)):
        frames = dance(models, params)
        tokens = np.stack([frame.tokens for frame in frames])
        np.testing.assert_allclose(models.tokenizer.decode(tokens), np.stack([f.pose for f in frames]), atol=1e-2)


def test_mirror_is_in_the_tokens(models: Models) -> None:
    frames = dance(models, Params(mirror=True))
    danced = models.tokenizer.decode(np.stack([frame.danced for frame in frames]))
    shown = models.tokenizer.encode(mirror(danced))
    assert (shown == np.stack([frame.tokens for frame in frames])).all()


def test_hold_repeats_the_tokens_and_dances_on_afterwards(models: Models) -> None:
    studio = Studio(models, Params())
    before = studio.push(SOUND[: 30 * 1600], draw=False)
    studio.set({"hold": True})
    held = studio.push(SOUND[30 * 1600 : 60 * 1600], draw=False)
    assert all((frame.tokens == before[-1].tokens).all() for frame in held)
    studio.set({"hold": False})
    after = studio.push(SOUND[60 * 1600 : 70 * 1600], draw=False)
    assert (after[-1].tokens == after[-1].danced).all()


def test_blackout_darkens_the_picture_and_leaves_the_dance(models: Models) -> None:
    sound = SOUND[: 5 * 1600]
    light, dark = Studio(models, Params()).push(sound), Studio(models, Params(blackout=True)).push(sound)
    assert all(a.picture.any() and not b.picture.any() for a, b in zip(light, dark, strict=True))
    assert all((a.tokens == b.tokens).all() for a, b in zip(light, dark, strict=True))


def test_a_flash_comes_with_each_beat(models: Models) -> None:
    steady = Models(SteadyAnalyzer, models.tokenizer, models.choreographer, models.renderer)
    frames = Studio(steady, Params(flash=True), lead=4).push(np.zeros((40 * 1600, 2), np.float32))
    white = [frame.index for frame in frames if (frame.picture == 255).all()]
    # Frame n's beat clock is that of its end: beats end frames 14, 29 and 44.
    assert [index for index in white if index > 4] == [14, 15, 29, 30]


def test_silence_and_nothing_at_all(models: Models) -> None:
    studio = Studio(models, Params())
    assert studio.push(np.zeros((0, 2), np.float32)) == []
    frames = studio.push(np.zeros((60 * 1600, 2), np.float32), draw=False)
    assert len(frames) == 60 and all(np.isfinite(frame.pose).all() for frame in frames)


def test_an_exact_clock_leads_and_a_new_studio_follows_it_on(models: Models) -> None:
    clock = [exact((n + 1) / 30 * 100 / 60, 100.0, "link") if n >= 30 else None for n in range(120)]
    whole = Studio(models, Params(seed=3)).push(SOUND, draw=False, clock=clock)
    assert [frame.beat.source for frame in whole] == ["audio"] * 30 + ["link"] * 90
    assert whole[-1].beat.tempo == 100.0 and whole[-1].beat.beat_phase == pytest.approx(4.0 * 100 / 60 % 1, abs=1e-9)
    heard = dance(models, Params(seed=3))
    assert any((a.tokens != b.tokens).any() for a, b in zip(whole, heard, strict=True))  # it reaches the dance
    studio = Studio(models, Params(seed=3))
    pieces = [
        frame
        for n in range(120)
        for frame in studio.push(SOUND[n * 1600 : (n + 1) * 1600], draw=False, clock=clock[n : n + 1])
    ]
    rows = [np.stack(rows) for rows in zip(*((f.danced, f.tokens) for f in whole[:90]), strict=True)]
    other = Studio(models, Params(seed=3))
    other.resume(SOUND[: 90 * 1600], 0, *rows, whole[89].beat.beat, clock=clock[:90])
    rest = [frame for n in range(90, 120) for frame in other.push(SOUND[n * 1600 : (n + 1) * 1600], False, [clock[n]])]
    for a, b, c in zip(whole, pieces, [*whole[:90], *rest], strict=True):
        assert (a.tokens == b.tokens).all() and a.beat == b.beat
        assert (a.tokens == c.tokens).all() and a.beat == c.beat


class SteadyAnalyzer:
    """A beat every 15 frames, a bar every 60: frame 14, 29, … end on a beat."""

    def __init__(self) -> None:
        self._inner = MusicAnalyzer()
        self._index = 0

    def push(self, samples: np.ndarray) -> list:
        from dataclasses import replace

        out = []
        for frame in self._inner.push(samples):
            position = frame.index + 1
            beat = BeatState(120.0, position % 15 / 15, position % 60 / 60, position // 15, position // 15 % 4, 4, 1.0)
            out.append(replace(frame, beat=beat))
        return out


@pytest.mark.parametrize(("moment", "expected"), [("frame", 20), ("beat", 29), ("bar", 59)])
def test_a_change_takes_hold_when_asked(models: Models, moment: str, expected: int) -> None:
    steady = Models(SteadyAnalyzer, models.tokenizer, models.choreographer, models.renderer)
    studio = Studio(steady, Params())
    sound = np.zeros((100 * 1600, 2), np.float32)
    studio.push(sound[: 20 * 1600], draw=False)
    studio.set({"blackout": True}, moment)
    frames = studio.push(sound[20 * 1600 : 70 * 1600])
    assert next(frame.index for frame in frames if not frame.picture.any()) == expected


def test_another_studio_goes_on_with_the_dance(models: Models) -> None:
    frames = dance(models, Params(seed=5))
    rows = [np.stack(rows) for rows in zip(*((f.danced, f.tokens) for f in frames[:90]), strict=True)]
    other = Studio(models, Params(seed=5))
    other.resume(SOUND[: 90 * 1600], 0, *rows, frames[89].beat.beat)
    rest = other.push(SOUND[90 * 1600 :], draw=False)
    assert [frame.index for frame in rest] == list(range(90, len(frames)))
    for a, b in zip(frames[90:], rest, strict=True):
        assert (a.tokens == b.tokens).all() and a.beat == b.beat
        np.testing.assert_allclose(a.pose, b.pose, atol=1e-2)


def test_going_on_from_part_of_the_sound_keeps_the_numbers(models: Models) -> None:
    frames = dance(models, Params(seed=5))
    rows = [np.stack(rows) for rows in zip(*((f.danced, f.tokens) for f in frames[60:90]), strict=True)]
    other = Studio(models, Params(seed=5))
    other.resume(SOUND[40 * 1600 : 90 * 1600], 40, *rows, frames[89].beat.beat)
    rest = other.push(SOUND[90 * 1600 :], draw=False)
    assert [frame.index for frame in rest] == list(range(90, len(frames)))
    struck = [frame.beat.struck for frame in rest if frame.beat.struck is not None]
    assert all(time >= 90 / 30 - 1 for time in struck)
    counts = [frame.beat.beat for frame in (frames[89], *rest)]
    assert set(np.diff(counts)) == {0, 1}


def test_beat_at_carries_the_clock_on() -> None:
    beat = BeatState(120.0, 0.8, 0.7, 2, 2, 4, 0.9, struck=1.0)
    later = beat_at(beat, 30)  # two beats on
    assert (later.beat, later.beat_in_bar, later.struck) == (4, 0, None)
    assert later.beat_phase == pytest.approx(0.8) and later.bar_phase == pytest.approx(0.2)
    assert beat_at(beat, 0) is beat
    assert beat_at(BeatState(struck=1.0), 5) == BeatState()
