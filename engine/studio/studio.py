"""The studio's work, without processes or clocks: sound in, frames of dance out."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import zip_longest
from typing import Any

import numpy as np

from engine.clock.follow import Follower
from engine.params import MOMENTS, Moment, Params, Wishes
from engine.studio.frame import StudioFrame, beat_at
from engine.studio.models import Models
from xdancer.music.frame import FPS, HOP, BeatState, MusicFrame
from xdancer.pose.layout import mirror

FLASH = 2  # frames that a flash on the beat lasts


class Studio:
    """Hears stereo, dances and draws. The same sound and parameters give the same frames, however the sound is cut."""

    def __init__(self, models: Models, params: Params, lead: int = 0) -> None:
        self.models, self.params = models, params
        self._wishes = Wishes()
        self._sound = np.zeros((0, 2), np.float32)
        self._analyzer = models.analyzer()
        self._first = 0  # the frame that the analyzer counts as 0
        self._follower = Follower()
        self._dance = models.choreographer.stream(seed=params.seed, start=models.start, lead=lead)
        self._set_handles()
        self._inner, self._limbs = models.tokenizer.stream(), models.tokenizer.stream()
        self._mirrored = models.tokenizer.stream()
        self._drawer = models.renderer.stream()
        self._last: StudioFrame | None = None
        self._phases = (0.0, 0.0)

    @property
    def lead(self) -> int:
        """Frames that the dance is ahead of the music, 0..60."""
        return self._dance.lead

    @lead.setter
    def lead(self, frames: int) -> None:
        self._dance.lead = frames

    def set(self, changes: Mapping[str, Any], moment: Moment = "frame") -> None:
        """Change some parameters from the next frame, beat or bar on; at once where no beat is known."""
        self._wishes.put(changes, moment)

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
        beat: int,
        leapt: int = 0,
        clock: Sequence[BeatState | None] = (),
    ) -> None:
        """Continue a dance that another studio began; only before the first `push`.

        samples (n, 2): the sound from frame `first` on, as far as the dance has got, and `leapt` frames of it that
        nobody dances to any more; clock: as for `push`; danced, tokens (k, 5, 6), k > 0: the choreographer's last rows
        and the ones on show; beat: the number of the beat that the last row was shown with. What is pushed next is the
        sound after these.
        """
        self._first = first
        heard = [self._timed(music, exact) for (music, _), exact in zip_longest(self._hear(samples), clock)]
        if heard:  # beats are counted on from there, though not all of their sound is left
            shown = heard[max(len(heard) - 1 - leapt, 0)]
            self._follower.count += beat - beat_at(shown.beat, self.lead).beat
        self._dance.recall(heard, danced, first + len(heard) + self.lead - len(danced))
        self._inner.decode(danced)
        pose = self._limbs.decode(tokens)[-1]
        clock_now = heard[-1].beat if heard else BeatState()
        self._last = StudioFrame(
            first + len(heard) + self.lead - 1, tokens[-1], danced[-1], pose, clock_now, -120.0, None
        )

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
        lead = index - music.index
        return StudioFrame(index, tokens, row, pose, beat, music.level, None, params=self.params, lead=lead)

    def _draw(self, frame: StudioFrame) -> np.ndarray:
        if self.params.blackout:
            return self._plain(0)
        beat = frame.beat
        if self.params.flash and beat.tempo > 0 and beat.beat_phase * 60 * FPS < (FLASH - 0.5) * beat.tempo:
            return self._plain(255)
        return self._drawer.draw(frame.pose, frame.beat.beat_phase)

    def _plain(self, grey: int) -> np.ndarray:
        return np.full((self.models.renderer.height, self.models.renderer.width, 3), grey, np.uint8)

    def _apply(self, beat: BeatState) -> None:
        """Take over the parameters whose moment has come."""
        phases = beat.phases_after(self.lead)
        new_beat, new_bar = (now < before for now, before in zip(phases, self._phases, strict=True))
        self._phases = phases
        if not self._wishes:
            return
        come = {"frame": True, "beat": new_beat or beat.tempo <= 0, "bar": new_bar or beat.tempo <= 0}
        changes = self._wishes.take([moment for moment in MOMENTS if come[moment]])
        before, self.params = self.params, self.params.model_copy(update=changes)
        if self.params.mirror and not before.mirror:
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
