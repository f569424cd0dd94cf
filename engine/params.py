"""The parameters a performer changes while the show runs, and when a change takes hold."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

Moment = Literal["frame", "beat", "bar"]
ClockName = Literal["auto", "audio", "link", "midi", "osc", "tap", "fixed"]
SCALES = (0.25, 0.5, 1.0, 2.0, 4.0)


def _a_scale(value: float) -> float:
    if value not in SCALES:
        raise ValueError(f"expected one of {', '.join(f'{scale:g}' for scale in SCALES)}")
    return value


class TempoParams(BaseModel):
    """How the beat is taken. `tempo`: of the fixed clock, beats a minute.

    `tempo_scale` doubles or halves the beat that is heard; `tempo_from` brings it, by octaves, to `tempo_from` up to
    twice that. `nudge_ms` and `nudge_beats` set the beats of any clock later, or earlier where negative.
    """

    tempo: float = Field(120.0, ge=20, le=300)
    tempo_scale: Annotated[float, AfterValidator(_a_scale)] = 1.0
    tempo_from: float | None = Field(None, ge=35, le=150)
    nudge_ms: float = Field(0.0, ge=-1000, le=1000)
    nudge_beats: float = Field(0.0, ge=-4, le=4)


class Params(TempoParams):
    """What is danced and drawn. `mirror` and `hold` are in the tokens; `blackout` leaves only the picture dark.

    `energy` in [0, 1]; None leaves it to the music, as `style` None does. `clock`: which clock the dance follows; it
    and `tempo` change at once, whatever `apply` says.
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
    clock: ClockName = "auto"


class Change(Params):
    """A change to some parameters, as a client sends it: those that are set, and `apply`, when it takes hold."""

    apply: Moment = "frame"
