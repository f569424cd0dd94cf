"""WHEP with real WebRTC peers on loopback: the show arrives, and the protocol's answers are the draft's."""

import asyncio
import gc
import json
import re
import weakref
from collections.abc import AsyncIterator
from importlib import resources

import jsonschema
import numpy as np
import pytest
from aiortc import RTCSessionDescription, rtp
from peers import SDP, Running, StunServer, Viewer, serving, until
from pretend import PretendShow

from engine.config import load
from engine.web import sessions
from engine.web.posechannel import MOST_WAITING, PoseChannels

FRAGMENT = {"Content-Type": "application/trickle-ice-sdpfrag"}
PATIENCE = 30.0


@pytest.fixture
async def running() -> AsyncIterator[Running]:
    async with serving(PretendShow()) as running:
        yield running


@pytest.mark.parametrize("codec", ["H264", "VP8"])
async def test_picture_and_sound_arrive_and_a_late_viewer_sees_them_too(running: Running, codec: str) -> None:
    for _ in range(2):  # the second joins a stream that is under way, and needs a key frame
        viewer = Viewer(codec)
        await viewer.join(running)
        seen = []
        for _ in range(30):
            picture = await asyncio.wait_for(viewer.tracks["video"].recv(), PATIENCE)
            seen.append(picture.to_ndarray(format="gray").mean())
        assert (picture.width, picture.height) == (128, 224)
        assert max(seen) > 150 > min(seen)  # flashes and what is between them
        loud = 0.0
        for _ in range(60):
            block = await asyncio.wait_for(viewer.tracks["audio"].recv(), PATIENCE)
            loud = max(loud, float(np.abs(block.to_ndarray()).max()))
        assert loud > 3000  # of 32767: the click
        await viewer.peer.close()


async def test_a_viewer_whose_line_is_thin_is_sent_the_small_picture(running: Running) -> None:
    """The word of its browser comes as real RTCP; the picture changes within the stream, at a key frame."""
    viewer = Viewer("VP8", kinds=("video",))
    await viewer.join(running)
    picture = await asyncio.wait_for(viewer.tracks["video"].recv(), PATIENCE)
    assert picture.width == 128
    receiver = viewer.peer.getReceivers()[0]

    async def complain() -> None:
        while True:
            ssrcs = [source.source for source in receiver.getSynchronizationSources()]
            packet = rtp.RtcpPsfbPacket(fmt=rtp.RTCP_PSFB_APP, ssrc=0, media_ssrc=0, fci=rtp.pack_remb_fci(1000, ssrcs))
            await receiver._send_rtcp(packet)
            await asyncio.sleep(0.1)

    complaining = asyncio.create_task(complain())
    last, widths = -1, [128]
    while widths[-1] == 128:
        picture = await asyncio.wait_for(viewer.tracks["video"].recv(), PATIENCE)
        assert picture.pts > last
        last = picture.pts
        widths.append(picture.width)
    complaining.cancel()
    assert widths[-1] == 64 and running.web.broadcast.stats()["watching"] == {"full": 0, "half": 1}
    await viewer.peer.close()


async def test_poses_go_to_whoever_opens_a_channel_for_them(running: Running) -> None:
    viewer = Viewer(kinds=(), pose=True)  # another visualizer: it wants no picture
    path = await viewer.join(running)
    schema = json.loads(resources.files("engine.mqtt").joinpath("schemas", "pose.json").read_text())
    frames = []
    for _ in range(10):
        message = json.loads(await asyncio.wait_for(viewer.poses.get(), PATIENCE))
        jsonschema.validate(message, schema)
        assert message["show"] == "main" and message["session"] == "pretend"
        frames.append(message["frame"])
    assert frames == sorted(set(frames))
    assert (await running.client.delete(running.at(path))).status == 200
    assert len(running.web.poses) == 0
    await viewer.peer.close()


