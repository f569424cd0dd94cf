"""The demo track: two minutes of house music made from nothing but arithmetic, its beats known to the sample."""

from dataclasses import dataclass

import numpy as np

from xdancer.music.frame import SAMPLE_RATE

TEMPO = 122.0
BEAT = 60.0 / TEMPO
BARS = 64  # 125.9 s; the last bar leads into the first, so the track loops
SIXTEENTH = BEAT / 4
# Roots (semitones from A1, 55 Hz) and chords (semitones from A3, 220 Hz) of a four-bar turn: Am7 F maj7 C Em7.
ROOTS = (0, -4, 3, -5)
CHORDS = ((0, 3, 7, 10), (-4, 0, 3, 7), (3, 7, 10, 14), (-5, -2, 2, 5))
BASS_LINE = "..x..x...xx..x.x"
STABS = "x..x..x...x..x.."
# Bars, and the voices that play in them.
FORM = (
    (8, "kick hat"),
    (8, "kick hat clap bass"),
    (8, "kick hat clap bass pad stab"),
    (4, "pad riser hat"),
    (12, "kick hat open clap bass pad stab lead"),
    (6, "pad"),
    (2, "pad riser"),
    (12, "kick hat open clap bass pad stab lead"),
    (4, "kick hat clap bass"),
)


@dataclass(frozen=True)
class DemoTrack:
    """samples: float32 (N, 2) at 48 kHz. beats_s and downbeats_s: seconds from the first sample. tempo: BPM."""

    samples: np.ndarray
    beats_s: np.ndarray
    downbeats_s: np.ndarray
    tempo: float


