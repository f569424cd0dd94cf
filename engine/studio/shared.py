"""Memory that stage and studio share: sound one way, frames of dance the other.

Both rings have one writer. Anonymous shared memory (multiprocessing arrays) goes with the processes, however they end.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, Generic, TypeVar

import numpy as np

from engine.params import Params
from engine.studio.frame import StudioFrame
from engine.worker import context
from xdancer.music.frame import HOP, SAMPLE_RATE, BeatState
from xdancer.pose.layout import N_JOINTS, N_PARTS, TOKENS_PER_PART

SOUND_FRAMES = 15 * SAMPLE_RATE // HOP  # what the stage keeps: 15 s
SLOTS = 16  # things put into a ring and not yet taken; a writer that finds none free waits
AHEAD = 8  # beats ahead that are passed on
PARAMS = 1024  # bytes of parameters as JSON; the longest style, escaped, takes half of them
BEAT = np.dtype([("beat", "<f8", (8,)), ("ahead", "<f8", (AHEAD,)), ("source", "S16")])
T = TypeVar("T")


class Behind(LookupError):
    """Sound is asked for that the ring does not have, or has no more."""


class SoundRing:
    """The last SOUND_FRAMES frames of stereo sound, each with the exact clock's beat at its end where there is one.
    The stage writes, studios read; `written` counts frames."""

    def __init__(self) -> None:
        self._count = context.RawValue("q", 0)
        self._memory = context.RawArray("f", SOUND_FRAMES * HOP * 2)
        self._clock = context.RawArray("b", SOUND_FRAMES * BEAT.itemsize)

    @property
    def written(self) -> int:
        return int(self._count.value)

    @property
    def oldest(self) -> int:
        """The oldest frame that is surely whole: the one before it may be under the writer's pen."""
        return max(0, self.written - SOUND_FRAMES + 1)

    def write(self, block: np.ndarray, clock: BeatState | None = None) -> None:
        """The next frame (HOP, 2), and the exact clock's beat at its end."""
        place = self.written % SOUND_FRAMES
        self._view()[place] = block
        self._beats()[place] = _packed(clock) if clock else np.zeros((), BEAT)
        self._count.value += 1  # after the samples, so that a reader never sees a frame that is not there

    def read(self, first: int, stop: int) -> np.ndarray:
        """Frames first .. stop - 1 as samples (n, 2). Raises Behind where they are gone or not there yet."""
        return self._frames(self._view(), first, stop).reshape(-1, 2)

    def clock(self, first: int, stop: int) -> list[BeatState | None]:
        """The exact clock's beat at the end of each of the frames first .. stop - 1. Raises as `read`."""
        return [_unpacked(slot) if slot["source"] else None for slot in self._frames(self._beats(), first, stop)]

    def _frames(self, ring: np.ndarray, first: int, stop: int) -> np.ndarray:
        if first < self.oldest or stop > self.written:
            raise Behind(f"frames {first}..{stop} of sound are not in {self.oldest}..{self.written}")
        frames: np.ndarray = ring[np.arange(first, stop) % SOUND_FRAMES]
        if first < self.oldest:
            raise Behind(f"frames from {first} on were overwritten")
        return frames

    def _view(self) -> np.ndarray:
        return np.frombuffer(self._memory, np.float32).reshape(SOUND_FRAMES, HOP, 2)

    def _beats(self) -> np.ndarray:
        return np.frombuffer(self._clock, BEAT)


def _slot(width: int, height: int) -> np.dtype:
    row = ("<i2", (N_PARTS, TOKENS_PER_PART))
    return np.dtype(
        [
            ("index", "<i8"),
            ("tokens", *row),
            ("danced", *row),
            ("pose", "<f4", (N_JOINTS, 3)),
            *((name, BEAT[name]) for name in BEAT.names or ()),
            ("level", "<f8"),
            ("spent", "<f8", (3,)),
            ("params", f"S{PARAMS}"),
            ("lead", "<i8"),
            ("drawn", "?"),
            ("picture", "u1", (height, width, 3)),
        ]
    )