def test_a_slow_pose_channel_drops_and_holds_nobody_up() -> None:
    class Channel:
        """A data channel whose viewer does not read."""

        label, bufferedAmount = "pose", 0

        def on(self, event: str, call: object) -> None: ...

        def send(self, text: str) -> None:
            self.bufferedAmount += len(text)

    slow, poses, show = Channel(), PoseChannels("main", "x"), PretendShow()
    poses.add(slow)  # type: ignore[arg-type]
    for index in range(100):
        poses.made(show.frame(index, 0.0))
    assert 0 < slow.bufferedAmount <= MOST_WAITING and 0 < poses.dropped < 100


async def test_a_created_session_has_an_address_an_etag_and_an_answer_to_the_rules(running: Running) -> None:
    viewer = Viewer()
    answer = await running.client.post(running.at("/whep"), data=await viewer.offer(), headers=SDP)
    assert answer.status == 201 and answer.content_type == "application/sdp"
    assert re.fullmatch(r"/whep/[\w-]{20,}", answer.headers["Location"])
    assert re.fullmatch(r'"[^"]+"', answer.headers["ETag"])
    assert answer.headers["Accept-Patch"] == "application/trickle-ice-sdpfrag"
    assert "Link" not in answer.headers
    sdp = await answer.text()
    assert sdp.count("a=sendonly\r\n") == 2 and sdp.count("a=rtcp-mux-only\r\n") == 2
    assert len(set(re.findall(r"a=msid:(\S+)", sdp))) == 1
    assert "a=group:BUNDLE 0 1\r\n" in sdp and "a=end-of-candidates" in sdp
    other = await Viewer().join(running)
    assert other != answer.headers["Location"]
    await viewer.peer.close()


async def test_ice_servers_are_told_with_the_answer_and_used() -> None:
    stun = await StunServer.started()
    async with serving(PretendShow(), f"ice_servers=[{{urls: ['stun:127.0.0.1:{stun.port}']}}]") as running:
        viewer = Viewer(kinds=("audio",))
        preflight = await running.client.options(running.at("/whep"))
        assert "Link" not in preflight.headers
        answer = await running.client.post(running.at("/whep"), data=await viewer.offer(), headers=SDP)
        assert answer.headers.getall("Link") == [f'<stun:127.0.0.1:{stun.port}>; rel="ice-server"']
        assert stun.asked > 0
        await viewer.peer.close()
    stun.transport.close()


def test_each_ice_server_is_a_link_with_its_secrets() -> None:
    servers = load(
        None,
        ["ice_servers=[{urls: ['turn:a.example?transport=tcp', 'stun:b.example:3478'], username: u, credential: c}]"],
    )
    secret = 'rel="ice-server"; username="u"; credential="c"; credential-type="password"'
    assert sessions.ice_links(servers.ice_servers) == [
        f"<turn:a.example?transport=tcp>; {secret}",
        f"<stun:b.example:3478>; {secret}",
    ]


async def test_a_session_ends_when_it_is_deleted(running: Running) -> None:
    viewer = Viewer()
    session = running.at(await viewer.join(running))
    assert len(running.web.whep) == 1
    for ask in (running.client.get, running.client.head):
        answer = await ask(session)
        assert answer.status == 204 and not await answer.read()
    assert (await running.client.delete(session, headers={"If-Match": '"whatever"'})).status == 200
    assert len(running.web.whep) == 0
    for gone in (await running.client.delete(session), await running.client.get(session)):
        assert gone.status == 404 and gone.headers["Access-Control-Allow-Origin"] == "*"
    await viewer.peer.close()


