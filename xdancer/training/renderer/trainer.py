"""The training loop: one stage after another, each resumable, with a moving average, checks and pictures to look at."""

import copy
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from itertools import repeat
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader
from tqdm import tqdm

from xdancer.errors import UserError
from xdancer.renderer.diffusion.autoencoder import REACH
from xdancer.renderer.diffusion.body import SIZE
from xdancer.renderer.diffusion.model import DiffusionModel
from xdancer.tokenizer import PoseTokenizer
from xdancer.training.common import follow, learning_rate, log
from xdancer.training.muon import Muon
from xdancer.training.renderer import objectives, parts, samples
from xdancer.training.renderer.colours import worn
from xdancer.training.renderer.config import RendererConfig, Stage
from xdancer.training.renderer.darkroom import Darkroom
from xdancer.training.renderer.objectives import Batch
from xdancer.training.renderer.scenes import Scene, Scenes, all_poses, gathered, only_references

OWN = {"autoencoder": ("autoencoder.",), "body": ("body.",), "carry": ("body.",)}  # what a stage teaches
DENOISING = ("unet.", "reference.", "motion.", "guider.", "carry.")
BODILY = ("body", "carry")
OUTER = ("body.look.", "body.leave.", "unet.conv_in.", "unet.conv_out.")  # layers that Muon leaves to AdamW
FIXED_SEED = 977  # of the scenes that training is checked, and latents are standardised, on
STANDARD = 32  # training scenes whose latents are to have mean 0 and variance 1
Drawn = tuple[Tensor, ...]


