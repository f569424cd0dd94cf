"""The noise schedule against diffusers' schedulers, and its own algebra."""

import pytest
import torch
from diffusers import DDIMScheduler
from hypothesis import given
from hypothesis import strategies as st

from xdancer.renderer.diffusion.noise import CLEAN, SPREAD, NoiseSchedule

KINDS = {
    "moore": ({"curve": "linear"}, "linear", "v_prediction", True),
    "sd15": ({"curve": "scaled_linear", "zero_terminal": False, "prediction": "epsilon"},
             "scaled_linear", "epsilon", False),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_steps_are_those_of_ddim(kind: str) -> None:
    ours, curve, prediction, zero = KINDS[kind]
    schedule = NoiseSchedule(**ours)
    theirs = DDIMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule=curve, prediction_type=prediction, clip_sample=False,
        rescale_betas_zero_snr=zero, timestep_spacing="trailing", set_alpha_to_one=True,
    )  # fmt: skip
    theirs.set_timesteps(4)
    levels = schedule.levels(4)
    assert levels == [*theirs.timesteps.tolist(), CLEAN]
    ours_now = theirs_now = torch.randn(2, 3, 4, 5)
    for now, following in zip(levels, levels[1:], strict=False):
        said = torch.randn(2, 3, 4, 5)
        ours_now = schedule.step(ours_now, said, torch.tensor([now, now]), torch.tensor([following, following]))
        theirs_now = theirs.step(said, now, theirs_now).prev_sample
        torch.testing.assert_close(ours_now, theirs_now, atol=2e-4, rtol=1e-3)


@given(
    level=st.integers(0, 998),
    lower=st.integers(-1, 998),
    prediction=st.sampled_from(["epsilon", "v"]),
)
def test_what_the_network_should_say_leads_back_to_the_clean_picture(level: int, lower: int, prediction: str) -> None:
    schedule = NoiseSchedule(zero_terminal=prediction == "v", prediction=prediction)
    generator = torch.Generator().manual_seed(level)
    clean, noise = torch.randn(2, 2, 3, 4, 5, generator=generator).unbind()
    here, there = torch.tensor([level, 10]), torch.tensor([lower, CLEAN])
    noisy = schedule.noised(clean, noise, here)
    said = schedule.target(clean, noise, here)
    torch.testing.assert_close(schedule.cleaned(noisy, said, here), clean, atol=1e-2, rtol=1e-2)
    torch.testing.assert_close(
        schedule.step(noisy, said, here, there), schedule.noised(clean, noise, there), atol=1e-2, rtol=1e-2
    )


@pytest.mark.parametrize("prediction", ["epsilon", "v"])
def test_what_can_be_expected_is_the_best_straight_guess(prediction: str) -> None:
    """Of clean latents that are SPREAD apart from near ones, no other mixture of these and the noisy ones is nearer."""
    schedule = NoiseSchedule(zero_terminal=prediction == "v", prediction=prediction)
    near = torch.randn(4, 20_000, 1, 1, 1, generator=torch.Generator().manual_seed(0))
    clean = near + SPREAD * torch.randn(near.shape, generator=torch.Generator().manual_seed(1))
    noise = torch.randn(near.shape, generator=torch.Generator().manual_seed(2))
    levels = torch.tensor([100, 400, 700, 998])[:, None].expand(-1, 20_000)
    noisy = schedule.noised(clean, noise, levels)
    made = schedule.cleaned(noisy, schedule.expected(noisy, near, levels), levels)
    for level, (x, guess, y, want) in enumerate(zip(noisy, near, made, clean, strict=True)):
        table = torch.stack([x.flatten(), guess.flatten()], dim=1)
        best = table @ torch.linalg.lstsq(table, want.flatten()).solution
        torch.testing.assert_close((y - want).std(), (best - want.flatten()).std(), atol=2e-3, rtol=0.0), level
    assert schedule.expected(noisy, near, torch.full_like(levels, CLEAN)).isfinite().all()


def test_the_last_step_holds_nothing_but_noise_and_clean_is_clean() -> None:
    schedule = NoiseSchedule()
    clean, noise = torch.randn(2, 1, 3, 4, 5).unbind()
    torch.testing.assert_close(schedule.noised(clean, noise, torch.tensor([999])), noise)
    torch.testing.assert_close(schedule.noised(clean, noise, torch.tensor([CLEAN])), clean)
    with pytest.raises(ValueError, match="nothing else"):
        NoiseSchedule(prediction="epsilon")
