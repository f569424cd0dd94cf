"""The MQTT bench measures both ways and loses nothing."""

import argparse

import pytest

from engine.bench import mqtt


def test_both_ways_are_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mqtt, "SECONDS", 1)
    result = mqtt.run(argparse.Namespace())
    for broker in mqtt.BROKERS:
        for name in ("nodelay", "default"):
            for kind in ("tokens", "pose", "bare TCP"):
                row = result[broker][name][kind]
                assert row["lost"] == 0 and 0 < row["p50_ms"] <= row["p99_ms"]
    assert "TCP_NODELAY" in mqtt.report(result)
