"""The Python client against a real mosquitto, the show's own outlet as the publisher, and the show's server for the
decoder: what comes out is what `PoseTokenizer` decodes."""

import asyncio
import contextlib
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from brokers import PASSWORD, Mosquitto, free_port, outlet, show_frame, until
from pretend import PretendShow
from xdancer_client import Dance, DanceError, Decoder, Frame
from xdancer_client.decoder import fetch

from engine.config import load
from engine.mqtt import MqttOutlet, messages
from engine.stage.frame import ShowFrame
from engine.web.server import Web
from xdancer import weights
from xdancer.music.frame import BeatState
from xdancer.tokenizer import PoseTokenizer

FOLDER = weights.find("tokenizer", "live")
TOKENIZER = PoseTokenizer.from_pretrained(str(FOLDER))
FIELD = TOKENIZER.config["decoder_field"]
NEAR = 0.02  # px: float32 sums in another order
WIRE = 0.051  # px: what one decimal rounds away


def rows(length: int) -> np.ndarray:
    """A dance that moves as dances do, from poses that a person could have."""
    rng = np.random.default_rng(4)
    t = np.arange(length)[:, None, None] / 30
    pose = rng.uniform(150, 400, (1, 60, 2)) + 30 * np.sin(3 * t + rng.uniform(0, 6, (1, 60, 2)))
    return TOKENIZER.encode(np.concatenate([pose, np.full((length, 60, 1), 0.9)], axis=2).astype(np.float32))


ROWS = rows(80)
POSES = TOKENIZER.decode(ROWS)