async def test_candidates_trickle_in_by_the_rules(running: Running) -> None:
    viewer = Viewer()
    session = running.at(await viewer.join(running))
    local = viewer.peer.localDescription.sdp
    ufrag, pwd = (re.search(rf"a=ice-{name}:(\S+)", local)[1] for name in ("ufrag", "pwd"))  # type: ignore[index]
    head = f"a=ice-ufrag:{ufrag}\r\na=ice-pwd:{pwd}\r\nm=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\n"
    good = head + "a=candidate:1 1 UDP 2122260223 127.0.0.1 40000 typ host\r\na=end-of-candidates\r\n"
    restart = "a=ice-ufrag:new\r\na=ice-pwd:somethingelse\r\n"

    async def patch(body: str, kind: str | None = FRAGMENT["Content-Type"], match: str | None = "*") -> int:
        headers = {"Content-Type": kind, "If-Match": match}
        answer = await running.client.patch(session, data=body, headers={k: v for k, v in headers.items() if v})
        assert "ETag" not in answer.headers and answer.headers["Access-Control-Allow-Origin"] == "*"
        assert answer.status != 204 or not await answer.read()
        assert answer.status != 415 or answer.headers["Accept-Patch"] == FRAGMENT["Content-Type"]
        return answer.status

    (own,) = (s.etag for s in running.web.whep._sessions.values())
    assert await patch(head + "a=candidate:nonsense\r\n") == 204  # what cannot be used is dropped silently
    assert await patch(good, match=own) == 204
    assert await patch(good, match=f'"other", {own}') == 204
    assert await patch(good, match=None) == 428
    assert await patch(good, match='"other"') == 412
    assert await patch(restart) == 422
    assert await patch("a=ice-ufrag:new\r\n") == 422
    assert await patch("") == 400
    assert await patch("{}") == 400
    assert await patch("a=x" * 30_000) == 413
    assert await patch(good, kind="text/plain") == 415
    assert await patch(good, kind="application/sdp") == 415
    session += "x"
    assert await patch(good) == 404
    await viewer.peer.close()


async def test_a_peer_that_trickles_connects(running: Running) -> None:
    viewer = Viewer(kinds=("audio",))
    offer = await viewer.offer()
    candidates = [line for line in offer.splitlines() if line.startswith("a=candidate:")]
    bare = "\r\n".join(line for line in offer.splitlines() if "candidate" not in line) + "\r\n"
    answer = await running.client.post(running.at("/whep"), data=bare, headers=SDP)
    await viewer.peer.setRemoteDescription(RTCSessionDescription(await answer.text(), "answer"))
    fragment = "\r\n".join(["a=mid:0", *candidates, "a=end-of-candidates", ""])
    headers = FRAGMENT | {"If-Match": answer.headers["ETag"]}
    patched = await running.client.patch(running.at(answer.headers["Location"]), data=fragment, headers=headers)
    assert patched.status == 204
    assert await asyncio.wait_for(viewer.tracks["audio"].recv(), PATIENCE)
    await viewer.peer.close()


async def test_offers_that_cannot_be_served_are_refused(running: Running) -> None:
    async def post(body: str, kind: str = "application/sdp", **more: str) -> int:
        answer = await running.client.post(running.at("/whep"), data=body, headers={"Content-Type": kind} | more)
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        assert answer.status != 415 or answer.headers["Accept-Post"] == "application/sdp"
        return answer.status

    viewer = Viewer()
    offer = await viewer.offer()
    assert await post("v=0", kind="text/plain") == 415
    assert await post("") == 400
    assert await post("not a description") == 400
    assert await post("v=0\r\n") == 400
    assert await post("x" * 70_000) == 413
    assert await post(offer, Accept="text/html") == 406
    assert await post(re.sub(r"(H264|VP8|opus)/", "unknown/", offer)) == 406
    assert await post(offer.replace("a=recvonly", "a=sendonly")) == 400
    assert await post(offer.replace("a=recvonly", "a=inactive")) == 400
    assert await post(offer + offer[offer.index("m=video") :]) == 400
    assert len(running.web.whep) == 0
    assert await post(offer.replace("a=recvonly", "a=sendrecv")) == 201
    await viewer.peer.close()


async def test_too_many_viewers_are_told_when_to_come_back(running: Running) -> None:
    running.web.whep._most = 1
    await Viewer(kinds=("audio",)).join(running)
    answer = await running.client.post(running.at("/whep"), data="v=0", headers=SDP)
    assert answer.status == 503 and int(answer.headers["Retry-After"]) > 0


