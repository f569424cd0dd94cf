"""What a performer does to a beat: pure functions of `BeatState`."""

import math
from dataclasses import replace

from xdancer.music.frame import BeatState

SLACK = 0.04  # part by which a tempo may leave its range before it is taken an octave higher or lower


def fold(tempo: float, lowest: float | None, before: float = 1.0) -> float:
    """The power of two that brings `tempo` to `lowest` up to twice that. `before`: the one so far, which is kept for
    a tempo at the edge of the range."""
    if lowest is None or tempo <= 0.0:
        return 1.0
    if lowest * (1.0 - SLACK) <= tempo * before <= 2.0 * lowest * (1.0 + SLACK):
        return before
    return float(2.0 ** -math.floor(math.log2(tempo / lowest)))


def scaled(beat: BeatState, factor: float) -> BeatState:
    """The same music counted `factor` (a power of two) times as fast; a bar keeps its number of beats."""
    if factor == 1.0 or beat.tempo <= 0.0:
        return beat
    return at(replace(beat, tempo=factor * beat.tempo), factor * position(beat))


def nudged(beat: BeatState, ms: float, beats: float) -> BeatState:
    """All beats that much later, by time and by parts of a beat; earlier where negative."""
    late = ms / 60_000.0 * beat.tempo + beats
    return at(beat, position(beat) - late) if late and beat.tempo > 0.0 else beat


def position(beat: BeatState) -> float:
    """Beats since some downbeat."""
    bars = math.floor((beat.beat - beat.beat_in_bar) / beat.beats_per_bar + 0.5)
    return bars * beat.beats_per_bar + beat.beat_in_bar + beat.beat_phase


def at(beat: BeatState, position: float) -> BeatState:
    """`beat`, but that many beats since a downbeat."""
    count = math.floor(position)
    in_bar, phase = count % beat.beats_per_bar, min(position - count, 1.0 - 1e-9)
    bar_phase = (in_bar + phase) / beat.beats_per_bar
    return replace(beat, beat=count, beat_in_bar=in_bar, beat_phase=phase, bar_phase=bar_phase)
