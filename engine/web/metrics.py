"""The state of a show in the Prometheus text format (version 0.0.4), family by family."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

QUANTILES = {"p50_ms": "0.5", "p95_ms": "0.95", "p99_ms": "0.99"}


@dataclass(frozen=True)
class Family:
    """One metric. `path` leads to its value in the state, dotted; with a `label`, to a dictionary of values by label.
    `kind` "info" is a gauge that is 1, with the word found there as label. What the state lacks is left out."""

    name: str
    kind: str
    about: str
    path: str
    label: str = ""
    scale: float = 1.0


FAMILIES = (
    Family("show_info", "info", "The show's name.", "show", "show"),
    Family("show_seconds_total", "counter", "Sound heard since the start, in seconds.", "t"),
    Family("stage_seconds", "summary", "Time that each stage takes, over the last minute.", "latency", "stage"),
    Family("loop_lag_seconds", "summary", "How late the event loop wakes, over the last half minute.", "loop_lag"),
    Family("delay_seconds", "gauge", "From hearing a frame to showing it, as set now.", "delay_ms", scale=1e-3),
    Family("frames_total", "counter", "Frames of the show by what became of them.", "frames", "fate"),
    Family("queue_frames", "gauge", "Frames that wait in each queue.", "queues", "queue"),
    Family("viewers", "gauge", "Viewers connected.", "viewers"),
    Family("video_bits_per_second", "gauge", "What each encoder makes.", "bitrate", "codec"),
    Family("encode_skipped_total", "counter", "Frames that an encoder had no time for.", "encode_skipped"),
    Family("send_dropped_packets", "gauge", "Packets dropped for viewers now connected.", "send_dropped"),
    Family("mqtt_connected", "gauge", "Whether a broker is connected.", "mqtt.connected"),
    Family("mqtt_messages_total", "counter", "MQTT messages by what became of them.", "mqtt.messages", "fate"),
    Family("mqtt_queue_messages", "gauge", "MQTT messages that wait.", "mqtt.queue"),
    Family("mqtt_reconnects_total", "counter", "Attempts to reach the broker after the first.", "mqtt.reconnects"),
    Family("clock_info", "info", "Where the beat comes from.", "clock.source", "source"),
    Family("clock_confidence", "gauge", "How sure the beat is, 0 to 1.", "clock.confidence"),
    Family("clock_stalls_total", "counter", "Times that the show's clock stood still.", "clock.stalls"),
    Family("tempo_bpm", "gauge", "Tempo in beats a minute; 0 while unknown.", "tempo"),
    Family("source_info", "info", "What the sound's source says of itself.", "source.status", "status"),
    Family("source_underruns_total", "counter", "Times that the source ran dry.", "source.underruns"),
    Family("source_reconnects_total", "counter", "Attempts to reach the source after the first.", "source.reconnects"),
    Family("source_level_dbfs", "gauge", "Level of the sound.", "source.level"),
    Family("source_clipped_frames_total", "counter", "Frames with samples at full scale.", "source.clipped"),
    Family("studio_info", "info", "What the studio is doing.", "studio.status", "status"),
    Family("studio_replaced_total", "counter", "Studios that were lost and replaced.", "studio.replaced"),
    Family("painter_info", "info", "What the painter of the person is doing.", "person.status", "status"),
    Family("painter_replaced_total", "counter", "Painters that were lost and replaced.", "person.replaced"),
    Family("painter_passes", "gauge", "Passes that a picture of the person takes.", "person.levels"),
    Family("painter_stride", "gauge", "Every how manyth frame is drawn, the others blended.", "person.stride"),
    Family("person_missed_frames_total", "counter", "Frames that the skeleton stood in for.", "person.stood_in"),
    Family("studio_spare_ready", "gauge", "Whether a spare could take over now.", "studio.spare"),
    Family("resident_memory_bytes", "gauge", "Memory of each process.", "memory_mb", "process", 1e6),
    Family("recording", "gauge", "Whether a film is being recorded.", "recorder.on"),
    Family("recorder_dropped_frames", "gauge", "Frames that this film lacks.", "recorder.dropped"),
)  # fmt: skip


def exposition(state: dict[str, Any]) -> str:
    """All metrics, each with HELP and TYPE."""
    lines: list[str] = []
    for family in FAMILIES:
        samples = list(_samples(family, _at(state, family.path)))
        if samples:
            name, kind = f"xdancer_{family.name}", "gauge" if family.kind == "info" else family.kind
            lines += [f"# HELP {name} {family.about}", f"# TYPE {name} {kind}"]
            lines += [f"{name}{suffix}{_labels(labels)} {value:.12g}" for suffix, labels, value in samples]
    return "\n".join(lines) + "\n"


def _at(state: dict[str, Any], path: str) -> Any:
    value: Any = state
    for key in path.split("."):
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _samples(family: Family, value: Any) -> Iterator[tuple[str, dict[str, str], float]]:
    """(suffix of the name, labels, value) of each."""
    if value is None:
        return
    if family.kind == "info":
        yield "", {family.label: str(value)}, 1.0
    elif family.kind == "summary":
        for label, window in value.items() if family.label else [("", value)]:
            labels = {family.label: label} if family.label else {}
            for key, quantile in QUANTILES.items():
                yield "", labels | {"quantile": quantile}, window[key] / 1000
            yield "_sum", labels, window["sum_ms"] / 1000
            yield "_count", labels, window["count"]
    elif family.label:
        for label, number in value.items():
            yield "", {family.label: label}, family.scale * number
    else:
        yield "", {}, family.scale * value


def _labels(labels: dict[str, str]) -> str:
    def escaped(text: str) -> str:
        return text.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")

    inside = ",".join(f'{name}="{escaped(text)}"' for name, text in labels.items())
    return f"{{{inside}}}" if inside else ""
