"""The configuration of a show: a checked schema, read from YAML and from `key=value` on the command line.

Whatever is wrong is said in one line that names the key by its dotted path.
"""

import ipaddress
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from engine.clock.settings import ClockSettings
from engine.control.settings import MidiSettings, OscSettings
from engine.mqtt.settings import MqttSettings
from engine.osc_out import OscOutSettings
from engine.params import Params, PresetsByName, TempoParams
from xdancer.config import changes, check, put, read
from xdancer.errors import UserError

TOKEN_VARIABLE = "XDANCER_TOKEN"
ICE_URL = re.compile(r"stuns?:[\w.-]+(:\d+)?|turns?:[\w.-]+(:\d+)?(\?transport=(udp|tcp))?")


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", validate_assignment=True)


class AudioSettings(Section):
    """`source`: demo, a file, a URL (http, https, rtmp, rtsp), `device`, `device:NAME` or browser.
    `loop` repeats a file."""

    source: str = Field("demo", min_length=1)
    loop: bool = False


class IceServer(Section):
    """A STUN or TURN server, for viewers that no direct way leads to; `credential` is told to those who may watch."""

    urls: list[str] = Field(min_length=1)
    username: str | None = None
    credential: SecretStr | None = None

    @field_validator("urls")
    @classmethod
    def _urls_are_servers(cls, value: list[str]) -> list[str]:
        for url in value:
            if not ICE_URL.fullmatch(url):
                raise ValueError(f"{url!r} is not stun:HOST[:PORT] or turn:HOST[:PORT][?transport=udp|tcp]")
        return value


class WhipOutSettings(Section):
    """Where the show is published by WHIP (RFC 9725), `url` None: nowhere. `token` is that server's bearer token."""

    url: str | None = Field(None, pattern=r"^https?://[^/\s]+")
    token: SecretStr | None = None


class WeightSettings(Section):
    """Each a shipped name, a folder or a hub id. `live` is the newest shipped."""

    tokenizer: str = "live"
    choreographer: str = "live"
    renderer: str = "live"


class Config(Section):
    """One show. `delay_ms` is how much later than the studio hears it a frame is on show; a show that is often late
    raises it by itself up to `delay_most_ms`. `lead` (frames) is for `presentation: anticipate`; without it it is
    measured. `record` is a film of the show from its beginning; films begun while it runs go to the folder
    `recordings`. `bitrate` is the picture's in bits per second, where a viewer's line carries it."""

    show: str = Field("main", pattern=r"^[^/+#\x00]+$")
    host: str = "127.0.0.1"
    port: int = Field(8080, ge=0, le=65535)
    token: SecretStr | None = None
    audio: AudioSettings = AudioSettings()
    clock: ClockSettings = ClockSettings()
    presentation: Literal["delay", "anticipate"] = "delay"
    delay_ms: int = Field(250, ge=0, le=5000)
    delay_most_ms: int = Field(1000, ge=0, le=5000)
    lead: int | None = Field(None, ge=0, le=60)
    trim_ms: int = Field(0, ge=-500, le=500)
    width: int = Field(512, ge=64, le=4096, multiple_of=2)
    height: int = Field(896, ge=64, le=4096, multiple_of=2)
    bitrate: int = Field(4_000_000, ge=100_000, le=50_000_000)
    ice_servers: list[IceServer] = []
    whip_out: WhipOutSettings = WhipOutSettings()
    seed: int = Field(0, ge=0, lt=2**32)
    energy: float | None = Field(None, ge=0, le=1)
    style: str | None = None
    temperature: float = Field(1.0, ge=0, le=2)
    mirror: bool = False
    hold: bool = False
    blackout: bool = False
    flash: bool = False
    renderer: Literal["skeleton", "diffusion"] = "skeleton"
    reference: str | None = None
    weights: WeightSettings = WeightSettings()
    spare: bool = True  # a second studio, models loaded, waits to take over
    record: Path | None = None
    recordings: Path = Path("recordings")
    presets: PresetsByName = {}
    presets_file: Path | None = None  # more presets, and where the control page saves them
    mqtt: MqttSettings = MqttSettings()
    osc: OscSettings = OscSettings()
    midi: MidiSettings = MidiSettings()
    osc_out: OscOutSettings = OscOutSettings()

    @field_validator("record")
    @classmethod
    def _record_is_mp4(cls, value: Path | None) -> Path | None:
        if value is not None and value.suffix.lower() != ".mp4":
            raise ValueError("expected a path that ends in .mp4")
        return value

    @model_validator(mode="after")
    def _only_anticipation_leads(self) -> "Config":
        if self.lead and self.presentation == "delay":
            raise ValueError("lead: only presentation=anticipate has one")
        return self

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach the server."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    def params(self) -> Params:
        """The parameters that the show starts with."""
        tempo = {name: getattr(self.clock, name) for name in TempoParams.model_fields}
        own = {name: getattr(self, name) for name in Params.model_fields if name not in {"reference", "clock", *tempo}}
        return Params(**own, **tempo, clock=self.clock.source)


def load(path: Path | None = None, overrides: Iterable[str] = (), **settings: Any) -> Config:
    """The configuration of `path` (YAML), changed by `overrides` (`a.b=value`, the value read as YAML) and by
    `settings` (dotted names with __ for the dot; None leaves the key alone).

    The bearer token comes from XDANCER_TOKEN or the file. Raises UserError with the path of the first wrong key.
    """
    where = str(path) if path else "config"
    tree = read(path) if path else {}
    for key, value in settings.items():
        if value is not None:
            put(tree, key.replace("__", "."), value)
    for key, value in changes(overrides):
        if key.rpartition(".")[2] == "token":
            instead = f"set {TOKEN_VARIABLE}" if key == "token" else "put it into the --config file"
            raise UserError(f"{key}: not on the command line, where others can read it; {instead}")
        put(tree, key, value)
    if os.environ.get(TOKEN_VARIABLE):
        tree["token"] = os.environ[TOKEN_VARIABLE]
    config = check(Config, tree, where)
    if not config.loopback and config.token is None:
        raise UserError(
            f"host: {config.host} can be reached from other machines, which needs a bearer token; set {TOKEN_VARIABLE}"
        )
    return config
