"""WHEP with a real WebRTC peer on loopback: the show arrives, and the protocol's answers are the draft's."""

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass

import numpy as np
import pytest
from aiohttp import ClientSession
from aiortc import RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamTrack
from pretend import PretendShow

from engine.config import load
from engine.web.server import Web

SDP = {"Content-Type": "application/sdp"}
FRAGMENT = {"Content-Type": "application/trickle-ice-sdpfrag"}


@dataclass
class Running:
    web: Web
    url: str
    client: ClientSession


@pytest.fixture
async def running() -> AsyncIterator[Running]:
    web = Web(load(None, ["port=0", "width=128", "height=224"]), PretendShow())
    await web.start()
    show = asyncio.create_task(PretendShow().run(web))
    async with ClientSession() as client:
        yield Running(web, web.address, client)
    show.cancel()
    await web.stop()


class Viewer:
    """A peer that asks for the show, of video only one codec where named."""

    def __init__(self, codec: str | None = None) -> None:
        self.peer = RTCPeerConnection()
        self.tracks: dict[str, MediaStreamTrack] = {}
        self.codec = codec
        self.peer.on("track", lambda track: self.tracks.setdefault(track.kind, track))

    async def offer(self) -> str:
        for kind in ("video", "audio"):
            self.peer.addTransceiver(kind, direction="recvonly")
        await self.peer.setLocalDescription(await self.peer.createOffer())
        offer = self.peer.localDescription.sdp
        return only(offer, self.codec) if self.codec else offer

    async def join(self, running: Running) -> str:
        async with running.client.post(running.url + "whep", data=await self.offer(), headers=SDP) as answer:
            assert answer.status == 201
            assert answer.headers["ETag"]
            assert answer.content_type == "application/sdp"
            sdp = await answer.text()
            await self.peer.setRemoteDescription(RTCSessionDescription(sdp, "answer"))
            return answer.headers["Location"]


def only(offer: str, codec: str) -> str:
    """The offer without the other video codecs."""
    other = {"H264": "VP8", "VP8": "H264"}[codec]
    numbers = set(re.findall(rf"a=rtpmap:(\d+) {other}/", offer))
    numbers |= {n for n, apt in re.findall(r"a=fmtp:(\d+) apt=(\d+)", offer) if apt in numbers}
    lines = []
    for line in offer.splitlines():
        named = re.match(r"a=(?:rtpmap|fmtp|rtcp-fb):(\d+) ", line)
        if named and named[1] in numbers:
            continue
        if line.startswith("m=video"):
            head, formats = line.split()[:3], line.split()[3:]
            line = " ".join(head + [f for f in formats if f not in numbers])
        lines.append(line)
    return "\r\n".join(lines) + "\r\n"


@pytest.mark.parametrize("codec", ["H264", "VP8"])
async def test_picture_and_sound_arrive_and_a_late_viewer_sees_them_too(running: Running, codec: str) -> None:
    for _ in range(2):  # the second joins a stream that is under way, and needs a key frame
        viewer = Viewer(codec)
        await viewer.join(running)
        seen = []
        for _ in range(30):
            picture = await asyncio.wait_for(viewer.tracks["video"].recv(), 30)
            seen.append(picture.to_ndarray(format="gray").mean())
        assert (picture.width, picture.height) == (128, 224)
        assert max(seen) > 150 > min(seen)  # flashes and what is between them
        loud = 0.0
        for _ in range(60):
            block = await asyncio.wait_for(viewer.tracks["audio"].recv(), 30)
            loud = max(loud, float(np.abs(block.to_ndarray()).max()))
        assert loud > 3000  # of 32767: the click
        await viewer.peer.close()


async def test_a_session_ends_when_it_is_deleted(running: Running) -> None:
    viewer = Viewer()
    session = running.url.rstrip("/") + await viewer.join(running)
    assert running.web.whep.viewers == 1
    assert (await running.client.get(session)).status == 204
    assert (await running.client.delete(session)).status == 200
    assert running.web.whep.viewers == 0
    assert (await running.client.delete(session)).status == 404
    await viewer.peer.close()


async def test_candidates_trickle_in_by_the_rules(running: Running) -> None:
    viewer = Viewer()
    session = running.url.rstrip("/") + await viewer.join(running)
    pwd = re.search(r"a=ice-pwd:(\S+)", viewer.peer.localDescription.sdp)
    assert pwd
    good = f"a=ice-pwd:{pwd[1]}\r\na=mid:0\r\na=candidate:1 1 UDP 2122260223 127.0.0.1 40000 typ host\r\n"
    restart = "a=ice-ufrag:new\r\na=ice-pwd:somethingelse\r\n"

    async def patch(body: str, **headers: str) -> int:
        named = {key.replace("_", "-"): value for key, value in headers.items()}
        return (await running.client.patch(session, data=body, headers=named)).status

    kind = FRAGMENT["Content-Type"]
    assert await patch(good, Content_Type=kind, If_Match="*") == 204
    assert await patch("a=candidate:nonsense", Content_Type=kind, If_Match="*") == 204
    assert await patch(good, Content_Type=kind) == 428
    assert await patch(good, Content_Type=kind, If_Match='"other"') == 412
    assert await patch(restart, Content_Type=kind, If_Match="*") == 422
    assert await patch(good, Content_Type="text/plain", If_Match="*") == 415
    await viewer.peer.close()


async def test_offers_that_cannot_be_served_are_refused(running: Running) -> None:
    async def post(body: str, kind: str = "application/sdp") -> int:
        return (await running.client.post(running.url + "whep", data=body, headers={"Content-Type": kind})).status

    assert await post("v=0", kind="text/plain") == 415
    assert await post("") == 400
    assert await post("not a description") == 400
    assert await post("x" * 70_000) == 413
    viewer = Viewer()
    offer = await viewer.offer()
    assert await post(re.sub(r"(H264|VP8|opus)/", "unknown/", offer)) == 406
    await viewer.peer.close()
    assert running.web.whep.viewers == 0


async def test_other_pages_may_ask(running: Running) -> None:
    answer = await running.client.options(running.url + "whep")
    assert answer.status == 204
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert answer.headers["Accept-Post"] == "application/sdp"
    assert "Location" in answer.headers["Access-Control-Expose-Headers"]
