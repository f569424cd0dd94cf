"""The bench of the diffusion renderer measures ours and diffusers' UNet in one run."""

import argparse
from dataclasses import replace

import pytest

from engine.bench import diffusion, memory
from xdancer.renderer.diffusion import model
from xdancer.renderer.diffusion.autoencoder import AutoencoderShape


def test_ours_and_the_plain_unet_are_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    small = replace(
        model.LIVE,
        size=(64, 64),
        unet=replace(model.LIVE.unet, channels=(16, 16, 16)),
        motion=replace(model.LIVE.motion, widths=(16, 16, 16)),
        autoencoder=AutoencoderShape(latent=8, encoder=(4, 4, 4), decoder=(4, 4, 4)),
    )
    monkeypatch.setattr(model, "LIVE", small)
    monkeypatch.setattr(diffusion, "PASSES", 1)
    monkeypatch.setattr(memory, "CASES", (memory.Case((64, 64), 1, 1), memory.Case((448, 256), 1, 1)))
    result = diffusion.run(argparse.Namespace())
    assert result["frames_per_core_second"] == pytest.approx(1e3 / result["ours_ms"])
    assert result["diffusers_unet_ms"] > 0 < result["one_pass_ms"]
    assert all(count > 1000 for count in result["parameters"].values())
    little, much = (row["resident_mb"] for row in result["memory"])
    assert 0 < little < much
    assert "64 x 64" in diffusion.report(result) and "448 x 256, 1 pass: " in diffusion.report(result)
