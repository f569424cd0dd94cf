"""Does a dancer last? Long dances to one looped piece of music or to many, minute by minute."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from xdancer.data.pairing.chain import quiet_spans
from xdancer.errors import UserError
from xdancer.evaluation import motion
from xdancer.evaluation.repeats import LONGEST, repeats
from xdancer.evaluation.scores import goal, score
from xdancer.music.frame import FPS, SAMPLE_RATE

if TYPE_CHECKING:
    from xdancer.choreographer import Choreographer
    from xdancer.tokenizer import PoseTokenizer

LOOP_BARS = 8
WANDER, GROW, GONE, STILL = 0.2, 0.05, 0.01, 4.0  # goals: energy and limbs, shares; frames off canvas, share; seconds


@dataclass(frozen=True)
class Piece:
    """sound (N,) 48 kHz mono; beats (B,) s of it, beginning with a downbeat; quiet: frames (from, to) of stretches with
    too little to dance to."""

    sound: np.ndarray
    beats: np.ndarray
    quiet: tuple[tuple[int, int], ...] = ()


class Music:
    """Music without end: pieces in a row, over and over."""

    def __init__(self, pieces: list[Piece]) -> None:
        self.pieces = pieces

    @property
    def period(self) -> int:
        """Bars after which the music itself comes again; 0 where there is more than one piece."""
        return len(self.pieces[0].beats) // 4 if len(self.pieces) == 1 else 0

    def play(self, seconds: int) -> Iterator[np.ndarray]:
        """So many seconds of sound (48000,), one at a time."""
        rest, number = np.zeros(0, np.float32), 0
        for _ in range(seconds):
            while len(rest) < SAMPLE_RATE:
                rest = np.concatenate([rest, self.pieces[number % len(self.pieces)].sound])
                number += 1
            yield rest[:SAMPLE_RATE]
            rest = rest[SAMPLE_RATE:]

    def beats(self, seconds: float, every: int = 1) -> np.ndarray:
        """Times (s) of every `every`-th beat of each piece."""
        return np.concatenate([at + piece.beats[::every] for at, piece in self._played(seconds)])

    def quiet(self, frames: int) -> np.ndarray:
        """(frames,) where there is too little to dance to."""
        out = np.zeros(frames, bool)
        for at, piece in self._played(frames / FPS):
            for first, last in piece.quiet:
                out[round(at * FPS) + first : round(at * FPS) + last] = True
        return out

    def _played(self, seconds: float) -> Iterator[tuple[float, Piece]]:
        """The pieces of so many seconds, and when each begins (s)."""
        at, number = 0.0, 0
        while at < seconds:
            piece = self.pieces[number % len(self.pieces)]
            yield at, piece
            at += len(piece.sound) / SAMPLE_RATE
            number += 1


def looped() -> Music:
    """Eight bars of the demo track, over and over."""
    from xdancer.music.demo import demo_track

    track = demo_track()
    first, last = (round(track.downbeats_s[k] * SAMPLE_RATE) for k in (24, 24 + LOOP_BARS))
    return Music([Piece(track.samples[first:last].mean(axis=1), np.arange(4 * LOOP_BARS) * 60 / track.tempo)])


def changing(corpus: Path) -> Music:
    """The held-out songs of a corpus, one after the other. Raises UserError where there are none."""
    import soundfile

    pieces = []
    for path in sorted((corpus / "songs").glob("*.npz")):
        with np.load(path) as data:
            if str(data["split"]) != "val" or not len(data["downbeats_s"]):
                continue
            whole, quiet = data["beats_s"], quiet_spans(data["energy"])
            beats = whole[whole >= data["downbeats_s"][0] - 1e-3]
        spans = [(int(whole[k] * FPS), int(whole[k + 1] * FPS)) for k in np.flatnonzero(quiet[:-1])]
        sound, _ = soundfile.read(path.with_suffix(".flac"), dtype="float32", always_2d=True)
        pieces.append(Piece(sound.mean(axis=1), beats, tuple(spans)))
    if not pieces:
        raise UserError(f"{corpus}: no held-out songs there; run `xdancer corpus build` first")
    return Music(pieces)


def stamina(
    choreographer: "Choreographer", tokenizer: "PoseTokenizer", minutes: float, seed: int, music: Music
) -> dict[str, Any]:
    """Dance so long to `music`, heard by the live analyzer, and look at it."""
    from tqdm import tqdm

    from xdancer.music import MusicAnalyzer

    analyzer, stream, limbs = MusicAnalyzer(), choreographer.stream(seed=seed), tokenizer.stream()
    seconds = round(minutes * 60)
    poses = [
        limbs.decode(stream.step(analyzer.push(samples)).tokens)
        for samples in tqdm(music.play(seconds), total=seconds, unit="s", desc="dancing")
    ]
    return {"minutes": minutes, "seed": seed} | judged(np.concatenate(poses), music, seed)


def judged(pose: np.ndarray, music: Music, seed: int = 0) -> dict[str, Any]:
    """What a long dance (T, 60, 3) to `music` is worth, by minute and as a whole, and which goals it meets."""
    seconds = len(pose) / FPS
    found = motion.by_minute(pose)
    row = score(pose, music.beats(seconds), [], seed=seed)
    again = repeats(pose, music.beats(seconds, every=4), music.period)
    still = motion.longest_freeze(pose, music.quiet(len(pose)))
    worst = {name: max((abs(v) for v in found[name]), default=0.0) for name in ("energy", "bones", "off_canvas")}
    drift = trend(found["energy"])
    wander = worst["energy"] if len(music.pieces) == 1 else abs(drift)
    goals = [
        goal(f"energy as in the first minute within {WANDER:.0%}" if len(music.pieces) == 1
              else f"energy has no trend beyond {WANDER:.0%}", wander, high=WANDER),
        goal(f"limbs as long as in the first minute within {GROW:.0%}", worst["bones"], high=GROW),
        goal(f"never still for more than {STILL:g} s while there is music to dance to", still, high=STILL),
        goal(f"at most {GONE:.0%} of any minute off the canvas", worst["off_canvas"], high=GONE),
        goal(f"does not repeat itself for more than {LONGEST} bars", again["longest"], high=LONGEST),
    ]  # fmt: skip
    return {
        "songs": len(music.pieces),
        "rows": {"model": {key: value for key, value in row.items() if not np.isnan(value)}},
        "by_minute": found,
        "worst_energy": worst["energy"],
        "worst_bones": worst["bones"],
        "energy_trend": drift,
        "longest_freeze_s": still,
        "repeats": again,
        "goals": goals,
    }


def trend(values: list[float]) -> float:
    """Of shares over a first value, by minute: how much they rise from first to last minute along a straight line."""
    if len(values) < 2:
        return 0.0
    slope = float(np.polyfit(np.arange(len(values)), np.array(values), 1)[0])
    return slope * (len(values) - 1) / max(1 + float(np.mean(values)), 1e-9)