def demo_track(seconds: float | None = None) -> DemoTrack:
    """The track, the same every time; cut or looped to `seconds` where given."""
    samples = _whole()
    length = len(samples) if seconds is None else round(seconds * SAMPLE_RATE)
    if length > len(samples):
        samples = np.tile(samples, (-(-length // len(samples)), 1))
    beats = np.arange(int(np.ceil(length / SAMPLE_RATE / BEAT))) * BEAT
    return DemoTrack(samples[:length], beats, beats[::4], TEMPO)


def click_track(seconds: float, tempo: float = TEMPO) -> DemoTrack:
    """Clicks of 5 ms on every beat and silence between: to measure sync with."""
    beat = 60.0 / tempo
    beats = np.arange(int(np.ceil(seconds / beat))) * beat
    samples = np.zeros(round(seconds * SAMPLE_RATE), np.float32)
    t = np.arange(round(0.005 * SAMPLE_RATE)) / SAMPLE_RATE
    click = (0.9 * np.cos(2 * np.pi * 2000 * t) * (1 - t / 0.005)).astype(np.float32)
    for at in beats:
        _add(samples, click, float(at), 1.0)
    return DemoTrack(np.stack([samples, samples], axis=1), beats, beats[::4], tempo)


def _whole() -> np.ndarray:
    rng = np.random.default_rng(122)
    length = round(BARS * 4 * BEAT * SAMPLE_RATE)
    drums, music = np.zeros((length, 2), np.float32), np.zeros((length, 2), np.float32)
    kick, clap = _kick(), _clap(rng)
    closed, opened = _hat(rng, 0.035), _hat(rng, 0.16)
    bass = [_bass(55.0 * 2 ** (root / 12)) for root in ROOTS]
    pads = [_pad([220.0 * 2 ** (note / 12) for note in chord]) for chord in CHORDS]
    stabs = [_stab([440.0 * 2 ** (note / 12) for note in chord]) for chord in CHORDS]
    bar = 0
    for bars, voices in FORM:
        playing = voices.split()
        for k in range(bars):
            at, turn = bar * 4 * BEAT, bar % 4
            for beat in range(4):
                if "kick" in playing:
                    _add(drums, kick, at + beat * BEAT, 0.9)
                if "clap" in playing and beat % 2:
                    _add(drums, clap, at + beat * BEAT, 0.5)
                if "hat" in playing:
                    _add(drums, closed, at + (beat + 0.5) * BEAT, 0.3)
                if "open" in playing:
                    _add(drums, opened, at + (beat + 0.5) * BEAT, 0.22)
            for step in range(16):
                when = at + step * SIXTEENTH
                if "open" in playing and step % 2 == 0:
                    _add(drums, closed, when, 0.1 + 0.05 * (step % 4 == 0))
                if "bass" in playing and BASS_LINE[step] == "x":
                    _add(music, bass[turn], when, 0.42)
                if "stab" in playing and STABS[step] == "x":
                    _add(music, stabs[turn], when, 0.16)
                if "lead" in playing and step % 3 == 0:
                    note = CHORDS[turn][(step // 3 + bar) % 4]
                    _add(music, _pluck(880.0 * 2 ** (note / 12)), when, 0.11)
            if "pad" in playing:
                _add(music, pads[turn], at, 0.3)
            if "riser" in playing and k == bars - 2:
                _add(music, _riser(rng, 8 * BEAT), at, 0.3)
            bar += 1
    return _mastered(drums, music)


def _mastered(drums: np.ndarray, music: np.ndarray) -> np.ndarray:
    """Drums and music together, the music ducking under each beat."""
    t = np.arange(len(music)) / SAMPLE_RATE
    duck = (0.45 + 0.55 * np.minimum((t % BEAT) / (0.55 * BEAT), 1.0)).astype(np.float32)
    mixed = drums + music * duck[:, None]
    return np.tanh(1.1 * mixed).astype(np.float32) * np.float32(0.85)


def _add(out: np.ndarray, sound: np.ndarray, at: float, gain: float) -> None:
    """Mix a mono (N,) or stereo (N, 2) sound in at a time in seconds; what is past the end goes on at the start."""
    start = round(at * SAMPLE_RATE)
    if out.ndim == 2 and sound.ndim == 1:
        sound = sound[:, None]
    here = min(len(sound), len(out) - start)
    out[start : start + here] += np.float32(gain) * sound[:here]
    out[: len(sound) - here] += np.float32(gain) * sound[here:]


def _time(seconds: float) -> np.ndarray:
    return np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE


def _kick() -> np.ndarray:
    t = _time(0.32)
    phase = 2 * np.pi * (48 * t + 140 / 34 * (1 - np.exp(-34 * t)))
    return (np.sin(phase) * np.exp(-9 * t) + 0.35 * np.exp(-900 * t)).astype(np.float32)


def _clap(rng: np.random.Generator) -> np.ndarray:
    t = _time(0.22)
    noise = np.diff(rng.standard_normal(len(t) + 1))
    bursts = sum(np.exp(-260 * np.maximum(t - d, 0)) * (t >= d) for d in (0.0, 0.009, 0.018)) + 0.8 * np.exp(-26 * t)
    return (0.35 * noise * bursts).astype(np.float32)


def _hat(rng: np.random.Generator, decay: float) -> np.ndarray:
    t = _time(6 * decay)
    noise = np.diff(rng.standard_normal((len(t) + 2, 2)), n=2, axis=0)
    return (0.4 * noise * np.exp(-t / decay)[:, None]).astype(np.float32)


def _saw(hertz: float, t: np.ndarray, harmonics: int) -> np.ndarray:
    """A band-limited sawtooth."""
    overtones = [k for k in range(1, harmonics + 1) if hertz * k < 16_000]
    return 0.6 * np.sum([np.sin(2 * np.pi * hertz * k * t) / k for k in overtones], axis=0)


def _bass(hertz: float) -> np.ndarray:
    t = _time(1.6 * SIXTEENTH)
    envelope = np.minimum(t / 0.004, 1) * np.minimum((t[-1] - t) / 0.02, 1) * np.exp(-3 * t)
    return ((np.sin(2 * np.pi * hertz * t) + 0.45 * _saw(hertz, t, 6)) * envelope).astype(np.float32)


def _pad(chord: list[float]) -> np.ndarray:
    t = _time(4 * BEAT)
    envelope = np.minimum(np.minimum(t / 0.25, (t[-1] - t) / 0.25), 1.0)
    sides = [sum(_saw(note * detune, t, 5) for note in chord) for detune in (0.9975, 1.0025)]
    return (np.stack(sides, axis=1) * envelope[:, None] / len(chord)).astype(np.float32)


def _stab(chord: list[float]) -> np.ndarray:
    t = _time(0.18)
    return (sum(_saw(note, t, 8) for note in chord) / len(chord) * np.exp(-18 * t)).astype(np.float32)


def _pluck(hertz: float) -> np.ndarray:
    t = _time(0.3)
    tone = np.sin(2 * np.pi * hertz * t) + 0.3 * np.sin(4 * np.pi * hertz * t)
    return (tone * np.minimum(t / 0.002, 1) * np.exp(-11 * t)).astype(np.float32)


def _riser(rng: np.random.Generator, seconds: float) -> np.ndarray:
    t = _time(seconds)
    sweep = np.sin(2 * np.pi * (200 * t + 900 / seconds * t * t))
    return ((0.25 * np.diff(rng.standard_normal(len(t) + 1)) + 0.3 * sweep) * (t / seconds) ** 2).astype(np.float32)
