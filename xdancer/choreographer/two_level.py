"""The dance of the two-level model: a frame at a time by `network`'s weights in numpy."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from xdancer.choreographer import inputs, liveliness, plan
from xdancer.choreographer.build import Build
from xdancer.choreographer.footing import planted
from xdancer.choreographer.stream import DanceStream, drawn
from xdancer.music.frame import BeatState, MusicFrame
from xdancer.pose.layout import N_PARTS, TOKENS_PER_FRAME, TOKENS_PER_PART, check_tokens

if TYPE_CHECKING:
    from xdancer.choreographer import Choreographer


class TwoLevelStream(DanceStream):
    """Plans by the half beat, a state a frame, thirty tokens from the state."""

    def __init__(self, model: "Choreographer", seed: int, start: np.ndarray, lead: int) -> None:
        super().__init__(model.sampling, seed, lead)
        self._model = model
        self._runtime = model.runtime
        self._deaf = "beat" in model.config.get("without", ())  # to the beat: to compare with
        self._caches = model.runtime.caches()
        self._state: np.ndarray | None = None  # of the last frame
        self._plan: np.ndarray | None = None
        self._half, self._part = -1, 0.0  # of the beat: which the last frame was in, and how far it had come
        self._phase: float | None = None  # of the beat, in the last frame; None where there is no beat
        self._stand(start[0].reshape(TOKENS_PER_FRAME).astype(np.int16))
        self._start = self._before
        self._past = np.zeros((inputs.CONTEXT_SPAN, TOKENS_PER_FRAME), np.int16)  # ring: row r stands at r % span
        self._context = np.repeat(self._start[None], inputs.CONTEXT_FRAMES, axis=0)

    def recall(self, frames: Sequence[MusicFrame], rows: np.ndarray, first: int) -> None:
        flat = check_tokens(rows, "rows").reshape(-1, TOKENS_PER_FRAME)
        if first > 0:
            self._past[:] = flat[np.arange(len(self._past)) % len(flat)]  # what is older is not known: as good as any
            self._row = first
            self._stand(flat[0])
            self._remind(first)
        heard = {frame.index + self.lead: (self._listener.push(frame.features), frame.beat) for frame in frames}
        if frames and frames[0].index == 0:
            heard |= {row: (inputs.silence(), BeatState()) for row in range(self.lead)}
        for row in flat:
            known = heard.get(self._row)
            if known:
                self._think(*known, self.lead)
            self._take(row)
            if not known:
                self._reached = inputs.places(self._poses[-1])
        self._music = self._row - self.lead - 1

    def _stand(self, row: np.ndarray) -> None:
        """Stand in the pose of a token row (30,), with nothing before it."""
        self._last, self._before = row, self._runtime.codes.latents(row)[0]
        self._limbs = self._model.tokenizer.stream()
        pose = self._limbs.decode(row.reshape(1, N_PARTS, TOKENS_PER_PART))
        # The last few: as many as the tokenizer's encoder looks back.
        self._poses = np.repeat(pose, max(self._model.tokenizer.runtime.encoder_field - 1, 2), axis=0)
        self._reached = self._begun = inputs.places(pose[0])  # by the last frame; and where the plan began
        self._build = Build(pose[0])

    def _make(self, heard: np.ndarray, beat: BeatState, lead: int) -> np.ndarray:
        """The next token row (30,)."""
        state, aimed = self._think(heard, beat, lead)
        row = self._runtime.tokens(state, self._aim(aimed), self._last, self._picker())
        self._take(row)
        return row

    def _think(self, heard: np.ndarray, beat: BeatState, lead: int) -> tuple[np.ndarray, np.ndarray]:
        """The state (width,), and the pose (60, 3) that the next row is to come to."""
        state = self._state = self._runtime.frame(self._told(heard, beat, lead), self._row, self._caches)
        foretold = self._runtime.foretell(state, self._poses[-1], self._poses[-2])
        return state, self._led(foretold)

    def _take(self, row: np.ndarray) -> None:
        """The next row (30,) is danced."""
        self._before, self._last = self._runtime.codes.latents(row)[0], row
        pose = self._limbs.decode(row.reshape(1, N_PARTS, TOKENS_PER_PART))
        self._poses = np.concatenate([self._poses[1:], pose])
        self._build.push(pose[0])
        self._past[self._row % len(self._past)] = row
        self._row += 1

    def _led(self, foretold: np.ndarray) -> np.ndarray:
        """The foretold pose (60, 3) on its way to the plan's, slower on the beat, as tall as ever, the standing foot
        where it stands."""
        places = inputs.places(foretold)
        if self._plan is not None:
            target = self._runtime.plans.places(self._plan)[0]
            led = plan.led(places, self._begun, target, self._half, self._part, self._sampling["pull"])
            places = np.where(foretold[:, 2:] > 0, led, places).astype(np.float32)
        if self._phase is not None:
            seen = (foretold[:, 2:] > 0) & (self._poses[-1][:, 2:] > 0)
            places = np.where(seen, plan.hit(places, inputs.places(self._poses[-1]), self._phase), places)
        pose = planted(self._build.kept(inputs.posed(places, foretold[:, 2])), self._poses[-1])
        self._reached = inputs.places(pose)
        return pose

    def _aim(self, foretold: np.ndarray) -> np.ndarray:
        """The latents (5, D) that the tokenizer's encoder would give the next pose (60, 3)."""
        runtime = self._model.tokenizer.runtime
        poses = np.concatenate([self._poses, foretold[None]])[-runtime.encoder_field :]
        return runtime.latents(poses.astype(np.float32))[0] / self._runtime.spread

    def _told(self, heard: np.ndarray, beat: BeatState, lead: int) -> np.ndarray:
        """The frame's input vector."""
        if self._row % inputs.CONTEXT_EVERY == 0:
            self._remind(self._row)
        if self._deaf:
            beat = BeatState()
        phase, bar = beat.phases_after(lead)
        now = inputs.clock(np.array(phase), np.array(bar), np.array(beat.tempo), np.array(beat.confidence))
        half, part, _ = plan.half_beats(np.array(self._row), np.array(beat.tempo), np.array(phase))
        if half != self._half and self._state is not None:
            self._begun = self._reached
            drawn_plan = self._runtime.plan(self._state, now, self._plan_picker())
            energy = self.energy if self.energy is not None else liveliness.wanted(heard, self._runtime.liveliness)
            self._plan = self._runtime.plans.swung(drawn_plan, self._begun, energy)
        self._half, self._part = int(half), float(part)
        self._phase = float(phase) if beat.tempo > 0 else None
        wishes = inputs.controls(self.energy, self.style, self._model.styles)
        planned = plan.columns(self._plan, self._part)
        seen = inputs.body(self._poses[-1], self._poses[-2])
        dance = (self._before, self._context, self._start)
        ahead = inputs.ahead(lead)
        return np.concatenate([heard, now, ahead, wishes, planned, seen, *(part.ravel() for part in dance)])

    def _remind(self, row: int) -> None:
        """Choose the frames of its own past that the dance at `row` is reminded of."""
        chosen = inputs.context_rows(row) % len(self._past)
        if len(chosen):
            self._context = self._runtime.codes.latents(self._past[chosen])

    def _plan_picker(self) -> Callable[[int, np.ndarray], int]:
        """Draws the codes of a plan by temperature and top-p, the first of them with a leaning to those of the style;
        the seed and the row alone make the noise."""
        sampling = self._sampling
        noise = np.random.default_rng((self.seed, self._row, plan.CODES)).gumbel(size=(plan.STAGES, plan.CODES))
        heat = self.temperature * sampling["plan"]
        chosen = 0 if self.style is None else 1 + inputs.style_number(self.style, self._model.styles)
        leaning = plan.LEAN * self._runtime.leanings[chosen]

        def pick(stage: int, logits: np.ndarray) -> int:
            return drawn(logits + leaning if stage == 0 else logits, heat, sampling["top_p"], noise[stage])

        return pick