class SlotRing(ABC, Generic[T]):
    """Things on their way from one process to another: SLOTS of them, none is ever overwritten before it was taken. One
    writer, one reader."""

    def __init__(self, slot: np.dtype) -> None:
        self._slot = slot
        self._memory: Any = context.RawArray("b", SLOTS * slot.itemsize)
        self._free = context.Semaphore(SLOTS)
        self._count = context.RawValue("q", 0)
        self._taken = 0

    @property
    def waiting(self) -> int:
        """Things put and not yet taken; for the reader."""
        return int(self._count.value) - self._taken

    def put(self, thing: T, timeout: float) -> bool:
        """Write into a free slot; False where none got free within `timeout` seconds."""
        if not self._free.acquire(timeout=timeout):
            return False
        self._write(self._slots()[self._count.value % SLOTS], thing)
        self._count.value += 1
        return True

    def take(self) -> Iterator[T]:
        """What has been put since, oldest first."""
        slots = self._slots()
        while self._taken < self._count.value:
            thing = self._read(slots[self._taken % SLOTS])
            self._taken += 1
            self._free.release()
            yield thing

    @abstractmethod
    def _write(self, slot: np.void, thing: T) -> None: ...

    @abstractmethod
    def _read(self, slot: np.void) -> T:
        """A copy: the slot is written again."""

    def _slots(self) -> np.ndarray:
        return np.frombuffer(self._memory, self._slot)


class FrameRing(SlotRing[StudioFrame]):
    """Frames on their way from one studio to the stage."""

    def __init__(self, width: int, height: int) -> None:
        super().__init__(_slot(width, height))

    def _write(self, slot: np.void, frame: StudioFrame) -> None:
        slot["index"], slot["tokens"], slot["danced"] = frame.index, frame.tokens, frame.danced
        slot["pose"], slot["level"], slot["spent"] = frame.pose, frame.level, frame.spent
        slot["beat"], slot["ahead"], slot["source"] = _packed(frame.beat)
        slot["params"] = frame.params.model_dump_json().encode()
        slot["lead"], slot["drawn"] = frame.lead, frame.picture is not None
        if frame.picture is not None:
            slot["picture"] = frame.picture

    def _read(self, slot: np.void) -> StudioFrame:
        return StudioFrame(
            index=int(slot["index"]),
            tokens=slot["tokens"].copy(),
            danced=slot["danced"].copy(),
            pose=slot["pose"].copy(),
            beat=_unpacked(slot),
            level=float(slot["level"]),
            picture=slot["picture"].copy() if slot["drawn"] else None,
            spent=tuple(slot["spent"].tolist()),
            params=Params.model_validate_json(bytes(slot["params"])),
            lead=int(slot["lead"]),
        )


def _packed(beat: BeatState) -> tuple[tuple[float, ...], np.ndarray, bytes]:
    struck = np.nan if beat.struck is None else beat.struck
    ahead = np.full(AHEAD, np.nan)
    ahead[: len(beat.ahead)] = beat.ahead[:AHEAD]
    numbers = (beat.tempo, beat.beat_phase, beat.bar_phase, beat.beat, beat.beat_in_bar, beat.beats_per_bar)
    return (*numbers, beat.confidence, struck), ahead, beat.source.encode()


def _unpacked(slot: np.void) -> BeatState:
    tempo, beat_phase, bar_phase, beat, beat_in_bar, beats_per_bar, confidence, struck = slot["beat"].tolist()
    return BeatState(
        tempo=tempo,
        beat_phase=beat_phase,
        bar_phase=bar_phase,
        beat=int(beat),
        beat_in_bar=int(beat_in_bar),
        beats_per_bar=int(beats_per_bar),
        confidence=confidence,
        struck=None if np.isnan(struck) else struck,
        ahead=tuple(time for time in slot["ahead"].tolist() if not np.isnan(time)),
        source=bytes(slot["source"]).decode(),
    )
