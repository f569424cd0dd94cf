"""The painter's work, without processes or clocks: poses of the dance in, pictures of the person out."""

import time
from collections import deque

import cv2
import numpy as np

from engine.painter.pace import Setting
from engine.painter.shared import Painting
from xdancer.renderer import Renderer


class Painter:
    """Draws the frames it is given, or every second to fourth of them, in the size of the show.

    `spent`: seconds that the last chunk took, a drawn frame.
    """

    def __init__(self, renderer: Renderer, width: int, height: int, setting: Setting, seed: int = 0) -> None:
        self.renderer = renderer
        self.spent = 0.0
        self._size, self._seed = (width, height), seed
        wanted = -(-height // renderer.height)
        self._scale = next((scale for scale in renderer.scales if scale >= wanted), renderer.scales[-1])
        self.change(setting)

    def change(self, setting: Setting) -> None:
        """Go on by another setting; what is still in the making is left out."""
        self.setting = setting
        self._stream = self.renderer.stream(self._seed, scale=self._scale, levels=setting.levels, chunk=setting.chunk)
        self._under_way: deque[int] = deque()

    def make_do(self) -> str | None:
        """Go on with less memory: one pass a picture, then smaller ones, at last of the renderer's own size. What it
        draws now, for people; None where there is nothing left to do without."""
        if self.setting.levels > 1:
            self.change(Setting(1, self.setting.stride))
            return "pictures in one pass"
        if self._scale > 1:
            self._scale //= 2
            self.change(self.setting)
            return f"pictures of {self._scale * self.renderer.width} x {self._scale * self.renderer.height} px"
        return None

    def push(self, index: int, tokens: np.ndarray, pose: np.ndarray) -> list[Painting]:
        """The next frame: its number, tokens (5, 6) and pose (60, 3). The pictures that got ready, in order."""
        if index % self.setting.stride:
            return []
        began = time.perf_counter()
        self._under_way.append(index)
        made = self._stream.step(tokens[None], pose[None])
        if len(made):
            self.spent = (time.perf_counter() - began) / len(made)
        return self._painted(made)

    def finish(self) -> list[Painting]:
        """The pictures still in the making when the dance ends."""
        return self._painted(self._stream.finish())

    def _painted(self, made: np.ndarray) -> list[Painting]:
        return [Painting(self._under_way.popleft(), self._fitted(picture)) for picture in made]

    def _fitted(self, picture: np.ndarray) -> np.ndarray:
        """All of the picture, in the middle of the show's."""
        width, height = self._size
        scale = min(width / picture.shape[1], height / picture.shape[0])
        across, down = round(picture.shape[1] * scale), round(picture.shape[0] * scale)
        large = cv2.resize(picture, (across, down), interpolation=cv2.INTER_CUBIC)
        left, above = (width - across) // 2, (height - down) // 2
        return cv2.copyMakeBorder(
            large, above, height - down - above, left, width - across - left, cv2.BORDER_REPLICATE
        )
