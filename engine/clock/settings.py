"""The `clock` section of the configuration."""

from pydantic import ConfigDict

from engine.params import ClockName, TempoParams


class ClockSettings(TempoParams):
    """`source`: which clock the dance follows at first, while it is there; without it, the beat that is heard. `auto`:
    whichever exact clock is there. `link`: whether Ableton Link is listened to before anybody asks for it."""

    model_config = ConfigDict(extra="forbid", validate_assignment=True)

    source: ClockName = "auto"
    link: bool = False
