"""What the studio makes of one frame of sound."""

from dataclasses import dataclass, replace

import numpy as np

from engine.params import Params
from xdancer.music.frame import FPS, BeatState


@dataclass(frozen=True, slots=True)
class StudioFrame:
    """Frame `index` of the dance. `tokens` int16 (5, 6) is what is on show, mirrored or held where that is asked for;
    `danced` int16 (5, 6) is the choreographer's own row. `pose` float32 (60, 3), `picture` uint8 (H, W, 3) RGB or
    None where there was no time to draw. `level` in dBFS. `spent`: seconds for music, dance and picture. `params` are
    those that it was made with, `lead` the frames by which it is ahead of the music it was made from."""

    index: int
    tokens: np.ndarray
    danced: np.ndarray
    pose: np.ndarray
    beat: BeatState
    level: float
    picture: np.ndarray | None
    spent: tuple[float, float, float] = (0.0, 0.0, 0.0)
    params: Params = Params()
    lead: int = 0


def beat_at(beat: BeatState, frames: int) -> BeatState:
    """The beat clock `frames` after `beat`, at its tempo (before, where negative)."""
    if not frames:
        return beat
    if beat.tempo <= 0:
        return replace(beat, struck=None)
    passed = int(np.floor(beat.beat_phase + frames / FPS * beat.tempo / 60.0))
    beat_phase, bar_phase = beat.phases_after(frames)
    return replace(
        beat,
        beat_phase=beat_phase,
        bar_phase=bar_phase,
        beat=max(beat.beat + passed, -1),
        beat_in_bar=(beat.beat_in_bar + passed) % beat.beats_per_bar,
        struck=None,
    )
