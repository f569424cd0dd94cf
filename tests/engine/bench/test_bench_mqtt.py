"""The MQTT bench measures both ways and loses nothing."""

import argparse

import pytest

from engine.bench import mqtt


def test_both_ways_are_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mqtt, "SECONDS", 1)
    result = mqtt.run(argparse.Namespace())
    for name in ("nodelay", "default"):
        assert result[name]["lost"] == 0 and 0 < result[name]["p50_ms"] <= result[name]["p99_ms"]
    assert "TCP_NODELAY" in mqtt.report(result)
