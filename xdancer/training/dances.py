"""The dances of a corpus as the choreographer learns them: tokens, what the analyzer heard, random windows of both."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.ndimage import gaussian_filter1d

from xdancer.choreographer import inputs, liveliness, plan
from xdancer.data.parallel import in_parallel
from xdancer.errors import UserError
from xdancer.evaluation.alignment import speed
from xdancer.pose.layout import N_PARTS, TOKENS_PER_FRAME, TOKENS_PER_PART
from xdancer.training import recoveries

LONGEST = 30  # frames to look back for the beginning of a plan
HEARD = ("tempo", "beat_phase", "bar_phase", "confidence")


@dataclass
class Song:
    """music (T, N_MUSIC) as the analyzer heard it; heard and exact clock (T, 4): tempo, beat, bar, confidence."""

    music: np.ndarray
    heard: np.ndarray
    exact: np.ndarray


@dataclass
class Dance:
    """One view of a dance: tokens (T, 30), motion energy (T,), style (T,) as an index or -1, and its song.

    jolted: tokens (T, 30) of the same dance thrown off course now and then (`recoveries`); struck (T,): when.
    places (T, 18, 2): of the body, which plans are made of.
    """

    tokens: np.ndarray
    jolted: np.ndarray
    struck: np.ndarray
    places: np.ndarray
    energy: np.ndarray
    style: np.ndarray
    song: Song


def cut(dance: Dance, start: int, stop: int) -> Dance:
    """Frames start .. stop - 1 of a dance and of its song, as if there were no others."""
    span = slice(start, stop)
    song = Song(dance.song.music[span], dance.song.heard[span], dance.song.exact[span])
    return Dance(
        dance.tokens[span], dance.jolted[span], dance.struck[span], dance.places[span], dance.energy[span],
        dance.style[span], song,
    )  # fmt: skip


def load_song(path: Path) -> Song:
    with np.load(path) as data:
        clocks = [np.stack([data[f"{kind}_{key}"] for key in HEARD], axis=1) for kind in ("heard", "exact")]
        return Song(inputs.listened(data["heard_features"]).astype(np.float16), *clocks)


def load_dances(corpus: Path, split: str, tokenizer: Any, styles: list[str]) -> list[Dance]:
    """All views of a split, encoded once: the tokens are kept in the corpus, until a dance is built anew. Raises
    UserError where there are none."""
    folder = corpus / f"tokens-{tokenizer.sha256[:12]}"
    paths = [path for path in sorted((corpus / "dances").glob("*.npz")) if _split(path) == split]
    if not paths:
        raise UserError(f"{corpus}: no {split} dances; run `xdancer corpus build` first")
    folder.mkdir(exist_ok=True)
    new = [path for path in paths if not _up_to_date(folder / path.name, path)]
    in_parallel(
        ((_encode, path, folder / path.name, tokenizer) for path in new),
        total=len(new), desc=f"{split} dances", unit="dance",
    )  # fmt: skip
    songs: dict[str, Song] = {}
    dances = []
    for path in paths:
        with np.load(path) as data:
            song, style = str(data["song"]), data["style"]
        if song not in songs:
            songs[song] = load_song(corpus / "songs" / f"{song}.npz")
        number = np.array([styles.index(s) if s in styles else -1 for s in style], np.int8)
        with np.load(folder / path.name) as data:
            views = zip(*(data[name] for name in ("tokens", "jolted", "struck", "places", "energy")), strict=True)
            for tokens, jolted, struck, places, energy in views:
                dances.append(Dance(tokens, jolted, struck, places, energy, number, songs[song]))
    return dances


def long_enough(corpus: Path, split: str, tokenizer: Any, styles: list[str], frames: int) -> list[Dance]:
    """The dances of a split of at least so many frames. Raises UserError where there are none."""
    found = [dance for dance in load_dances(corpus, split, tokenizer, styles) if len(dance.tokens) >= frames]
    if not found:
        raise UserError(
            f"{corpus}: no {split} dance has the {frames} frames of a window; use shorter ones or longer clips"
        )
    return found


def _split(path: Path) -> str:
    with np.load(path) as data:
        return str(data["split"])


def _up_to_date(kept: Path, dance: Path) -> bool:
    return kept.exists() and kept.stat().st_mtime_ns >= dance.stat().st_mtime_ns


def _encode(dance: Path, path: Path, tokenizer: Any) -> None:
    with np.load(dance) as data:
        poses = data["views"].astype(np.float32)
    rng = np.random.default_rng(zlib.crc32(path.stem.encode()))
    thrown = [recoveries.jolted(rng, pose) for pose in poses]
    tokens, jolted = (
        np.stack([tokenizer.encode(pose).reshape(-1, TOKENS_PER_FRAME) for pose in each])
        for each in (poses, [pose for pose, _ in thrown])
    )
    energy = np.stack([motion_energy(pose) for pose in poses]).astype(np.float16)
    draft = path.with_suffix(".draft.npz")
    struck = np.stack([struck for _, struck in thrown])
    places = inputs.places(poses[:, :, : plan.JOINTS]).astype(np.float16)
    np.savez_compressed(draft, tokens=tokens, jolted=jolted, struck=struck, places=places, energy=energy)
    draft.rename(path)


def motion_energy(pose: np.ndarray) -> np.ndarray:
    """How fast the body moves about each frame: (T,), trunks a second, over about two seconds."""
    moved = speed(pose)
    return gaussian_filter1d(np.append(moved, moved[-1:]), 15.0, mode="nearest")


def energy_quantiles(dances: list[Dance]) -> np.ndarray:
    """33 quantiles of the motion energy, by which an energy is ranked from 0 to 1."""
    energies = np.concatenate([dance.energy[::31] for dance in dances]).astype(np.float32)
    return np.quantile(energies, np.linspace(0, 1, 33))


def ranked(energy: np.ndarray, quantiles: np.ndarray) -> np.ndarray:
    """Motion energies (N,) as their ranks among all, 0..1."""
    return np.interp(energy.astype(np.float64), quantiles, np.linspace(0, 1, len(quantiles)))


def fit_liveliness(dances: list[Dance], quantiles: np.ndarray) -> np.ndarray:
    """What `liveliness.wanted` weighs what it hears by, from the ranks of the dances' energy."""
    heard = np.concatenate([dance.song.music[: len(dance.energy) : 31] for dance in dances]).astype(np.float64)
    rank = np.concatenate([ranked(dance.energy[::31], quantiles) for dance in dances])
    return liveliness.fit(heard, rank)


