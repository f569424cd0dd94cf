"""Presets: from the configuration and a file, found by name or key, saved whole or not at all."""

from pathlib import Path

import pytest
import yaml

from engine.config import Config, load
from engine.control.presets import Presets
from xdancer.errors import UserError

DROP = {"energy": 1.0, "temperature": 1.2, "apply": "bar"}


def test_of_both_places_in_order(tmp_path: Path) -> None:
    file = tmp_path / "presets.yaml"
    file.write_text("presets:\n  Calm: {energy: 0.1}\n  Break: {hold: true}\n")
    presets = Presets(
        load(None, [f"presets_file={file}", "presets.Drop={energy: 1, apply: bar}", "presets.Calm={energy: 0.3}"])
    )
    assert [(preset["name"], preset["key"]) for preset in presets.listing()] == [("Drop", 1), ("Calm", 2), ("Break", 3)]
    assert presets.find("2")[1].energy == 0.1  # the file's
    assert presets.find(1)[0] == presets.find("Drop")[0] == "Drop"
    assert presets.listing()[0]["params"] == {"energy": 1.0, "apply": "bar"}


@pytest.mark.parametrize("name", ["0", "4", "-1", "99999999999", "²", "Nobody", "../x"])
def test_one_that_is_not_there_names_those_that_are(name: str) -> None:
    with pytest.raises(UserError, match="there is no .*, only Drop"):
        Presets(Config(presets={"Drop": DROP})).find(name)


def test_what_is_saved_is_there_in_the_next_show(tmp_path: Path) -> None:
    file = tmp_path / "presets.yaml"
    presets = Presets(Config(presets_file=file))
    params = {"energy": 0.7, "style": None, "mirror": True, "reference": "0123456789abcdef", "apply": "beat"}
    params |= {"trim_ms": -80, "flash": True}  # of the room, and of measuring it
    presets.save("Süß 2", params)
    presets.save("Süß 2", params | {"energy": 0.8})
    again = Presets(Config(presets_file=file))
    assert again.listing() == presets.listing()
    assert again.listing()[0]["params"] == {"energy": 0.8, "style": None, "mirror": True, "apply": "beat"}
    assert yaml.safe_load(file.read_text())["presets"]["Süß 2"]["energy"] == 0.8
    assert [path.name for path in tmp_path.iterdir()] == ["presets.yaml"]


@pytest.mark.parametrize("name", ["", "../up", "a/b", "x" * 41, "a\nb", "<b>"])
def test_names_that_cannot_be(tmp_path: Path, name: str) -> None:
    presets = Presets(Config(presets_file=tmp_path / "presets.yaml"))
    with pytest.raises(UserError):
        presets.save(name, {"energy": 0.5})
    assert presets.listing() == [] and not list(tmp_path.iterdir())


def test_there_is_an_end_to_them(tmp_path: Path) -> None:
    presets = Presets(Config(presets_file=tmp_path / "presets.yaml"))
    for k in range(64):
        presets.save(f"p{k}", {"energy": 0.5})
    with pytest.raises(UserError, match="64"):
        presets.save("one more", {"energy": 0.5})
    assert len(presets.listing()) == 64


def test_without_a_file_nothing_is_saved() -> None:
    presets = Presets(Config())
    assert not presets.savable
    with pytest.raises(UserError, match="presets_file"):
        presets.save("Drop", {"energy": 1})


def test_a_disk_that_refuses_is_said_and_changes_nothing(tmp_path: Path) -> None:
    presets = Presets(Config(presets_file=tmp_path / "no such folder" / "presets.yaml"))
    with pytest.raises(UserError, match="cannot be written"):
        presets.save("Drop", {"energy": 1})
    assert presets.listing() == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("presets: {Drop: {enrgy: 1}}", "presets.Drop.enrgy: unknown key; did you mean presets.Drop.energy?"),
        ("presets: {Drop: {energy: 3}}", "presets.Drop.energy: "),
        ("presets: {Drop: {reference: 0123456789abcdef}}", "presets.Drop.reference: a preset holds no picture"),
        ("presets: {'a/b': {energy: 1}}", "presets.a/b"),
        ("preset: {Drop: {energy: 1}}", "preset: unknown key; did you mean presets?"),
    ],
)
def test_what_is_wrong_is_named_by_its_path(tmp_path: Path, text: str, expected: str) -> None:
    file = tmp_path / "presets.yaml"
    file.write_text(text)
    with pytest.raises(UserError) as caught:
        Presets(Config(presets_file=file))
    assert expected in str(caught.value) and str(file) in str(caught.value) and "\n" not in str(caught.value)
    if "preset:" not in text:
        with pytest.raises(UserError) as caught:
            load(file)
        assert expected in str(caught.value)
