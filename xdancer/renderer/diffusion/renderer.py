"""`Renderer`: pose tokens and one picture of a person in, pictures of that person dancing out."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from xdancer import weights
from xdancer.errors import UserError
from xdancer.pose.detector import PoseDetector, standing
from xdancer.pose.layout import CANVAS_HEIGHT, CANVAS_WIDTH, N_JOINTS, TOKENS_PER_FRAME, check_tokens
from xdancer.renderer import reference as references
from xdancer.renderer.diffusion import loaders
from xdancer.renderer.diffusion.autoencoder import REACH
from xdancer.renderer.diffusion.carry import Moved
from xdancer.renderer.diffusion.enlarger import Enlarger
from xdancer.renderer.diffusion.model import DiffusionModel, ModelShape, Sight, to_pictures, to_tensor
from xdancer.renderer.diffusion.motion import MotionShape
from xdancer.renderer.diffusion.schedules import LEVELS, WINDOW, Rolling, offline
from xdancer.tokenizer import PoseTokenizer

FOREIGN_SIZE = (896, 512)
CHUNK = WINDOW // LEVELS  # frames that become clean together
FOREIGN = ("*.pth", "*.json", "*.safetensors", "*.bin", "*.md", references.OWN)  # what is fetched of a hub id
BORROWED = ("autoencoder.", "image_encoder.")  # parts of Stable Diffusion that training leaves as they are


class Frame(NamedTuple):
    """A frame's tokens (30,) and pose (60, 3), and the reference moved to it, where its own pose is known, with what
    enlarges pictures of it."""

    tokens: np.ndarray
    pose: np.ndarray
    moved: Moved | None
    enlarger: Enlarger | None


class Loaded(NamedTuple):
    """The networks, the vocabulary of the tokenizer they were trained with ("" for none), and the passes of the live
    schedule beyond which their pictures get no better."""

    model: DiffusionModel
    vocabulary: str = ""
    passes: int = LEVELS


class Renderer:
    """One person, from one picture, in any pose.

    The weights are shared by all streams; each stream has its state. `wear` changes the person while streams run: they
    show the new one from their next chunk on.
    """

    def __init__(
        self,
        model: DiffusionModel,
        reference: references.Picture,
        tokenizer: PoseTokenizer,
        pose: np.ndarray | None = None,
        detector: PoseDetector | None = None,
    ) -> None:
        """Raises UserError where `reference` is not a usable picture. `pose`, `detector`: as for `wear`."""
        self.model = model.eval()
        self.tokenizer = tokenizer
        self.height, self.width = model.shape.size
        self.guidance = 1.0
        self.reads_tokens = True
        self.passes = LEVELS  # of the live schedule, beyond which its pictures get no better
        self.device = next(model.parameters()).device
        self.dtype = model.unet.conv_in.weight.dtype
        self.detector = detector
        self.wear(reference, pose)

    @classmethod
    def from_pretrained(
        cls,
        name: str = "live",
        *,
        reference: references.Picture | None = None,
        pose: np.ndarray | None = None,
        detector: PoseDetector | None = None,
        tokenizer: PoseTokenizer | str = "live",
        device: str | None = None,
        size: tuple[int, int] | None = None,
    ) -> "Renderer":
        """Load a shipped name ("live"), a folder of ours, of Stable Diffusion 1.5 or of Moore-AnimateAnyone's layout,
        or a hub id. `size` (H, W) is for the latter two; ours draw in the size they were trained in, and bring a person
        along, for where `reference` is None. `pose`, `detector`: as for `wear`.

        A renderer trained with another tokenizer draws from joints alone. Raises UserError where something is missing
        or damaged.
        """
        if name == "live" and not weights.shipped("renderer"):
            raise UserError(
                "no renderer is shipped with this version; train one with `xdancer train renderer "
                "configs/renderer.yaml` and name its folder, or use the skeleton renderer"
            )
        folder = weights.find("renderer", str(name), FOREIGN)
        known = tokenizer if isinstance(tokenizer, PoseTokenizer) else PoseTokenizer.from_pretrained(tokenizer)
        model, vocabulary, passes = load(folder, size)
        where = device or ("cuda" if torch.cuda.is_available() else "cpu")
        dtype = torch.float16 if where.startswith("cuda") else torch.float32
        if reference is None:
            reference, pose = references.own(folder)
        renderer = cls(model.to(where, dtype), reference, known, pose, detector)
        renderer.reads_tokens = vocabulary in ("", known.vocabulary)
        renderer.passes = passes
        return renderer

    @property
    def reference(self) -> np.ndarray:
        """The reference picture as it is used, uint8 (H, W, 3)."""
        return self._reference

    def wear(self, picture: references.Picture, pose: np.ndarray | None = None) -> None:
        """Draw the person in `picture` from now on, who stands there in `pose`: (60, 3), in canvas px of the picture
        fitted to the canvas. Without it the detector finds it; without one, `guessed` is set and somebody who stands
        upright is assumed. `pose` is then what it is drawn from, None where the weights need none. Raises UserError
        where it is not a usable picture, or the detector finds nobody."""
        picture = references.opened(picture)
        fitted = references.load(picture, self.height, self.width)
        guessed = False
        if pose is None and self.model.carry is not None:
            if self.detector is not None:
                pose = self.detector.detect(references.load(picture, CANVAS_HEIGHT, CANVAS_WIDTH))
            else:
                pose, guessed = standing(), True
        with torch.no_grad():
            pictures = to_tensor(fitted)[None].to(self.device, self.dtype)
            poses = None if pose is None else torch.from_numpy(pose.astype(np.float32))[None].to(self.device)
            fine = None
            if self.model.autoencoder.sharper and self.model.body is not None:
                larger = references.load(picture, 2 * self.height, 2 * self.width)
                fine = to_tensor(larger)[None].to(self.device, self.dtype)
            sight = self.model.look(pictures, poses, fine)
        enlarger = None
        if sight.fine is not None:
            largest = references.load(picture, 4 * self.height, 4 * self.width)
            plain, room = (to_pictures(v)[0] for v in (sight.fine.pictures, sight.fine.room))
            enlarger = Enlarger(largest, plain, room, sight.fine.free[0, 0].cpu().numpy())
        # What is seen in one assignment: a stream in another thread sees the old person or the new one.
        self._seen, self._reference, self.pose, self.guessed = (sight, enlarger), fitted, pose, guessed

    @property
    def scales(self) -> tuple[int, ...]:
        """How many times its size its pictures can be put out in."""
        if self._seen[1] is not None:
            return 1, 2, 4
        return (1, 2) if self.model.autoencoder.sharper else (1,)

    @torch.no_grad()
    def hurry(self) -> None:
        """Let autoencoder and body work in bfloat16 where that is faster here: pictures differ by a shade."""
        latents = torch.zeros(2, self.model.shape.unet.latent, self.height // REACH, self.width // REACH)
        latents = latents.to(self.device, self.dtype)

        def seconds(hurries: bool) -> float:
            self.model.hurries = hurries
            self.model.paint(latents)
            began = time.perf_counter()
            for _ in range(3):
                self.model.paint(latents).cpu()
            return time.perf_counter() - began

        self.model.hurries = min((False, True), key=seconds)

    def stream(
        self, seed: int = 0, stride: int = 1, scale: int = 1, levels: int = LEVELS, chunk: int = CHUNK
    ) -> "PictureStream":
        """Pictures while tokens arrive. `stride` draws every k-th frame (1 to 4); `scale`, one of `scales`, gives twice
        or four times the size. `levels` passes make a picture, 1 to 4: fewer are faster and wait for less of the dance,
        as do smaller chunks of frames (1 to 4) that are finished together. Raises ValueError for what it was not made
        for."""
        return PictureStream(self, seed, stride, scale, levels, chunk)

    @torch.no_grad()
    def render(
        self,
        tokens: np.ndarray,
        steps: int = 20,
        overlap: int = 4,
        seed: int = 0,
        scale: int = 1,
        progress: Callable[[], None] | None = None,
    ) -> np.ndarray:
        """A whole clip: tokens (T, 5, 6) to pictures uint8 (T, H, W, 3), all frames denoised together. `scale`: as for
        `stream`."""
        tokens = check_tokens(tokens)
        self.check_scale(scale)
        poses = self.tokenizer.decode(tokens)
        frames = self.frames(tokens, poses, scale)
        if not frames:
            return self._nothing(scale)
        noise = torch.stack([self.noise_of(seed, n) for n in range(len(frames))])

        def denoise(latents: Tensor, timesteps: Tensor, conditions: Sequence[Frame]) -> Tensor:
            if progress:
                progress()
            return self.denoise(latents, timesteps, conditions)

        latents = offline(denoise, self.model.noise, noise, frames, steps, overlap=overlap)
        return self.pictures(latents, frames, scale)

    def check_scale(self, scale: int) -> None:
        """Raises ValueError where pictures cannot be put out in so many times their size."""
        if scale not in self.scales:
            raise ValueError(f"pictures in {scale} x their size: this renderer has {self.scales}")

    def denoise(self, latents: Tensor, timesteps: Tensor, frames: Sequence[Frame]) -> Tensor:
        """What the networks say of a window of latents (F, C, h, w) at timesteps (F,)."""
        poses = torch.from_numpy(np.stack([frame.pose for frame in frames])).to(self.device)[None]
        tokens = None
        if self.reads_tokens:
            tokens = torch.from_numpy(np.stack([frame.tokens for frame in frames]).astype(np.int64)).to(self.device)[
                None
            ]
        assert poses.shape[2] == N_JOINTS and (tokens is None or tokens.shape[2] == TOKENS_PER_FRAME)
        moved = together(frames)
        carried = moved.maps[None] if moved is not None else None
        maps = self.model.lead(tokens, poses, latents.shape[-2], latents.shape[-1], carried)
        sight: Sight = self._seen[0]
        said = self.model.predict(latents[None].to(self.dtype), timesteps[None], maps, sight, carried, self.guidance)
        return said[0].float()

    @torch.no_grad()
    def frames(self, tokens: np.ndarray, poses: np.ndarray, scale: int = 1) -> list[Frame]:
        """Tokens (T, 5, 6) and poses (T, 60, 3) as `denoise` takes them, the person carried to each pose."""
        moved: list[Moved | None] = []
        sight, enlarger = self._seen
        for start in range(0, len(poses), WINDOW):
            some = torch.from_numpy(poses[start : start + WINDOW]).to(self.device)[None]
            there = self.model.carried(sight, some, scale > 1)
            moved += [None if there is None else there[0, k] for k in range(some.shape[1])]
        return [Frame(row.reshape(-1), pose, m, enlarger) for row, pose, m in zip(tokens, poses, moved, strict=True)]

    def noise_of(self, seed: int, frame: int) -> Tensor:
        """The noise that frame number `frame` begins as: (C, h, w), the same on every machine."""
        shape = self.model.shape.unet.latent, self.height // REACH, self.width // REACH
        drawn = np.random.default_rng((seed, frame)).standard_normal(shape, dtype=np.float32)
        return torch.from_numpy(drawn).to(self.device)

    def pictures(self, latents: Tensor, frames: Sequence[Frame], scale: int) -> np.ndarray:
        """Latents (n, C, h, w) of n frames to pictures uint8 (n, H, W, 3)."""
        out = [self._nothing(scale)]
        for start in range(0, len(latents), WINDOW):
            part = slice(start, start + WINDOW)
            some, moved = latents[part].to(self.dtype), together(frames[part])
            made = to_pictures(self.model.paint(some, moved, scale > 1))
            out.append(_enlarged(made, moved, frames[part]) if scale == 4 and moved is not None else made)
        return np.concatenate(out)

    def _nothing(self, scale: int) -> np.ndarray:
        return np.empty((0, scale * self.height, scale * self.width, 3), dtype=np.uint8)


class PictureStream:
    """Token rows in, pictures out, frame by frame, in pieces of any size: the pieces change nothing.

    Pictures lag behind: the first chunk comes as soon as it can, the others when the window behind them is full, which
    with four levels is three chunks later, with one at once. `frame` is the number of the next picture's frame.
    """

    def __init__(self, renderer: Renderer, seed: int, stride: int, scale: int, levels: int, chunk: int) -> None:
        if stride not in (1, 2, 3, 4):
            raise ValueError(f"every {stride}th frame cannot be drawn; the stride is 1, 2, 3 or 4")
        renderer.check_scale(scale)
        if levels not in range(1, LEVELS + 1):
            raise ValueError(f"a picture cannot be made in {levels} passes; 1 to {LEVELS} can")
        if chunk not in range(1, CHUNK + 1):
            raise ValueError(f"{chunk} frames cannot be finished together; 1 to {CHUNK} can")
        self.frame = 0
        self._renderer, self._seed, self._stride, self._scale = renderer, seed, stride, scale
        self._limbs = renderer.tokenizer.stream()
        self._rolling = Rolling(renderer.denoise, renderer.model.noise, chunk * levels, levels)
        self._waiting: list[tuple[int, np.ndarray, np.ndarray]] = []
        self._under_way: list[Frame] = []
        self._heard = 0

    @torch.no_grad()
    def step(self, tokens: np.ndarray, poses: np.ndarray | None = None) -> np.ndarray:
        """The next token rows (k, 5, 6), k >= 0, and their poses (k, 60, 3) where they are decoded already; the
        pictures that got ready, uint8 (n, H, W, 3), n >= 0."""
        tokens = check_tokens(tokens)
        # Row by row, for the last bit of a decoded joint depends on how many are decoded together.
        told = (self._limbs.decode(row[None])[0] for row in tokens) if poses is None else poses
        for row, pose in zip(tokens, told, strict=True):
            if self._heard % self._stride == 0:
                self._waiting.append((self._heard, row, pose))
            self._heard += 1
        ready = []
        while len(self._waiting) >= self._rolling.chunk:
            chunk = [self._waiting.pop(0) for _ in range(self._rolling.chunk)]
            ready.append(self._push(chunk))
        return self._drawn(ready, len(ready) * self._rolling.chunk)

    @torch.no_grad()
    def finish(self) -> np.ndarray:
        """The pictures still in the making when the dance ends, all of them."""
        ready = []
        left = len(self._waiting)
        if left:  # the last chunk is filled up with its last frame, which is not shown again
            ready.append(self._push([*self._waiting, *self._waiting[-1:] * (self._rolling.chunk - left)]))
            self._waiting = []
        due = -(-self._heard // self._stride) - self.frame // self._stride
        return self._drawn([*ready, *self._rolling.finish()], due)

    def _push(self, chunk: list[tuple[int, np.ndarray, np.ndarray]]) -> Tensor:
        noise = torch.stack([self._renderer.noise_of(self._seed, number) for number, _, _ in chunk])
        tokens, poses = (np.stack([entry[k] for entry in chunk]) for k in (1, 2))
        frames = self._renderer.frames(tokens, poses, self._scale)
        self._under_way += frames
        return self._rolling.push(noise, frames)

    def _drawn(self, ready: Sequence[Tensor], most: int) -> np.ndarray:
        """Pictures of the chunks that got ready, `most` at most."""
        latents = torch.cat([self._renderer.noise_of(0, 0)[None][:0], *ready])[:most]
        frames, self._under_way = self._under_way[: len(latents)], self._under_way[len(latents) :]
        out = self._renderer.pictures(latents, frames, self._scale)
        self.frame += self._stride * len(out)
        return out


def together(frames: Sequence[Frame]) -> Moved | None:
    """What was moved to these frames, one after the other; None where it was not."""
    moved = [frame.moved for frame in frames if frame.moved is not None]
    return Moved.stacked(moved) if frames and len(moved) == len(frames) else None


def _enlarged(made: np.ndarray, moved: Moved, frames: Sequence[Frame]) -> np.ndarray:
    """Pictures uint8 (n, h, w, 3) of frames in twice their size."""
    # They lie over what was carried, in which as much is person already.
    share = 1 - (1 - moved.person[:, 0]).square()
    person, found = (v.float().cpu().numpy() for v in (share, moved.found.movedim(1, -1)))
    each = zip(frames, made, person, found[..., :2], found[..., 2], strict=True)
    return np.stack([frame.enlarger.enlarged(*rest) for frame, *rest in each if frame.enlarger is not None])


def load(folder: Path, size: tuple[int, int] | None = None) -> Loaded:
    """The networks in a folder of any of the three kinds. Raises UserError where it is none of them."""
    if loaders.is_moore(folder):
        return Loaded(loaders.moore(folder, size or FOREIGN_SIZE))
    if loaders.is_stable_diffusion(folder):
        return Loaded(loaders.stable_diffusion(folder, size or FOREIGN_SIZE, MotionShape()))
    state, config = weights.load(folder)
    try:
        shape = ModelShape.from_dict(config["shape"])
        others = (
            loaders.companions(weights.find("renderer", config["base"], FOREIGN), shape) if "base" in config else ()
        )
        model = DiffusionModel(shape, *others)
        passes = min(max(int(config.get("passes", LEVELS)), 1), LEVELS)
        vocabulary = str(config["tokenizer"]["vocabulary"])
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{folder}: not a renderer ({type(error).__name__}: {error})") from error
    loaders.fill(model, state, folder / weights.MODEL, missing=BORROWED if others else ())
    return Loaded(model.eval(), vocabulary, passes)


def save(folder: Path, model: DiffusionModel, values: dict[str, Any], base: str | None = None) -> None:
    """Write a renderer as `load` reads it, with `values` in its configuration beside the shape. Of one that began from
    `base`, a folder or hub id of Stable Diffusion 1.5, the autoencoder and the image encoder stay there."""
    borrowed = BORROWED if base else ()
    state = {key: value for key, value in model.state_dict().items() if not key.startswith(tuple(borrowed))}
    named = {"base": base} if base else {}
    weights.save(folder, state, values | {"shape": model.shape.to_dict()} | named)