class Trainer:
    """A run: the networks, where they stand, and the scenes they learn from."""

    def __init__(self, config: RendererConfig, corpus: Path, model: DiffusionModel, tokenizer: PoseTokenizer) -> None:
        self.config = config
        self.run = Path(config.run)
        self.device = torch.device(chosen_device(config.device))
        self.model = model.to(self.device).train()
        self.average = copy.deepcopy(self.model).eval().requires_grad_(False)
        self.stage, self.step = 0, 0
        self.scenes = {split: Scenes(corpus, split, 1, tokenizer) for split in ("train", "val")}
        self.optimiser = self._optimiser()
        self._resume()
        self._learn_colours()

    def train(self, minutes: float | None = None, stop_at: int | None = None) -> bool:
        """Go on until the stages are done (True), or for so many minutes, or to the step `stop_at` of all (False)."""
        started = saved = time.monotonic()
        total = sum(stage.steps for stage in self.config.stages)
        bar = tqdm(total=total, initial=self.done, unit="step", desc=self.config.name, mininterval=2)
        while self.stage < len(self.config.stages):
            stage = self.config.stages[self.stage]
            darkroom, held_out = self._darkroom(stage), self._some("val", stage, self.config.check_windows)
            losses: list[Tensor] = []
            last, late = self.step >= stage.steps, False  # a stage that was cut short may be behind it already
            for scenes, drawn in self._drawn(stage, darkroom):
                losses.append(self._update(stage, scenes, drawn))
                bar.update()
                last = self.step == stage.steps
                if self.step % self.config.check_every == 0 or last:
                    self._check(stage, darkroom, held_out, torch.stack(losses).mean(), started)
                    losses = []
                late = minutes is not None and time.monotonic() - started > 60 * minutes
                if last or late or self.done == stop_at:
                    break
                if time.monotonic() - saved > 60 * self.config.save_minutes:
                    self._save()
                    saved = time.monotonic()
            if last:
                self._end_stage(stage, darkroom)
            self._save()
            if late or self.done == stop_at:
                break
        bar.close()
        return self.stage == len(self.config.stages)

    @property
    def done(self) -> int:
        """Steps taken in all stages."""
        return sum(stage.steps for stage in self.config.stages[: self.stage]) + self.step

    def _update(self, stage: Stage, scenes: Scene, drawn: Drawn) -> Tensor:
        generator = torch.Generator().manual_seed(self.config.seed * 1_000_003 + self.done)
        torch.manual_seed(self.config.seed * 1_000_003 + self.done)  # for dropout
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate(self.step, stage.steps, stage.learning_rate, stage.warmup)
        loss = self._loss(stage, scenes, drawn, generator)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_([p for group in self.optimiser.param_groups for p in group["params"]], 1.0)
        self.optimiser.step()
        self.step += 1
        follow(self.average, self.model, min(self.config.average, self.step / (self.step + 9)))
        return loss.detach()

    def _loss(self, stage: Stage, scenes: Scene, drawn: Drawn, generator: torch.Generator) -> Tensor:
        with self._precision(stage):
            if stage.stage in BODILY:
                assert self.model.body is not None
                places, shown, pictures = drawn
                given = all_poses(scenes).to(self.device), places, shown, pictures, generator
                if stage.stage == "body":
                    return objectives.surface(self.model.body, *given)
                return objectives.carrying(self.model.body, *given, self.model.colouring)
            pictures, person = drawn
            if stage.stage == "autoencoder":
                fine, person = pictures.flatten(0, 1), person.flatten(0, 1)
                return objectives.autoencoding(self.model.autoencoder, fine, person)
            if stage.stage == "painting":  # pictures are compared, so only the references are coded
                batch = self._batch(scenes, pictures[:, :1], person)
                return objectives.painting(self.model, batch, pictures[:, 1:], person[:, 1:])
            batch = self._batch(scenes, pictures, person)
            if stage.stage == "consistency":
                return objectives.consistency(self.model, self.average, batch, generator)
            return objectives.denoising(self.model, batch, generator, stage.last)

    def _batch(self, scenes: Scene, pictures: Tensor, person: Tensor) -> Batch:
        with torch.no_grad():
            latents = self.model.autoencoder.encode(pictures.flatten(0, 1)).unflatten(0, pictures.shape[:2])
        covered = F.avg_pool2d(person[:, 1:].flatten(0, 1), REACH).unflatten(0, person[:, 1:].shape[:2])
        posed, tokens, poses = (scenes[name].to(self.device) for name in ("posed", "tokens", "poses"))
        return Batch(latents.float(), covered, pictures[:, 0], posed, tokens, poses)

    def _precision(self, stage: Stage) -> AbstractContextManager[Any]:
        wanted = stage.precision
        if wanted == "bfloat16" or (wanted == "auto" and self.device.type == "cuda"):
            return torch.autocast(self.device.type, torch.bfloat16)
        return nullcontext()

    def _darkroom(self, stage: Stage) -> Darkroom:
        """The autoencoder sees pictures of twice the size, for it puts out both; bodies have a size of their own."""
        scale = 2 if stage.stage == "autoencoder" else 1
        height, width = SIZE if stage.stage in BODILY else (side * scale for side in self.model.shape.size)
        return Darkroom(self.scenes["train"].wardrobe, height, width, self.device, stage.supersample)

    def _drawn(self, stage: Stage, darkroom: Darkroom) -> Iterator[tuple[Scene, Drawn]]:
        """The scenes of the steps still to take and their pictures, batch by batch, each batch `echo` times."""
        again = self.step % stage.echo
        for scenes in self._scenes(stage):
            drawn = self._shown(stage, darkroom, scenes)
            yield from repeat((scenes, drawn), stage.echo - again)
            again = 0

    @staticmethod
    def _shown(stage: Stage, darkroom: Darkroom, scenes: Scene) -> Drawn:
        """What a stage learns from: pictures and where the person is; or places of the body, where there are any, and
        pictures, of the references or of all."""
        if stage.stage == "body":
            return *darkroom.surfaces(scenes), darkroom.draw(only_references(scenes))[0][:, 0]
        if stage.stage == "carry":
            return darkroom.both(scenes)
        return darkroom.draw(scenes)

    def _scenes(self, stage: Stage) -> Iterator[Scene]:
        first, last = self.step // stage.echo, -(-stage.steps // stage.echo)
        numbers = range(first * stage.windows, last * stage.windows)
        data = self.scenes["train"].retold(stage.frames, self.config.seed * 16 + self.stage)
        workers = self.config.workers
        yield from DataLoader(
            data, stage.windows, sampler=numbers, collate_fn=gathered, num_workers=workers,
            pin_memory=self.device.type == "cuda", prefetch_factor=4 if workers else None,
        )  # fmt: skip

    def _some(self, split: str, stage: Stage, count: int) -> Scene:
        """Scenes of a split as this stage tells them, the same ones each time."""
        data = self.scenes[split].retold(stage.frames, FIXED_SEED)
        return gathered([data[k] for k in range(count)])

    @torch.no_grad()
    def _check(self, stage: Stage, darkroom: Darkroom, held_out: Scene, loss: Tensor, started: float) -> None:
        """Loss on held-out people, with the moving average, in the log; pictures beside it."""
        trained, self.model = self.model, self.average
        try:
            drawn = self._shown(stage, darkroom, held_out)
            checked = self._loss(stage, held_out, drawn, torch.Generator().manual_seed(FIXED_SEED))
            path = self.run / "samples" / f"{self.stage}-{stage.stage}-{self.step:06d}.png"
            samples.write(path, self.average, stage.stage, drawn, held_out, self.config.seed)
        finally:
            self.model = trained
        log(
            self.run / "log.jsonl", stage=stage.stage, step=self.step, loss=float(loss), held_out=float(checked),
            seconds=time.monotonic() - started,
        )  # fmt: skip

    def _end_stage(self, stage: Stage, darkroom: Darkroom) -> None:
        """The next stage begins from the average."""
        if stage.stage == "autoencoder":
            scenes = self._some("train", stage, STANDARD)
            pictures = F.avg_pool2d(darkroom.draw(scenes)[0].flatten(0, 1), 2)
            self.average.autoencoder.standardise(pictures)
        self.model.load_state_dict(self.average.state_dict())
        self.stage, self.step = self.stage + 1, 0
        if self.stage < len(self.config.stages):
            self.optimiser = self._optimiser()

    def _optimiser(self) -> torch.optim.Optimizer:
        stage = self.config.stages[self.stage]
        prefixes = taught(stage)
        chosen = {name: p for name, p in self.model.named_parameters() if name.startswith(prefixes)}
        if not chosen:
            raise UserError(f"stages.{self.stage}.learns: no parameter begins with {' or '.join(prefixes)}")
        self.model.requires_grad_(False)
        for parameter in chosen.values():
            parameter.requires_grad_(True)
        if stage.optimiser == "muon":
            hidden = [p for name, p in chosen.items() if p.ndim > 1 and not name.startswith(OUTER)]
            others = [p for name, p in chosen.items() if p.ndim <= 1 or name.startswith(OUTER)]
            return Muon(hidden, others, lr=stage.learning_rate)
        return torch.optim.AdamW(chosen.values(), lr=stage.learning_rate, betas=(0.9, 0.99), weight_decay=1e-2)

    def _save(self) -> None:
        """Write a checkpoint, and go on from what it says, so that whoever resumes goes the same way.

        Weights are kept in full; the average, where there is any, as its difference from them and the optimiser's
        moments in bfloat16."""
        model = self.model.state_dict()
        apart = {
            key: (value - model[key]).bfloat16() if value.is_floating_point() else value
            for key, value in self.average.state_dict().items()
            if not torch.equal(value, model[key])  # what this stage does not teach is the same in both
        }
        state = self.optimiser.state_dict()
        moments = {
            index: {k: v.bfloat16() if v.ndim else v for k, v in entry.items()}
            for index, entry in state["state"].items()
        }
        groups = state["param_groups"]
        values = {"model": model, "apart": apart, "moments": moments, "groups": groups}
        parts.save(self.run, values | {"stage": self.stage, "step": self.step}, self.done)
        self._restore(values)

    def _learn_colours(self) -> None:
        """Where the weights that this began from do not know yet how people are coloured."""
        colouring = self.model.colouring
        if colouring is not None and not colouring.learned:
            colouring.learn(worn(self.scenes["train"]))
            assert self.average.colouring is not None
            self.average.colouring.load_state_dict(colouring.state_dict())

    def _resume(self) -> None:
        values = parts.load(self.run)
        if values is None:
            return
        try:
            self.stage, self.step = int(values["stage"]), int(values["step"])
            if self.stage < len(self.config.stages):
                self.optimiser = self._optimiser()
            self._restore(values)
        except (RuntimeError, KeyError, ValueError, IndexError) as error:
            raise UserError(
                f"{self.run}: its checkpoint is from a run of another shape; change `run` or remove it to start again"
            ) from error

    def _restore(self, values: dict[str, Any]) -> None:
        model = {key: value.to(self.device) for key, value in values["model"].items()}
        self.model.load_state_dict(model)
        apart = {key: value.to(self.device) for key, value in values["apart"].items()}
        average = {k: model[k] + v.to(model[k]) if model[k].is_floating_point() else v for k, v in apart.items()}
        self.average.load_state_dict(model | average)
        moments = {index: {k: v.float() for k, v in entry.items()} for index, entry in values["moments"].items()}
        if self.stage < len(self.config.stages):
            self.optimiser.load_state_dict({"state": moments, "param_groups": values["groups"]})


def taught(stage: Stage) -> tuple[str, ...]:
    """How the names of the parameters begin that a stage teaches."""
    return tuple(stage.learns) or OWN.get(stage.stage, DENOISING)


def chosen_device(wanted: str) -> str:
    """Raises UserError where the device is not there."""
    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if wanted.startswith("cuda") and not torch.cuda.is_available():
        raise UserError(f"device: {wanted} is not there; `auto` takes what is")
    return wanted
