"""The messages: what the show says on each topic. Their schemas stand in engine/mqtt/schemas."""

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np

from engine.stage.frame import ShowFrame
from xdancer.music.frame import BeatState
from xdancer.pose.layout import CANVAS_HEIGHT, CANVAS_WIDTH, FPS, JOINTS, PARTS

ROOT = "xdancer/v1"
CANVAS = [CANVAS_WIDTH, CANVAS_HEIGHT]
BEAT_AHEAD = 0.25  # seconds before a beat at which it is told: late enough to be near, early enough to act on


class Envelope:
    """Puts `schema, show, session, seq, t` on a message and writes it as JSON. `seq` counts each topic from 0."""

    def __init__(self, show: str, session: str) -> None:
        self.show, self.session = show, session
        self._seq: Counter[str] = Counter()

    def write(self, topic: str, t: float, body: Mapping[str, Any]) -> bytes:
        """The message on `topic` at `t` seconds on the show clock."""
        seq = self._seq[topic]
        self._seq[topic] += 1
        head = {"schema": f"{ROOT}/{topic}", "show": self.show, "session": self.session, "seq": seq, "t": round(t, 4)}
        return json.dumps({**head, **body}, separators=(",", ":"), allow_nan=False).encode()


def tokens(frame: ShowFrame) -> dict[str, Any]:
    """Only for a frame that has tokens."""
    assert frame.tokens is not None
    return {"frame": frame.index, "fps": FPS, "due": round(frame.due, 4), "tokens": frame.tokens.ravel().tolist()}


def pose(frame: ShowFrame) -> dict[str, Any]:
    joints = np.nan_to_num(np.asarray(frame.pose, dtype=np.float64)).round(1)
    return {"frame": frame.index, "due": round(frame.due, 4), "canvas": CANVAS, "pose": joints.tolist()}


class BeatTeller:
    """Tells every beat once, ahead: as soon as it is predicted for the next BEAT_AHEAD seconds, or else when struck."""

    def __init__(self) -> None:
        self._told = -1

    def push(self, frame: ShowFrame) -> tuple[float, dict[str, Any]] | None:
        """The beat to tell with this frame, as its time on the show clock and the message; None for most frames."""
        beat = frame.beat
        end = (frame.index + 1) / FPS
        if beat.tempo <= 0:
            return None
        following = beat.beat + 1
        if following < self._told:  # a new clock, that counts from the beginning
            self._told = beat.beat - (beat.struck is not None)
        if beat.struck is not None and beat.beat > self._told:
            return self._tell(frame, beat, beat.struck, beat.beat, beat.beat_in_bar)
        coming = next((time for time in beat.ahead if time > end), None)
        if coming is None or coming - end > BEAT_AHEAD or following <= self._told:
            return None
        return self._tell(frame, beat, coming, following, (beat.beat_in_bar + 1) % beat.beats_per_bar)

    def _tell(
        self, frame: ShowFrame, beat: BeatState, time: float, number: int, in_bar: int
    ) -> tuple[float, dict[str, Any]]:
        self._told = number
        return time, {
            "frame": max(0, int(time * FPS)),
            "due": round(frame.due + time - frame.index / FPS, 4),
            "beat": number,
            "beat_in_bar": in_bar,
            "downbeat": in_bar == 0,
            "bpm": round(beat.tempo, 2),
            "confidence": round(beat.confidence, 3),
            "source": beat.source,
        }


def meta(receptive_field: int, tokenizer: str, sha256: str, decoder_url: str | None) -> dict[str, Any]:
    """What a stranger needs to read the streams. `tokenizer` is its name, `decoder_url` where its decoder is served."""
    return {
        "fps": FPS,
        "canvas": CANVAS,
        "joints": list(JOINTS),
        "parts": [{"name": part.name, "joints": list(part.joints)} for part in PARTS],
        "receptive_field": receptive_field,
        "tokenizer": {"name": tokenizer, "sha256": sha256},
        "decoder_url": decoder_url,
    }
