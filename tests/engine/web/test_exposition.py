"""/metrics as Prometheus reads it: parsed by its own parser, and the same numbers as the state."""

import asyncio
from functools import partial
from typing import Any

import pytest
from fakes import CountingSource, FakeStudio, run_virtually
from prometheus_client.parser import text_string_to_metric_families

from engine.config import Config
from engine.stage.show import Show
from engine.stage.studios import Studios
from engine.web.broadcast import Broadcast, Shape
from engine.web.metrics import FAMILIES, exposition


@pytest.fixture
def state(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Of a show of ten seconds, that lost a studio and is watched."""
    monkeypatch.setattr(FakeStudio, "all", [])

    async def play() -> dict[str, Any]:
        show = Show(Config(width=64, height=64, show='a "b"\\'), CountingSource(), partial(Studios, handle=FakeStudio))
        broadcast = Broadcast(Shape(64, 64))
        show.outlets.append(broadcast)
        show.reports |= {
            "recorder": lambda: {"on": True, "dropped": 3},
            "mqtt": lambda: {"connected": False, "messages": {"sent": 5, "dropped": 7}, "queue": 2, "reconnects": 4},
        }
        for kind, codec in (("video", "vp8"), ("audio", "opus")):
            broadcast.join(broadcast.track(kind), codec)
        running = asyncio.create_task(show.run())
        await show.started.wait()
        await asyncio.sleep(5)
        FakeStudio.all[0].die()
        await asyncio.sleep(5)
        state = show.state() | broadcast.stats() | {"viewers": 1}
        state["latency"] |= broadcast.latency()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        broadcast.close()
        return state

    return run_virtually(play())


def samples(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    out = {}
    for family in text_string_to_metric_families(text):
        assert family.documentation and family.type != "unknown" and family.name.startswith("xdancer_")
        for sample in family.samples:
            key = (sample.name.removeprefix("xdancer_"), tuple(sorted(sample.labels.items())))
            assert key not in out
            out[key] = sample.value
    return out


def test_prometheus_reads_the_numbers_of_the_state(state: dict[str, Any]) -> None:
    found = samples(exposition(state))

    def value(name: str, **labels: str) -> float:
        return found[name, tuple(sorted(labels.items()))]

    for fate in ("made", "shown", "repeated", "dropped", "late"):
        assert value("frames_total", fate=fate) == state["frames"][fate]
    assert value("frames_total", fate="made") > 250
    assert value("show_info", show='a "b"\\') == 1
    assert value("viewers") == 1
    assert value("studio_replaced_total") == 1
    assert value("studio_info", status="live") == 1
    assert value("clock_info", source="audio") == 1
    assert (value("mqtt_messages_total", fate="dropped"), value("mqtt_connected")) == (7, 0)
    assert (value("recording"), value("recorder_dropped_frames")) == (1, 3)
    assert value("resident_memory_bytes", process="stage") == pytest.approx(1e6 * state["memory_mb"]["stage"])
    assert value("video_bits_per_second", codec="vp8_full") == state["bitrate"]["vp8_full"]
    # The fake studio needs 10 ms for a frame, and a frame is shown 250 ms after its sound was heard.
    for quantile in ("0.5", "0.95", "0.99"):
        assert value("stage_seconds", stage="pipeline", quantile=quantile) == pytest.approx(0.01, abs=1e-5)
        assert value("stage_seconds", stage="show", quantile=quantile) == pytest.approx(0.25, abs=1e-5)
        assert value("stage_seconds", stage="end_to_end", quantile=quantile) == pytest.approx(0.28, abs=1e-5)
    assert value("stage_seconds_count", stage="pipeline") == state["frames"]["made"]
    assert value("stage_seconds", stage="encode_vp8_full", quantile="0.5") > 0
    assert value("loop_lag_seconds", quantile="0.99") == pytest.approx(0, abs=1e-6)


def test_every_family_is_there(state: dict[str, Any]) -> None:
    """But for what a source that is no network or sound card does not count."""
    names = {name for name, _ in samples(exposition(state))}
    lacking = {family.name for family in FAMILIES} - names
    assert lacking == {"source_underruns_total", "source_reconnects_total"}


def test_what_the_state_lacks_is_left_out() -> None:
    assert samples(exposition({"tempo": 120.0})) == {("tempo_bpm", ()): 120.0}
