"""The rules of the house that a reviewer would otherwise check by hand."""

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PINNED = {
    re.sub(r"[-_.]+", "-", line.split("==")[0]).lower()
    for line in (ROOT / "constraints.txt").read_text().splitlines()
    if "==" in line and not line.startswith("#")
}


def imports(path: Path) -> set[str]:
    """The modules that a file imports, at its top or in a function."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


def files(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


@pytest.mark.parametrize("extra", [None, "dev", "midi", "peers", "link"])
def test_every_requirement_is_pinned_in_the_constraints(extra: str | None) -> None:
    wanted = PROJECT["optional-dependencies"][extra] if extra else PROJECT["dependencies"]
    names = {re.sub(r"[-_.]+", "-", re.split(r"[^A-Za-z0-9._-]", line)[0]).lower() for line in wanted}
    assert names - PINNED == set()


def test_the_library_runs_without_the_engine_asyncio_or_sockets() -> None:
    forbidden = {"engine", "clients", "asyncio", "socket", "sounddevice", "aiohttp", "aiortc", "aiomqtt"}
    broken = {str(path): imports(path) for path in files("xdancer")}
    assert {
        path: used for path, names in broken.items() if (used := {n.split(".")[0] for n in names} & forbidden)
    } == {}


def test_clients_speak_only_the_protocols() -> None:
    for path in files("clients"):
        assert not {name.split(".")[0] for name in imports(path)} & {"engine", "xdancer"}, path


@pytest.mark.parametrize("package", ["engine.mqtt", "engine.config", "engine.stage.frame", "engine.audio"])
def test_the_stage_imports_no_torch(package: str) -> None:
    code = f"import sys, {package}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_no_gpl_part_is_installed_by_default() -> None:
    installed = " ".join(PROJECT["dependencies"]).lower()
    tested = " ".join(PROJECT["optional-dependencies"]["dev"]).lower()
    assert not any(name in installed + tested for name in ("aubio", "essentia", "aalink")) and "rtmidi" not in installed


def test_modules_stay_short() -> None:
    long = {
        str(path): n for path in files("xdancer") + files("engine") if (n := len(path.read_text().splitlines())) > 400
    }
    assert long == {}
