import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xdancer.choreographer import inputs


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 200), st.integers(0, 1000))
def test_listening_frame_by_frame_is_listening_at_once(frames, seed):
    features = np.random.default_rng(seed).random((frames, inputs.N_FEATURES)).astype(np.float32)
    listener = inputs.Listener()
    one_by_one = np.array([listener.push(row) for row in features])
    np.testing.assert_allclose(one_by_one, inputs.listened(features), atol=1e-5)


def test_a_mean_over_one_second_forgets_within_seconds_and_over_a_minute_does_not():
    features = np.zeros((150, inputs.N_FEATURES), np.float32)
    features[:60, 0] = 1.0  # two seconds of sound, three of quiet
    last = inputs.listened(features)[-1]
    short, _, long = last[inputs.N_FEATURES :].reshape(3, inputs.N_FEATURES)[:, 0]
    # Seconds 3..5 of an exponential mean: e^-3 of what was 1 before, over a weight of 1 - e^-5.
    assert short == pytest.approx((np.exp(-3) - np.exp(-5)) / (1 - np.exp(-5)), abs=1e-3)
    assert 0.35 < long < 0.4


def test_the_clock_is_a_circle_and_silent_without_a_tempo():
    just_before, just_after = (inputs.clock(*map(np.array, (p, p, 120.0, 1.0))) for p in (0.9999, 0.0001))
    np.testing.assert_allclose(just_before, just_after, atol=0.01)
    assert not inputs.clock(*map(np.array, (0.3, 0.3, 0.0, 0.0))).any()
    quarter = inputs.clock(*map(np.array, (0.25, 0.0, 115.0, 0.5)))
    np.testing.assert_allclose(quarter[:8], [1, 0, -1, 0, 0, -1, 0, 1], atol=1e-6)
    np.testing.assert_allclose(quarter[-3:], [0.0, 0.5, 1.0])


def test_reminders_are_spread_evenly_over_two_minutes_and_stay_for_64_rows():
    assert not len(inputs.context_rows(63))
    assert inputs.context_rows(64).tolist() == [4, 12, 20, 28, 36, 44, 52, 60]
    assert inputs.context_rows(127).tolist() == inputs.context_rows(64).tolist()
    late = inputs.context_rows(64 * 100)
    assert late[0] == 6400 - 3600 + 225 and late[-1] == 6400 - 225


def test_controls():
    styles = ("salsa", "street")
    assert inputs.controls(None, None, styles).tolist() == [0, 0, 0, 0]
    assert inputs.controls(2.0, "street", styles).tolist() == [1, 1, 0, 1]
    with pytest.raises(ValueError, match="no style 'polka'; there are salsa, street"):
        inputs.controls(0.5, "polka", styles)


def test_codes_add_up_to_the_tokenizers_latents(tokenizer):
    rows = np.random.default_rng(0).integers(0, 512, (7, 5, 6))
    spread = np.full((5, 12), 0.5, np.float32)
    codes = inputs.Codes(tokenizer.runtime.books, tokenizer.config["shape"]["stages"], spread)
    np.testing.assert_allclose(codes.latents(rows), tokenizer.embed(rows) / 0.5, atol=1e-5)
