"""What the performer wants, and what of it has taken hold."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import ValidationError

from engine.clock.show import unavailable
from engine.config import Config
from engine.control.presets import Presets
from engine.control.references import References
from engine.params import Change, Moment, Params
from engine.studio.models import check_renderer
from xdancer.config import first_error
from xdancer.errors import UserError

MOST_KEYS = 32  # of a change; more is nonsense, and checking it takes time
MOST_SAID = 300  # characters of an error, which may repeat what a stranger sent


class Performer:
    """The parameters of a show: every way in (HTTP, MQTT, OSC, MIDI) ends in `set`.

    `send` passes a change on to the studios, `styles` gives the styles that can be danced, None while nobody knows.
    `listeners` are called with the parameters after each change; `tapped` with the time of each tap, to say whether the
    taps make a tempo.
    """

    def __init__(
        self,
        config: Config,
        send: Callable[[Mapping[str, Any], Moment], None],
        styles: Callable[[], list[str] | None],
    ) -> None:
        self.presets = Presets(config)
        self.references = References()
        self.listeners: list[Callable[[dict[str, Any]], None]] = []
        self.tapped: Callable[[float], bool] = lambda at: False
        self.active = config.params()  # what the newest frame was made with
        self._send, self._styles = send, styles
        self._wanted, self._apply = config.params(), "frame"
        self._moments: dict[str, Moment] = {}  # of the last wish for each
        self._unavailable = _unavailable(config)

    @property
    def wanted(self) -> Params:
        return self._wanted

    @property
    def params(self) -> dict[str, Any]:
        """The parameters as clients see them, with the `apply` of the last change."""
        return {**self._wanted.model_dump(), "apply": self._apply}

    def set(self, changes: Mapping[str, Any]) -> dict[str, Any]:
        """Change some parameters, taking hold as `apply` (frame, beat, bar) says; returns all of them.

        `preset` names changes to begin with; `tap`, always true, says that a beat is now. Raises UserError, one line,
        where a name or value is wrong.
        """
        if "tap" in changes:
            if changes["tap"] is not True:
                raise UserError("params: tap: expected true")
            self.tap(asyncio.get_running_loop().time())
            changes = {name: value for name, value in changes.items() if name != "tap"}
            if not changes:
                return self.params
        try:
            change = self._checked(changes)
        except UserError as error:
            raise UserError(_one_line(str(error))) from None
        given = change.given()
        self._wanted, self._apply = self._wanted.model_copy(update=given), change.apply
        self._moments.update(dict.fromkeys(given, change.apply))
        self._send(given, change.apply)
        for listener in self.listeners:
            listener(self.params)
        return self.params

    def tap(self, at: float) -> None:
        """A beat was tapped at that time, on the event loop's clock; once taps make a tempo, it is followed."""
        if self.tapped(at) and self._wanted.clock != "tap":
            self.set({"clock": "tap"})

    def state(self) -> dict[str, Any]:
        """`params` as they are wanted, `active` as the newest frame was made, `pending`: the moment that each parameter
        waits for, and `unavailable`: why some cannot be had, by parameter (and value, for renderer and clock)."""
        active = self.active.model_dump()
        pending = {name: self._moments.get(name, "frame") for name in active if self._differs(name)}
        return {"params": self.params, "active": active, "pending": pending, "unavailable": self._unavailable}

    def _differs(self, name: str) -> bool:
        return bool(getattr(self._wanted, name) != getattr(self.active, name))

    def _checked(self, changes: Mapping[str, Any]) -> Change:
        if len(changes) > MOST_KEYS or any(len(key) > MOST_KEYS for key in changes):
            raise UserError("params: too many or too long keys")
        given = dict(changes)
        if "preset" in given:
            name = given.pop("preset")
            if not isinstance(name, str | int):
                raise UserError("params: preset: expected a name or a key from 1 to 9")
            given = self.presets.find(name)[1].model_dump(exclude_unset=True) | given
        try:
            change = Change.model_validate(given)
        except ValidationError as error:
            raise UserError(f"params: {first_error(error, Change)}") from None
        if not change.given():
            raise UserError("params: nothing to change")
        styles = self._styles()
        if change.style is not None and styles is None:
            raise UserError("params: style: the studio is still loading its styles; try again")
        if change.style is not None and change.style not in (styles or []):
            raise UserError(f"params: style: there is no {change.style!r}, only {', '.join(styles or []) or 'none'}")
        for name in ("renderer", "clock"):
            why = self._unavailable[name].get(getattr(change, name))
            if why and name in change.model_fields_set:
                raise UserError(f"params: {name}: {why}")
        if change.reference is not None:
            if self._unavailable["reference"]:
                raise UserError(f"params: reference: {self._unavailable['reference']}")
            self.references.path(change.reference)
        return change


def _unavailable(config: Config) -> dict[str, Any]:
    renderers = {}
    for name in ("skeleton", "diffusion"):
        try:
            check_renderer(config.model_copy(update={"renderer": name}))
        except UserError as error:
            renderers[name] = _one_line(str(error).removeprefix("renderer: "))
    reference = "only the diffusion renderer draws a person from a picture" if "diffusion" in renderers else None
    return {"renderer": renderers, "reference": reference, "clock": unavailable(config)}


def _one_line(text: str) -> str:
    line = "".join(c if c.isprintable() else "?" for c in " ".join(text.split()))
    return line if len(line) <= MOST_SAID else line[: MOST_SAID - 1] + "…"
