"""The renderer's bench measures ours and the peer in one run."""

import argparse

import pytest

from engine.bench import renderer


def test_ours_and_the_stick_figure_are_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(renderer, "FRAMES", 5)
    result = renderer.run(argparse.Namespace())
    for row in result["sizes"]:
        assert row["ratio"] == pytest.approx(row["ours_ms"]["p50"] / row["stick_figure_ms"]["p50"])
    assert "512x896" in renderer.report(result)
