"""Other arrangements of a MIDI song on the same grid, for networks to learn from more music than there is: in another
key and tempo, on other instruments, with voices louder, softer or left out."""

import mido
import numpy as np

from xdancer.data.songs.midi import DRUM_CHANNEL, STANDARD_TEMPO

CHANNELS = 16
KEY = 6  # semitones up or down at most
PACE = 0.8, 1.25  # of the tempo
LOUDNESS = 0.4, 1.0  # of a voice
FAMILY = 8  # programs of General MIDI that are one kind of instrument
MELODIC = 104  # programs before those that are drums and noises
KITS = (0, 8, 16, 24, 25, 32, 40, 48)  # of General MIDI's drums, as FluidR3 has them
CHOICES = ((35, 36), (38, 40, 37, 39), (42, 44, 70, 82), (46, 51, 53, 59, 69), (49, 52, 55, 57))  # strokes alike


class Arrangement:
    """What becomes of each channel, drawn once."""

    def __init__(self, rng: np.random.Generator, used: set[int]) -> None:
        self.key = int(rng.integers(-KEY, KEY + 1))
        self.slower = float(1 / np.exp(rng.uniform(*np.log(PACE))))
        self.loudness = rng.uniform(*LOUDNESS, CHANNELS)
        self.silent = self._silent(rng, used)
        self._kept = rng.random(CHANNELS) < 0.4  # channels that keep their instrument
        self._anything = rng.random(CHANNELS) < 0.25  # those that get one of any kind
        self._within = rng.integers(0, FAMILY, CHANNELS)
        self._any = rng.integers(0, MELODIC, CHANNELS)
        self._kit = int(rng.choice(KITS))
        self._strokes = {note: int(rng.choice(alike)) for alike in CHOICES for note in alike if rng.random() < 0.5}

    @staticmethod
    def _silent(rng: np.random.Generator, used: set[int]) -> set[int]:
        """Channels that are left out: at times the drums, or all but them, else some of the others; never all."""
        voices = sorted(used - {DRUM_CHANNEL})
        kind = rng.random()
        if DRUM_CHANNEL in used and voices and kind < 0.2:
            return {DRUM_CHANNEL} if kind < 0.12 else set(voices)
        out = {channel for channel in voices if rng.random() < 0.25}
        return out if used - out else set()

    def program(self, channel: int, written: int) -> int:
        """The instrument of a channel for which the file has `written` one."""
        if channel == DRUM_CHANNEL:
            return self._kit
        if self._kept[channel] or written >= MELODIC:
            return written
        if self._anything[channel]:
            return int(self._any[channel])
        return written // FAMILY * FAMILY + int(self._within[channel])

    def note(self, channel: int, written: int) -> int:
        if channel == DRUM_CHANNEL:
            return self._strokes.get(written, written)
        moved = written + self.key
        return moved if 0 <= moved <= 127 else written


def arranged(midi: mido.MidiFile, rng: np.random.Generator) -> mido.MidiFile:
    """The song in a random arrangement; the ticks of its grid stay."""
    played = [e for track in midi.tracks for e in track if e.type == "note_on" and e.velocity]
    plan = Arrangement(rng, {event.channel for event in played})
    out = mido.MidiFile(type=midi.type, ticks_per_beat=midi.ticks_per_beat)
    out.tracks = [mido.MidiTrack(_events(track, plan)) for track in midi.tracks]
    tempo = mido.MetaMessage("set_tempo", tempo=round(STANDARD_TEMPO * plan.slower))
    programs = [
        mido.Message("program_change", channel=channel, program=plan.program(channel, 0)) for channel in range(CHANNELS)
    ]
    out.tracks[0][:0] = [tempo, *programs]  # for what the file leaves to the player; where it does not, it comes after
    return out


def _events(track: mido.MidiTrack, plan: Arrangement) -> list[mido.Message | mido.MetaMessage]:
    """A track's events as planned; the time of those left out is kept."""
    out, waited = [], 0
    for event in track:
        waited += event.time
        if event.type in ("note_on", "note_off"):
            if event.channel in plan.silent:
                continue
            soft = event.velocity * plan.loudness[event.channel]
            velocity = max(round(soft), 1) if event.velocity else 0
            event = event.copy(note=plan.note(event.channel, event.note), velocity=velocity)
        elif event.type == "program_change":
            event = event.copy(program=plan.program(event.channel, event.program))
        elif event.type == "set_tempo":
            event = event.copy(tempo=min(round(event.tempo * plan.slower), 0xFFFFFF))
        out.append(event.copy(time=waited))
        waited = 0
    return out
