"""The five-part, confidence-aware VQ-VAE in torch, for training (X-Dancer, arXiv 2502.17414, section 3.2).

Per part a causal convolutional encoder and quantiser; one shared causal decoder with a head per part. Convolutions are
"valid": a stack eats the rows its receptive field needs, and the caller repeats the first row in front. `runtime` runs
the same weights in numpy.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from xdancer.pose.layout import CODE_DIM, CODEBOOK_SIZE, N_PARTS, PARTS, TOKENS_PER_PART
from xdancer.tokenizer import frame
from xdancer.weights.sizes import Sizes

KERNEL = 3


@dataclass(frozen=True)
class Shape(Sizes):
    """Sizes of the network. A dilation of 0 stands for a block that looks at one row only.

    stages: residual quantisation steps of each latent group; TOKENS_PER_PART / stages groups of CODE_DIM numbers.
    single: one encoder sees the whole body, and any token may stand for anything: what five parts are compared with.
    """

    encoder_width: int = 96
    encoder_dilations: tuple[int, ...] = (1, 0)
    decoder_width: int = 160
    decoder_dilations: tuple[int, ...] = (1, 1, 2)
    stages: int = 2
    single: bool = False

    @property
    def groups(self) -> int:
        return TOKENS_PER_PART // self.stages

    @property
    def latent(self) -> int:
        """Numbers a part's tokens stand for."""
        return self.groups * CODE_DIM

    @property
    def encoder_field(self) -> int:
        return field(self.encoder_dilations)

    @property
    def decoder_field(self) -> int:
        return field(self.decoder_dilations)

    @property
    def receptive_field(self) -> int:
        """Frames a decoded frame depends on, its own included: R."""
        return self.encoder_field + self.decoder_field - 1


def field(dilations: tuple[int, ...]) -> int:
    """Rows a stack needs for one row of output."""
    return 1 + (KERNEL - 1) * (1 + sum(dilations))


