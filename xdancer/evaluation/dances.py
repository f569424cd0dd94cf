"""The dances and songs of a corpus, as the figures need them."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from xdancer.errors import UserError
from xdancer.music.frame import FPS, BeatState, MusicFrame


@dataclass(frozen=True)
class Dance:
    """views: (V, T, 60, 3) float16 poses of one dance to `song`; idle (T,) where it waits; style (T,) names."""

    path: Path
    song: str
    views: np.ndarray
    idle: np.ndarray
    style: np.ndarray

    def view(self, number: int = 0) -> np.ndarray:
        """Poses (T, 60, 3) float32."""
        return self.views[number].astype(np.float32)


def read_dances(corpus: Path, split: str) -> Iterator[Dance]:
    """The dances of a split, `train` or `val`, in order, one at a time: all of them would fill the memory."""
    for path in sorted((corpus / "dances").glob("*.npz")):
        with np.load(path) as data:
            if str(data["split"]) == split:
                yield Dance(path, str(data["song"]), data["views"], data["idle"], data["style"])


def held_out(corpus: Path) -> list[Dance]:
    """The held-out dances of a corpus. Raises UserError where there are none."""
    found = list(read_dances(corpus, "val"))
    if not found:
        raise UserError(f"{corpus}: no held-out dances there; run `xdancer corpus build` first")
    return found


@dataclass(frozen=True)
class Song:
    """beats (B,) s and energy (B,) 0..1 by beat; frames: what the analyzer heard, as it would hand it over live."""

    name: str
    beats: np.ndarray
    energy: np.ndarray
    frames: list[MusicFrame]

    @classmethod
    def load(cls, corpus: Path, name: str) -> "Song":
        with np.load(corpus / "songs" / f"{name}.npz") as data:
            clock = {key: data[f"heard_{key}"].tolist() for key in ("tempo", "beat_phase", "bar_phase", "confidence")}
            frames = [
                MusicFrame(n, row, BeatState(**{key: values[n] for key, values in clock.items()}))
                for n, row in enumerate(data["heard_features"].astype(np.float32))
            ]
            return cls(name, data["beats_s"], data["energy"], frames)

    @property
    def heard_beats(self) -> np.ndarray:
        """The beats (B,), s, that the clock of `frames` strikes: where its phase comes round. One that it strikes
        again within half a beat, having been put back, does not count."""
        out: list[float] = []
        for before, frame in pairwise(self.frames):
            beat = frame.beat
            if beat.tempo > 0 and beat.beat_phase < before.beat.beat_phase - 0.5:
                struck = (frame.index + 1) / FPS - beat.beat_phase * 60.0 / beat.tempo
                if not out or struck - out[-1] > 30.0 / beat.tempo:
                    out.append(struck)
        return np.array(out)
