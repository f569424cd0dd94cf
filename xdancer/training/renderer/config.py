"""The configuration of a renderer's training: a validated YAML file."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

StageName = Literal["autoencoder", "body", "carry", "images", "motion", "painting", "consistency"]


class Stage(BaseModel):
    """One stage: what it asks, for how many steps, on how many windows of how many frames.

    learns: prefixes of the parameters that it changes; all but the autoencoder's where empty. precision: `auto` is
    bfloat16 on a GPU and float32 on CPU. supersample: each pixel drawn is the mean of so many squared. last: share of
    the windows that hold nothing but noise. echo: steps that each drawn batch is used for, with other noise
    (arXiv 1907.05550). optimiser: Muon learns what bodies look like in half of AdamW's steps; the others have not been
    tried.
    """

    model_config = ConfigDict(extra="forbid")
    stage: StageName
    steps: int = Field(gt=0)
    windows: int = Field(gt=0)
    frames: int = Field(default=1, ge=1)
    learning_rate: float = Field(gt=0)
    warmup: int = Field(default=200, ge=0)
    optimiser: Literal["adamw", "muon"] = "adamw"
    learns: list[str] = Field(default_factory=list)
    precision: Literal["auto", "bfloat16", "float32"] = "auto"
    supersample: int = Field(default=2, gt=0)
    last: float = Field(default=0.0, ge=0, le=1)
    echo: int = Field(default=1, gt=0)


class RendererConfig(BaseModel):
    """Everything a run depends on beside the corpus, which is a folder, or the file that `corpus pack` wrote.

    shape: the shipped size; that led by drawn skeletons; or one written out. begin: a shipped name or a folder of
    weights of that shape to begin from; parts that they lack begin untrained, and all but `begin_parts` where those are
    named. base: a folder or hub id of Stable Diffusion 1.5 to begin from; `shape` then gives `size` and `motion` only.
    average: of the moving average of the weights, which is what is written in the end. workers: processes that think up
    scenes. passes: of the live schedule that a show makes at most.
    """

    model_config = ConfigDict(extra="forbid")
    name: str
    corpus: str
    run: str
    tokenizer: str = "live"
    seed: int = 1
    begin: str | None = None
    begin_parts: list[str] = Field(default_factory=list)
    base: str | None = None
    stages: list[Stage] = Field(min_length=1)
    device: str = "auto"
    average: float = Field(default=0.999, ge=0, lt=1)
    check_every: int = Field(default=500, gt=0)
    check_windows: int = Field(default=4, gt=0)
    save_minutes: float = Field(default=3.0, gt=0)
    workers: int = Field(default=0, ge=0)
    passes: int = Field(default=4, ge=1, le=4)
    threads: int = Field(default=2, gt=0)
    shape: Literal["live", "live-guided"] | dict[str, Any] = "live"
