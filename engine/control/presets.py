"""Presets: changes under a name, from the configuration and from a file that the control page may write."""

from collections.abc import Mapping
from typing import Any

import yaml

from engine.config import Config, Section
from engine.control.files import replace
from engine.params import Preset, PresetsByName, TempoParams
from xdancer.config import check, read
from xdancer.errors import UserError

# A picture does not outlast the show; where the beat comes from, and how late the wall is, belong to the evening, not
# to a look; and flashes are for finding that out.
NOT_KEPT = {"reference", "clock", "trim_ms", "flash", *TempoParams.model_fields}


class PresetFile(Section):
    """The file: a `presets` section like the configuration's."""

    presets: PresetsByName = {}


class Presets:
    """In order: the configuration's, then the file's; the file's take the place of others of the same name.

    Raises UserError where the file is wrong; one that is not there yet is made by the first `save`.
    """

    def __init__(self, config: Config) -> None:
        self._path = config.presets_file
        self._saved: dict[str, Preset] = {}
        if self._path and self._path.exists():
            self._saved = dict(check(PresetFile, read(self._path), str(self._path)).presets)
        self._given = dict(config.presets)

    @property
    def savable(self) -> bool:
        """Whether the configuration names a file to save to."""
        return self._path is not None

    def all(self) -> dict[str, Preset]:
        return self._given | self._saved

    def find(self, name: str | int) -> tuple[str, Preset]:
        """A preset by its name, or by its key: 1 is the first. Raises UserError where there is none."""
        presets = self.all()
        if str(name) in presets:
            return str(name), presets[str(name)]
        if str(name).isdecimal() and len(str(name)) < 4 and 0 < int(name) <= len(presets):
            return list(presets.items())[int(name) - 1]
        raise UserError(f"preset: there is no {str(name)[:40]!r}, only {', '.join(presets) or 'none at all'}")

    def save(self, name: str, params: Mapping[str, Any]) -> None:
        """Keep parameters under a name, in the file too. Raises UserError where that cannot be. Blocks on the disk."""
        if self._path is None:
            raise UserError("presets: the configuration names no presets_file to save to")
        values = {key: value for key, value in params.items() if key not in NOT_KEPT}
        tree = {key: preset.model_dump(exclude_unset=True) for key, preset in self._saved.items()} | {name: values}
        saved = dict(check(PresetFile, {"presets": tree}, "presets").presets)
        replace(self._path, yaml.safe_dump({"presets": tree}, sort_keys=False, allow_unicode=True))
        self._saved = saved

    def listing(self) -> list[dict[str, Any]]:
        """For clients: `name`, `key` (1..9 or None) and `params` of each."""
        return [
            {"name": name, "key": k if k <= 9 else None, "params": preset.model_dump(exclude_unset=True)}
            for k, (name, preset) in enumerate(self.all().items(), 1)
        ]
