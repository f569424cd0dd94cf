"""Pairing: beats found in motion, motion put onto beats, and waiting where there is nothing to dance to."""

from dataclasses import replace

import numpy as np
import pytest
from motion_fixtures import make_body, make_clip

from xdancer.data import rotation
from xdancer.data.pairing import beats, build, chain
from xdancer.data.pairing.idle import idle
from xdancer.data.skeleton import BONE, Clip


def swinging(period: int, frames: int = 600) -> Clip:
    """Both arms swing and rest every `period` frames, at frames 0, period, 2 period, ..."""
    clip = make_clip(frames)
    angle = 0.6 * np.cos(np.pi * np.arange(frames) / period)
    rotations = np.broadcast_to(np.eye(3), clip.rotations.shape).copy()
    turn = rotation.about(np.array([0.0, 0.0, 1.0]), angle)
    for bone in ("upper_arm", "forearm", "hand"):
        for side in ("left", "right"):
            rotations[:, BONE[f"{side}_{bone}"]] = turn
    return replace(clip, rotations=rotations.astype(np.float32), root=np.repeat(clip.root[:1], frames, axis=0))


@pytest.mark.parametrize("period", [14, 18, 22])
def test_rests_are_found_as_beats(period: int) -> None:
    steps = beats.steps(swinging(period), make_body())
    assert steps is not None
    inner = steps.beats[2:-2]
    off = np.abs((inner + period / 2) % period - period / 2)
    assert off.max() <= 1.5
    assert steps.period == pytest.approx(period, abs=1)


def test_a_short_clip_has_no_steps() -> None:
    assert beats.steps(swinging(16, frames=40), make_body()) is None


def test_quiet_spans_must_last() -> None:
    energy = np.array([0.9, 0.1, 0.1, 0.9, 0.1, 0.1, 0.1, 0.1, 0.9])
    np.testing.assert_array_equal(chain.quiet_spans(energy), [0, 0, 0, 0, 1, 1, 1, 1, 0])


@pytest.fixture(scope="module")
def steps() -> list[beats.Steps]:
    found = [beats.steps(replace(swinging(period), name=f"swing{period}"), make_body()) for period in (15, 17, 20)]
    return [s for s in found if s is not None]


def test_a_phrase_rests_on_the_songs_beats(steps: list[beats.Steps]) -> None:
    song = 0.4 + np.arange(30) * 60 / 112
    made = chain.phrase(np.random.default_rng(3), steps, np.ones(len(steps)), song, np.full(30, 0.8), 480)
    assert len(made.clip) == len(made.idle) == len(made.source) == len(made.style) == 480
    moved = beats.speed(make_body().joints(made.clip)[:, :18])
    rests = (np.flatnonzero((moved[1:-1] < moved[:-2]) & (moved[1:-1] <= moved[2:])) + 1.5) / 30
    danced = song[(song > 2) & (song < 14)]
    off = np.abs(danced[:, None] - rests[None]).min(axis=1)
    assert np.median(off) < 0.03


def test_a_phrase_waits_where_the_song_is_quiet(steps: list[beats.Steps]) -> None:
    song = np.arange(1, 31) * 0.5
    energy = np.where((np.arange(30) >= 10) & (np.arange(30) < 20), 0.0, 0.8)
    made = chain.phrase(np.random.default_rng(3), steps, np.ones(len(steps)), song, energy, 480)
    assert made.idle[round(6.0 * 30) : round(10.0 * 30)].all()
    assert not made.idle[round(2.0 * 30) : round(5.0 * 30)].any()


def test_without_beats_the_whole_phrase_is_waiting(steps: list[beats.Steps]) -> None:
    made = chain.phrase(np.random.default_rng(0), steps, np.ones(len(steps)), np.zeros(0), np.zeros(0), 90)
    assert made.idle.all() and len(made.clip) == 90


def test_waiting_keeps_the_feet_where_they_are() -> None:
    still = idle(np.random.default_rng(2), 300)
    joints = make_body().joints(still)
    ankles = joints[:, [10, 13]]
    assert np.ptp(ankles, axis=0).max() < 0.05
    assert np.ptp(joints[:, 0, 0]) > 0.02  # while the head does move


def test_energy_by_frame_is_read_between_beats() -> None:
    out = build.by_frame(np.array([0.0, 1.0]), np.array([0.0, 1.0]), 30)
    np.testing.assert_allclose(out[[0, 14]], [0.5 / 30, 14.5 / 30], atol=1e-6)
    assert not build.by_frame(np.zeros(0), np.zeros(0), 5).any()
