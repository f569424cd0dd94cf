"""The configuration: where values come from, and that what is wrong is named by its path in one line."""

from pathlib import Path

import pytest

from engine import config
from engine.config import load
from xdancer.errors import UserError

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(config.TOKEN_VARIABLE, raising=False)


def write(folder: Path, text: str) -> Path:
    path = folder / "show.yaml"
    path.write_text(text)
    return path


def test_the_shipped_configuration_says_the_defaults() -> None:
    assert load(ROOT / "configs" / "live.yaml") == load()


def test_command_line_over_file_over_default(tmp_path: Path) -> None:
    path = write(tmp_path, "port: 1000\nseed: 4\nmqtt: {url: off}\n")
    got = load(path, ["port=2000", "audio.loop=true"], seed=9, host=None)
    assert (got.port, got.seed, got.mqtt.url, got.audio.loop, got.host) == (2000, 9, "off", True, "127.0.0.1")


@pytest.mark.parametrize("word", ["off", "no", "on"])
def test_words_stay_words(word: str) -> None:
    assert load(None, [f"show={word}"]).show == word


@pytest.mark.parametrize(
    ("yaml", "override", "expected"),
    [
        ("mqtt: {prot: 1}", "", "mqtt.prot: unknown key; did you mean mqtt.port?"),
        ("port: many", "", "port: "),
        ("audio: 3", "", "audio: "),
        ("", "audio.source.x=2", "audio.source: "),
        ("", "seed", "expected key=value"),
        ("", "renderer=oil", "renderer: "),
        ("", "delay_ms=-1", "delay_ms: "),
        ("", "width=511", "width: "),
        ("", "record=film.avi", "record: expected a path that ends in .mp4"),
        ("", "lead=3", "lead: only presentation=anticipate"),
        ("", "host=0.0.0.0", "bearer token"),
        ("", "token=secret", "not on the command line"),
        ("- a list", "", "expected keys and values"),
        ("a: [", "", "not valid YAML"),
    ],
)
def test_what_is_wrong_is_named_in_one_line(tmp_path: Path, yaml: str, override: str, expected: str) -> None:
    with pytest.raises(UserError) as caught:
        load(write(tmp_path, yaml), [override] if override else [])
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value) and "secret" not in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere\.yaml: cannot be read"):
        load(tmp_path / "nowhere.yaml")


def test_beyond_loopback_with_a_token_that_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(config.TOKEN_VARIABLE, "secret")
    got = load(None, ["host=0.0.0.0"])
    assert got.token is not None and got.token.get_secret_value() == "secret"
    assert "secret" not in repr(got)


@pytest.mark.parametrize(("host", "expected"), [("127.0.0.1", True), ("::1", True), ("localhost", True)])
def test_loopback(host: str, expected: bool) -> None:
    assert load(None, [f'host="{host}"']).loopback is expected


def test_ice_servers_are_checked_by_their_path() -> None:
    assert load(None, ["ice_servers=[{urls: ['turns:turn.example:5349?transport=tcp']}]"]).ice_servers[0].urls
    with pytest.raises(UserError, match=r"ice_servers.0.urls: 'turn.example' is not stun:HOST"):
        load(None, ["ice_servers=[{urls: [turn.example]}]"])
    with pytest.raises(UserError, match=r"ice_servers.0.user: unknown key; did you mean ice_servers.0.username\?"):
        load(None, ["ice_servers=[{urls: ['stun:a'], user: x}]"])
    with pytest.raises(UserError, match=r"whip_out.token: not on the command line"):
        load(None, ["whip_out.token=secret"])
    with pytest.raises(UserError, match=r"whip_out.url"):
        load(None, ["whip_out.url=rtmp://sfu"])
