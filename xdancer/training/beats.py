"""`xdancer train beats`: the beat network, on MIDI songs and random grooves whose grids are known exactly."""

import argparse
import copy
import tempfile
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import mido
import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import nn
from tqdm import tqdm

from xdancer import weights
from xdancer.config import load_config
from xdancer.data.config import data_root
from xdancer.data.songs import Song, list_songs, midi, render
from xdancer.data.songs.arrange import arranged
from xdancer.data.songs.song import FASTEST, SLOWEST
from xdancer.errors import UserError
from xdancer.music.activation import CHROMA_LAG, N_INPUTS, STEP_HOPS
from xdancer.music.features import CHROMA, COMPRESSION, FLUX_LAG, HOP_RATE, HOPS, N_BANDS, N_CHROMA, Spectrum
from xdancer.music.frame import HOP
from xdancer.training.common import fitting, follow, keep_memory, learning_rate, load_checkpoint, log, save_checkpoint
from xdancer.training.grooves import Groove, load_kit

STEP_RATE = HOP_RATE / STEP_HOPS
CHECKS = 6  # batches of songs that are kept out


class BeatsConfig(BaseModel):
    """Everything a run depends on beside the raw data.

    `bar_weight`: how much it counts to tell downbeats from other beats, where to tell beats from none counts 1.
    `begin`: a network of the same shape to begin with, by name or folder. `arrangements`: of each song that is taught,
    beside itself. `kept_out`: one song of so many is not taught, and tells when the network was best. `average`: how
    much of the mean of the weights is left a step later.
    """

    model_config = ConfigDict(extra="forbid")
    name: str
    run: str
    seed: int = 1
    steps: int = Field(gt=0)
    excerpts: int = Field(default=48, gt=0)
    seconds: float = Field(default=10.0, gt=2)
    arrangements: int = Field(default=0, ge=0)
    grooves: int = Field(default=240, ge=4)
    groove_share: float = Field(default=0.4, ge=0, le=1)
    on_grid: float = Field(default=0.9, ge=0, le=1)
    bar_weight: float = Field(default=1.0, ge=0)
    begin: str | None = None
    learning_rate: float = Field(default=3e-3, gt=0)
    warmup: int = 50
    width: int = 64
    hidden: int = 80
    dropout: float = 0.15
    average: float = Field(default=0.99, ge=0, lt=1)
    kept_out: int = Field(default=6, gt=1)
    lag: int = Field(default=2, ge=0)
    check_every: int = Field(default=100, gt=0)
    threads: int = Field(default=1, gt=0)