def begun(song: Song, rows: np.ndarray, lead: int, kind: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The plans that begin within consecutive rows (T,), one with each half beat by the clock that those are told: at
    which of the rows (N,), the rows (N, AHEAD) at which they are to have come true, and what part of its half beat has
    passed at each row (T,)."""
    tempo, beat, *_ = clock_at(song, rows, lead, kind)
    half, part, length = plan.half_beats(rows, tempo, beat % 1)
    begins = np.flatnonzero(np.append(rows[0] > 0, half[1:] != half[:-1]))
    left = (1 - part[begins, None] + np.arange(plan.AHEAD)) * length[begins, None]
    return begins, np.round(rows[begins, None] + left).astype(int), part


def first_codes(dances: list[Dance], plans: plan.Plans) -> tuple[np.ndarray, np.ndarray]:
    """Of all plans that begin in dances by the exact clock, and come true before their ends: the first code (N,), and
    the style (N,) as an index or -1."""
    codes, styles = [], []
    for dance in dances:
        begins, ends, _ = begun(dance.song, np.arange(len(dance.places)), 0, "exact")
        within = ends[:, -1] < len(dance.places)
        codes.append(plans.codes(dance.places[ends[within]].astype(np.float32))[:, 0])
        styles.append(dance.style[begins[within]])
    return np.concatenate(codes), np.concatenate(styles)


def fit_leanings(dances: list[Dance], plans: plan.Plans, styles: Sequence[str]) -> np.ndarray:
    """What the plans of each style lean to (1 + S, CODES), see `plan.leaning`; of no style, the first row, to
    nothing."""
    codes, style = first_codes(dances, plans)
    rows = [plan.leaning(codes[style == number], codes) for number in range(len(styles))]
    return np.stack([np.zeros(plan.CODES), *rows])


class Windows:
    """Random windows of dances as inputs and targets, seeded by the step."""

    def __init__(
        self, dances: list[Dance], codes: inputs.Codes, tokenizer: Any, styles: list[str], quantiles: np.ndarray,
        plans: plan.Plans, without: Sequence[str] = (),
    ) -> None:  # fmt: skip
        """without: what the model is not told, see `inputs.removed`."""
        self.removed = inputs.removed(without, len(styles), codes.width)
        self.deaf = "beat" in without
        self.dances, self.codes, self.styles, self.quantiles, self.plans = dances, codes, styles, quantiles, plans
        self.tokenizer = tokenizer
        self.kept = max(tokenizer.runtime.encoder_field - 1, 2)  # poses before each frame
        self.decoder_field = tokenizer.runtime.decoder_field
        self.reach = self.decoder_field - 1 + self.kept  # token rows before the first frame
        lengths = np.array([len(d.tokens) for d in dances], np.float64)
        self.chances = lengths / lengths.sum()

    def batch(
        self, rng: np.random.Generator, n: int, frames: int, noise: float = 0.0, jolts: float = 0.0
    ) -> tuple[np.ndarray, ...]:
        """Of n random windows: input vectors (n, T, inputs), tokens (n, T, 30), the row before each (n, T, 30), the
        poses before each (n, T + kept - 1, 60, 3), the true poses (n, T, 60, 3), bool (n, T): a jolt strikes here, and
        the codes of the plan (n, T, STAGES) where one begins, elsewhere -1.

        noise: mean share of past tokens replaced, in most windows; jolts: share of windows from dances with jolts.
        """
        made = [self._one(rng, frames, noise, rng.random() < jolts) for _ in range(n)]
        return tuple(np.stack(column) for column in zip(*made, strict=True))

    def _one(self, rng: np.random.Generator, frames: int, noise: float, jolted: bool) -> tuple[np.ndarray, ...]:
        dance = self.dances[rng.choice(len(self.dances), p=self.chances)]
        rows = len(dance.tokens)
        first = 0 if rng.random() < 0.06 else int(rng.integers(0, max(rows - frames, 0) + 1))
        lead, kind = circumstances(rng)
        start = dance.tokens[0 if first == 0 or rng.random() < 0.6 else rng.integers(0, first)]
        asked = wishes(rng, dance, slice(first, first + frames), self.quantiles, self.styles)
        planless = rng.random() < 0.1
        return self.at(rng, dance, first, frames, lead, kind, start, asked, noise, jolted, planless)

    def at(
        self, rng: np.random.Generator, dance: Dance, first: int, frames: int, lead: int, kind: str, start: np.ndarray,
        asked: np.ndarray, noise: float = 0.0, jolted: bool = False, planless: bool = False,
    ) -> tuple[np.ndarray, ...]:  # fmt: skip
        """The window of this dance that begins at frame `first`, as `batch` gives it; start (30,), asked (T, 2 + S):
        energy and style."""
        danced = dance.jolted if jolted else dance.tokens
        kind = "none" if self.deaf else kind
        span = slice(first, first + frames)
        true = danced[max(first - self.reach, 0) : first + frames]
        true = np.concatenate([np.repeat(true[:1], self.reach + frames - len(true), axis=0), true])
        shown = spoiled(rng, true, noise * rng.random() * 2) if noise and rng.random() < 0.7 else true
        poses = self.decode(shown[:-1])
        aims = poses if shown is true else self.decode(true[:-1])
        last = self.decode(true[-self.decoder_field :])
        planned, codes = self.planned(dance, first, frames, lead, kind)
        if planless:
            planned = np.zeros_like(planned)
        told = clock_rows(dance.song, np.arange(first, first + frames), lead, kind)
        outside = np.concatenate([told, asked, planned], axis=1, dtype=np.float32)
        before = shown[self.reach - 1 : -1]
        x = self.assemble(outside, poses, before, start, first, danced)
        x[:, self.removed] = 0.0
        struck = dance.struck[span] & jolted
        return x, danced[span], before, poses, np.concatenate([aims[self.kept :], last]), struck, codes

    def planned(self, dance: Dance, first: int, frames: int, lead: int, kind: str) -> tuple[np.ndarray, np.ndarray]:
        """Plan columns (T, N_PLAN) of rows first .. first + T - 1, and codes (T, STAGES) where a plan begins, else -1.

        A plan begins with each half beat by the clock that the frames are told, right or wrong, and says where the
        dance is at that clock's next two half beats. There is none before the first of them.
        """
        rows = np.arange(max(first - LONGEST, 0), first + frames)
        begins, ends, part = begun(dance.song, rows, lead, kind)
        ends = np.clip(ends, 0, len(dance.places) - 1)
        codes = self.plans.codes(dance.places[ends].astype(np.float32))
        vectors = self.plans.vectors(codes)
        follows = np.searchsorted(begins, np.arange(len(rows)), side="right") - 1
        told = [plan.columns(vectors[k] if k >= 0 else None, p) for k, p in zip(follows, part, strict=True)]
        starts = np.full((len(rows), plan.STAGES), -1, np.int64)
        starts[begins] = codes
        return np.stack(told)[-frames:], starts[-frames:]

    def decode(self, rows: np.ndarray) -> np.ndarray:
        """Token rows (T + decoder_field - 1, 30) -> poses (T, 60, 3)."""
        return self.tokenizer.runtime.decode(rows.reshape(-1, N_PARTS, TOKENS_PER_PART))

    def assemble(
        self,
        outside: np.ndarray,
        poses: np.ndarray,
        before: np.ndarray,
        start: np.ndarray,
        first: int,
        dance: np.ndarray,
    ) -> np.ndarray:
        """Input vectors of rows first .. first + T - 1. poses (T + kept - 1, 60, 3) from row first - kept on; before
        (T, 30): tokens from row first - 1 on; `dance` gives the reminders."""
        frames = len(outside)
        begin = self.codes.latents(start).reshape(1, -1)
        context = []
        for row in range(first, first + frames):
            if row == first or row % inputs.CONTEXT_EVERY == 0:
                chosen = inputs.context_rows(row)
                if len(chosen):
                    reminder = self.codes.latents(dance[chosen]).reshape(-1)
                else:
                    reminder = np.repeat(begin, inputs.CONTEXT_FRAMES, axis=0).reshape(-1)
            context.append(reminder)
        seen = inputs.body(poses[self.kept - 1 :], poses[self.kept - 2 : -1])
        latents = self.codes.latents(before).reshape(frames, -1)
        columns = (outside, seen, latents, np.array(context), np.repeat(begin, frames, axis=0))
        return np.concatenate(columns, axis=1, dtype=np.float32)


def circumstances(rng: np.random.Generator) -> tuple[int, str]:
    """A lead in frames, and what is known of the beat: the clock as "heard", the "exact" one, or "none"."""
    lead = int(rng.integers(0, 61)) if rng.random() < 0.4 else int(rng.choice([0, 0, 0, 4, 8, 16]))
    return lead, str(rng.choice(["heard", "exact", "none"], p=[0.8, 0.1, 0.1]))


def wishes(rng: np.random.Generator, dance: Dance, span: slice, quantiles: np.ndarray, styles: list[str]) -> np.ndarray:
    """Energy and style of a span as columns (T, 2 + S): each told in four windows of ten, as `inputs.controls` does."""
    known = rng.random() < 0.4
    rank = ranked(dance.energy[span], quantiles)
    energy = np.stack([2 * rank - 1, np.ones_like(rank)], axis=1) * known
    number = dance.style[span]
    style = np.zeros((len(number), len(styles)), np.float32)
    if rng.random() < 0.4:
        style[np.flatnonzero(number >= 0), number[number >= 0]] = 1.0
    return np.concatenate([energy, style], axis=1, dtype=np.float32)


def spoiled(rng: np.random.Generator, shown: np.ndarray, noise: float) -> np.ndarray:
    """Past tokens (T, 30), a share replaced by those of another frame, near or far, so that own errors are no
    surprise."""
    hit = rng.random(shown.shape) < noise
    other = np.where(rng.random(shown.shape[:1]) < 0.5, 1, rng.integers(1, len(shown), len(shown)))
    other = (np.arange(len(shown)) - other) % len(shown)
    return np.where(hit, shown[other], shown)


def clock_at(song: Song, rows: np.ndarray, lead: int, kind: str) -> tuple[np.ndarray, ...]:
    """Tempo, beat phase, bar phase and confidence (T,) at rows (T,), each told `lead` frames before and run on.

    There is no tempo before the first row.
    """
    at = np.clip(rows - lead, 0, len(song.music) - 1)
    tempo, beat, bar, confidence = (song.exact[np.maximum(rows, 0)] if kind == "exact" else song.heard[at]).T
    if kind != "exact":
        beats = lead / 30 * tempo / 60
        beat, bar = beat + beats, bar + beats / 4
        tempo = np.where(rows >= lead, tempo, 0.0)
    tempo = np.where(rows >= 0, tempo, 0.0)
    return (tempo if kind != "none" else np.zeros_like(tempo)), beat, bar, confidence


def clock_rows(song: Song, rows: np.ndarray, lead: int, kind: str) -> np.ndarray:
    """Music, clock and lead of the rows (T,), each made `lead` frames after the music frame it was made from."""
    at = np.clip(rows - lead, 0, len(song.music) - 1)
    music = np.where((rows >= lead)[:, None], song.music[at].astype(np.float32), inputs.silence())
    tempo, beat, bar, confidence = clock_at(song, rows, lead, kind)
    clock = inputs.clock(beat, bar, tempo, confidence)
    return np.concatenate([music, clock, np.repeat(inputs.ahead(lead)[None], len(rows), axis=0)], axis=1)


def spread(dances: list[Dance], codebooks: np.ndarray, stages: int) -> np.ndarray:
    """Standard deviation (5, D) of each number of the latents, over a sample of frames."""
    width = TOKENS_PER_PART // stages * codebooks.shape[-1]
    codes = inputs.Codes(codebooks, stages, np.ones((N_PARTS, width), np.float32))
    sample = np.concatenate([d.tokens[::31] for d in dances])
    return np.maximum(codes.latents(sample).std(axis=0), 1e-3).astype(np.float32)
