"""The studio's work, without processes or clocks: sound in, frames of dance out."""

import time
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from itertools import zip_longest

import numpy as np

from engine.clock.follow import Follower
from engine.params import Moment, Params
from engine.studio.frame import StudioFrame, beat_at
from engine.studio.models import Models
from xdancer.music.frame import FPS, HOP, BeatState, MusicFrame
from xdancer.pose.layout import mirror


class Studio:
    """Hears stereo, dances and draws. The same sound and parameters give the same frames, however the sound is cut."""

    def __init__(self, models: Models, params: Params, lead: int = 0) -> None:
        self.models, self.params, self.lead = models, params, lead
        self._pending: deque[tuple[Params, Moment]] = deque()
        self._sound = np.zeros((0, 2), np.float32)
        self._analyzer = models.analyzer()
        self._first = 0  # the frame that the analyzer counts as 0
        self._follower = Follower()
        self._dance = models.choreographer.stream(seed=params.seed, lead=lead)
        self._set_handles()
        self._inner, self._limbs = models.tokenizer.stream(), models.tokenizer.stream()
        self._mirrored = models.tokenizer.stream()
        self._drawer = models.renderer.stream()
        self._last: StudioFrame | None = None
        self._phases = (0.0, 0.0)

    def set(self, params: Params, moment: Moment = "frame") -> None:
        """The parameters from the next frame, beat or bar on; at once where no beat is known."""
        self._pending.append((params, moment))

    def push(self, samples: np.ndarray, draw: bool = True, clock: Sequence[BeatState | None] = ()) -> list[StudioFrame]:
        """Take stereo float32 (n, 2), n >= 0; return the frames they complete. `draw`: with pictures. `clock`: the
        exact clock's beat at the end of each of these frames, where there is one."""
        frames: list[StudioFrame] = []
        for (music, seconds), exact in zip_longest(self._hear(samples), clock):
            frames += self._make(self._timed(music, exact), seconds, draw)
        return frames

    def resume(
        self,
        samples: np.ndarray,
        first: int,
        danced: np.ndarray,
        tokens: np.ndarray,
        count: int,
        clock: Sequence[BeatState | None] = (),
    ) -> None:
        """Continue a dance that another studio began; only before the first `push`.

        samples (n, 2): the sound from frame `first` on, as far as the dance has got; clock: as for `push`;
        danced, tokens (k, 5, 6), k > 0: the choreographer's last rows and the ones on show; count: the number of the
        beat that the last row was shown with. What is pushed next is the sound after these.
        """
        self._first = first
        heard = [self._timed(music, exact) for (music, _), exact in zip_longest(self._hear(samples), clock)]
        if heard:  # beats are counted on from there, though not all of their sound is left
            self._follower.count += count - beat_at(heard[-1].beat, self.lead).beat
        self._dance.recall(heard, danced, first + len(heard) + self.lead - len(danced))
        self._inner.decode(danced)
        pose = self._limbs.decode(tokens)[-1]
        beat = heard[-1].beat if heard else BeatState()
        self._last = StudioFrame(first + len(heard) + self.lead - 1, tokens[-1], danced[-1], pose, beat, -120.0, None)

    def _hear(self, samples: np.ndarray) -> list[tuple[MusicFrame, float]]:
        """The music frames that `samples` complete, numbered as the show numbers them, and the time each took."""
        sound = np.concatenate([self._sound, samples])
        whole = len(sound) // HOP
        self._sound = sound[whole * HOP :].copy()
        heard = []
        for k in range(whole):
            began = time.perf_counter()
            (music,) = self._analyzer.push(sound[k * HOP : (k + 1) * HOP].mean(axis=1))
            heard.append((_shifted(music, self._first), time.perf_counter() - began))
        return heard

    def _timed(self, music: MusicFrame, exact: BeatState | None) -> MusicFrame:
        """The frame with the beat that is to be danced to."""
        beat = self._follower.step((music.index + 1) / FPS, music.beat, exact, self.params)
        return replace(music, beat=beat)

    def _set_handles(self) -> None:
        self._dance.seed = self.params.seed
        self._dance.temperature = self.params.temperature
        self._dance.energy = self.params.energy
        self._dance.style = self.params.style

    def _make(self, music: MusicFrame, heard: float, draw: bool) -> list[StudioFrame]:
        self._apply(music.beat)
        began = time.perf_counter()
        block = self._dance.step([music])
        danced = time.perf_counter() - began
        frames = []
        for k, row in enumerate(block.tokens):
            began = time.perf_counter()
            frame = self._dress(block.first + k, row, music)
            if draw:
                frame = replace(frame, picture=self._draw(frame))
            drawn = time.perf_counter() - began
            frames.append(replace(frame, spent=(heard, danced, drawn)))
            self._last = frame
            heard = danced = 0.0
        return frames

    def _dress(self, index: int, row: np.ndarray, music: MusicFrame) -> StudioFrame:
        """The choreographer's row as it is on show, and its pose."""
        tokens = row
        pose = self._inner.decode(row[None])
        if self.params.hold and self._last is not None:
            tokens = self._last.tokens
        elif self.params.mirror:
            tokens = self._mirrored.encode(mirror(pose))[0]
        pose = self._limbs.decode(tokens[None])[0]
        beat = beat_at(music.beat, index - music.index)
        return StudioFrame(index, tokens, row, pose, beat, music.level, None)

    def _draw(self, frame: StudioFrame) -> np.ndarray:
        if self.params.blackout:
            return np.zeros((self.models.renderer.height, self.models.renderer.width, 3), np.uint8)
        return self._drawer.draw(frame.pose, frame.beat.beat_phase)

    def _apply(self, beat: BeatState) -> None:
        """Take over the parameters whose moment has come. They take hold in the order in which they were set."""
        phases = beat.phases_after(self.lead)
        new_beat, new_bar = (now < before for now, before in zip(phases, self._phases, strict=True))
        self._phases = phases
        while self._pending:
            params, moment = self._pending[0]
            come = {"frame": True, "beat": new_beat, "bar": new_bar}[moment]
            if not come and beat.tempo > 0:
                break
            self._pending.popleft()
            before, self.params = self.params, params
            if params.mirror and not before.mirror:
                self._mirrored = self.models.tokenizer.stream()
            self._set_handles()


def _shifted(music: MusicFrame, frames: int) -> MusicFrame:
    """The same, of an analyzer that began at frame `frames`."""
    if not frames:
        return music
    seconds = frames / FPS
    struck = None if music.beat.struck is None else music.beat.struck + seconds
    beat = replace(music.beat, struck=struck, ahead=tuple(time + seconds for time in music.beat.ahead))
    return replace(music, index=music.index + frames, beat=beat)