class BeatNetwork(nn.Module):
    """The network `xdancer.music.activation.BeatNet` runs: inputs (B, T, N_INPUTS) to logits (B, T, 3) of nothing,
    a beat that is no downbeat, a downbeat."""

    def __init__(self, width: int, hidden: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.inward = nn.Linear(N_INPUTS, width)
        self.first = nn.GRU(width, hidden, batch_first=True)
        self.second = nn.GRU(hidden, hidden, batch_first=True)
        self.outward = nn.Linear(hidden, 3)
        self.drop = nn.Dropout(dropout)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        first, _ = self.first(self.drop(torch.relu(self.inward(x))))
        second, _ = self.second(self.drop(first))
        return self.outward(self.drop(first + second))


class Batch(NamedTuple):
    """Excerpts: log bands (B, T * STEP_HOPS, N_BANDS), chroma (B, T, N_CHROMA), wanted probabilities (B, T, 3), and
    whether bars are known (B,)."""

    bands: torch.Tensor
    chroma: torch.Tensor
    wanted: torch.Tensor
    barred: torch.Tensor


def network_inputs(bands: torch.Tensor, chroma: torch.Tensor) -> torch.Tensor:
    """Log bands (..., T * STEP_HOPS, N_BANDS) and chroma (..., T, N_CHROMA) to (..., T, N_INPUTS), as `BeatNet.step`
    makes them."""
    before = nn.functional.pad(bands, (0, 0, FLUX_LAG, 0))[..., :-FLUX_LAG, :]
    rise = 2.0 * torch.relu(bands - before)
    steps = bands.shape[-2] // STEP_HOPS
    flat = rise.reshape(*bands.shape[:-2], steps, STEP_HOPS * N_BANDS)
    fresh = torch.relu(chroma - nn.functional.pad(chroma, (0, 0, CHROMA_LAG, 0))[..., :-CHROMA_LAG, :])
    return torch.cat([bands[..., STEP_HOPS - 1 :: STEP_HOPS, :], flat, chroma, fresh], dim=-1)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("config", type=Path, help="YAML, such as configs/beats.yaml")
    parser.add_argument("--weights", type=Path, help="folder to write the trained network to (default: in the run)")


def run(args: argparse.Namespace) -> dict[str, Any]:
    return train(load_config(args.config, BeatsConfig, args.settings), args.weights)


def report(result: dict[str, Any]) -> str:
    return f"{result['steps']} steps; loss on songs kept out {result['check_loss']:.4f}\nwritten to {result['weights']}"


def train(config: BeatsConfig, out: Path | None = None) -> dict[str, Any]:
    """Make the spectra, then `fit` the network to them and write its weights to `out`."""
    folder = Path(config.run)
    prepare(config, folder / "spectra")
    pieces = load_pieces(folder / "spectra")
    sets = {
        "train": [p for p in pieces if not is_kept_out(p, config)],
        "check": [p for p in pieces if is_kept_out(p, config)],
    }
    return fit(config, sets, out or folder / config.name)


def is_kept_out(piece: "Piece", config: BeatsConfig) -> bool:
    """By the song's name, so that its arrangements are kept out with it."""
    return zlib.crc32(piece.song.encode()) % config.kept_out == 0


def fit(config: BeatsConfig, sets: dict[str, list["Piece"]], out: Path) -> dict[str, Any]:
    """Train on the pieces, or go on from the run's last checkpoint. Every draw is seeded by the step, so a run that was
    cut off goes on along the same curve.

    What is written to `out`: the mean of the weights over the last steps, at the check at which it foretold the songs
    that were kept out best."""
    keep_memory()
    torch.set_num_threads(config.threads)
    torch.manual_seed(config.seed)
    folder = Path(config.run)
    network = BeatNetwork(config.width, config.hidden, config.dropout)
    if config.begin:
        network.load_state_dict(weights.load(weights.find("beats", config.begin))[0])
    mean = copy.deepcopy(network).eval()
    optimizer = torch.optim.AdamW(network.parameters(), config.learning_rate, weight_decay=0.01)
    learnt: dict[str, Any] = {"network": network, "mean": mean, "optimizer": optimizer}
    state = _resumed(folder / "last.pt", learnt)
    shape = {"name": config.name, "lag": config.lag, "width": config.width, "hidden": config.hidden}
    checks = [draw_batch(sets["check"], config, np.random.default_rng(k)) for k in range(CHECKS)]
    began, losses = time.monotonic(), []
    for step in tqdm(range(state["step"], config.steps), initial=state["step"], total=config.steps, unit="step"):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, config.steps, config.learning_rate, config.warmup)
        torch.manual_seed(config.seed * 1_000_003 + step)  # for dropout
        network.train()
        batch = draw_batch(sets["train"], config, np.random.default_rng([config.seed, step]))
        loss = loss_of(network, batch, config.bar_weight)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        follow(mean, network, config.average if step else 0.0)
        losses.append(float(loss.detach()))
        if (step + 1) % config.check_every == 0 or step + 1 == config.steps:
            found = _checked(mean, checks)
            if found < state["best"]:
                state |= {"best": found, "chosen": copy.deepcopy(mean.state_dict())}
                weights.save(out, state["chosen"], shape)
            seconds = time.monotonic() - began
            log(folder / "log.jsonl", step=step + 1, loss=float(np.mean(losses)), check=found, seconds=seconds)
            losses, state["step"] = [], step + 1
            kept = {name: each.state_dict() for name, each in learnt.items()}
            save_checkpoint(folder / "last.pt", kept | state)
    weights.save(out, state["chosen"], shape)  # of a run gone on with, `out` may be another
    return {"steps": config.steps, "check_loss": state["best"], "weights": str(out)}


def _resumed(path: Path, learnt: dict[str, Any]) -> dict[str, Any]:
    """Take up a checkpoint, where there is one: the steps done, the best check, and the weights that were `chosen` by
    it. Raises UserError where it is damaged or does not fit."""
    state: dict[str, Any] = {"step": 0, "best": float("inf"), "chosen": learnt["mean"].state_dict()}
    saved = load_checkpoint(path)
    if saved is not None:
        with fitting(path):
            for name, each in learnt.items():
                each.load_state_dict(saved[name])
            state = {key: saved[key] for key in state}
    return state


