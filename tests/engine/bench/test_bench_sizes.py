"""The bench of both sizes of the diffusion renderer: on CPU, small."""

import argparse
from dataclasses import replace

import pytest
import torch

from engine.bench import sizes
from engine.bench.sizes import Case
from xdancer.errors import UserError
from xdancer.renderer.diffusion import model
from xdancer.renderer.diffusion.autoencoder import AutoencoderShape


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    shape = replace(
        model.LIVE,
        unet=replace(model.LIVE.unet, channels=(16, 16, 16)),
        motion=replace(model.LIVE.motion, widths=(16, 16, 16)),
        autoencoder=AutoencoderShape(latent=8, encoder=(4, 4, 4), decoder=(4, 4, 4)),
    )
    monkeypatch.setattr(model, "LIVE", shape)
    monkeypatch.setattr(sizes, "SQUARE", {"cpu": 64})


def test_a_row_says_how_fast_it_is_and_where_the_time_goes(small: None) -> None:
    rows = [sizes.measured(Case("live", size), "cpu") for size in ((64, 64), (128, 128))]
    for row in rows:
        assert row["frames_per_second"] > 0 <= row["memory_mb"]
        reached = row["tflop_a_frame"] * row["frames_per_second"]
        assert row["share"] == pytest.approx(reached / row["device_tflops"])
        assert sum(row["parts"].values()) == pytest.approx(1)
        assert 0 < sum(row["kinds"].values()) <= 1
    assert rows[1]["tflop_a_frame"] > rows[0]["tflop_a_frame"]
    text = sizes.report({"device": "cpu", "rows": rows})
    assert "live 64 x 64" in text and "autoencoder" in text


def test_a_case_too_large_for_the_machine_is_named() -> None:
    row = {"name": "sd15", "size": [896, 512], "failed": "too little memory"}
    assert "sd15 896 x 512: too little memory" in sizes.report({"device": "cpu", "rows": [row]})


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_device_that_is_not_there_is_named() -> None:
    with pytest.raises(UserError, match="no GPU"):
        sizes.run(argparse.Namespace(device="cuda"))
