"""The parameters a performer changes while the show runs, and when a change takes hold."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Moment = Literal["frame", "beat", "bar"]


class Params(BaseModel):
    """What is danced and drawn. `mirror` and `hold` are in the tokens; `blackout` leaves only the picture dark.

    `energy` in [0, 1]; None leaves it to the music, as `style` None does. `trim_ms`: how much later than its sound a
    frame is on show, where the show anticipates; for the room's own delay. `flash`: a white picture on each beat, to
    find that delay by.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    energy: float | None = Field(None, ge=0, le=1)
    style: str | None = None
    temperature: float = Field(1.0, ge=0, le=2)
    mirror: bool = False
    hold: bool = False
    blackout: bool = False
    renderer: Literal["skeleton", "diffusion"] = "skeleton"
    reference: str | None = None
    seed: int = 0
    trim_ms: int = Field(0, ge=-500, le=500)
    flash: bool = False


class Change(Params):
    """A change to some parameters, as a client sends it: those that are set, and `apply`, when it takes hold."""

    apply: Moment = "frame"
