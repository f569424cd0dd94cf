"""The songs of the corpus: sound, exact grid, and what the shipped `MusicAnalyzer` hears in it."""

import functools
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from scipy.signal import butter, sosfilt
from scipy.stats import rankdata

from xdancer.data.config import CorpusConfig, data_root
from xdancer.data.motion import splits
from xdancer.data.parallel import in_parallel
from xdancer.data.songs import midi, sequencer
from xdancer.data.songs.degrade import degraded
from xdancer.errors import UserError
from xdancer.music import MusicAnalyzer
from xdancer.music.frame import FPS, HOP, SAMPLE_RATE, MusicFrame
from xdancer.weights import find, sha256


class SongsConfig(BaseModel):
    """`songs:` of a corpus configuration. `seconds` is the length at most; `midi` and `sequenced` how many there are.

    on_grid: share of onsets on the grid, below which a MIDI song is left out. breaks: share of the MIDI songs into
    which a breakdown is cut, for they have none.
    """

    model_config = ConfigDict(extra="forbid")
    seconds: float = Field(default=75.0, gt=10)
    midi: int = Field(default=100, ge=0)
    sequenced: int = Field(default=48, ge=0)
    on_grid: float = Field(default=0.9, ge=0, le=1)
    breaks: float = Field(default=0.4, ge=0, le=1)


@dataclass(frozen=True)
class Made:
    """A song as it goes to disk: samples (N,), beats and downbeats in seconds, energy 0..1 for each beat."""

    name: str
    source: str
    split: str
    samples: np.ndarray
    beats_s: np.ndarray
    downbeats_s: np.ndarray
    energy: np.ndarray


def settings(config: CorpusConfig) -> SongsConfig:
    """The checked `songs:` part. Raises UserError naming the wrong key."""
    try:
        return SongsConfig.model_validate(config.songs)
    except ValidationError as error:
        first = error.errors()[0]
        raise UserError(f"songs.{'.'.join(map(str, first['loc']))}: {first['msg']}") from error


def build_songs(config: CorpusConfig, out: Path, excluded: set[str]) -> None:
    """Write songs/<song>.flac and .npz; those that are there already are kept, and heard anew by a new beat network."""
    wanted = settings(config)
    folder = out / "songs"
    folder.mkdir(parents=True, exist_ok=True)
    jobs = list(_jobs(config, wanted, data_root(), excluded))
    listener = sha256(find("beats", "live"))
    in_parallel(
        ((_song, folder / f"{name}.npz", make, config.seed, listener) for name, make in jobs),
        total=len(jobs), desc="songs", unit="song",
    )  # fmt: skip


