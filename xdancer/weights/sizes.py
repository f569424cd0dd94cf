"""Sizes of a network, as they stand in the `config.json` beside its weights."""

from dataclasses import asdict
from typing import Any, Self


class Sizes:
    """What a frozen dataclass of numbers and tuples needs to be written to JSON and read again."""

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)  # type: ignore[call-overload]

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Lists become tuples again. Raises TypeError for a key it does not know."""
        return cls(**{key: tuple(value) if isinstance(value, list) else value for key, value in values.items()})
