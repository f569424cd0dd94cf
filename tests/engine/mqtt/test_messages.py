"""Every message fits its schema, and the AsyncAPI document names them all."""

import json
from pathlib import Path
from types import SimpleNamespace

import jsonschema
import numpy as np
import pytest
import yaml

import engine.mqtt
from engine.mqtt import messages
from engine.params import Params
from xdancer.music.frame import BeatState
from xdancer.pose.layout import JOINTS

SCHEMAS = Path(engine.mqtt.__file__).parent / "schemas"
ROOT = Path(__file__).parents[3]


def check(topic: str, payload: bytes) -> dict:
    schema = json.loads((SCHEMAS / f"{topic.replace('/', '-')}.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    body = json.loads(payload)
    jsonschema.validate(body, schema)
    return body


def test_tokens_and_pose_carry_the_frame_as_the_wire_table_has_it(tools: SimpleNamespace) -> None:
    envelope = messages.Envelope("main", "s1")
    frame = tools.frame(45)
    body = check("tokens", envelope.write("tokens", 1.5, messages.tokens(frame)))
    assert body["tokens"] == frame.tokens.ravel().tolist() and len(body["tokens"]) == 30
    assert (body["frame"], body["fps"], body["t"], body["seq"]) == (45, 30, 1.5, 0)
    assert body["due"] == pytest.approx(frame.due, abs=1e-3)
    body = check("pose", envelope.write("pose", 1.5, messages.pose(frame)))
    np.testing.assert_allclose(body["pose"], frame.pose, atol=0.0501)
    assert all(round(value, 1) == value for joint in body["pose"] for value in joint)


def test_seq_counts_each_topic_without_a_gap(tools: SimpleNamespace) -> None:
    envelope = messages.Envelope("main", "s1")
    seqs = [json.loads(envelope.write(topic, 0.0, {}))["seq"] for topic in ("pose", "tokens", "pose", "pose", "tokens")]
    assert seqs == [0, 0, 1, 2, 1]


def test_meta_names_the_joints_in_order() -> None:
    body = check("meta", messages.Envelope("a", "b").write("meta", 0.0, messages.meta(12, "live-1", "0" * 64, None)))
    assert body["joints"] == list(JOINTS)
    assert sorted(joint for part in body["parts"] for joint in part["joints"]) == list(range(60))


def test_a_schema_refuses_what_is_wrong(tools: SimpleNamespace) -> None:
    envelope = messages.Envelope("main", "s1")
    for spoil in ({"tokens": [0] * 29}, {"tokens": [512] * 30}, {"extra": 1}):
        with pytest.raises(jsonschema.ValidationError):
            check("tokens", envelope.write("tokens", 0.0, {**messages.tokens(tools.frame(0)), **spoil}))


def beats_of(frames: list[BeatState], tools: SimpleNamespace) -> list[tuple[int, float, dict]]:
    teller, told = messages.BeatTeller(), []
    for index, beat in enumerate(frames):
        said = teller.push(tools.frame(index, beat))
        if said:
            told.append((index, *said))
    return told


def steady(frames: int, tempo: float = 120.0) -> list[BeatState]:
    """Beats at 0.5 s, 1.0 s, … known ahead from the start."""
    states = []
    for index in range(frames):
        end = (index + 1) / 30
        beat = int(np.floor(end * tempo / 60 + 1e-9)) - 1
        last, following = (beat + 1) * 60 / tempo, (beat + 2) * 60 / tempo
        states.append(
            BeatState(
                tempo=tempo,
                beat=beat,
                beat_in_bar=beat % 4,
                confidence=0.9,
                struck=last if beat >= 0 and last > end - 1 / 30 else None,
                ahead=(following, following + 60 / tempo),
            )
        )
    return states


def test_each_beat_is_told_once_and_ahead(tools: SimpleNamespace) -> None:
    told = beats_of(steady(300), tools)
    assert [body["beat"] for _, _, body in told] == list(range(len(told))) and len(told) >= 19
    for index, time, body in told:
        assert time == pytest.approx((body["beat"] + 1) * 0.5)
        assert 0 < time - (index + 1) / 30 <= messages.BEAT_AHEAD + 1e-6
        assert body["due"] == pytest.approx(1e9 + time, abs=1e-3)
        assert body["frame"] == int(time * 30 + 1e-6) and body["downbeat"] == (body["beat"] % 4 == 0)
        check("beat", messages.Envelope("m", "s").write("beat", time, body))


def test_a_beat_that_nobody_foresaw_is_told_when_it_is_struck(tools: SimpleNamespace) -> None:
    states = [BeatState(tempo=100.0, beat=3, beat_in_bar=2, struck=0.01)] + [BeatState(tempo=100.0, beat=3)] * 5
    told = beats_of(states, tools)
    assert [(index, body["beat"], body["beat_in_bar"]) for index, _, body in told] == [(0, 3, 2)]


def test_a_clock_that_starts_anew_is_followed(tools: SimpleNamespace) -> None:
    told = beats_of(steady(100) + steady(100), tools)
    assert [body["beat"] for _, _, body in told][-6:] == [0, 1, 2, 3, 4, 5]


def test_no_beat_is_told_while_no_tempo_is_known(tools: SimpleNamespace) -> None:
    assert beats_of([BeatState(ahead=(0.1,))] * 10, tools) == []


def test_the_asyncapi_document_has_every_topic_and_schema() -> None:
    document = yaml.safe_load((ROOT / "docs" / "asyncapi.yaml").read_text())
    assert document["asyncapi"] == "3.0.0"
    addresses = {
        channel["address"].removeprefix(f"{messages.ROOT}/{{show}}/") for channel in document["channels"].values()
    }
    assert addresses == {"tokens", "pose", "beat", "meta", "params", "params/set", "status"}
    for message in document["components"]["messages"].values():
        if "$ref" in message["payload"]:
            assert (ROOT / "docs" / message["payload"]["$ref"]).resolve().parent == SCHEMAS
            assert (ROOT / "docs" / message["payload"]["$ref"]).exists()
    for operation in document["operations"].values():
        assert operation["channel"]["$ref"].rsplit("/", 1)[1] in document["channels"]


def test_params_fit_their_schema_and_every_one_can_be_set() -> None:
    params = {**Params().model_dump(), "apply": "frame"}
    check("params", messages.Envelope("main", "s1").write("params", 0.0, params))
    check("params/set", json.dumps(params).encode())
    schema = json.loads((SCHEMAS / "params-set.json").read_text())
    assert set(schema["properties"]) == {*params, "preset", "tap"}
    for wrong in ({"tempo_scale": 3}, {"clock": "sundial"}, {"tempo": 5}, {"nudge_beats": 9}):
        with pytest.raises(jsonschema.ValidationError):
            check("params/set", json.dumps(wrong).encode())
