"""The `clock` section of the configuration."""

from typing import Literal

from pydantic import ConfigDict, Field

from engine.params import ClockName, TempoParams


class ClockSettings(TempoParams):
    """`source`: which clock the dance follows at first, while it is there; without it, the beat that is heard. `auto`:
    whichever exact clock is there. `listen`: the ones from outside that are listened to before anybody asks for them.

    `midi_port`: part of the name of a MIDI input; None makes one called xdancer, for others to connect to.
    """

    model_config = ConfigDict(extra="forbid", validate_assignment=True)

    source: ClockName = "auto"
    listen: tuple[Literal["link", "midi", "osc"], ...] = ()
    midi_port: str | None = None
    osc_host: str = "127.0.0.1"
    osc_port: int = Field(9100, ge=0, le=65535)
