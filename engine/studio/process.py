"""The studio's process: models and drawing, no sockets. It is told what to do through a pipe and a semaphore."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.config import Config
from engine.params import Moment, Params
from engine.studio.shared import Behind, FrameRing, SoundRing
from engine.worker import GivenUp, serve

if TYPE_CHECKING:
    from engine.studio.studio import Studio

BEHIND = 3  # frames of sound waiting: more than this and no picture is drawn, so that the dance catches up
LEAP = 150  # frames: a studio that takes over leaves out what is older, which nobody is waiting for any more
PATIENCE = 0.5  # seconds between looks at whether the stage is still there


@dataclass(frozen=True)
class Ready:
    """The studio has its models. `info` says which."""

    info: dict[str, Any]


@dataclass(frozen=True)
class Go:
    """Begin with frame `first` of the sound, `lead` frames ahead; where there are rows (k, 5, 6) of an earlier studio,
    go on from them. `beat`: the number of the beat that the last of them was shown with."""

    first: int
    lead: int
    danced: np.ndarray | None = None
    tokens: np.ndarray | None = None
    beat: int = -1


@dataclass(frozen=True)
class SetParams:
    """Values of `Params` by name, from the next `moment` on."""

    changes: Mapping[str, Any]
    moment: Moment


@dataclass(frozen=True)
class SetLead:
    frames: int


def main(pipe: Connection, config: Config, params: Params, sound: SoundRing, frames: FrameRing, heard: Any) -> None:
    """Run until the stage closes the pipe. `heard` is released once for each frame of sound."""

    def work() -> None:
        try:
            _work(config, params, pipe, sound, frames, heard)
        except Behind:  # another one starts from the sound that is left
            raise GivenUp("this machine is too slow, or too busy, for the dance") from None

    serve(pipe, work)


def _work(config: Config, params: Params, pipe: Connection, sound: SoundRing, frames: FrameRing, heard: Any) -> None:
    from engine.studio.models import load_models
    from engine.studio.studio import Studio

    stage = os.getppid()
    models = load_models(config)
    studio = Studio(models, params)
    pipe.send(Ready(models.info()))
    position = _begin(studio, pipe, sound)
    while True:
        while pipe.poll():  # before every frame: a studio that is always a little behind must hear of a blackout too
            message = pipe.recv()
            if isinstance(message, SetParams):
                studio.set(message.changes, message.moment)
            elif isinstance(message, SetLead):
                studio.lead = message.frames
        if position >= sound.written:
            if not heard.acquire(timeout=PATIENCE) and os.getppid() != stage:
                return
            continue
        draw = sound.written - position <= BEHIND
        made = studio.push(sound.read(position, position + 1), draw, sound.clock(position, position + 1))
        position += 1
        for frame in made:
            while not frames.put(frame, PATIENCE):
                if os.getppid() != stage:
                    return
            pipe.send(None)  # there is something in the ring


def _begin(studio: "Studio", pipe: Connection, sound: SoundRing) -> int:
    """Wait for the word to go; return the frame of sound to begin with."""
    while True:
        message = pipe.recv()
        if isinstance(message, SetParams):
            studio.set(message.changes, message.moment)
        elif isinstance(message, Go):
            break
    return resume(studio, sound, message)


def resume(studio: "Studio", sound: SoundRing, go: Go) -> int:
    """Make a new studio know what an earlier one knew; return the frame of sound to begin with."""
    studio.lead = go.lead
    if go.danced is None or go.tokens is None:
        return go.first
    # The sound before `first` was danced to; what is long over, or has fallen out of the ring, is only heard.
    oldest = sound.oldest
    begin = max(go.first, oldest, sound.written - LEAP)
    rows, clock = (go.danced, go.tokens), sound.clock(oldest, begin)
    studio.resume(sound.read(oldest, begin), oldest, *rows, go.beat, begin - go.first, clock)
    return begin
