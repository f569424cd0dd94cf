"""Three real minutes and ten fast ones. Asked here is what a busy machine cannot spoil; `make soak` asks all."""

import json
from typing import Any

import pytest
from models import tiny_show

from engine.cli import main

pytestmark = pytest.mark.soak


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    return tiny_show(tmp_path_factory.mktemp("weights"), "choreographer")


def soak(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    main(["soak", "--json", *arguments])
    result: dict[str, Any] = json.loads(capsys.readouterr().out.splitlines()[-1])
    result["missed"] = [check for check in result["checks"] if not check["held"] and not check["speed"]]
    return result


def test_ten_minutes_in_virtual_time(settings: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    result = soak(capsys, "--fast", "--minutes", "10", *settings)
    assert result["missed"] == [] and result["frames"]["shown"] > 10 * 1800 - 60


def test_three_real_minutes(settings: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    result = soak(capsys, "--minutes", "3", *settings)
    assert result["missed"] == [] and result["troubles"] == 14


def test_less_than_two_minutes_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["soak", "--minutes", "1"]) == 2
    assert "--minutes" in capsys.readouterr().err
