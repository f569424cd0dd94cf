"""A crowd that sends nonsense: the server goes on answering, and nothing in it grows."""

import asyncio
import logging
import os
import random
from collections.abc import AsyncIterator

import psutil
import pytest
from aiohttp import ClientSession, CookieJar
from pretend import PretendShow

from engine.config import TOKEN_VARIABLE, load
from engine.web.guard import ADDRESSES, COOKIE
from engine.web.server import LINGER, Web

COUNT = int(os.environ.get("XDANCER_MALFORMED", "1000"))  # 10000 where there is time
AT_ONCE = 20
GROWTH = 24 * 2**20  # bytes of memory
PATHS = [
    "/api/params", "/api/presets/1", "/api/presets/%ff%00", "/api/reference", "/api/events", "/whep", "/whep/x",
    "/control", "/", "/?token=%ff", "/metrics", "/tokenizer/%2e%2e/x", "//", "/%", "*", "http://a/b", "/" + "a" * 5000,
]  # fmt: skip
METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD", "TRACE", "FOO", "", "PO ST", "GET" * 900]
VERSIONS = ["1.1", "1.1", "1.1", "1.0", "9.9", "x"]
BODIES = [
    b"", b"{", b"[" * 60_000, b'{"a":' * 9_000, b'{"style": "\\ud800"}', b'{"seed": 1e999}', b'{"energy": NaN}',
    b'{"seed": ' + b"9" * 5000 + b"}", b'{"preset": ["x"]}', b'{"reference": "/etc/passwd"}', b"null",
    b'{"' + b"k" * 50_000 + b'": 1}', b"{" + b",".join(b'"%d":1' % k for k in range(5000)) + b"}", b"x" * 70_000,
    b"v=0\r\nm=video 9 UDP/TLS/RTP/SAVPF x\r\n", b"\x89PNG\r\n\x1a\n" + bytes(99), b"a=candidate:" * 99, b"\xff\xfe\0",
]  # fmt: skip
HEADERS = [
    b"Host: localhost", b"Host: [", b"Host: ", b"Content-Type: application/sdp", b"Content-Type: ;;;=", b"If-Match: *",
    b"Content-Type: application/json; charset=nonsense", b"Content-Length: -1", b"Content-Length: 99999999999",
    b"Transfer-Encoding: chunked", b"Authorization: Bearer \xff\xfe", b"Authorization: Bearer a", b"Authorization",
    b"Cookie: xdancer_token=\xff; =;", b"Expect: 100-continue", b"Upgrade: websocket", b"Origin: http://[",
    b"Range: bytes=-1", b"X: " + b"y" * 9000, b"\0: \0", b"Content-Encoding: gzip",
]  # fmt: skip


def request(rng: random.Random, token: bytes) -> bytes:
    """One that is wrong in some way, or in none."""
    body = rng.choice(BODIES)
    wild = rng.random() < 0.2
    method, version = rng.choice(METHODS if wild else METHODS[:7]), rng.choice(VERSIONS if wild else VERSIONS[:1])
    head = [f"{method} {rng.choice(PATHS)} HTTP/{version}".encode("latin-1")]
    head += rng.sample(HEADERS, rng.choice([0, 0, 0, 1, 1, 2, 5]))
    if rng.random() < 0.95:
        head += [b"Host: localhost", b"Content-Length: %d" % (len(body) + 5 * (rng.random() < 0.05))]
    if token and rng.random() < 0.5:
        head.append(b"Authorization: Bearer " + token)
    raw = b"\r\n".join(head) + b"\r\n\r\n" + body
    if wild:
        cut = rng.randrange(len(raw))
        raw = raw[:cut] + rng.randbytes(rng.randrange(20)) + raw[cut + rng.randrange(20) :]
    return raw


async def throw(port: int, raw: bytes) -> bytes:
    """Send it, read what comes first, hang up."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(raw)
        async with asyncio.timeout(0.3):
            return await reader.read(200)
    except (TimeoutError, ConnectionError):
        return b""
    finally:
        writer.transport.abort()


@pytest.fixture(params=["", "open sesame"], ids=["loopback", "token"])
async def web(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Web]:
    if request.param:
        monkeypatch.setenv(TOKEN_VARIABLE, request.param)
    show = PretendShow()
    web = Web(load(None, ["port=0"]), show, performer=show.performer)
    await web.start()
    yield web
    await web.stop()


async def test_nonsense_is_answered_and_forgotten(web: Web, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    rng = random.Random(7)
    process = psutil.Process()
    token = web._guard._token or ""
    answers: list[bytes] = []
    tasks, files, memory = len(asyncio.all_tasks()), process.num_fds(), 0
    for k in range(COUNT // 2 // AT_ONCE):
        thrown = (throw(web.port, request(rng, token.encode())) for _ in range(AT_ONCE))
        answers += await asyncio.gather(*thrown)
        if k == COUNT // 8 // AT_ONCE:
            memory = process.memory_info().rss
    await asyncio.sleep(LINGER + 0.5)  # until all that was hung up on is noticed
    codes = [answer.split()[1].decode() for answer in answers if answer.startswith(b"HTTP/1.")]
    assert len(codes) > 0.8 * len(answers) and not [code for code in codes if code.startswith("5")]
    assert {"400", "401" if token else "422"} <= set(codes)
    async with ClientSession(
        web.address, cookies={COOKIE: web._guard._cookie}, cookie_jar=CookieJar(unsafe=True)
    ) as client:
        state = await (await client.get("/api/params")).json()
        assert state["reference"] is None
        assert web.control and web.control.events.clients == 0 and len(web.whep) == 0
    assert process.memory_info().rss - memory < GROWTH
    assert process.num_fds() <= files + 4 and len(asyncio.all_tasks()) <= tasks + 2
    assert len(web._guard._wrong) <= ADDRESSES and len(web._guard._writes) <= ADDRESSES
    assert [record.getMessage() for record in caplog.records if record.exc_info] == []  # nothing that was not foreseen
