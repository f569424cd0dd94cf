"""The door: how often somebody may come, who counts as one, and that the token stays a secret."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator

import pytest
from aiohttp import ClientSession, CookieJar, ServerDisconnectedError
from hypothesis import given
from hypothesis import strategies as st
from pretend import PretendShow

from engine.config import TOKEN_VARIABLE, load
from engine.web.guard import ADDRESSES, COOKIE, Limit, address
from engine.web.server import Web

TOKEN = "correct horse battery staple"
BEARER = {"Authorization": f"Bearer {TOKEN}"}


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@given(st.lists(st.floats(0, 5), max_size=60))
def test_never_more_than_the_burst_and_what_time_brought(pauses: list[float]) -> None:
    clock = Clock()
    limit = Limit(rate=2.0, burst=5, clock=clock)
    done = 0
    for pause in pauses:
        clock.now += pause
        if not limit.wait("a"):
            limit.spend("a")
            done += 1
        assert done <= 5 + 2.0 * clock.now + 1e-6
    clock.now += limit.wait("a") + 1e-9
    assert limit.wait("a") == pytest.approx(0, abs=1e-6)  # it says truly when it is over
    assert limit.wait("b") == 0


def test_the_table_of_addresses_has_an_end() -> None:
    limit = Limit(rate=1, burst=1, clock=Clock())
    for k in range(10 * ADDRESSES):
        limit.spend(str(k))
    assert len(limit) == ADDRESSES
    assert limit.wait(str(10 * ADDRESSES - 1)) > 0 and limit.wait("0") == 0


@pytest.mark.parametrize(
    ("remote", "expected"),
    [
        ("10.0.0.7", "10.0.0.7"),
        ("::ffff:10.0.0.7", "10.0.0.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        (None, ""),
        ("unix", "unix"),
    ],
)
def test_what_counts_as_one_client(remote: str | None, expected: str) -> None:
    assert address(remote) == expected


@pytest.fixture
async def web(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Web]:
    monkeypatch.setenv(TOKEN_VARIABLE, TOKEN)
    show = PretendShow()
    web = Web(load(None, ["port=0"]), show, performer=show.performer)
    await web.start()
    yield web
    await web.stop()


EVERYWHERE = [
    ("GET", "/"), ("GET", "/control"), ("GET", "/control.js"), ("GET", "/api/events"), ("GET", "/api/presets"),
    ("POST", "/api/presets/1"), ("PUT", "/api/presets/x"), ("POST", "/api/reference"), ("PATCH", "/api/params"),
    ("GET", "/api/params"), ("GET", "/metrics"), ("GET", "/healthz"), ("POST", "/whep"), ("DELETE", "/whep/x"),
    ("GET", "/api/state"), ("GET", "/viewer.js"), ("GET", "/tokenizer/0/config.json"), ("GET", "/nowhere"),
    ("GET", "/viewer.css"), ("GET", "/webrtc.js"), ("GET", "/trim.js"), ("GET", "/mic"), ("GET", "/mic.js"),
    ("GET", "/mic.css"),
    ("GET", "/visualizer"), ("GET", "/visualizer/"), ("GET", "/visualizer/visualizer.js"), ("POST", "/api/delivery"),
    ("GET", "/api/openpose"), ("POST", "/whip"), ("DELETE", "/whip/x"), ("GET", "/api/record"), ("POST", "/api/record"),
]  # fmt: skip


async def test_nothing_answers_without_the_token(web: Web) -> None:
    routes = {route.resource.canonical for route in web.app().router.routes() if route.resource}
    asked = {path for _, path in EVERYWHERE}
    for route in routes:  # a new route has to be asked here
        assert route in asked or any(path.startswith(route.partition("{")[0]) for path in asked), route
    async with ClientSession(web.address) as stranger:
        for method, path in EVERYWHERE:
            answer = await stranger.request(method, path)
            assert (answer.status, await answer.text()) == (401, "a bearer token is required"), path
            assert answer.headers["X-Content-Type-Options"] == "nosniff"


async def test_guessing_is_slow_and_does_not_lock_out_who_is_in(web: Web) -> None:
    jar = CookieJar(unsafe=True)  # browsers keep the cookies of addresses without a name
    async with ClientSession(web.address, cookie_jar=jar) as performer, ClientSession(web.address) as thief:
        assert (await performer.get("/control", params={"token": TOKEN})).status == 200
        for k in range(10):
            assert (await thief.get("/", headers={"Authorization": f"Bearer {k}"})).status == 401
        for headers in ({"Authorization": "Bearer 11"}, BEARER):  # right or wrong, he does not learn it
            refused = await thief.get("/", headers=headers)
            assert refused.status == 429 and int(refused.headers["Retry-After"]) in range(1, 6)
        assert (await thief.get("/", params={"token": TOKEN})).status == 429
        assert (await performer.patch("/api/params", json={"hold": True})).status == 200


async def test_a_cookie_is_no_token_and_a_token_no_cookie(web: Web) -> None:
    async with ClientSession(web.address) as session:
        page = await session.get("/", params={"token": TOKEN})
        secret = page.cookies[COOKIE].value
    async with ClientSession(web.address) as other:
        assert (await other.get("/", headers={"Authorization": f"Bearer {secret}"})).status == 401
        assert (await other.get("/", headers={"Cookie": f"{COOKIE}={TOKEN}"})).status == 401
        assert (await other.get("/", headers={"Cookie": f"{COOKIE}="})).status == 401
        assert (await other.get("/api/state", params={"token": TOKEN})).status == 401  # pages only
        odd = {"Authorization": b"Bearer \xff\xfe".decode("utf-8", "surrogateescape")}
        assert (await other.get("/", headers=odd)).status in (400, 401)


async def test_changes_are_limited_and_reading_is_not(web: Web) -> None:
    async with ClientSession(web.address, headers=BEARER) as busy:
        said = [(await busy.patch("/api/params", json={"seed": k})).status for k in range(400)]
        assert set(said) == {200, 429} and said.count(200) >= 200
        refused = await busy.post("/whep", data="")
        assert refused.status == 429 and refused.headers["Retry-After"] == "1"
        assert (await busy.get("/api/state")).status == 200


async def test_the_token_is_never_logged(web: Web, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with ClientSession(web.address) as session:
        await session.get("/", params={"token": TOKEN})
        await session.patch("/api/params", json={"style": TOKEN}, headers=BEARER)
        with contextlib.suppress(ServerDisconnectedError):
            await session.get(f"/control?token={TOKEN}", headers={"Content-Length": "x"})
        reader, writer = await asyncio.open_connection("127.0.0.1", web.port)
        writer.write(b"GET /control?token=correct%20horse HTTP/9.9\r\n\r\n")
        assert b"400" in await reader.readline()
        writer.close()
        await session.post("/whep", data=TOKEN, headers=BEARER | {"Content-Type": "application/sdp"})
    assert "horse" not in caplog.text


async def test_pages_keep_to_themselves(web: Web) -> None:
    async with ClientSession(web.address, headers=BEARER) as session:
        page = (await session.get("/control")).headers
        assert page["Referrer-Policy"] == "no-referrer"  # its address may hold the token
        policy = dict(part.strip().partition(" ")[::2] for part in page["Content-Security-Policy"].split(";"))
        assert policy["default-src"] == "'none'" and policy["script-src"] == "'self'"
        assert policy["frame-ancestors"] == "'self'"  # nobody lays it under another page's buttons


async def test_without_a_token_other_sites_cannot_write() -> None:
    show = PretendShow()
    web = Web(load(None, ["port=0", "presets.Drop={energy: 1}"]), show, performer=show.performer)
    await web.start()
    async with ClientSession(web.address) as session:
        for origin in ("https://evil.example", "null", "http://localhost:1", "http://[", ""):
            assert (await session.post("/api/presets/1", headers={"Origin": origin})).status == 403, origin
        own = {"Origin": web.address.rstrip("/")}
        assert (await session.patch("/api/params", json={"energy": 0.5}, headers=own)).status == 200
        for host in ("evil.example", "[::2", "[", "127.0.0.1:99999999", "b" * 5000):
            assert (await session.get("/api/state", headers={"Host": host})).status in (400, 403), host
    await web.stop()
