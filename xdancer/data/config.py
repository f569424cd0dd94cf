"""The corpus configuration: a validated YAML file."""

import os
import re
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from xdancer.errors import UserError


class MotionSource(BaseModel):
    """One source of motion. `weight` is how often it is danced, against its length; `cutoff_hz` of the noise filter."""

    model_config = ConfigDict(extra="forbid")
    source: str
    files: str
    style: str = "general"
    styles: dict[str, str] = Field(default_factory=dict)
    fps: float = Field(default=30.0, gt=0)
    weight: float = Field(default=1.0, ge=0)
    cutoff_hz: float = Field(default=9.0, gt=0)
    split_by: str | None = None

    def style_of(self, name: str) -> str:
        """The style of a take: of the first pattern in `styles` that its name matches, else the source's."""
        return next((style for pattern, style in self.styles.items() if re.search(pattern, name)), self.style)


class CorpusConfig(BaseModel):
    """What the corpus is made from. `songs` and `dances` are read by their own stages."""

    model_config = ConfigDict(extra="forbid")
    seed: int = 1
    val_share: float = Field(default=0.12, ge=0, le=0.5)
    bodies: str = "avatars/*.npz"
    motion: list[MotionSource]
    songs: dict[str, Any] = Field(default_factory=dict)
    dances: dict[str, Any] = Field(default_factory=dict)


def data_root() -> Path:
    """The folder of raw data: XDANCER_DATA, or `data`. Raises UserError where it does not exist."""
    root = Path(os.environ.get("XDANCER_DATA") or "data")
    if not root.is_dir():
        raise UserError(f"no folder of raw data at {root}; set XDANCER_DATA to where motion/, avatars/ and music/ are")
    return root