async def test_other_pages_may_ask(running: Running) -> None:
    for path in ("/whep", "/whep/any"):
        answer = await running.client.options(running.at(path))
        assert answer.status == 200
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        assert answer.headers["Accept-Post"] == "application/sdp"
        assert {"POST", "PATCH", "DELETE"} <= set(answer.headers["Access-Control-Allow-Methods"].split(", "))
        assert "Location" in answer.headers["Access-Control-Expose-Headers"]


async def test_methods_without_a_meaning_are_refused_by_name(running: Running) -> None:
    for method, path in (
        ("PUT", "/whep"),
        ("PATCH", "/whep"),
        ("DELETE", "/whep"),
        ("POST", "/whep/x"),
        ("PUT", "/whep/x"),
    ):
        answer = await running.client.request(method, running.at(path))
        assert answer.status == 405 and method not in answer.headers["Allow"].split(", ")
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert (await running.client.get(running.at("/whep"))).status == 204
    head = await running.client.head(running.at("/whep"))
    assert head.status == 200 and head.content_type == "application/sdp"


async def test_every_request_but_a_preflight_needs_the_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDANCER_TOKEN", "sesame")
    async with serving(PretendShow()) as running:
        viewer = Viewer(kinds=("audio",))
        offer = await viewer.offer()
        bearer = {"Authorization": "Bearer sesame"}
        answer = await running.client.post(running.at("/whep"), data=offer, headers=SDP | bearer)
        session = running.at(answer.headers["Location"])
        for method, url in (("POST", running.at("/whep")), ("PATCH", session), ("DELETE", session), ("GET", session)):
            for wrong in ({}, {"Authorization": "Bearer other"}, {"Authorization": "Basic sesame"}):
                refused = await running.client.request(method, url, headers=wrong)
                assert refused.status == 401 and refused.headers["WWW-Authenticate"] == "Bearer"
        assert (await running.client.options(session)).status == 200
        assert (await running.client.delete(session, headers=bearer)).status == 200
        await viewer.peer.close()


async def test_a_peer_that_never_connects_does_not_stay(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "SET_UP", 0.2)
    viewer = Viewer(kinds=("audio",))
    assert (await running.client.post(running.at("/whep"), data=await viewer.offer(), headers=SDP)).status == 201
    await until(lambda: len(running.web.whep) == 0)
    await viewer.peer.close()


async def test_viewers_who_come_and_go_leave_nothing_behind(running: Running) -> None:
    """Half say goodbye, half just vanish; one watches all the while and misses nothing."""
    watcher = Viewer("VP8", kinds=("video",), pose=True)
    await watcher.join(running)
    await asyncio.wait_for(watcher.tracks["video"].recv(), PATIENCE)
    gone: list[weakref.ref] = []
    for k in range(12):
        viewer = Viewer("VP8" if k % 2 else "H264", pose=True)
        session = running.at(await viewer.join(running))
        await asyncio.wait_for(viewer.tracks["video"].recv(), PATIENCE)
        newest = list(running.web.whep._sessions.values())[-1]
        gone += [weakref.ref(newest), weakref.ref(newest.peer)]
        del newest
        if k % 4 < 2:
            assert (await running.client.delete(session)).status == 200
        await viewer.peer.close()
    await until(lambda: len(running.web.whep) == 1 and not running.web.whep._tasks)
    assert len(running.web.poses) == 1
    tracks = {track for channel in running.web.broadcast._channels.values() for track in channel.tracks}
    assert len(tracks) == 1
    gc.collect()
    assert not any(ref() for ref in gone)
    first = (await asyncio.wait_for(watcher.tracks["video"].recv(), PATIENCE)).pts
    later = (await asyncio.wait_for(watcher.tracks["video"].recv(), PATIENCE)).pts
    assert later > first
    await watcher.peer.close()
