"""Frames with the sound that belongs to them, for outlets that need both."""

from collections import deque
from dataclasses import replace

from engine.stage.frame import Outlet, ShowFrame
from engine.studio.shared import SoundRing


class OnceHeard:
    """Shows `outlet` each frame once its sound has been heard: in a show that anticipates, that is after its picture.

    Holds as many frames as the dance runs ahead.
    """

    def __init__(self, outlet: Outlet, sound: SoundRing) -> None:
        self._outlet, self._sound = outlet, sound
        self._waiting: deque[ShowFrame] = deque()

    def made(self, frame: ShowFrame) -> None:
        self._outlet.made(frame)

    def shown(self, frame: ShowFrame) -> None:
        self._waiting.append(frame)
        while self._waiting and self._waiting[0].index < self._sound.written:
            index = self._waiting[0].index
            self._outlet.shown(replace(self._waiting.popleft(), sound=self._sound.read(index, index + 1)))
