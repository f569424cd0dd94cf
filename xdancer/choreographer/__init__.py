"""`Choreographer`: music and past dance in, token rows out, one frame at a time."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy.special import ndtr

from xdancer import weights
from xdancer.choreographer import inputs, plan
from xdancer.choreographer.block import TokenBlock
from xdancer.choreographer.runtime import Runtime
from xdancer.errors import UserError
from xdancer.music.frame import BeatState, MusicFrame
from xdancer.pose.layout import CODEBOOK_SIZE, N_PARTS, TOKENS_PER_FRAME, TOKENS_PER_PART, check_tokens
from xdancer.tokenizer import PoseTokenizer

__all__ = ["Choreographer", "DanceStream", "TokenBlock"]


class Choreographer:
    """A two-level autoregressive model of 30 pose tokens a frame: X-Dancer (arXiv 2502.17414, section 3.3) made causal.

    It speaks the tokens of one vocabulary (`PoseTokenizer.vocabulary`). `styles` are the names that a stream's
    `style` takes; `start` is a pose to begin from, int16 (1, 5, 6).
    """

    def __init__(
        self, arrays: dict[str, np.ndarray], config: dict[str, Any], tokenizer: PoseTokenizer, sha256: str = ""
    ) -> None:
        self.config = config
        self.name: str = config["name"]
        self.sha256 = sha256
        self.tokenizer = tokenizer
        self.vocabulary: str = config["vocabulary"]
        self.styles: tuple[str, ...] = tuple(config["styles"])
        self.start = check_tokens(np.array(config["start"]).reshape(1, N_PARTS, TOKENS_PER_PART))
        self.sampling: dict[str, Any] = config["sampling"]
        self.runtime = Runtime(arrays, config)

    @classmethod
    def from_pretrained(cls, name: str = "live", tokenizer: PoseTokenizer | None = None) -> "Choreographer":
        """Load a shipped name ("live": the current version), a local folder or a hub id.

        `tokenizer`: whose tokens it is to speak; the shipped one where none is given. Raises UserError where it is
        missing, damaged, or made for another tokenizer.
        """
        folder = weights.find("choreographer", str(name))
        arrays, config = weights.load_arrays(folder)
        try:
            made = cls(arrays, config, tokenizer or PoseTokenizer.from_pretrained(), weights.sha256(folder))
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise UserError(f"{folder}: not a choreographer ({type(error).__name__}: {error})") from error
        made.check(made.tokenizer)
        return made

    def check(self, tokenizer: PoseTokenizer) -> None:
        """Raises UserError where the tokens of that tokenizer are not those this model was trained on."""
        if tokenizer.vocabulary != self.vocabulary:
            raise UserError(
                f"choreographer {self.name!r} was trained on the tokens {self.vocabulary[:12]}, not on those of "
                f"{tokenizer.name!r} ({tokenizer.vocabulary[:12]}); load its own tokenizer, or train it anew"
            )

    def stream(self, seed: int = 7, start: np.ndarray | None = None, lead: int = 0) -> "DanceStream":
        """A dance of its own. `start`: tokens (1, 5, 6) of the pose to begin from; `lead`: frames, 0..60."""
        return DanceStream(self, seed, self.start if start is None else check_tokens(start, "start"), lead)


class DanceStream:
    """The state of one dance. The same seed, start, music and settings give the same tokens in any chunking.

    May be set between steps: `lead` (frames the dance runs ahead of the music), `temperature` (1: as tuned; lower is
    calmer), `energy` (0..1, None: as the music wills) and `style` (a name of `Choreographer.styles`, or None).
    """

    def __init__(self, model: Choreographer, seed: int, start: np.ndarray, lead: int) -> None:
        if len(start) < 1:
            raise ValueError("start holds no token row")
        self._model = model
        self._runtime = model.runtime
        self.seed = int(seed)
        self.lead = lead
        self.temperature = 1.0
        self.energy: float | None = None
        self.style: str | None = None
        self._caches = model.runtime.caches()
        self._state: np.ndarray | None = None  # of the last frame
        self._plan: np.ndarray | None = None
        self._half, self._part = -1, 0.0  # of the beat: which the last frame was in, and how far it had come
        self._listener = inputs.Listener()
        self._row = 0
        self._block = -1  # of the noise
        self._draws: list[np.ndarray] = []
        self._music = -1  # newest music frame heard
        self._stand(start[0].reshape(TOKENS_PER_FRAME).astype(np.int16))
        self._start = self._before
        self._past = np.zeros((inputs.CONTEXT_SPAN, TOKENS_PER_FRAME), np.int16)  # ring: row r stands at r % span
        self._context = np.repeat(self._start[None], inputs.CONTEXT_FRAMES, axis=0)

    @property
    def lead(self) -> int:
        return self._lead

    @lead.setter
    def lead(self, frames: int) -> None:
        if not 0 <= int(frames) <= inputs.MAX_LEAD:
            raise ValueError(f"lead is {frames}, expected 0..{inputs.MAX_LEAD} frames")
        self._lead = int(frames)

    def step(self, frames: Sequence[MusicFrame]) -> TokenBlock:
        """Hear the next music frames, in order from 0; return the rows up to `lead` frames past the newest.

        The first call also returns rows 0 .. lead - 1, made from silence and the start pose.
        """
        first, rows = self._row, []
        for frame in frames:
            if self._music < 0:
                rows += [self._make(inputs.silence(), BeatState(), self.lead) for _ in range(self.lead)]
            self._music += 1
            heard = self._listener.push(frame.features)
            while self._row <= self._music + self.lead:
                rows.append(self._make(heard, frame.beat, self._row - self._music))
        tokens = np.array(rows, np.int16).reshape(len(rows), N_PARTS, TOKENS_PER_PART)
        return TokenBlock(first, tokens)

    def recall(self, frames: Sequence[MusicFrame], rows: np.ndarray, first: int) -> None:
        """Go on with a dance that another stream began; only before the first step. The next row is first + k.

        rows: tokens (k, 5, 6), k > 0, of that dance's rows first .. first + k - 1; frames: the music it heard last.
        Where both go back to 0 the dance goes on exactly as it would have. Rows of which the music is not known any
        more are remembered, but not thought over again.
        """
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
        self._past[self._row % len(self._past)] = row
        self._row += 1

    def _led(self, foretold: np.ndarray) -> np.ndarray:
        """The foretold pose (60, 3) on its way to the plan's."""
        places = inputs.places(foretold)
        if self._plan is not None:
            target = self._runtime.plans.places(self._plan)[0]
            led = plan.led(places, self._begun, target, self._half, self._part, self._model.sampling["pull"])
            places = np.where(foretold[:, 2:] > 0, led, places).astype(np.float32)
        self._reached = places
        return inputs.posed(places, foretold[:, 2])

    def _aim(self, foretold: np.ndarray) -> np.ndarray:
        """The latents (5, D) that the tokenizer's encoder would give the next pose (60, 3)."""
        runtime = self._model.tokenizer.runtime
        poses = np.concatenate([self._poses, foretold[None]])[-runtime.encoder_field :]
        return runtime.latents(poses.astype(np.float32))[0] / self._runtime.spread

    def _told(self, heard: np.ndarray, beat: BeatState, lead: int) -> np.ndarray:
        """The frame's input vector."""
        if self._row % inputs.CONTEXT_EVERY == 0:
            self._remind(self._row)
        phase, bar = beat.phases_after(lead)
        now = inputs.clock(np.array(phase), np.array(bar), np.array(beat.tempo), np.array(beat.confidence))
        half, part, _ = plan.half_beats(np.array(self._row), np.array(beat.tempo), np.array(phase))
        if half != self._half and self._state is not None:
            self._plan = self._runtime.plan(self._state, now, self._plan_picker())
            self._begun = self._reached
        self._half, self._part = int(half), float(part)
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
        """Draws the codes of a plan by temperature and top-p; the seed and the row alone make the noise."""
        sampling = self._model.sampling
        noise = np.random.default_rng((self.seed, self._row, plan.CODES)).gumbel(size=(plan.STAGES, plan.CODES))
        heat = self.temperature * sampling["plan"]
        return lambda stage, logits: drawn(logits, heat, sampling["top_p"], noise[stage])

    def _picker(self) -> Callable[[int, np.ndarray], int]:
        """Draws tokens by temperature and top-p, with the Gumbel trick: the likeliest after adding noise to the logits.

        The noise depends on the seed and the row alone and drifts from one draw to the next over `coherence` rows.
        Each row is an honest sample, but rows in a row lean the same way: movement instead of jitter.
        """
        sampling = self._model.sampling
        heat = [self.temperature * t for t in sampling["temperature"]]  # by place in the part
        noise = self._noise(sampling["coherence"])

        def pick(slot: int, logits: np.ndarray) -> int:
            return drawn(logits, heat[slot % TOKENS_PER_PART], sampling["top_p"], noise[slot])

        return pick

    def _noise(self, span: int) -> np.ndarray:
        """Gumbel noise of this row (30, 512)."""
        block, place = divmod(self._row, span)
        if block != self._block:
            self._block = block
            self._draws = [
                np.random.default_rng((self.seed, k)).standard_normal((TOKENS_PER_FRAME, CODEBOOK_SIZE), np.float32)
                for k in (block, block + 1)
            ]
        angle = np.pi / 2 * place / span
        normal = np.cos(angle) * self._draws[0] + np.sin(angle) * self._draws[1]
        return -np.log(-np.log(np.clip(ndtr(normal), 1e-7, 1 - 1e-7)))


def drawn(logits: np.ndarray, heat: float, top_p: float, noise: np.ndarray) -> int:
    """The likeliest of the logits (N,) at temperature `heat` plus Gumbel noise (N,), among those that make up `top_p`
    of the whole; without heat the likeliest."""
    if heat <= 0:
        return int(logits.argmax())
    scaled = (logits - logits.max()) / heat
    ranked = np.sort(np.exp(scaled))[::-1]
    total = np.cumsum(ranked)
    last = min(int(np.searchsorted(total, top_p * total[-1])), len(total) - 1)
    return int(np.where(scaled >= np.log(ranked[last]) - 1e-6, scaled + noise, -np.inf).argmax())