class Taps(nn.Linear):
    """A causal convolution over rows (B, T, C) as one matrix product; the oldest row comes first in the weights."""

    def __init__(self, inputs: int, outputs: int, dilation: int) -> None:
        self.taps = KERNEL if dilation else 1
        self.dilation = dilation
        super().__init__(self.taps * inputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        left = x.shape[1] - (self.taps - 1) * self.dilation
        rows = [x[:, i * self.dilation : i * self.dilation + left] for i in range(self.taps)]
        return super().forward(torch.cat(rows, dim=-1) if self.taps > 1 else x)


class Stack(nn.Module):
    """Stem, residual blocks and head, and a straight line from the newest row: (B, T, inputs) ->
    (B, T - field + 1, outputs)."""

    def __init__(self, inputs: int, width: int, outputs: int, dilations: tuple[int, ...]) -> None:
        super().__init__()
        self.stem = Taps(inputs, width, 1)
        self.taps = nn.ModuleList(Taps(width, width, d) for d in dilations)
        self.mix = nn.ModuleList(nn.Linear(width, width) for _ in dilations)
        for mix in self.mix:
            assert isinstance(mix, nn.Linear)
            nn.init.normal_(mix.weight, std=0.3 / width**0.5)
            nn.init.zeros_(mix.bias)
        self.head = nn.Linear(width, outputs)
        self.line = nn.Linear(inputs, outputs, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        newest = x
        x = self.stem(x)
        for taps, mix in zip(self.taps, self.mix, strict=True):
            y = mix(F.silu(taps(F.silu(x))))
            x = x[:, x.shape[1] - y.shape[1] :] + y
        return self.head(F.silu(x)) + self.line(newest[:, newest.shape[1] - x.shape[1] :])


class Quantiser(nn.Module):
    """Codebooks learned as moving averages; one for each part and token slot.

    Slot s * groups + g is step s of the residual quantisation of group g: first all groups coarsely, then finer.
    """

    codebooks: Tensor
    counts: Tensor

    def __init__(self, stages: int, decay: float = 0.99) -> None:
        super().__init__()
        self.stages, self.groups, self.decay = stages, TOKENS_PER_PART // stages, decay
        self.register_buffer("codebooks", torch.zeros(N_PARTS, TOKENS_PER_PART, CODEBOOK_SIZE, CODE_DIM))
        self.register_buffer("counts", torch.ones(N_PARTS, TOKENS_PER_PART, CODEBOOK_SIZE))

    def forward(self, z: Tensor, learn: bool = False, start: bool = False) -> tuple[Tensor, Tensor, Tensor]:
        """Latents (N, 5, latent) -> quantised latents (with straight-through gradient), tokens (N, 5, 6), commitment.

        With `learn` the codebooks follow the latents; with `start` they are first set by k-means of them.
        """
        rest = z.reshape(len(z), N_PARTS * self.groups, CODE_DIM).transpose(0, 1)  # (5 g, N, 6)
        wanted, done = rest, torch.zeros_like(rest)
        tokens, commitment = [], z.new_zeros(())
        for stage in range(self.stages):
            slots = slice(stage * self.groups, (stage + 1) * self.groups)
            with torch.no_grad():
                rows = (wanted - done).detach()
                if start:
                    self._k_means(slots, rows)
                books = self.codebooks[:, slots].flatten(0, 1)
                index = nearest(rows, books)
                chosen = torch.gather(books, 1, index[..., None].expand(-1, -1, CODE_DIM))
                if learn:
                    self._follow(slots, rows, index)
            done = done + chosen
            commitment = commitment + F.mse_loss(wanted, done)
            tokens.append(index)
        quantised = (wanted + (done - wanted).detach()).transpose(0, 1).reshape(z.shape)
        index = torch.stack(tokens).reshape(self.stages, N_PARTS, self.groups, -1)
        return quantised, index.permute(3, 1, 0, 2).reshape(-1, N_PARTS, TOKENS_PER_PART), commitment / self.stages

    def _sums(self, rows: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
        """Sum (B, 512, 6) and number (B, 512) of the rows that chose each code."""
        books = len(rows)
        flat = (index + CODEBOOK_SIZE * torch.arange(books)[:, None]).reshape(-1)
        sums = torch.zeros(books * CODEBOOK_SIZE, CODE_DIM).index_add_(0, flat, rows.reshape(-1, CODE_DIM))
        counts = torch.bincount(flat, minlength=books * CODEBOOK_SIZE).float()
        return sums.reshape(books, CODEBOOK_SIZE, CODE_DIM), counts.reshape(books, CODEBOOK_SIZE)

    def _follow(self, slots: slice, rows: Tensor, index: Tensor) -> None:
        sums, counts = self._sums(rows, index)
        old = self.counts[:, slots].flatten(0, 1)
        total = self.codebooks[:, slots].flatten(0, 1) * (self.decay * old)[..., None] + (1 - self.decay) * sums
        new = self.decay * old + (1 - self.decay) * counts
        self.codebooks[:, slots] = (total / new.clamp_min(1e-6)[..., None]).unflatten(0, (N_PARTS, -1))
        self.counts[:, slots] = new.unflatten(0, (N_PARTS, -1))

    def _k_means(self, slots: slice, rows: Tensor, rounds: int = 8) -> None:
        books = rows[:, torch.linspace(0, rows.shape[1] - 1, CODEBOOK_SIZE).long()].clone()
        for _ in range(rounds):
            sums, counts = self._sums(rows, nearest(rows, books))
            books = torch.where(counts[..., None] > 0, sums / counts.clamp_min(1)[..., None], books)
        self.codebooks[:, slots] = books.unflatten(0, (N_PARTS, -1))
        self.counts[:, slots] = rows.shape[1] / CODEBOOK_SIZE

    @torch.no_grad()
    def revive(self, z: Tensor, generator: torch.Generator, least: float = 0.03) -> int:
        """Move codes used less than `least` of their fair share onto latents (N, 5, latent) at random; how many."""
        rest = z.reshape(len(z), N_PARTS * self.groups, CODE_DIM).transpose(0, 1)
        done, moved = torch.zeros_like(rest), 0
        for stage in range(self.stages):
            slots = slice(stage * self.groups, (stage + 1) * self.groups)
            books = self.codebooks[:, slots].flatten(0, 1)
            counts = self.counts[:, slots].flatten(0, 1)
            rows = rest - done
            fair = counts.mean(-1, keepdim=True)
            dead = counts < least * fair
            pick = torch.randint(rows.shape[1], (CODEBOOK_SIZE,), generator=generator)
            books = torch.where(dead[..., None], rows[:, pick], books)
            self.counts[:, slots] = torch.where(dead, 0.5 * fair, counts).unflatten(0, (N_PARTS, -1))
            self.codebooks[:, slots] = books.unflatten(0, (N_PARTS, -1))
            index = nearest(rows, books)
            done = done + torch.gather(books, 1, index[..., None].expand(-1, -1, CODE_DIM))
            moved += int(dead.sum())
        return moved


def nearest(rows: Tensor, books: Tensor) -> Tensor:
    """Index (B, N) of the nearest of the codes (B, 512, 6) to rows (B, N, 6)."""
    rows = torch.cat([rows, torch.ones_like(rows[..., :1])], dim=-1)
    books = torch.cat([-2 * books, books.square().sum(-1, keepdim=True)], dim=-1)
    distance = torch.bmm(rows, books.transpose(1, 2))
    if distance.device.type == "cpu":  # numpy's argmin is eight times as fast as torch's
        return torch.from_numpy(distance.detach().numpy().argmin(-1))
    return distance.argmin(-1)


class TokenizerNetwork(nn.Module):
    """Encoders, quantiser, decoder."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        seen = (sum(frame.INPUTS),) if shape.single else frame.INPUTS
        latents = N_PARTS * shape.latent // len(seen)
        self.encoders = nn.ModuleList(
            Stack(width, shape.encoder_width, latents, shape.encoder_dilations) for width in seen
        )
        self.quantiser = Quantiser(shape.stages)
        self.decoder = Stack(N_PARTS * shape.latent, shape.decoder_width, frame.OUTPUTS, shape.decoder_dilations)

    @torch.no_grad()
    def start(self, parts: list[Tensor]) -> None:
        """Set the straight lines to principal components of the inputs (B, T, n) and back, and the codebooks by
        k-means, so that learning begins some ten px from the truth."""
        self._start_encoders(parts)
        latents = self.encode(parts)
        self.quantiser(latents.flatten(0, 1), start=True)
        self._start_decoder(parts, latents)

    def _start_encoders(self, parts: list[Tensor]) -> None:
        for encoder, x in zip(self.encoders, self._seen(parts), strict=True):
            assert isinstance(encoder, Stack)
            rows = x.flatten(0, 1)
            _, _, directions = torch.linalg.svd(rows - rows.mean(0), full_matrices=False)
            # Every group gets its share of large and small components.
            latents = len(encoder.head.bias)
            order = torch.arange(latents).reshape(-1, latents // CODE_DIM).T.flatten()
            order = order[order < len(directions)]
            encoder.line.weight[: len(order)] = directions[order]
            encoder.head.weight *= 0.05
            encoder.head.bias.copy_(-encoder.line.weight @ rows.mean(0))

    def _start_decoder(self, parts: list[Tensor], latents: Tensor) -> None:
        targets = torch.cat([x[..., : 3 * len(part.joints)] for x, part in zip(parts, PARTS, strict=True)], dim=-1)
        neck = PARTS[0].joints.index(frame.NECK)
        targets[..., 3 * neck : 3 * neck + 2] = parts[0][..., -3:-1]
        targets[..., 2::3] = torch.logit(targets[..., 2::3], eps=0.02)
        rows = torch.cat([latents.flatten(2), torch.ones_like(latents[..., 0, :1])], dim=-1).flatten(0, 1)
        gram = rows.T @ rows + 1e-3 * len(rows) * torch.eye(rows.shape[1])
        solution = torch.linalg.solve(gram, rows.T @ targets.flatten(0, 1))
        self.decoder.line.weight.copy_(solution[:-1].T)
        self.decoder.head.weight *= 0.05
        self.decoder.head.bias.copy_(solution[-1])

    def encode(self, parts: list[Tensor]) -> Tensor:
        """Inputs (B, T, n) a part -> latents (B, T, 5, latent), the first frame repeated in front."""
        ahead = self.shape.encoder_field - 1
        pairs = zip(self.encoders, self._seen(parts), strict=True)
        latents = torch.cat([encoder(repeated(x, ahead)) for encoder, x in pairs], dim=-1)
        return latents.unflatten(-1, (N_PARTS, self.shape.latent))

    def _seen(self, parts: list[Tensor]) -> list[Tensor]:
        """What each encoder sees."""
        return [torch.cat(parts, dim=-1)] if self.shape.single else parts

    def decode(self, quantised: Tensor) -> Tensor:
        """Quantised latents (B, T, 5, latent) -> outputs (B, T, 180), the first row repeated in front."""
        return self.decoder(repeated(quantised.flatten(2), self.shape.decoder_field - 1))


def repeated(x: Tensor, times: int) -> Tensor:
    """`x` (B, T, C) with its first row `times` more in front."""
    return torch.cat([x[:, :1].expand(-1, times, -1), x], dim=1)