def _song(path: Path, make: Callable[[], Made], seed: int, listener: str) -> None:
    """One song, unless it is there and was heard by the beat network `listener`."""
    rng = np.random.default_rng([seed, zlib.crc32(path.stem.encode())])
    if not path.exists():
        song = make()
        whole = len(song.samples) // HOP * HOP
        samples = song.samples[:whole] / max(float(np.abs(song.samples).max(initial=0)), 1.0)
        soundfile.write(path.with_suffix(".flac"), samples, SAMPLE_RATE)
        _write(path, {**_grid(song, whole // HOP), **heard(degraded(rng, samples)), "listener": listener})
        return
    with np.load(path) as data:
        known = {key: data[key] for key in data.files}
    if str(known.get("listener")) != listener:
        samples, _ = soundfile.read(path.with_suffix(".flac"), dtype="float32")
        _write(path, {**known, **heard(degraded(rng, samples)), "listener": listener})


def _jobs(
    config: CorpusConfig, wanted: SongsConfig, root: Path, excluded: set[str]
) -> Iterator[tuple[str, Callable[[], Made]]]:
    """Each song's name and how to make it."""
    if "midi" not in excluded and wanted.midi:
        songs = [
            s
            for s in midi.list_songs(root, config.val_share)
            if s.source not in excluded
            and s.on_grid >= wanted.on_grid
            and s.four_four
            and s.steady
            and s.drums
            and s.quarters_s[-1] > 30
        ]
        for song in songs[: wanted.midi]:
            rng = np.random.default_rng([config.seed, zlib.crc32(song.name.encode()), 1])
            yield song.name, functools.partial(_from_midi, song, wanted.seconds, rng, wanted.breaks)
    if "sequenced" not in excluded and wanted.sequenced:
        names = [f"sequenced-{k:03d}" for k in range(wanted.sequenced)]
        split = splits([f"song/{name}" for name in names], config.val_share)
        kit = sequencer.Kit(root / "music" / "samples_sonic_pi_cc0")
        for k, name in enumerate(names):
            yield (
                name,
                functools.partial(_from_sequencer, kit, config.seed + k, name, split[f"song/{name}"], wanted.seconds),
            )


def _from_midi(song: midi.Song, seconds: float, rng: np.random.Generator, breaks: float) -> Made:
    samples = midi.render(song, seconds + 20)  # 20 s for a silent beginning
    start = float(np.argmax(np.abs(samples) > 0.01)) / SAMPLE_RATE
    first = max(int(np.searchsorted(song.downbeats_s, start + 0.05)) - 1, 0)
    begin = float(song.downbeats_s[first])
    samples = samples[round(begin * SAMPLE_RATE) :][: round(seconds * SAMPLE_RATE)]
    length = len(samples) / SAMPLE_RATE
    *choices, downbeats = (
        t[(t >= begin) & (t < begin + length)] - begin for t in (*song.references(), song.downbeats_s)
    )
    beats = max(choices, key=lambda beats: weight_on(samples, beats))
    if len(downbeats) and len(beats):  # where the tempo was folded, four beats are no longer the bar as written
        downbeats = beats[int(np.argmin(np.abs(beats - downbeats[0]))) % 4 :: 4]
    if rng.random() < breaks:
        samples = broken_down(rng, samples, downbeats)
    return Made(song.name, song.source, song.split, samples, beats, downbeats, heard_energy(samples, beats))


def weight_on(samples: np.ndarray, beats_s: np.ndarray) -> float:
    """How much the bass rises within 60 ms of the beats: tells the beats of a folded song from its off-beats."""
    low = sosfilt(butter(2, 160, fs=SAMPLE_RATE, output="sos"), samples)
    level = np.sqrt(np.square(low[: len(low) // 480 * 480].reshape(-1, 480)).mean(axis=1))  # 100 a second
    rise = np.maximum(np.diff(level, prepend=level[:1]), 0)
    at = np.round(beats_s * 100).astype(int)
    spread = np.clip(at[:, None] + np.arange(-2, 7), 0, max(len(rise) - 1, 0))
    return float(rise[spread].sum(axis=1).mean()) if len(at) and len(rise) else 0.0


def broken_down(rng: np.random.Generator, samples: np.ndarray, downbeats_s: np.ndarray) -> np.ndarray:
    """The song with two or four bars in its middle all but silent: what a DJ does with a fader."""
    bars = int(rng.choice([2, 4]))
    if len(downbeats_s) < bars + 8:
        return samples
    first = int(rng.integers(4, len(downbeats_s) - bars - 3))
    start, stop = (round(downbeats_s[k] * SAMPLE_RATE) for k in (first, first + bars))
    ramp = round(0.02 * SAMPLE_RATE)
    floor = 10 ** (rng.uniform(-70, -34) / 20)
    gain = np.interp(np.arange(len(samples)), [start - ramp, start, stop - ramp, stop], [1, floor, floor, 1])
    return (samples * gain).astype(np.float32)


def _from_sequencer(kit: sequencer.Kit, seed: int, name: str, split: str, seconds: float) -> Made:
    made = sequencer.sequence(kit, seed, seconds)
    return Made(name, "sequenced", split, made.samples, made.beats_s, made.downbeats_s, made.energy)


def heard_energy(samples: np.ndarray, beats_s: np.ndarray) -> np.ndarray:
    """How much there is to dance to at each beat (B,), 0..1: loudness over a bar against the song's own range.

    Half of it is the level below the song's loud passages, the other half its rank in the song, so that an evenly
    loud song has its ups and downs too.
    """
    edges = np.clip((np.append(beats_s, len(samples) / SAMPLE_RATE) * SAMPLE_RATE).astype(int), 0, len(samples))
    power = np.array([np.square(samples[a:b]).mean() if b > a else 0.0 for a, b in zip(edges, edges[1:], strict=False)])
    if not len(power):
        return power
    level = 10 * np.log10(power + 1e-9)
    smooth = np.convolve(np.pad(level, 2, mode="edge"), np.ones(5) / 5, mode="valid")
    below = np.clip(1 + (smooth - np.percentile(smooth, 95)) / 14, 0, 1)
    rank = rankdata(smooth, method="max") / len(smooth)
    quiet = level < max(float(np.percentile(level, 90)) - 24, -55)
    return np.where(quiet, 0.0, np.maximum(0.5 * below + 0.5 * (0.25 + 0.75 * rank), 0.25))


def phases(beats_s: np.ndarray, downbeats_s: np.ndarray, frames: int) -> dict[str, np.ndarray]:
    """The exact clock at the end of each frame: tempo, beat_phase, bar_phase and confidence (T,) float32."""
    now = (np.arange(frames) + 1) / FPS
    if len(beats_s) < 2:
        return {key: np.zeros(frames, np.float32) for key in ("tempo", "beat_phase", "bar_phase", "confidence")}
    position = np.interp(now, beats_s, np.arange(len(beats_s)), left=np.nan, right=np.nan)
    period = float(np.median(np.diff(beats_s)))
    position = np.where(now < beats_s[0], (now - beats_s[0]) / period, position)
    position = np.where(np.isnan(position), len(beats_s) - 1 + (now - beats_s[-1]) / period, position)
    first = float(np.argmin(np.abs(beats_s - downbeats_s[0]))) if len(downbeats_s) else 0.0
    a_bar = max(round(float(np.median(np.diff(downbeats_s))) / period), 1) if len(downbeats_s) > 1 else 4
    return {
        "tempo": np.full(frames, 60 / period, np.float32),
        "beat_phase": (position % 1).astype(np.float32),
        "bar_phase": ((position - first) / a_bar % 1).astype(np.float32),
        "confidence": np.ones(frames, np.float32),
    }


def heard(samples: np.ndarray) -> dict[str, np.ndarray]:
    """What the analyzer says of mono samples: heard_features (T, F) float16, and (T,) float32 heard_tempo, _beat_phase,
    _bar_phase, _confidence and _level."""
    frames: list[MusicFrame] = MusicAnalyzer().push(samples)
    out: dict[str, Any] = {"heard_features": np.array([f.features for f in frames], np.float16)}
    for key in ("tempo", "beat_phase", "bar_phase", "confidence"):
        out[f"heard_{key}"] = np.array([getattr(f.beat, key) for f in frames], np.float32)
    out["heard_level"] = np.array([f.level for f in frames], np.float32)
    return out


def _grid(song: Made, frames: int) -> dict[str, Any]:
    return {
        **{key: getattr(song, key) for key in ("name", "source", "split", "beats_s", "downbeats_s")},
        "energy": song.energy.astype(np.float32),
        **{f"exact_{key}": value for key, value in phases(song.beats_s, song.downbeats_s, frames).items()},
    }


def _write(path: Path, arrays: dict[str, Any]) -> None:
    draft = path.with_suffix(".partial")
    with draft.open("wb") as file:
        np.savez_compressed(file, **arrays)
    draft.rename(path)
