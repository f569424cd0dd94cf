"""Choosing tokens by what they decode to: analysis by synthesis, as speech coders do it.

The codes nearest to a latent are not those whose pose is nearest to the given one: the decoder sees the frames before,
which are off by what their codes were off, and it cares more for some directions of a latent than for others. So, part
by part, a Gauss-Newton step from the encoder's latent tells which latent the decoder needs and how much each direction
matters; a beam search through the residual codebooks finds candidates; each is decoded, and the best one is taken.
"""

from itertools import product

import numpy as np

from xdancer.pose.layout import CODE_DIM, CODEBOOK_SIZE, N_JOINTS, N_PARTS, PARTS, TOKENS_PER_PART
from xdancer.tokenizer import frame
from xdancer.tokenizer.runtime import Runtime, Stack, silu

CANDIDATES = 64  # decoded for each part of a frame
BEAM = 16  # choices kept from step to step of a residual quantisation
NUDGE = 0.05  # by which a latent is moved to see what that does
DAMPING = 100.0  # px^2 that a step of 1 in a latent must be worth: far from the encoder's, a pose upsets the next
DRIFT = 1.0  # weight of the change of the error since the frame before, which makes a pose shake, beside the error
SURE = 24.0  # px that an error of 1 in a confidence counts as


class Newest:
    """A decoder stack at its newest row, for which it is given many candidates: what the rows before contribute is
    worked out once."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._taps = [(*stack.stem, 1)] + [(*taps, dilation) for taps, _, dilation in stack.blocks]
        self._past: list[np.ndarray] = []  # what each layer's older taps see, oldest first
        self._given: list[np.ndarray] = []  # what they contribute

    def begin(self, row: np.ndarray) -> None:
        """This row (C,) has come ever since."""
        self._past, self._given = [], []
        self._through(row[None], grow=True)

    def outputs(self, rows: np.ndarray) -> np.ndarray:
        """What each candidate (N, C) for the newest row gives: (N, outputs)."""
        return self._through(rows)[0]

    def push(self, row: np.ndarray) -> np.ndarray:
        """The newest row is this one (C,); its output (outputs,)."""
        out, seen = self._through(row[None])
        self._past = [np.concatenate([past, new])[1:] for past, new in zip(self._past, seen, strict=True)]
        self._given = [self._contributed(layer) for layer in range(len(self._taps))]
        return out[0]

    def _through(self, rows: np.ndarray, grow: bool = False) -> tuple[np.ndarray, list[np.ndarray]]:
        """Outputs, and what each layer's newest tap has seen. With `grow` its older taps have seen the same."""
        seen: list[np.ndarray] = []

        def tap(x: np.ndarray) -> np.ndarray:
            layer = len(seen)
            seen.append(x)
            matrix, _, dilation = self._taps[layer]
            if grow:
                self._past.append(np.repeat(x, 2 * dilation or 1, axis=0))
                self._given.append(self._contributed(layer))
            return self._given[layer] + x @ matrix[len(matrix) - x.shape[1] :]

        x = tap(rows)
        for _, (mix, bias), _ in self._stack.blocks:
            x = x + silu(tap(silu(x))) @ mix + bias
        head, bias = self._stack.head
        return silu(x) @ head + bias + rows @ self._stack.line, seen

    def _contributed(self, layer: int) -> np.ndarray:
        matrix, bias, dilation = self._taps[layer]
        older = self._past[layer][::dilation] if dilation else self._past[layer][:0]
        return bias + older.reshape(-1) @ matrix[: older.size]


