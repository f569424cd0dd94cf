"""What controllers turn, many times a second, made into changes that the show can bear."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any

from engine.params import MOMENTS, Moment, Wishes
from xdancer.errors import UserError

log = logging.getLogger(__name__)
EVERY = 1 / 30  # seconds between changes: a frame
SILENT = 10.0  # seconds between two complaints


class Seldom:
    """Says what went wrong, and not again for a while."""

    def __init__(self) -> None:
        self.count = 0
        self._quiet_until = 0.0

    def warn(self, text: str) -> None:
        self.count += 1
        now = asyncio.get_running_loop().time()
        if now >= self._quiet_until:
            self._quiet_until = now + SILENT
            log.warning("%s", text)


class Knobs:
    """The first change goes out at once; what is turned until the next frame goes out together, the last value counts.

    `set_params` is `Performer.set`, `params` gives the parameters as they are.
    """

    def __init__(self, set_params: Callable[[Mapping[str, Any]], Any], params: Callable[[], Mapping[str, Any]]) -> None:
        self.params = params
        self.refused = Seldom()
        self._set = set_params
        self._wishes = Wishes()
        self._timer: asyncio.TimerHandle | None = None

    def turn(self, name: str, value: Any, moment: Moment = "frame") -> None:
        """Wish for a value of a parameter, or for a `preset`."""
        self._wishes.put({name: value}, moment)
        if self._timer is None:
            self._flush()

    def close(self) -> None:
        """What waits is forgotten."""
        if self._timer:
            self._timer.cancel()

    def _flush(self) -> None:
        self._timer = None
        if not self._wishes:
            return
        self._timer = asyncio.get_running_loop().call_later(EVERY, self._flush)
        for moment in MOMENTS:
            changes = self._wishes.take([moment])
            if not changes:
                continue
            try:
                self._set(changes if set(changes) == {"preset"} and moment == "frame" else changes | {"apply": moment})
            except UserError as error:
                self.refused.warn(str(error))
