"""Songs sequenced from one-shots: drum and bass patterns at any tempo, with builds, breakdowns and silences."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from xdancer.errors import UserError
from xdancer.music.decode import decode_audio
from xdancer.music.frame import SAMPLE_RATE

STEPS = 16  # sixteenths a bar
# A bar of sixteenths for kick, snare, hat and bass: x strong, o soft, . nothing.
VOICES = ("kick", "snare", "hat", "bass")
PATTERNS = {
    "house": ("x...x...x...x...", "....x.......x...", "..x...x...x...x.", "..x..x...x.x..x."),
    "techno": ("x...x...x...x...", "....o.......o..o", "o.x.o.x.o.x.o.xo", ".xx..xx..xx..xx."),
    "hiphop": ("x......x..x.....", "....x.......x...", "x.o.x.o.x.o.x.o.", "x......x..x..o.."),
    "funk": ("x..x......x..x..", "....x..o.o..x...", "x.x.x.x.x.x.x.xo", "x..x..x...x.o.x."),
    "breaks": ("x.........x.....", "....x..o.o..x..o", "x.x.x.x.x.x.x.x.", "x.....x...x....."),
    "disco": ("x...x...x...x...", "....x.......x...", "x.xxx.xxx.xxx.xx", "x.x.x.x.x.x.x.x."),
    "reggaeton": ("x...x...x...x...", "...x..x....x..x.", "x.x.x.x.x.x.x.x.", "x.....x.x.....x."),
    "rock": ("x.....x.x.......", "....x.......x...", "x.x.x.x.x.x.x.x.", "x.x.x.x.x.x.x.x."),
}  # fmt: skip
TEMPI = {
    "house": (116, 130), "techno": (124, 148), "hiphop": (78, 102), "funk": (96, 116),
    "breaks": (110, 140), "disco": (108, 126), "reggaeton": (84, 100), "rock": (96, 150),
}  # fmt: skip
KITS = {
    "kick": ("bd_*", "drum_heavy_kick", "drum_bass_*", "elec_*_kick"),
    "snare": ("sn_*", "drum_snare_*", "elec_*snare"),
    "hat": ("hat_*", "drum_cymbal_closed", "drum_cymbal_pedal"),
    "bass": ("bass_hit_c", "bass_hard_c", "bass_thick_c", "bass_voxy_hit_c", "bass_woodsy_c"),
    "crash": ("drum_splash_*", "drum_cymbal_hard", "drum_cymbal_soft"),
}
GAINS = {"kick": 1.0, "snare": 0.7, "hat": 0.35, "bass": 0.5, "crash": 0.4, "pad": 0.22}
# A section: which voices play, how loud they are as a whole, and how much there is to dance to.
SECTIONS = {
    "intro": (("kick", "hat"), 0.7, 0.45),
    "verse": (("kick", "snare", "hat", "bass"), 0.85, 0.65),
    "build": (("snare", "hat", "bass", "pad"), 0.8, 0.75),
    "drop": (("kick", "snare", "hat", "bass", "pad"), 1.0, 1.0),
    "breakdown": (("pad",), 0.45, 0.12),
    "silence": ((), 0.0, 0.0),
}
FORM = (
    "intro",
    "verse",
    "drop",
    "breakdown",
    "build",
    "drop",
    "verse",
    "silence",
    "intro",
    "drop",
    "breakdown",
    "drop",
)


@dataclass(frozen=True)
class Sequenced:
    """samples (N,) mono 48 kHz; beats_s and downbeats_s in seconds; energy 0..1 for each beat."""

    samples: np.ndarray
    beats_s: np.ndarray
    downbeats_s: np.ndarray
    energy: np.ndarray
    tempo: float


class Kit:
    """The one-shots by voice, read once. Raises UserError where the folder holds none for a voice."""

    def __init__(self, folder: Path) -> None:
        self.voices: dict[str, list[np.ndarray]] = {}
        for voice, patterns in KITS.items():
            files = sorted({f for pattern in patterns for f in folder.glob(f"{pattern}.flac")})
            if not files:
                raise UserError(f"{folder}: no one-shots for {voice}; set XDANCER_DATA to the folder of raw data")
            self.voices[voice] = [trimmed(decode_audio(f).mean(axis=1)) for f in files]


def trimmed(samples: np.ndarray) -> np.ndarray:
    """A one-shot from its attack on, at unit peak: the attack must fall on the grid."""
    peak = float(np.abs(samples).max()) or 1.0
    start = int(np.argmax(np.abs(samples) > 0.1 * peak))
    return (samples[max(start - 48, 0) :] / peak).astype(np.float32)


def sequence(kit: Kit, seed: int, seconds: float = 80.0) -> Sequenced:
    """A song of about `seconds` from `seed`: style, tempo, swing, kit, form."""
    rng = np.random.default_rng(seed)
    style = str(rng.choice(list(PATTERNS)))
    tempo = float(rng.uniform(*TEMPI[style]))
    swing = float(rng.choice([0.0, 0.0, rng.uniform(0.05, 0.3)]))
    sounds = {voice: takes[rng.integers(len(takes))] for voice, takes in kit.voices.items()}
    step = 60.0 / tempo / 4
    bars = max(8, int(seconds / (step * STEPS)))
    lead_in = float(rng.uniform(0.0, 0.4))
    samples = np.zeros(round((lead_in + (bars + 1) * STEPS * step) * SAMPLE_RATE), dtype=np.float32)
    energy = np.zeros(bars * 4)
    root = rng.choice([0, 0, -2, 3, -4, 5], size=4)
    start = int(rng.integers(3))
    plan = [name for name in FORM[start:] + FORM[:start] for _ in range(2 if SECTIONS[name][2] < 0.2 else 4)]
    for bar in range(bars):
        voices, loud, much = SECTIONS[plan[bar % len(plan)]]
        energy[bar * 4 : bar * 4 + 4] = much * rng.uniform(0.9, 1.0)
        fill = bar % 4 == 3 and rng.random() < 0.5
        for voice in voices:
            if voice == "pad":
                _add(samples, _pad(rng, root[bar % 4], STEPS * step), lead_in + bar * STEPS * step, GAINS["pad"] * loud)
                continue
            for k, mark in enumerate(PATTERNS[style][VOICES.index(voice)]):
                if fill and voice == "snare" and k >= 12:
                    mark = "x"
                if mark == ".":
                    continue
                late = swing * step if k % 2 else 0.0
                at = lead_in + (bar * STEPS + k) * step + late
                soft = 0.5 if mark == "o" else rng.uniform(0.85, 1.0)
                sound = sounds[voice] if voice != "bass" else _pitched(sounds["bass"], root[bar % 4])
                _add(
                    samples,
                    sound[: round(2 * step * SAMPLE_RATE)] if voice == "bass" else sound,
                    at,
                    GAINS[voice] * soft * loud,
                )
        if voices and plan[bar % len(plan)] != plan[(bar - 1) % len(plan)]:
            _add(samples, sounds["crash"], lead_in + bar * STEPS * step, GAINS["crash"] * loud)
    beats = lead_in + np.arange(bars * 4) * 4 * step
    samples /= max(float(np.abs(samples).max()), 1e-6) / 0.9
    return Sequenced(samples, beats, beats[::4], energy, tempo)


def _add(out: np.ndarray, sound: np.ndarray, at: float, gain: float) -> None:
    start = round(at * SAMPLE_RATE)
    sound = sound[: max(len(out) - start, 0)]
    out[start : start + len(sound)] += np.float32(gain) * sound


def _pitched(sound: np.ndarray, semitones: float) -> np.ndarray:
    """A one-shot moved by `semitones` through resampling."""
    ratio = 2.0 ** (semitones / 12)
    return np.interp(np.arange(0, len(sound) - 1, ratio), np.arange(len(sound)), sound).astype(np.float32)


def _pad(rng: np.random.Generator, root: float, seconds: float) -> np.ndarray:
    """A soft minor chord that swells, so that it carries harmony but no onset."""
    t = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    chord = sum(
        np.sin(2 * np.pi * 220 * 2 ** ((root + note) / 12) * t + rng.uniform(0, 6)) / (1 + i)
        for i, note in enumerate((0, 3, 7, 12))
    )
    return (chord * np.minimum(np.minimum(t / 0.5, (seconds - t) / 0.3), 1.0) / 2).astype(np.float32)