class Search:
    """One stream of poses on its way to tokens; its state is the decoder's, and the last error."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._newest = Newest(runtime.decoder)
        self._wrong: np.ndarray | None = None  # the last frame's error (60, 2), px; NaN where nothing was to be seen
        self._kept = round(CANDIDATES ** (1 / runtime.groups))  # of each group of a part's latent
        self._combined = np.array(list(product(range(self._kept), repeat=runtime.groups)))

    def encode(self, poses: np.ndarray) -> np.ndarray:
        """The next poses, behind those before them (T + encoder_field - 1, 60, 3), to tokens int16 (T, 5, 6)."""
        field = self._runtime.encoder_field
        # Frame by frame: a choice that rounding turns would turn all that follow, and any chunking is to give the same.
        chosen = [self._frame(poses[t : t + field]) for t in range(len(poses) - field + 1)]
        return np.stack(chosen) if chosen else np.empty((0, N_PARTS, TOKENS_PER_PART), np.int16)

    def _frame(self, poses: np.ndarray) -> np.ndarray:
        pose, first = poses[-1], self._wrong is None
        latents = self._runtime.latents(poses)
        tokens = self._runtime.quantise(latents)[0]
        row = self._runtime.embed(tokens[None]).reshape(-1)
        if first:
            self._newest.begin(row)
        for part in range(N_PARTS):
            tokens[part] = self._choose(part, row, latents[0, part], tokens[part], pose)
            row = self._runtime.embed(tokens[None]).reshape(-1)
        if first:
            self._newest.begin(row)
        place, _ = frame.placed(self._newest.push(row)[None])
        self._wrong = np.where(pose[:, 2:] > 0, place[0] - pose[:, :2], np.nan)
        return tokens

    def _choose(
        self, part: int, row: np.ndarray, latent: np.ndarray, nearest: np.ndarray, pose: np.ndarray
    ) -> np.ndarray:
        """The best tokens (6,) of a part with this latent (L,), where those of the frame so far are `row`."""
        length = self._runtime.groups * CODE_DIM
        own = slice(part * length, (part + 1) * length)
        nudged = np.repeat(row[None], length + 1, axis=0)
        nudged[:, own] = latent
        nudged[1:, own] += NUDGE * np.eye(length, dtype=row.dtype)
        wrong = self._wrongs(part, nudged, pose)
        slopes = (wrong[1:] - wrong[0]) / NUDGE
        matters = slopes @ slopes.T + DAMPING * np.eye(length)
        wanted = latent - np.linalg.solve(matters, slopes @ wrong[0])
        found = self._candidates(part, wanted, matters)
        tokens = np.concatenate([nearest[None], found])
        rows = np.repeat(row[None], len(tokens), axis=0)
        rows[:, own] = self._runtime.embed_part(part, tokens)
        return tokens[np.abs(self._wrongs(part, rows, pose)).sum(1).argmin()]

    def _wrongs(self, part: int, rows: np.ndarray, pose: np.ndarray) -> np.ndarray:
        """All that is wrong with a part of n joints, px (N, 5 n), if the newest latents are `rows` (N, latents)."""
        joints = list(range(N_JOINTS) if self._runtime.single else PARTS[part].joints)
        place, logits = frame.placed(self._newest.outputs(rows))
        sure = pose[joints, 2]
        wrong = place[:, joints] - pose[joints, :2]
        drift = np.zeros_like(wrong) if self._wrong is None else np.nan_to_num(wrong - self._wrong[joints])
        unsure = 1 / (1 + np.exp(-np.clip(logits[:, joints], -30, 30))) - sure
        weighted = [wrong * sure[:, None], DRIFT * drift * sure[:, None], SURE * unsure[..., None]]
        return np.concatenate(weighted, axis=-1).reshape(len(rows), -1)

    def _candidates(self, part: int, wanted: np.ndarray, matters: np.ndarray) -> np.ndarray:
        """Tokens (N, 6) near to a latent (groups * 6,), where `matters` says what far means."""
        groups = []
        for group in range(self._runtime.groups):
            span = slice(group * CODE_DIM, (group + 1) * CODE_DIM)
            groups.append(self._beam(part, group, wanted[span], np.linalg.cholesky(matters[span, span])))
        picked = np.stack([groups[g][self._combined[:, g]] for g in range(len(groups))], axis=-1)  # (N, stages, groups)
        return picked.reshape(len(picked), TOKENS_PER_PART)

    def _beam(self, part: int, group: int, wanted: np.ndarray, metric: np.ndarray) -> np.ndarray:
        """The best sequences of codes (kept, stages) of one group, by the distance |(sum - wanted) metric|."""
        rest, tokens = (wanted @ metric)[None], np.empty((1, 0), np.int16)
        for stage in range(self._runtime.stages):
            book = self._runtime.books[part, stage * self._runtime.groups + group] @ metric
            far = (0.5 * np.square(book).sum(-1) - rest @ book.T) + 0.5 * np.square(rest).sum(-1, keepdims=True)
            most = BEAM if stage + 1 < self._runtime.stages else self._kept
            best = np.argpartition(far.reshape(-1), most)[:most]
            before, code = np.divmod(best, CODEBOOK_SIZE)
            rest = rest[before] - book[code]
            tokens = np.concatenate([tokens[before], code[:, None].astype(np.int16)], axis=1)
        return tokens
