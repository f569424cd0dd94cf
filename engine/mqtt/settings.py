"""Where to publish: the `mqtt` section of the configuration, and what an `mqtt.url` means."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from urllib.parse import unquote, urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator

from xdancer.errors import UserError

Version = Literal["3.1.1", "5"]
SCHEMES = {"mqtt": 1883, "mqtts": 8883, "ws": 80, "wss": 443}


class MqttSettings(BaseModel):
    """`url` is `embedded` (a broker of our own on loopback), `off`, or mqtt://, mqtts://, ws:// or wss://.

    The ports are the embedded broker's, which speaks 3.1.1 only, and takes web pages of this machine and of `origins`
    (`http://HOST:PORT`, or `null` for one opened as a file); `version` is for others. `ca` is a file of
    certificates to trust instead of the system's, for mqtts and wss. Name and password may stand in the URL or apart;
    they are never logged.
    """

    model_config = ConfigDict(extra="forbid", coerce_numbers_to_str=True)

    url: str = "embedded"
    port: int = Field(1883, ge=0, le=65535)
    ws_port: int = Field(9001, ge=0, le=65535)
    origins: list[str] = []
    username: str | None = None
    password: str | None = Field(None, repr=False)
    ca: Path | None = None
    version: Version = "3.1.1"
    queue: int = Field(256, ge=1)

    @field_validator("version", mode="before")
    @classmethod
    def _version_in_figures(cls, value: Any) -> str:
        return str(value)  # YAML reads 5 as a number


@dataclass(frozen=True)
class Address:
    """A broker to connect to. `str()` leaves the password out."""

    scheme: str
    host: str
    port: int
    path: str = "/mqtt"
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    ca: Path | None = None
    version: Version = "3.1.1"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.host}:{self.port}"


def parse_url(settings: MqttSettings) -> Address:
    """The address in `settings.url`. Raises UserError where it is none."""
    try:
        parts = urlsplit(settings.url)
        port = parts.port
    except ValueError as error:
        raise UserError(f"mqtt.url: {error}; expected mqtt://HOST[:PORT], embedded or off") from None
    if parts.scheme not in SCHEMES or not parts.hostname:
        # The URL may hold a password: what was given is not repeated.
        raise UserError("mqtt.url: not a broker's address; expected mqtt://, mqtts://, ws:// or wss://HOST[:PORT], "
                        "embedded or off")  # fmt: skip
    if settings.ca is not None and not settings.ca.is_file():
        raise UserError(f"mqtt.ca: {settings.ca}: no such file; expected a file of CA certificates (PEM)")
    return Address(
        scheme=parts.scheme,
        host=parts.hostname,
        port=port or SCHEMES[parts.scheme],
        path=parts.path if len(parts.path) > 1 else "/mqtt",
        username=unquote(parts.username) if parts.username else settings.username,
        password=unquote(parts.password) if parts.password else settings.password,
        ca=settings.ca,
        version=settings.version,
    )
