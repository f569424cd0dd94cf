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
from tqdm import tqdm

from xdancer.data.config import CorpusConfig, data_root
from xdancer.data.motion import splits
from xdancer.data.songs import midi, sequencer
from xdancer.data.songs.degrade import degraded
from xdancer.errors import UserError
from xdancer.music import MusicAnalyzer
from xdancer.music.frame import FPS, HOP, SAMPLE_RATE, MusicFrame

VERSION = 1


class SongsConfig(BaseModel):
    """`songs:` of a corpus configuration. `seconds` is the length at most; `sequenced` how many are sequenced."""

    model_config = ConfigDict(extra="forbid")
    seconds: float = Field(default=75.0, gt=10)
    midi: int = Field(default=70, ge=0)
    sequenced: int = Field(default=48, ge=0)
    on_grid: float = Field(default=0.9, ge=0, le=1)


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
    """Write songs/<song>.flac and .npz; those that are there already are kept."""
    wanted = settings(config)
    folder = out / "songs"
    folder.mkdir(parents=True, exist_ok=True)
    jobs = list(_jobs(config, wanted, data_root(), excluded))
    for name, make in tqdm(jobs, desc="songs", unit="song", leave=False):
        if not (folder / f"{name}.npz").exists():
            _write(folder, make(), np.random.default_rng([config.seed, zlib.crc32(name.encode())]))


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
            yield song.name, functools.partial(_from_midi, song, wanted.seconds)
    if "sequenced" not in excluded and wanted.sequenced:
        names = [f"sequenced-{k:03d}" for k in range(wanted.sequenced)]
        split = splits([f"song/{name}" for name in names], config.val_share)
        kit = sequencer.Kit(root / "music" / "samples_sonic_pi_cc0")
        for k, name in enumerate(names):
            yield (
                name,
                functools.partial(_from_sequencer, kit, config.seed + k, name, split[f"song/{name}"], wanted.seconds),
            )


def _from_midi(song: midi.Song, seconds: float) -> Made:
    samples = midi.render(song, seconds + 20)  # 20 s for a silent beginning
    start = float(np.argmax(np.abs(samples) > 0.01)) / SAMPLE_RATE
    first = max(int(np.searchsorted(song.downbeats_s, start + 0.05)) - 1, 0)
    begin = float(song.downbeats_s[first])
    samples = samples[round(begin * SAMPLE_RATE) :][: round(seconds * SAMPLE_RATE)]
    length = len(samples) / SAMPLE_RATE
    beats, downbeats = (t[(t >= begin) & (t < begin + length)] - begin for t in (song.beats_s, song.downbeats_s))
    return Made(song.name, song.source, song.split, samples, beats, downbeats, heard_energy(samples, beats))


def _from_sequencer(kit: sequencer.Kit, seed: int, name: str, split: str, seconds: float) -> Made:
    made = sequencer.sequence(kit, seed, seconds)
    return Made(name, "sequenced", split, made.samples, made.beats_s, made.downbeats_s, made.energy)


def heard_energy(samples: np.ndarray, beats_s: np.ndarray) -> np.ndarray:
    """How much there is to dance to at each beat, 0..1: loudness over two bars against the song's own range."""
    edges = np.clip((np.append(beats_s, len(samples) / SAMPLE_RATE) * SAMPLE_RATE).astype(int), 0, len(samples))
    power = np.array([np.square(samples[a:b]).mean() if b > a else 0.0 for a, b in zip(edges, edges[1:], strict=False)])
    if not len(power):
        return power
    smooth = np.convolve(np.pad(power, 4, mode="edge"), np.ones(9) / 9, mode="valid")
    level = 10 * np.log10(smooth + 1e-9)
    top = np.percentile(level, 95)
    return np.clip(1 + (level - top) / 14, 0, 1) * (level > -55)


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
    """What the analyzer says of mono samples: features (T, F), tempo, beat_phase, bar_phase, confidence, level (T,)."""
    frames: list[MusicFrame] = MusicAnalyzer().push(samples)
    out: dict[str, Any] = {"features": np.array([f.features for f in frames], np.float32)}
    for key in ("tempo", "beat_phase", "bar_phase", "confidence"):
        out[key] = np.array([getattr(f.beat, key) for f in frames], np.float32)
    out["level"] = np.array([f.level for f in frames], np.float32)
    return out


def _write(folder: Path, song: Made, rng: np.random.Generator) -> None:
    whole = len(song.samples) // HOP
    samples = song.samples[: whole * HOP]
    injured = degraded(rng, samples)
    arrays: dict[str, Any] = {f"heard_{key}": value for key, value in heard(injured).items()}
    arrays["heard_features"] = arrays["heard_features"].astype(np.float16)
    arrays |= {f"exact_{key}": value for key, value in phases(song.beats_s, song.downbeats_s, whole).items()}
    soundfile.write(folder / f"{song.name}.flac", samples / max(float(np.abs(samples).max()), 1.0), SAMPLE_RATE)
    np.savez_compressed(
        folder / f"{song.name}.npz",
        name=song.name,
        source=song.source,
        split=song.split,
        beats_s=song.beats_s,
        downbeats_s=song.downbeats_s,
        energy=song.energy.astype(np.float32),
        **arrays,
    )