def danced(index: int, free_running: bool = False) -> ShowFrame:
    frame = show_frame(
        index, BeatState(120.0, beat=index // 15, beat_in_bar=index // 15 % 4, struck=0.5 * (index // 15))
    )
    return replace(frame, tokens=None if free_running else ROWS[index], pose=POSES[index], due=time.time() + 0.1)


def meta(url: str | None, sha256: str = TOKENIZER.sha256) -> dict:
    return messages.meta(TOKENIZER.receptive_field, TOKENIZER.name, sha256, url)


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[Mosquitto]:
    broker = Mosquitto(tmp_path)
    broker.start()
    yield broker
    broker.stop()


@contextlib.asynccontextmanager
async def publishing(broker: Mosquitto, **options: object) -> AsyncIterator[MqttOutlet]:
    out = outlet(broker.url, **{"meta": meta(None), **options})
    await out.start()
    await until(lambda: out.connected and out.sent == 0)
    yield out
    await out.stop()


class Taken:
    """What a Dance gives, taken as it comes."""

    def __init__(self, dance: Dance) -> None:
        self.frames: list[Frame] = []
        self.dance = dance
        self.task = asyncio.create_task(self._take())

    async def _take(self) -> None:
        async for frame in self.dance:
            self.frames.append(frame)

    async def heard(self, condition: str = "online") -> None:
        await until(lambda: self.dance.connected and self.dance.status == condition and bool(self.dance.meta))

    async def stop(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


@contextlib.asynccontextmanager
async def taking(dance: Dance) -> AsyncIterator[Taken]:
    taken = Taken(dance)
    yield taken
    await taken.stop()


async def publish(out: MqttOutlet, frames: range, free_running: bool = False) -> None:
    for index in frames:
        out.made(danced(index, free_running))
        await asyncio.sleep(0.002)


async def test_tokens_from_the_first_frame_on_are_decoded_as_the_tokenizer_does(mosquitto: Mosquitto) -> None:
    dance = Dance(mosquitto.url, decoder=FOLDER / "decoder.onnx", poses=False)
    async with publishing(mosquitto) as out, taking(dance) as taken:
        await taken.heard()
        await publish(out, range(60))
        await until(lambda: len(taken.frames) == 60)
        assert dance.params == {"energy": 0.5, "seed": 7} and dance.meta["tokenizer"]["name"] == TOKENIZER.name
    assert [frame.index for frame in taken.frames] == list(range(60))
    assert all(frame.exact and frame.missed == 0 for frame in taken.frames)
    np.testing.assert_array_equal([frame.tokens for frame in taken.frames], ROWS[:60])
    np.testing.assert_allclose([frame.pose for frame in taken.frames], POSES[:60], atol=NEAR)
    beats = [(frame.index, frame.beat.number, frame.beat.downbeat) for frame in taken.frames if frame.beat]
    assert [(number, downbeat) for _, number, downbeat in beats] == [(0, True), (1, False), (2, False), (3, False)]
    assert dance.lost == dance.dropped == 0


async def test_joining_in_the_middle_is_exact_after_the_decoders_field(mosquitto: Mosquitto) -> None:
    dance = Dance(mosquitto.url, decoder=FOLDER / "decoder.onnx", poses=False)
    async with publishing(mosquitto) as out:
        await publish(out, range(30))
        async with taking(dance) as taken:
            await taken.heard()
            await publish(out, range(30, 60))
            await until(lambda: len(taken.frames) == 30)
    assert [frame.exact for frame in taken.frames] == [False] * (FIELD - 1) + [True] * (31 - FIELD)
    assert dance.lost == 0 and taken.frames[0].missed == 0
    exact = [frame for frame in taken.frames if frame.exact]
    np.testing.assert_allclose([f.pose for f in exact], POSES[[f.index for f in exact]], atol=NEAR)
    assert np.abs(taken.frames[0].pose - POSES[30]).max() > NEAR  # or else the test would show nothing


async def test_with_the_pose_topic_every_frame_is_right_free_runs_and_gaps_too(mosquitto: Mosquitto) -> None:
    dance = Dance(mosquitto.url, decoder=FOLDER / "decoder.onnx")
    async with publishing(mosquitto) as out, taking(dance) as taken:
        await taken.heard()
        await publish(out, range(5, 25))
        await publish(out, range(25, 30), free_running=True)
        await publish(out, range(30, 45))
        await publish(out, range(48, 60))
        await until(lambda: bool(taken.frames) and taken.frames[-1].index == 59)
    indices = [*range(5, 45), *range(48, 60)]
    assert [frame.index for frame in taken.frames] == indices
    np.testing.assert_allclose([frame.pose for frame in taken.frames], POSES[indices], atol=WIRE)
    assert all(frame.exact for frame in taken.frames)
    assert [frame.index for frame in taken.frames if frame.tokens is None] == list(range(25, 30))
    assert {frame.index: frame.missed for frame in taken.frames if frame.missed} == {48: 3}
    assert dance.lost == 0  # nothing was sent for those


async def test_messages_that_never_came_are_counted(mosquitto: Mosquitto) -> None:
    dance = Dance(mosquitto.url, poses=False, decoder=FOLDER / "decoder.onnx")
    async with publishing(mosquitto) as out, taking(dance) as taken:
        await taken.heard()
        await publish(out, range(20))
        out._envelope._seq["tokens"] += 4  # as if the network had swallowed four
        await publish(out, range(24, 40))
        await until(lambda: len(taken.frames) == 36)
    assert dance.lost == 4
    assert [frame.exact for frame in taken.frames[20:]] == [False] * (FIELD - 1) + [True] * (17 - FIELD)


async def test_the_decoder_named_in_meta_is_fetched_and_kept(mosquitto: Mosquitto, tmp_path: Path) -> None:
    web = Web(load(None, ["port=0"]), PretendShow())
    await web.start()
    url = f"{web.address}tokenizer/{TOKENIZER.sha256}/decoder.onnx"
    cache = tmp_path / "cache"
    try:
        dance = Dance(mosquitto.url, poses=False, cache=cache)
        async with publishing(mosquitto, meta=meta(url)) as out, taking(dance) as taken:
            await taken.heard()
            await until(lambda: dance._decoder is not None)
            await publish(out, range(15))
            await until(lambda: len(taken.frames) == 15)
    finally:
        await web.stop()
    np.testing.assert_allclose([frame.pose for frame in taken.frames], POSES[:15], atol=NEAR)
    kept = fetch(url, TOKENIZER.sha256, cache)  # the server is gone: it comes from the cache
    assert kept.read_bytes() == (FOLDER / "decoder.onnx").read_bytes()
    assert list(cache.iterdir()) == [kept]


def test_a_server_that_asks_for_a_token_gets_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDANCER_TOKEN", "open sesame")

    async def ask(token: str | None) -> Path:
        web = Web(load(None, ["port=0"]), PretendShow())
        await web.start()
        url = f"{web.address}tokenizer/{TOKENIZER.sha256}/decoder.onnx"
        try:
            return await asyncio.to_thread(fetch, url, TOKENIZER.sha256, tmp_path, token)
        finally:
            await web.stop()

    with pytest.raises(DanceError, match="Unauthorized"):
        asyncio.run(ask(None))
    assert asyncio.run(ask("open sesame")).is_file()


@pytest.mark.parametrize(
    ("url", "sha256", "said"),
    [
        ("file:///etc/passwd", "0" * 64, "http or https"),
        ("", "0" * 64, "http or https"),
        (f"http://127.0.0.1:{free_port()}/decoder.onnx", "0" * 64, "cannot be fetched"),
        ("http://127.0.0.1/x", "../../x", "checksum"),
    ],
)
def test_what_is_no_decoder_is_not_fetched(tmp_path: Path, url: str, sha256: str, said: str) -> None:
    with pytest.raises(DanceError, match=said):
        fetch(url, sha256, tmp_path)
    assert not list(tmp_path.iterdir())


def test_what_was_fetched_and_is_no_decoder_does_not_stay(tmp_path: Path) -> None:
    (tmp_path / "decoder.onnx").write_bytes(b"a page of some other server")
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with pytest.raises(DanceError):
            fetch(f"http://127.0.0.1:{server.server_port}/decoder.onnx", "0" * 64, tmp_path / "cache")
        server.shutdown()
    assert not list((tmp_path / "cache").iterdir())


async def test_without_a_decoder_the_poses_come_from_the_wire(mosquitto: Mosquitto, caplog) -> None:
    dance = Dance(mosquitto.url, cache=Path("nowhere"))
    async with publishing(mosquitto) as out, taking(dance) as taken:
        await taken.heard()
        await publish(out, range(10))
        await until(lambda: len(taken.frames) == 10)
    np.testing.assert_allclose([frame.pose for frame in taken.frames], POSES[:10], atol=WIRE)
    np.testing.assert_array_equal([frame.tokens for frame in taken.frames], ROWS[:10])
    assert len([line for line in caplog.messages if "poses come from the wire" in line]) == 1


async def test_a_broker_that_was_away_and_a_show_begun_anew_are_followed(mosquitto: Mosquitto) -> None:
    dance = Dance(mosquitto.url, decoder=FOLDER / "decoder.onnx")
    async with taking(dance) as taken:
        async with publishing(mosquitto) as out:
            await taken.heard()
            await publish(out, range(20))
            await until(lambda: len(taken.frames) == 20)
            mosquitto.stop()
            await until(lambda: not dance.connected)
            mosquitto.start()
            await until(lambda: out.connected and dance.connected, 30)
            await asyncio.sleep(0.3)
            await publish(out, range(40, 60))
            await until(lambda: len(taken.frames) == 40)
            assert taken.frames[20].missed == 20 and dance.reconnects >= 1
        await until(lambda: dance.status == "offline")
        async with publishing(mosquitto, session="s2") as out:
            await taken.heard()
            await publish(out, range(10))
            await until(lambda: len(taken.frames) == 50)
    assert [frame.index for frame in taken.frames[40:]] == list(range(10))
    np.testing.assert_allclose([frame.pose for frame in taken.frames[40:]], POSES[:10], atol=WIRE)


async def test_a_slow_loop_has_the_newest_frames_and_is_told_of_the_others(mosquitto: Mosquitto) -> None:
    dance = Dance(mosquitto.url, decoder=FOLDER / "decoder.onnx", queue=8)
    async with publishing(mosquitto) as out:
        frames = aiter(dance)
        first = asyncio.create_task(anext(frames))
        await until(lambda: dance.connected and bool(dance.meta))
        await publish(out, range(1))
        assert (await first).index == 0
        await publish(out, range(1, 40))
        await until(lambda: dance._newest == 39)
        assert [(await anext(frames)).index for _ in range(8)] == list(range(32, 40))
        await frames.aclose()
    assert dance.dropped == 31


async def test_frames_on_time_come_when_they_are_due(mosquitto: Mosquitto) -> None:
    dance = Dance(mosquitto.url, decoder=FOLDER / "decoder.onnx")
    async with publishing(mosquitto) as out:
        frames = dance.on_time()
        first = asyncio.create_task(anext(frames))
        await until(lambda: dance.connected and bool(dance.meta))
        await publish(out, range(1))
        assert time.time() < (await first).due + 1 and time.time() >= (await first).due
        await frames.aclose()


@pytest.mark.parametrize("version", ["3.1.1", "5"])
async def test_tls_and_passwords(tmp_path: Path, version: str) -> None:
    broker = Mosquitto(tmp_path, PASSWORD, tls=True)
    broker.start()
    locked = {"username": "dj", "password": PASSWORD, "ca": broker.ca, "version": version}
    try:
        dance = Dance(broker.url, decoder=FOLDER / "decoder.onnx", **locked)
        async with publishing(broker, **locked) as out, taking(dance) as taken:
            await taken.heard()
            await publish(out, range(5))
            await until(lambda: len(taken.frames) == 5)
        with pytest.raises(DanceError, match="wrong name or password"):
            async for _ in Dance(broker.url, **{**locked, "password": "guess"}):
                pass
    finally:
        broker.stop()


async def test_the_embedded_brokers_websocket_serves_it_too() -> None:
    out = outlet("embedded", port=0, ws_port=0, meta=meta(None))
    await out.start()
    await until(lambda: out.connected)
    assert out.ws_address
    dance = Dance(out.ws_address, decoder=FOLDER / "decoder.onnx")
    async with taking(dance) as taken:
        await taken.heard()
        await publish(out, range(5))
        await until(lambda: len(taken.frames) == 5)
    await out.stop()


async def test_nonsense_on_the_topics_is_survived(mosquitto: Mosquitto, caplog) -> None:
    dance = Dance(mosquitto.url, decoder=FOLDER / "decoder.onnx")
    async with publishing(mosquitto) as out, taking(dance) as taken:
        await taken.heard()
        for topic, payload in (
            ("tokens", "{"),
            ("pose", "[1]"),
            ("beat", '{"session":"s1","seq":3}'),
            ("meta", "\xff"),
        ):
            command = ["mosquitto_pub", "-h", "127.0.0.1", "-p", str(mosquitto.port), "-t", f"xdancer/v1/main/{topic}"]
            await asyncio.to_thread(subprocess.run, [*command, "-m", payload], check=True)
        await publish(out, range(5))
        await until(lambda: len(taken.frames) == 5)
    assert len([line for line in caplog.messages if "not a message of a show" in line]) == 4


def test_mistakes_are_named() -> None:
    for url in ("http://host", "mqtt://", "mqtt://host:port", "host"):
        with pytest.raises(DanceError, match="broker"):
            Dance(url)
    with pytest.raises(DanceError, match="show"):
        Dance(show="a/b")
    with pytest.raises(DanceError, match="not a decoder"):
        Decoder(__file__)


def test_it_needs_nothing_but_what_it_says() -> None:
    foreign = "{'torch', 'engine', 'xdancer', 'aiohttp', 'cv2'} & set(sys.modules)"
    code = f"import sys, xdancer_client; sys.exit(str({foreign} or ''))"
    folder = Path(__file__).parents[2] / "clients" / "python"
    result = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False)
    assert result.stderr.strip() == ""
