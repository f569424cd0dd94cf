"""MIDI songs: their grid read from the file, their sound made by fluidsynth."""

import functools
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import mido
import numpy as np
import soundfile

from xdancer.data.motion import splits
from xdancer.data.songs.song import Song
from xdancer.errors import UserError
from xdancer.music.frame import SAMPLE_RATE

DRUM_CHANNEL = 9
STANDARD_TEMPO = 500_000  # us a quarter where a file tells none
TOLERANCE = 0.020  # seconds from the grid at which an onset still counts as on it
SOUND_FONTS = (
    "/usr/share/sounds/sf2/FluidR3_GM.sf2",
    "/usr/share/soundfonts/FluidR3_GM.sf2",
    "/usr/share/sounds/sf2/default-GM.sf2",
    "/usr/local/share/fluidsynth/FluidR3_GM.sf2",
)


def list_songs(data_dir: Path, val_share: float = 0.2) -> list[Song]:
    """Every readable MIDI song under `data_dir`/music with its grid and split. Raises UserError where there is none."""
    files = sorted(Path(data_dir).glob("music/midi_*/**/*.mid"))
    if not files:
        raise UserError(f"no MIDI songs under {Path(data_dir) / 'music'}; set XDANCER_DATA to the folder of raw data")
    names = {path: f"{path.parent.name.removeprefix('midi_')}-{path.stem}".replace(" ", "_") for path in files}
    split = splits([f"song/{name}" for name in names.values()], val_share)
    songs = []
    for path, name in names.items():
        try:
            songs.append(read(path, name, split[f"song/{name}"]))
        except (OSError, ValueError, EOFError, IndexError, KeyError):
            continue  # a file that mido cannot read is no song; the manifest counts those that are
    return songs


def read(path: Path, name: str, split: str) -> Song:
    """The grid of one MIDI file. Raises ValueError where it holds too few notes to be a song."""
    midi = mido.MidiFile(str(path), clip=True)
    tempi, signatures, notes, drums = _events(midi)
    if len(notes) < 32:
        raise ValueError(f"{path}: only {len(notes)} notes")
    seconds = _clock(tempi, midi.ticks_per_beat)
    onsets = np.sort(np.array(notes, dtype=np.float64))
    quarter = midi.ticks_per_beat
    grid = np.arange(0, onsets[-1] + 1, quarter)
    bar = quarter * (4 * signatures[0][1] / signatures[0][2] if signatures else 4)
    first = signatures[0][0] if signatures else 0
    return Song(
        name=name,
        source=path.parent.name if path.parent.name.startswith("midi_") else path.parent.parent.name,
        split=split,
        path=path,
        quarters_s=seconds(grid),
        downbeats_s=seconds(np.arange(first % bar, onsets[-1] + 1, bar)),
        on_grid=_on_grid(onsets, quarter, seconds),
        four_four=all(n == d == 4 for _, n, d in signatures),
        steady=len({tempo for tick, tempo in tempi if tick < onsets[-1]}) <= 1,
        drums=drums >= 16,
    )


Clock = Callable[[np.ndarray], np.ndarray]
Events = tuple[list[tuple[int, int]], list[tuple[int, int, int]], list[int], int]


def _events(midi: mido.MidiFile) -> Events:
    """Tempi (tick, us a quarter), time signatures (tick, n, d), note ticks, and the number of drum notes."""
    tempi, signatures, notes, drums = [], [], [], 0
    for track in midi.tracks:
        tick = 0
        for event in track:
            tick += event.time
            if event.type == "set_tempo":
                tempi.append((tick, event.tempo))
            elif event.type == "time_signature":
                signatures.append((tick, event.numerator, event.denominator))
            elif event.type == "note_on" and event.velocity > 0:
                notes.append(tick)
                drums += event.channel == DRUM_CHANNEL
    tempi.sort()
    if not tempi or tempi[0][0] > 0:
        tempi.insert(0, (0, STANDARD_TEMPO))
    return tempi, sorted(set(signatures)), notes, drums


def _clock(tempi: list[tuple[int, int]], ticks_per_beat: int) -> Clock:
    """The function from ticks (N,) to seconds (N,)."""
    ticks = np.array([tick for tick, _ in tempi], dtype=np.float64)
    a_tick = np.array([tempo for _, tempo in tempi], dtype=np.float64) / ticks_per_beat / 1e6
    starts = np.concatenate([[0.0], np.cumsum(np.diff(ticks) * a_tick[:-1])])

    def seconds(at: np.ndarray) -> np.ndarray:
        index = np.searchsorted(ticks, at, side="right") - 1
        return starts[index] + (at - ticks[index]) * a_tick[index]

    return seconds


