"""The analyzer's contract: causal, the same in any chunking, deaf to the level, calm in silence."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xdancer.music import N_FEATURES, MusicAnalyzer, MusicFrame
from xdancer.music.frame import HOP, SAMPLE_RATE


def drums(
    bpm: float, seconds: float, start: float = 0.25, seed: int = 0, drift: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """Kick on 1 and 3, snare on 2 and 4, soft hats between: samples (N,), beats in seconds. `drift`: the part by which
    they get faster in the ten seconds from the fifth on."""
    rng = np.random.default_rng(seed)
    sound = 1e-3 * rng.standard_normal(int(seconds * SAMPLE_RATE)).astype(np.float32)
    t = np.arange(4800) / SAMPLE_RATE
    beats = np.arange(start, seconds - 0.2, 60.0 / bpm)
    if drift:
        at = np.arange(start, seconds - 0.2, 0.001)
        passed = np.cumsum(0.001 * bpm / 60.0 * (1.0 + drift * np.clip((at - 5.0) / 10.0, 0.0, 1.0)))
        beats = np.interp(np.arange(int(passed[-1])), passed, at)
    for k, beat in enumerate(beats):
        kick = 0.7 * np.sin(2.0 * np.pi * 55.0 * t) * np.exp(-20.0 * t)
        snare = 0.4 * rng.standard_normal(4800) * np.exp(-35.0 * t)
        _mix(sound, beat, snare if k % 2 else kick)
        _mix(sound, beat + 30.0 / bpm, 0.06 * rng.standard_normal(4800) * np.exp(-80.0 * t))
    return sound, beats


def _mix(sound: np.ndarray, second: float, stroke: np.ndarray) -> None:
    first = round(second * SAMPLE_RATE)
    room = sound[first : first + len(stroke)]
    room += stroke[: len(room)].astype(np.float32)


def struck(frames: list[MusicFrame]) -> np.ndarray:
    return np.array([f.beat.struck for f in frames if f.beat.struck is not None])


def same(a: MusicFrame, b: MusicFrame) -> bool:
    return a.index == b.index and a.beat == b.beat and a.level == b.level and np.array_equal(a.features, b.features)


SOUND, BEATS = drums(118.0, 12.0)
WHOLE = MusicAnalyzer().push(SOUND)


@settings(max_examples=8, deadline=None)
@given(st.lists(st.integers(0, 9000), min_size=1, max_size=12))
def test_any_chunking_gives_the_same_frames(sizes: list[int]) -> None:
    sound = SOUND[: 2 * SAMPLE_RATE]
    analyzer, frames, first, turn = MusicAnalyzer(), [], 0, 0
    while first < len(sound):
        size = sizes[turn % len(sizes)] or 1
        frames += analyzer.push(sound[first : first + size])
        first, turn = first + size, turn + 1
    assert len(frames) == len(sound) // HOP
    assert all(same(a, b) for a, b in zip(frames, WHOLE, strict=False))


@settings(max_examples=8, deadline=None)
@given(st.integers(1, 60), st.integers(0, 2**32 - 1))
def test_no_frame_depends_on_later_samples(frame: int, seed: int) -> None:
    sound = SOUND[: 3 * SAMPLE_RATE].copy()
    cut = HOP * frame
    sound[cut:] = np.random.default_rng(seed).standard_normal(len(sound) - cut)
    changed = MusicAnalyzer().push(sound)
    assert all(same(a, b) for a, b in zip(changed[:frame], WHOLE, strict=False))
    assert not same(changed[frame], WHOLE[frame])


def test_a_frame_comes_with_its_last_sample() -> None:
    analyzer = MusicAnalyzer()
    assert analyzer.push(SOUND[: HOP - 1]) == []
    assert [f.index for f in analyzer.push(SOUND[HOP - 1 : HOP])] == [0]


@settings(max_examples=6, deadline=None)
@given(st.floats(-20.0, 20.0))
def test_level_moves_no_beat_by_20_ms(decibels: float) -> None:
    sound, _ = drums(104.0, 12.0, start=0.0)
    plain, louder = (struck(MusicAnalyzer().push(x)) for x in (sound, sound * np.float32(10.0 ** (decibels / 20.0))))
    assert len(plain) == len(louder) >= 15
    assert np.abs(plain - louder).max() < 0.020


@pytest.mark.parametrize("bpm", [84.0, 118.0, 140.0])
def test_drums_are_followed(bpm: float) -> None:
    sound, beats = drums(bpm, 16.0)
    frames = MusicAnalyzer().push(sound)
    found = struck(frames)
    found = found[(found > 5.0) & (found < beats[-1] + 0.1)]
    assert np.abs(np.diff(found) - 60.0 / bpm).max() < 0.03
    nearest = np.abs(found[:, None] - beats[None, :]).min(axis=1)
    assert nearest.max() < 0.035
    assert abs(frames[-1].beat.tempo - bpm) < 3.0


def test_beat_states_are_consistent() -> None:
    for before, after in zip(WHOLE, WHOLE[1:], strict=False):
        state, now = after.beat, (after.index + 1) / 30
        assert 0.0 <= state.beat_phase < 1.0 and 0.0 <= state.bar_phase < 1.0 and 0.0 <= state.confidence <= 1.0
        if state.struck is not None:
            assert now - 1 / 30 - 1e-9 <= state.struck <= now
            assert state.beat == before.beat.beat + 1
        else:
            assert state.beat == before.beat.beat
        if state.tempo:
            assert now < state.ahead[0] <= now + 60.0 / state.tempo + 1e-9
            assert int(state.bar_phase * 4) == state.beat_in_bar


def test_silence_idles() -> None:
    for sound in (np.zeros(3 * SAMPLE_RATE, np.float32), np.full(3 * SAMPLE_RATE, np.nan, np.float32)):
        with np.errstate(divide="raise", invalid="raise", over="raise"):
            frames = MusicAnalyzer().push(sound)
        assert all(f.features[39] == 1.0 and not f.features[:39].any() for f in frames)
        assert all(f.level == -120.0 and f.beat.struck is None and f.beat.tempo == 0.0 for f in frames)


def test_samples_that_are_not_finite_count_as_silence() -> None:
    holes, zeros = SOUND[: 2 * SAMPLE_RATE].copy(), SOUND[: 2 * SAMPLE_RATE].copy()
    holes[5000:5100], zeros[5000:5100] = np.nan, 0.0
    holes[20000:20010], zeros[20000:20010] = np.inf, 0.0
    assert all(same(a, b) for a, b in zip(MusicAnalyzer().push(holes), MusicAnalyzer().push(zeros), strict=True))


def test_time_is_kept_through_a_break_and_after_it() -> None:
    sound, beats = drums(120.0, 24.0)
    sound[10 * SAMPLE_RATE : 14 * SAMPLE_RATE] *= 1e-6
    frames = MusicAnalyzer().push(sound)
    found = struck(frames)
    kept = found[(found > 10.0) & (found < 24.0)]
    assert np.abs(np.diff(kept) - 0.5).max() < 0.06
    assert frames[13 * 30].beat.confidence < frames[9 * 30].beat.confidence
    assert all(abs(f.beat.tempo - 120.0) < 4.0 for f in frames[10 * 30 : 14 * 30])
    last = found[found > 16.0]
    assert np.abs(last[:, None] - beats[None, :]).min(axis=1).max() < 0.035


@pytest.mark.parametrize("pad", [0.0, 0.1], ids=["silence", "a chord"])
def test_time_is_kept_through_ten_seconds_without_drums(pad: float) -> None:
    sound, beats = drums(120.0, 22.0)
    t = np.arange(10 * SAMPLE_RATE) / SAMPLE_RATE
    chord = sum(np.sin(2.0 * np.pi * hertz * t) for hertz in (220.0, 277.2, 329.6))
    sound[10 * SAMPLE_RATE : 20 * SAMPLE_RATE] = pad * chord
    found = struck(MusicAnalyzer().push(sound))
    through = beats[(beats > 10.0) & (beats < 20.0)]
    assert np.abs(through[:, None] - found[None, :]).min(axis=1).max() < 0.07


def test_ten_per_cent_of_drift_are_followed() -> None:
    sound, beats = drums(120.0, 20.0, drift=0.1)
    frames = MusicAnalyzer().push(sound)
    found, true = struck(frames), beats[(beats > 5.0) & (beats < 19.0)]
    assert np.abs(true[:, None] - found[None, :]).min(axis=1).max() < 0.035
    assert frames[-1].beat.tempo == pytest.approx(132.0, rel=0.02)


def test_a_long_silence_stops_the_clock_and_music_starts_it_anew() -> None:
    sound = np.concatenate([SOUND[: 8 * SAMPLE_RATE], np.zeros(14 * SAMPLE_RATE, np.float32), SOUND])
    frames = MusicAnalyzer().push(sound)
    assert frames[22 * 30 - 1].beat.tempo == 0.0
    assert struck(frames)[-1] > 33.0
    assert frames[-1].beat.beat == len(struck(frames)) - 1


def test_features_are_finite_and_within_their_ranges() -> None:
    features = np.stack([f.features for f in WHOLE])
    assert features.shape == (len(WHOLE), N_FEATURES) and features.dtype == np.float32
    assert np.isfinite(features).all() and np.abs(features).max() <= 3.0


def test_pure_tone_lights_its_pitch_class() -> None:
    tone = np.sin(2.0 * np.pi * 440.0 * np.arange(SAMPLE_RATE) / SAMPLE_RATE).astype(np.float32)
    chroma = MusicAnalyzer().push(tone)[-1].features[24:36]
    assert int(np.argmax(chroma)) == 9  # A
    assert np.sort(chroma)[-2] < 0.4


def test_stereo_is_refused() -> None:
    with pytest.raises(ValueError, match="mono"):
        MusicAnalyzer().push(np.zeros((2, 100)))
