"""The parameters a performer changes while the show runs, and when a change takes hold."""

import json
from collections.abc import Collection, Mapping
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator

from xdancer.errors import UserError

Moment = Literal["frame", "beat", "bar"]
MOMENTS: tuple[Moment, ...] = get_args(Moment)
LONGEST_NAME = 64  # characters of a style
MOST_PRESETS = 64
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

    `energy` in [0, 1]; None leaves it to the music, as `style` None does. `reference` names a picture that was
    uploaded (`engine.control.references`), never a file; None is the one that the configuration names. `trim_ms`: how
    much later than its sound a frame is on show, where the show anticipates; for the room's own delay. `flash`: a white
    picture on each beat, to find that delay by. `clock`: which clock the dance follows, while it is there.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    energy: float | None = Field(None, ge=0, le=1)
    style: str | None = Field(None, max_length=LONGEST_NAME)
    temperature: float = Field(1.0, ge=0, le=2)
    mirror: bool = False
    hold: bool = False
    blackout: bool = False
    renderer: Literal["skeleton", "diffusion"] = "skeleton"
    reference: str | None = Field(None, pattern="^[0-9a-f]{16}$")
    seed: int = Field(0, ge=0, lt=2**32)
    trim_ms: int = Field(0, ge=-500, le=500)
    flash: bool = False
    clock: ClockName = "auto"


def wants_person(params: Params) -> bool:
    """Whether a frame with these is to show the person: a dark show stays dark, and a flash on the beat is white."""
    return params.renderer == "diffusion" and not params.blackout and not params.flash


class Change(Params):
    """A change to some parameters, as a client sends it: those that are set, and `apply`, when it takes hold."""

    apply: Moment = "frame"

    def given(self) -> dict[str, Any]:
        """The parameters that are set."""
        return {name: getattr(self, name) for name in Params.model_fields if name in self.model_fields_set}


def parse_change(text: bytes) -> dict[str, Any]:
    """A JSON object as a client sends it, unchecked. Raises UserError where it is none."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):  # a thousand brackets are no change either
        raise UserError("params: not JSON") from None
    if not isinstance(value, dict):
        raise UserError("params: expected a JSON object")
    return value


class Wishes:
    """Changes that wait for their moment. A later wish for a parameter takes the place of an earlier one, so there is
    never more than one of each, and a blackout for now does not wait behind a style for the bar."""

    def __init__(self) -> None:
        self._waiting: dict[str, tuple[Any, Moment]] = {}

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def put(self, changes: Mapping[str, Any], moment: Moment) -> None:
        """Values of `Params` by name, from the next `moment` on."""
        for name, value in changes.items():
            self._waiting[name] = (value, moment)

    def take(self, moments: Collection[Moment]) -> dict[str, Any]:
        """Those whose moment is one of `moments`; they wait no longer."""
        taken = {name: value for name, (value, moment) in self._waiting.items() if moment in moments}
        for name in taken:
            del self._waiting[name]
        return taken


class Preset(Change):
    """A change under a name. A picture does not outlast the show, so a preset never holds one."""

    @field_validator("reference")
    @classmethod
    def _no_reference(cls, value: str | None) -> str | None:
        raise ValueError("a preset holds no picture; leave it out")


PresetName = Annotated[str, Field(pattern=r"^\w[\w .+-]{0,39}$")]
PresetsByName = Annotated[dict[PresetName, Preset], Field(max_length=MOST_PRESETS)]