def _on_grid(onsets: np.ndarray, quarter: int, seconds: Clock) -> float:
    """Share of onsets (ticks) within 20 ms of a sixteenth or a triplet."""
    nearest = [np.round(onsets / unit) * unit for unit in (quarter / 4, quarter / 3)]
    here = seconds(onsets)
    off = np.min([np.abs(seconds(np.maximum(tick, 0)) - here) for tick in nearest], axis=0)
    return float((off <= TOLERANCE).mean())


def render(song: Song, seconds: float | None = None) -> np.ndarray:
    """A song's sound, or its first `seconds`: float32 (N,) mono at 48 kHz, the synthesiser's delay taken off."""
    late = round(synthesiser_delay() * SAMPLE_RATE)
    if seconds is None or song.quarters_s[-1] <= seconds:
        return _synthesise(song.path)[late:]
    midi = mido.MidiFile(str(song.path), clip=True)
    last = int(np.searchsorted(song.quarters_s, seconds) + 1) * midi.ticks_per_beat
    for number, track in enumerate(midi.tracks):
        midi.tracks[number] = _until(track, last)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "beginning.mid"
        midi.save(str(path))
        samples = _synthesise(path)
    return samples[late:][: round(seconds * SAMPLE_RATE)]


def _until(track: mido.MidiTrack, last: int) -> mido.MidiTrack:
    """The events of a track up to tick `last`, all notes ended there: fluidsynth plays on while one sounds."""
    out, tick, used = mido.MidiTrack(), 0, set()
    for event in track:
        tick += event.time
        if tick > last:
            break
        if event.type == "note_on":
            used.add((event.channel, event.note))
        if event.type != "end_of_track":
            out.append(event)
    for channel in sorted({channel for channel, _ in used}):
        out.append(mido.Message("control_change", channel=channel, control=64, value=0))
    for channel, note in sorted(used):
        out.append(mido.Message("note_off", channel=channel, note=note))
    return out


@functools.cache
def synthesiser_delay() -> float:
    """Seconds from a note to its sound, measured once on single strokes of the claves."""
    strokes = 4
    midi = mido.MidiFile(ticks_per_beat=480)
    track = mido.MidiTrack()
    midi.tracks.append(track)
    for _ in range(strokes):  # a beat is half a second at the default 120 BPM
        track.append(mido.Message("note_on", channel=DRUM_CHANNEL, note=75, velocity=120, time=470))
        track.append(mido.Message("note_off", channel=DRUM_CHANNEL, note=75, time=10))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "strokes.mid"
        midi.save(str(path))
        samples = np.abs(_synthesise(path))
    found = []
    for beat in range(strokes):
        at = (470 + 480 * beat) / 960
        window = samples[round((at - 0.01) * SAMPLE_RATE) : round((at + 0.15) * SAMPLE_RATE)]
        found.append(int(np.argmax(window > 0.2 * window.max())) / SAMPLE_RATE - 0.01)
    return float(np.median(found))


def _synthesise(path: Path) -> np.ndarray:
    if not shutil.which("fluidsynth"):
        raise UserError("fluidsynth is not installed; get it with `apt-get install fluidsynth fluid-soundfont-gm`")
    font = next((name for name in SOUND_FONTS if Path(name).exists()), None)
    if font is None:
        raise UserError("no General MIDI sound font found; get one with `apt-get install fluid-soundfont-gm`")
    with tempfile.TemporaryDirectory() as folder:
        wav = Path(folder) / "song.wav"
        command = ["fluidsynth", "-ni", "-q", "-r", str(SAMPLE_RATE), "-g", "0.5", "-F", str(wav), "-T", "wav"]
        done = subprocess.run([*command, font, str(path)], capture_output=True, text=True, check=False)
        if done.returncode or not wav.exists():
            raise UserError(f"{path}: fluidsynth could not play it ({done.stderr.strip().splitlines()[-1:]})")
        samples, _ = soundfile.read(wav, dtype="float32", always_2d=True)
    return samples.mean(axis=1)
