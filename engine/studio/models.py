"""The models a studio works with, loaded as a configuration says."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.config import Config
from xdancer import weights
from xdancer.errors import UserError
from xdancer.music.frame import HOP
from xdancer.pose.detector import whole
from xdancer.pose.layout import CANVAS_HEIGHT, CANVAS_WIDTH
from xdancer.pose.mediapipe import MediaPipeDetector, installed
from xdancer.renderer import reference

if TYPE_CHECKING:
    from xdancer import Choreographer, MusicAnalyzer, PoseTokenizer, SkeletonRenderer


@dataclass(frozen=True)
class Models:
    """`analyzer` makes a new one, for an analyzer is its own state."""

    analyzer: "Callable[[], MusicAnalyzer]"
    tokenizer: "PoseTokenizer"
    choreographer: "Choreographer"
    renderer: "SkeletonRenderer"
    start: np.ndarray | None = None  # tokens (1, 5, 6) that the dance begins from; None: the choreographer's own

    def begun_from(self, pose: np.ndarray) -> "Models":
        """The same, with a dance that begins from this pose (60, 3), and so keeps its proportions."""
        return replace(self, start=self.tokenizer.encode(pose[None], search=True))

    def info(self) -> dict[str, Any]:
        """What others need to know of them."""
        return {
            "tokenizer": self.tokenizer.name,
            "tokenizer_sha256": self.tokenizer.sha256,
            "receptive_field": self.tokenizer.receptive_field,
            "choreographer": self.choreographer.name,
            "styles": list(self.choreographer.styles),
        }


def load_models(config: Config) -> Models:
    """Everything from the weights. Raises UserError where some are missing, damaged, or do not belong together."""
    check_renderer(config)
    from xdancer import Choreographer, MusicAnalyzer, PoseTokenizer, SkeletonRenderer

    MusicAnalyzer()  # its weights are found now or never
    tokenizer = PoseTokenizer.from_pretrained(config.weights.tokenizer)
    models = Models(
        analyzer=MusicAnalyzer,
        tokenizer=tokenizer,
        choreographer=Choreographer.from_pretrained(config.weights.choreographer, tokenizer),
        renderer=SkeletonRenderer(config.width, config.height),
    )
    if config.style is not None and config.style not in models.choreographer.styles:
        known = ", ".join(models.choreographer.styles) or "none"
        raise UserError(f"style: this choreographer has no {config.style!r}, only {known}")
    _rehearse(models, config.weights.choreographer)
    return models if (pose := _posed(config)) is None else models.begun_from(pose)


def _rehearse(models: Models, name: str) -> None:
    """Dance a frame: weights of another shape are found out before the show, and its first frame is not the slowest."""
    try:
        (music,) = models.analyzer().push(np.zeros(HOP, np.float32))
        rows = models.choreographer.stream().step([music]).tokens
        models.renderer.draw(models.tokenizer.decode(rows)[-1])
    except (ValueError, TypeError, KeyError, IndexError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"choreographer {name!r} does not fit this version of xdancer ({reason})") from None


def _posed(config: Config) -> np.ndarray | None:
    """The pose of who is to be drawn, in their picture, where it is known or there is a detector to find it."""
    if config.renderer != "diffusion":
        return None
    if config.reference is None:
        if weights.elsewhere(config.weights.renderer):
            return None
        return reference.own(weights.find("renderer", config.weights.renderer))[1]
    if not installed():
        return None
    try:
        pose = MediaPipeDetector().detect(reference.load(config.reference, CANVAS_HEIGHT, CANVAS_WIDTH))
    except UserError:  # whoever draws the person says what is wrong with their picture
        return None
    return pose if whole(pose) else None  # half a person would be half a dancer all night


def check_renderer(config: Config) -> None:
    """Raises UserError where the renderer, or the picture of who is to dance, cannot be had."""
    if config.renderer == "diffusion" and not weights.elsewhere(config.weights.renderer):  # a hub's come when needed
        try:
            weights.find("renderer", config.weights.renderer)
        except UserError as error:
            raise UserError(f"renderer: {error}") from None
    if config.renderer == "diffusion" and config.reference is not None:
        reference.load(config.reference, config.height, config.width)