@torch.no_grad()
def _checked(network: BeatNetwork, checks: list[Batch]) -> float:
    return float(np.mean([float(loss_of(network, check)) for check in checks]))


def loss_of(network: BeatNetwork, batch: Batch, bar_weight: float = 1.0) -> torch.Tensor:
    """Cross entropy after the first second, of beat or none plus `bar_weight` that of downbeat or other beat; where no
    bar is known, the first alone."""
    skip = round(STEP_RATE)
    likely = torch.log_softmax(network(network_inputs(batch.bands, batch.chroma))[:, skip:], dim=-1)
    wanted = batch.wanted[:, skip:]
    full = -(wanted * likely).sum(-1)
    either = -(wanted[..., 0] * likely[..., 0] + (1 - wanted[..., 0]) * torch.logsumexp(likely[..., 1:], -1))
    return (either + bar_weight * batch.barred[:, None] * (full - either)).mean()


class Piece:
    """A song as the network is taught it: log bands (N, N_BANDS) and each frame's chroma (N / HOPS, N_CHROMA), float16;
    quarter notes from a downbeat on, in seconds; `barred`: every fourth of them is known to be a downbeat."""

    def __init__(self, path: Path) -> None:
        with np.load(path) as arrays:
            self.bands, self.chroma, self.quarters = arrays["bands"], arrays["chroma"], arrays["quarters"]
            self.barred = bool(arrays["barred"])
        self.song = path.stem.split("-arranged-")[0]
        self.groove = self.song.startswith("groove-")


def prepare(config: BeatsConfig, folder: Path) -> None:
    """Spectra of every song that is taught to `folder`/<name>.npz; those that are there are kept."""
    folder.mkdir(parents=True, exist_ok=True)
    songs = [s for s in list_songs(data_root()) if s.split == "train" and s.on_grid >= config.on_grid]
    songs = [s for s in songs if s.quarters_s[-1] > 20.0]
    for song in tqdm(songs, desc="songs", unit="song"):
        _write_song(folder / f"{song.name}.npz", song)
    for number in range(config.arrangements):
        for song in tqdm(songs, desc=f"arrangement {number + 1}", unit="song"):
            path = folder / f"{song.name}-arranged-{number}.npz"
            _write_arranged(path, song, np.random.default_rng([config.seed, zlib.crc32(song.name.encode()), number]))
    kit = load_kit(data_root() / "music" / "samples_sonic_pi_cc0")
    for number in tqdm(range(config.grooves), desc="grooves", unit="song"):
        path = folder / f"groove-{number:04d}.npz"
        if not path.exists():
            groove = Groove(kit, np.random.default_rng([config.seed, number]))
            _write(path, groove.sound, groove.beats, True)


def _write_song(path: Path, song: Song) -> None:
    if not path.exists():
        quarters = song.quarters_s[np.searchsorted(song.quarters_s, song.downbeats_s[0] - 0.01) :]
        _write(path, render(song), quarters, song.four_four)


def _write_arranged(path: Path, song: Song, rng: np.random.Generator) -> None:
    if path.exists():
        return
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "arranged.mid"
        arranged(mido.MidiFile(str(song.path), clip=True), rng).save(str(file))
        _write_song(path, midi.read(file, song.name, song.split))


def _write(path: Path, sound: np.ndarray, quarters: np.ndarray, barred: bool) -> None:
    spectrum = Spectrum()
    frames = [spectrum.push(sound[k : k + HOP]) for k in range(0, len(sound) - HOP + 1, HOP)]
    bands = np.concatenate([bands for _, bands, _ in frames]).astype(np.float16)
    chroma = np.stack([features[CHROMA] for features, _, _ in frames]).astype(np.float16)
    draft = path.with_suffix(".draft")
    with draft.open("wb") as file:
        np.savez(file, bands=bands, chroma=chroma, quarters=quarters, barred=barred)
    draft.rename(path)


def load_pieces(folder: Path) -> list[Piece]:
    pieces = [Piece(path) for path in sorted(folder.glob("*.npz"))]
    if not pieces:
        raise UserError(f"{folder}: no songs to learn from; set XDANCER_DATA to the folder of raw data")
    return pieces


