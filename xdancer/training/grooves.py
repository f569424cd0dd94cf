"""Random songs of drum samples and plain synthesis on a known grid: what a DJ plays and MIDI songs lack.

Four-to-the-floor with hats between the beats, broken beats, half-time, reggaeton, shuffles; bass, chords and tunes on
and off the beat; breakdowns without drums or with the off-beat's hats alone, fills, entries layer by layer. Where the
drums do not tell the bar, the harmony does: it changes at the bar line.
"""

from pathlib import Path

import numpy as np

from xdancer.errors import UserError
from xdancer.music.decode import decode_audio, mono
from xdancer.music.frame import SAMPLE_RATE

# Strokes of one bar in sixteenths: (kick, snare or clap, hat, open hat); digits are loudness 1..9.
STYLES: dict[str, tuple[float, float, tuple[tuple[str, str, str, str], ...]]] = {
    "house": (
        116.0,
        132.0,
        (
            ("9...9...9...9...", "....8.......8...", "5.3.5.3.5.3.5.3.", "..7...7...7...7."),
            ("9...9...9...9...", "................", "................", "..9...9...9...9."),
            ("9...9...9...9..4", "....8.......8..3", "4444444444444444", "..6...6...6...6."),
        ),
    ),
    "techno": (
        122.0,
        150.0,
        (
            ("9...9...9...9...", "................", "3.6.3.6.3.6.3.6.", "................"),
            ("9...9...9...9...", "....6.......6...", "5555555555555555", "..8...8...8...8."),
            ("9...9...9...9.5.", "............7...", "..7...7...7...7.", "................"),
        ),
    ),
    "rock": (
        80.0,
        150.0,
        (
            ("9.......9.......", "....9.......9...", "6.5.6.5.6.5.6.5.", "................"),
            ("9.....7.9.......", "....9.......9...", "6.5.6.5.6.5.6.5.", "..............5."),
            ("9.......8.8.....", "....9.......9...", "7...7...7...7...", "................"),
        ),
    ),
    "hiphop": (
        75.0,
        105.0,
        (
            ("9......7..9.....", "....9.......9...", "6.4.6.4.6.4.6.4.", "................"),
            ("9..7......9..5..", "....9.......9..3", "6.5.6.566.5.6.5.", "......5........."),
            ("9.9.......9.....", "....9.......9...", "6666666666666666", "................"),
        ),
    ),
    "broken": (
        82.0,
        140.0,
        (
            ("9.9.......99....", "....9..4.4..9..4", "6.6.6.6.6.6.6.6.", "................"),
            ("9..9..9.....9...", "....9.......9...", "5.6.5.6.5.6.5.6.", "..5.......5....."),
            ("9.....9...9.....", "....9..3....9.3.", "5.5.5.5.5.5.5.5.", "................"),
        ),
    ),
    "jungle": (
        80.0,
        90.0,
        (  # drum and bass, counted in half: a bar of these is two of theirs
            ("9....9..9....9..", "..9...9...9...9.", "5656565656565656", "................"),
            ("9....9..9....9..", "..9...9...9...9.", "6.6.6.6.6.6.6.6.", "................"),
        ),
    ),
    "reggaeton": (
        85.0,
        105.0,
        (
            ("9...9...9...9...", "...8..8....8..8.", "5.5.5.5.5.5.5.5.", "................"),
            ("9.......9.......", "...8..8....8..8.", "................", "................"),
        ),
    ),
    "disco": (
        105.0,
        128.0,
        (
            ("9...9...9...9...", "....9.......9...", "6.667.666.667.66", "................"),
            ("9...9...9...9...", "....9.......9...", "6...6...6...6...", "..8...8...8...8."),
        ),
    ),
    "halftime": (
        130.0,
        150.0,
        (
            ("9.........8.....", "........9.......", "5.5.5.5.5.5.5.5.", "................"),
            ("9.....7.........", "........9.......", "5.5.5.555.5.5.55", "................"),
        ),
    ),
}
PREFIXES = {
    "kick": ("bd_", "drum_heavy_kick", "elec_soft_kick", "elec_hollow_kick"),
    "snare": ("sn_", "drum_snare", "elec_filt_snare", "elec_hi_snare", "elec_lo_snare", "elec_mid_snare", "elec_snare"),
    "hat": ("hat_", "drum_cymbal_closed", "drum_cymbal_pedal"),
    "open": ("drum_cymbal_open", "elec_cymbal", "hat_"),
    "crash": ("drum_splash", "drum_cymbal_hard"),
    "tom": ("drum_tom", "elec_fuzz_tom"),
    "tick": ("elec_", "drum_cowbell"),
}


