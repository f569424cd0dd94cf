"""The `osc` and `midi` sections of the configuration."""

import ipaddress
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, IPvAnyNetwork, field_validator, model_validator


class OscSettings(BaseModel):
    """`port` None: off. Beyond loopback UDP carries no token, so `allow` names the addresses or networks that are
    heard."""

    model_config = ConfigDict(extra="forbid", validate_assignment=True)

    port: int | None = Field(None, ge=0, le=65535)
    host: str = "127.0.0.1"
    allow: list[IPvAnyNetwork] = []

    @field_validator("host")
    @classmethod
    def _host_is_an_address(cls, value: str) -> str:
        return str(ipaddress.ip_address(value))

    @model_validator(mode="after")
    def _beyond_loopback_by_name(self) -> "OscSettings":
        if self.port is not None and not ipaddress.ip_address(self.host).is_loopback and not self.allow:
            raise ValueError("host: can be reached from other machines; name those that are heard in osc.allow")
        return self


CONTROL = r"^(control|note|program) ([1-9]|1[0-6]) (\d|[1-9]\d|1[01]\d|12[0-7])$"
BUTTONS = "mirror|hold|blackout|flash|tap|double|halve|earlier|later"
TARGET = rf"^(energy|temperature|style|seed|nudge_ms|{BUTTONS}|preset .{{1,40}})$"
MidiMapping = Annotated[
    dict[Annotated[str, Field(pattern=CONTROL)], Annotated[str, Field(pattern=TARGET)]], Field(max_length=256)
]


class MidiSettings(BaseModel):
    """`port` is off, any, or part of a port's name. `map` says what each control does: `control 1 7: energy` is
    controller 7 on channel 1. What the control page learns is kept in `file`, where one is named."""

    model_config = ConfigDict(extra="forbid", validate_assignment=True)

    port: str = Field("off", min_length=1)
    map: MidiMapping = {}
    file: Path | None = None
