"""Configuration: YAML and `key=value` on the command line, checked against a schema.

Whatever is wrong is said in one line that names the key by its dotted path.
"""

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError

from xdancer.errors import UserError

M = TypeVar("M", bound=BaseModel)


class Loader(yaml.SafeLoader):
    """YAML where only true and false are truth values, as in YAML 1.2: `off` and `no` are words."""


Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:bool"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile("^(true|false)$", re.IGNORECASE), list("tTfF"))


def load_config(path: Path, kind: type[M], settings: Iterable[str] = ()) -> M:
    """The configuration of `path`, changed by `settings` (`a.b=value`). Raises UserError naming the first wrong key."""
    tree = read(path)
    for key, value in changes(settings):
        put(tree, key, value)
    return check(kind, tree, str(path))


def check(model: type[M], tree: Mapping[str, Any], where: str) -> M:
    """`tree` as a `model`. Raises UserError, one line: where, the key's path, what is wrong with it."""
    try:
        return model.model_validate(tree)
    except ValidationError as error:
        raise UserError(f"{where}: {first_error(error, model)}") from None


def first_error(error: ValidationError, model: type[BaseModel]) -> str:
    """The first thing that is wrong: the key by its path, and what is wrong with it."""
    details = error.errors(include_url=False, include_input=False)
    first = details[0]
    path = [str(part) for part in first["loc"]]
    text = first["msg"].removeprefix("Value error, ").removesuffix(".")
    if first["type"] == "extra_forbidden":
        text = "unknown key"
        close = difflib.get_close_matches(path[-1], _keys(model, path[:-1]), n=1)
        if close:
            text += f"; did you mean {'.'.join([*path[:-1], close[0]])}?"
    more = f" (and {len(details) - 1} more)" if len(details) > 1 else ""
    if not path:
        return text
    return f"{'.'.join(path)}: {text[0].lower()}{text[1:]}{more}"


def _keys(model: type[BaseModel], path: list[str]) -> list[str]:
    kind: Any = model
    for part in path:
        of = get_args(kind)  # a list of sections, or a dictionary of them
        kind = of[-1] if of else kind.model_fields[part].annotation
    return list(getattr(kind, "model_fields", ()))


def read(path: Path) -> dict[str, Any]:
    """The keys and values of a YAML file. Raises UserError where there are none to be had."""
    try:
        tree = yaml.load(path.read_text(encoding="utf-8"), Loader)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        line = getattr(getattr(error, "problem_mark", None), "line", None)
        at = f", line {line + 1}" if line is not None else ""
        raise UserError(f"{path}{at}: not valid YAML ({getattr(error, 'problem', None) or 'not text'})") from None
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise UserError(f"{path}: expected keys and values, found {type(tree).__name__}")
    return tree


def changes(settings: Iterable[str]) -> Iterator[tuple[str, Any]]:
    """Dotted keys and values of `a.b=value`, the value read as YAML. Raises UserError on anything else."""
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals or not key:
            raise UserError(f"{setting!r}: expected key=value, for example mqtt.url=off")
        try:
            yield key, yaml.load(value, Loader)
        except yaml.YAMLError:
            yield key, value


def put(tree: dict[str, Any], dotted: str, value: Any) -> None:
    """Set a key of the tree by its dotted path. Raises UserError where it leads through a value."""
    *path, last = dotted.split(".")
    for part in path:
        below = tree.setdefault(part, {})
        if not isinstance(below, dict):
            raise UserError(f"{dotted}: {part} is a value, not a section")
        tree = below
    tree[last] = value