def load_kit(folder: Path) -> dict[str, list[np.ndarray]]:
    """Samples by role, mono float32 48 kHz, at most 1.2 s. Raises UserError where a role has none."""
    kit = {}
    for role, prefixes in PREFIXES.items():
        paths = sorted(p for p in folder.glob("*.flac") if p.name.startswith(prefixes))
        if not paths:
            raise UserError(f"{folder}: no samples {'*, '.join(prefixes)}*.flac; set XDANCER_DATA to the raw data")
        kit[role] = [_trim(mono(decode_audio(path))) for path in paths]
    return kit


def _trim(sample: np.ndarray) -> np.ndarray:
    """From its first sound on, its peak 1."""
    peak = max(float(np.abs(sample).max()), 1e-6)
    start = int(np.argmax(np.abs(sample) > 0.03 * peak))
    return sample[start : start + int(1.2 * SAMPLE_RATE)] / np.float32(peak)


def synthesised(role: str, rng: np.random.Generator) -> np.ndarray:
    """A drum machine's kick, snare, hat or open hat, every one another: mono float32, its peak 1."""
    t = np.arange(int(0.5 * SAMPLE_RATE)) / SAMPLE_RATE
    noise = rng.standard_normal(len(t))
    if role == "kick":
        fall = rng.uniform(20.0, 60.0)
        turns = rng.uniform(40.0, 60.0) * t + rng.uniform(1.0, 6.0) * (1.0 - np.exp(-fall * t))
        sound = np.sin(2.0 * np.pi * turns) * np.exp(-rng.uniform(6.0, 25.0) * t)
        sound = sound + rng.uniform(0.0, 0.2) * noise * np.exp(-200.0 * t)
    elif role == "snare":
        sound = noise * np.exp(-rng.uniform(12.0, 45.0) * t)
        sound = sound + rng.uniform(0.0, 1.5) * np.sin(2.0 * np.pi * rng.uniform(160.0, 240.0) * t) * np.exp(-25.0 * t)
    else:
        bright = np.diff(noise, prepend=0.0) if rng.random() < 0.8 else noise
        decay = rng.uniform(40.0, 120.0) if role == "hat" else rng.uniform(8.0, 30.0)
        sound = bright * np.exp(-decay * t)
    return (sound / np.abs(sound).max()).astype(np.float32)


