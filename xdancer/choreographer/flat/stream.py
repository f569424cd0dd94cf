"""The dance of the flat model: segments of 64 frames that overlap by 12."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from xdancer.choreographer import inputs
from xdancer.choreographer.flat import layout
from xdancer.choreographer.flat.decoder import Decoder, Segment
from xdancer.choreographer.stream import DanceStream
from xdancer.music.frame import BeatState, MusicFrame
from xdancer.pose.layout import TOKENS_PER_FRAME, check_tokens

if TYPE_CHECKING:
    from xdancer.choreographer import Choreographer

_KEPT = layout.MUSIC * layout.MUSIC_EVERY + layout.FRAMES  # frames that a segment may look back at


class FlatStream(DanceStream):
    """What was danced and heard in the last 19 s, and the segment that is being danced."""

    def __init__(self, model: "Choreographer", seed: int, start: np.ndarray, lead: int) -> None:
        super().__init__(model.sampling, seed, lead)
        self._decoder: Decoder = model.runtime
        self._styles = model.styles
        self._begun = start[0].reshape(TOKENS_PER_FRAME).astype(np.int16)
        self._rows: dict[int, np.ndarray] = {}  # frame -> (30,)
        self._told: dict[int, np.ndarray] = {}  # frame -> (inputs,)
        self._segment: Segment | None = None
        self._first = -1  # frame of the segment

    def recall(self, frames: Sequence[MusicFrame], rows: np.ndarray, first: int) -> None:
        flat = check_tokens(rows, "rows").reshape(-1, TOKENS_PER_FRAME)
        if first > 0:
            self._begun = flat[0]
        if frames and frames[0].index == 0:
            for row in range(self.lead):
                self._told[row] = self._tell(inputs.silence(), BeatState(), self.lead)
        for frame in frames:
            heard = self._listener.push(frame.features)
            self._told[frame.index + self.lead] = self._tell(heard, frame.beat, self.lead)
        self._rows |= dict(enumerate(flat, first))
        self._row = first + len(flat)
        self._music = self._row - self.lead - 1
        self._forget()

    def _make(self, heard: np.ndarray, beat: BeatState, lead: int) -> np.ndarray:
        first = layout.segment(self._row)
        if self._segment is None or first != self._first:
            self._segment, self._first = self._begin(first), first
        told = self._told[self._row] = self._tell(heard, beat, lead)
        row = self._rows[self._row] = self._decoder.frame(self._segment, told, self._picker())
        self._row += 1
        self._forget()
        return row

    def _tell(self, heard: np.ndarray, beat: BeatState, lead: int) -> np.ndarray:
        """What a frame is told (inputs,), `lead` frames after the music it was made from."""
        phase, bar = beat.phases_after(lead)
        now = inputs.clock(np.array(phase), np.array(bar), np.array(beat.tempo), np.array(beat.confidence))
        wishes = inputs.controls(self.energy, self.style, self._styles)
        return np.concatenate([heard, now, inputs.ahead(lead), wishes])

    def _begin(self, first: int) -> Segment:
        """The segment that begins at frame `first`, up to the frame that comes next."""
        known = range(first, self._row)
        return self._decoder.begin(
            np.stack([self._heard(row) for row in layout.music_rows(first)]),
            np.stack([self._rows.get(row, self._begun) for row in layout.context_rows(first).tolist()]),
            np.stack([self._heard(row) for row in known]) if known else np.zeros((0, self._decoder.shape.inputs)),
            np.stack([self._rows.get(row, self._begun) for row in known]).reshape(-1, TOKENS_PER_FRAME)
            if known else np.zeros((0, TOKENS_PER_FRAME), np.int16),
            again=self._segment,
        )  # fmt: skip

    def _heard(self, row: int) -> np.ndarray:
        """What frame `row` was told; before the first, and where it is not known, silence."""
        told = self._told.get(row)
        return self._tell(inputs.silence(), BeatState(), self.lead) if told is None else told

    def _forget(self) -> None:
        for kept in (self._rows, self._told):
            for row in [row for row in kept if row < self._row - _KEPT]:
                del kept[row]