def draw_batch(pieces: list[Piece], config: BeatsConfig, rng: np.random.Generator) -> Batch:
    """Random excerpts."""
    size = np.sqrt([len(p.bands) for p in pieces])
    groove = np.array([p.groove for p in pieces])
    share = np.zeros(len(pieces))
    for kind, part in ((groove, config.groove_share), (~groove, 1.0 - config.groove_share)):
        share[kind] = part * size[kind] / max(size[kind].sum(), 1e-9)
    drawn = _excerpts(pieces, share / share.sum(), config, rng)
    bands, chroma, wanted, barred = zip(*(next(drawn) for _ in range(config.excerpts)), strict=True)
    sound, key, marks = (torch.from_numpy(np.stack(part)) for part in (bands, chroma, wanted))
    return Batch(sound, key, marks, torch.tensor(barred))


def _excerpts(
    pieces: list[Piece], share: np.ndarray, config: BeatsConfig, rng: np.random.Generator
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray, bool]]:
    steps = round(config.seconds * STEP_RATE)
    while True:
        piece = pieces[rng.choice(len(pieces), p=share)]
        slower = float(np.exp(rng.uniform(np.log(0.85), np.log(1.18))))
        need = int(steps * STEP_HOPS / slower) + 2
        if len(piece.bands) <= need:
            continue
        first = int(rng.integers(len(piece.bands) - need))
        at = first + np.arange(steps * STEP_HOPS) / slower
        index, part = at.astype(int), (at % 1.0)[:, None].astype(np.float32)
        window = piece.bands[first : first + need + 1].astype(np.float32)
        bands = window[index - first] * (1.0 - part) + window[index - first + 1] * part
        chroma = piece.chroma[np.minimum(index[STEP_HOPS - 1 :: STEP_HOPS] // HOPS, len(piece.chroma) - 1)]
        beats = fold_from_downbeat((piece.quarters - first / HOP_RATE) * slower)
        yield injured(bands, rng), transposed(chroma, rng), targets(beats, steps, config.lag), piece.barred


def transposed(chroma: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Chroma (T, N_CHROMA) in any key, float32, each class up to a third softer or louder, as equalisers have it."""
    chroma = np.roll(chroma, int(rng.integers(N_CHROMA)), axis=1).astype(np.float32)
    return np.minimum(chroma * rng.uniform(0.67, 1.33, N_CHROMA).astype(np.float32), 1.0)


def fold_from_downbeat(quarters: np.ndarray) -> np.ndarray:
    """Quarter notes (Q,) that start on a downbeat, folded by powers of two into 75..150 BPM; every fourth stays one."""
    tempo = 60.0 / float(np.median(np.diff(quarters)))
    while tempo > FASTEST:
        quarters, tempo = quarters[::2], tempo / 2.0
    while tempo < SLOWEST:
        middles = (quarters[:-1] + quarters[1:]) / 2.0
        quarters, tempo = np.sort(np.concatenate([quarters, middles])), tempo * 2.0
    return quarters


def targets(beats: np.ndarray, steps: int, lag: int) -> np.ndarray:
    """Wanted probabilities float32 (steps, 3): 1 in the step in which a beat lies, moved by `lag`, 0.4 beside it."""
    wanted = np.zeros((steps, 3), np.float32)
    at = np.round(beats * STEP_RATE - 0.5).astype(int) + lag
    kind = np.where(np.arange(len(beats)) % 4 == 0, 2, 1)
    for offset, much in ((-1, 0.4), (1, 0.4), (0, 1.0)):
        inside = (at + offset >= 0) & (at + offset < steps)
        wanted[at[inside] + offset, kind[inside]] = much
    wanted[:, 0] = 1.0 - wanted[:, 1:].sum(axis=1)
    return wanted


def injured(bands: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Log bands as another room, mixer or microphone would have them: equaliser, gain, noise, a filter pulled in."""
    energy = (10.0 ** (2.0 * bands) - 1.0) / COMPRESSION
    curve = np.interp(np.arange(N_BANDS), np.linspace(0, N_BANDS - 1, 5), rng.normal(0.0, 4.0, 5)) + rng.normal(
        0.0, 3.0
    )
    energy = energy * (10.0 ** (curve / 10.0)).astype(np.float32)
    if rng.random() < 0.5:
        energy = energy + np.float32(10.0 ** rng.uniform(-5.0, -2.5))
    if rng.random() < 0.2:
        edge, cut = int(rng.integers(4, 16)), np.float32(10.0 ** -rng.uniform(0.5, 3.0))
        if rng.random() < 0.5:
            energy[:, :edge] *= cut
        else:
            energy[:, -edge:] *= cut
    return np.minimum(0.5 * np.log10(1.0 + COMPRESSION * energy), 3.0).astype(np.float32)