class Groove:
    """One random song: `sound` float32 (N,) 48 kHz, `beats` seconds (B,), every fourth from the first a downbeat."""

    def __init__(self, kit: dict[str, list[np.ndarray]], rng: np.random.Generator, seconds: float = 40.0) -> None:
        self._rng, self._kit = rng, kit
        self.style = str(rng.choice(list(STYLES)))
        slow, fast, patterns = STYLES[self.style]
        self.tempo = float(rng.uniform(slow, fast))
        lead = float(rng.uniform(0.0, 1.0))
        bars = int((seconds - lead) * self.tempo / 240.0)
        self.beats = lead + np.arange(4 * bars) * 60.0 / self.tempo
        self.sound = np.zeros(int(seconds * SAMPLE_RATE), np.float32)
        self._swing = float(rng.choice([0.0, 0.0, 0.0, rng.uniform(0.08, 0.33)]))
        self._loose = float(rng.choice([0.0, 0.003, 0.008]))
        pattern = patterns[rng.integers(len(patterns))]
        made = rng.random() < 0.4
        roles = ("kick", "snare", "hat", "open")
        self._voices = [synthesised(role, rng) if made else kit[role][rng.integers(len(kit[role]))] for role in roles]
        self._loud = rng.uniform((0.7, 0.4, 0.1, 0.15), (1.0, 0.9, 0.45, 0.5))
        self._ticks = rng.random(16) * (rng.random(16) < rng.uniform(0.0, 0.4)) * (rng.random() < 0.5)
        self._tick = kit["tick"][rng.integers(len(kit["tick"]))]
        self._key = float(rng.uniform(40.0, 70.0))
        self._bass = self._bass_line(pattern[0])
        self._stabs = self._phrase(("9...............", "..9...9...9...9.", "9..9..9...9..9..", "9.......9......."))
        self._tune = self._phrase(("9.9.9.9.9.9.9.9.", "9..9..9..9..9..9"))
        self._parts(bars, pattern)
        self.sound /= max(float(np.abs(self.sound).max()), 1e-6)

    def _parts(self, bars: int, pattern: tuple[str, str, str, str]) -> None:
        """Sections of 2 to 8 bars, each with some of the voices."""
        rng, first = self._rng, 0
        chords = rng.choice([0, 3, 5, 7, 8, 10], size=4)
        held = rng.random() < 0.5  # whether chords are held through the bar, as pads are, beside being struck
        swell = float(rng.uniform(0.005, 0.3))
        while first < bars:
            length = int(rng.choice([2, 4, 4, 8]))
            on = rng.random(4) < (0.9, 0.88, 0.85, 0.8)
            bass, chord = rng.random() < 0.75, rng.random() < 0.65
            tune = rng.random() < 0.3
            if rng.random() < 0.15:  # breakdown, at times with the hats alone
                on[:], chord = rng.random(4) < (0.1, 0.1, 0.35, 0.35), True
            for bar in range(first, min(first + length, bars)):
                start = self.beats[0] + bar * 240.0 / self.tempo
                fill = bar == first + length - 1 and rng.random() < 0.5
                self._drums(start, pattern, on, fill)
                root = self._key * 2.0 ** (chords[bar % 4] / 12.0)
                if bass:
                    self._play(start, self._bass, root, 0.5, 0.9)
                if chord:
                    for ratio in (4.0, 4.0 * 2.0 ** (rng.choice([3, 4]) / 12.0), 6.0):
                        self._play(start, self._stabs, root * ratio, 0.14, 2.5)
                        if held:
                            self._play(start, _strokes("9..............."), root * ratio, 0.1, 16.0, swell)
                if tune:
                    pitch = 8.0 * 2.0 ** (rng.choice([0, 3, 5, 7]) / 12.0)
                    self._play(start, self._tune, root * pitch, 0.08, 2.0)
                if bar == first and rng.random() < 0.5:
                    crash = self._kit["crash"][rng.integers(len(self._kit["crash"]))]
                    self._mix(start, 0.4 * crash)
            first += length

    def _drums(self, start: float, pattern: tuple[str, str, str, str], on: np.ndarray, fill: bool) -> None:
        rng = self._rng
        for voice, line in enumerate(pattern):
            if not on[voice]:
                continue
            strokes = _strokes(line)
            if fill and voice < 2:
                strokes[12:] = rng.random(4) * (rng.random(4) < 0.7)
            strokes = strokes * (rng.random(16) > 0.02) + 0.3 * (rng.random(16) < 0.02)
            for k in map(int, np.flatnonzero(strokes)):
                self._mix(
                    self._at(start, k), self._loud[voice] * strokes[k] * rng.uniform(0.85, 1.0) * self._voices[voice]
                )
        if on[2]:
            for k in map(int, np.flatnonzero(self._ticks)):
                self._mix(self._at(start, k), 0.25 * self._ticks[k] * self._tick)

    def _bass_line(self, kick: str) -> np.ndarray:
        lines = (
            kick,
            "..9...9...9...9.",
            "9.9.9.9.9.9.9.9.",
            "9..9..9.9..9..9.",
            ".999.999.999.999",
            "9...............",
        )
        return self._phrase(lines)

    def _phrase(self, lines: tuple[str, ...]) -> np.ndarray:
        """Strokes of a bar: one of these lines, or as often any at all, the same in every bar."""
        rng = self._rng
        if rng.random() < 0.5:
            return _strokes(str(rng.choice(lines)))
        return (rng.random(16) < rng.uniform(0.15, 0.5)) * rng.uniform(0.6, 1.0, 16)

    def _play(
        self, start: float, strokes: np.ndarray, hertz: float, loud: float, sixteenths: float, swell: float = 0.004
    ) -> None:
        """Decaying tones with a few harmonics on the strokes, that take `swell` seconds to set in."""
        step = 15.0 / self.tempo
        hits = [int(k) for k in np.flatnonzero(strokes)]
        if not hits:
            return
        hold = step * (16.0 if len(hits) == 1 else sixteenths)
        t = np.arange(int(hold * SAMPLE_RATE), dtype=np.float32) / SAMPLE_RATE
        tone = sum(np.sin(2.0 * np.pi * hertz * k * t) / k for k in range(1, 6))
        tone = tone * np.exp(-t / hold * 2.0) * np.minimum(1.0, t / swell) * np.minimum(1.0, (hold - t) / 0.01)
        for k in hits:
            self._mix(self._at(start, k), loud * strokes[k] * tone.astype(np.float32))

    def _at(self, start: float, sixteenth: int) -> float:
        late = self._swing if sixteenth % 2 else 0.0
        return start + (sixteenth + late) * 15.0 / self.tempo + self._rng.normal(0.0, 1.0) * self._loose

    def _mix(self, second: float, stroke: np.ndarray) -> None:
        first = max(round(second * SAMPLE_RATE), 0)
        room = self.sound[first : first + len(stroke)]
        room += stroke[: len(room)].astype(np.float32)


def _strokes(line: str) -> np.ndarray:
    return np.array([int(c) / 9.0 if c != "." else 0.0 for c in line])
