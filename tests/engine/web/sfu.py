"""A WHIP endpoint of our own (RFC 9725), for the tests: a process that takes one stream and says what it has had."""

import asyncio
import sys
from typing import Any

from aiohttp import web
from aiortc import MediaStreamTrack, RTCPeerConnection, RTCSessionDescription

STATE: dict[str, Any] = {"pictures": 0, "sounds": 0, "deleted": 0, "refused": 0, "size": None, "codecs": []}
PEERS: dict[str, RTCPeerConnection] = {}


async def redirect(request: web.Request) -> web.Response:
    return web.Response(status=307, headers={"Location": "/live/whip"})


async def post(request: web.Request) -> web.Response:
    if request.headers.get("Authorization") != "Bearer key" or request.content_type != "application/sdp":
        STATE["refused"] += 1
        return web.Response(status=401)
    offer = await request.text()
    STATE["mux_only"] = offer.count("a=rtcp-mux-only") == 2 and offer.count("a=sendonly") == 2
    peer = RTCPeerConnection()

    @peer.on("track")
    def came(track: MediaStreamTrack) -> None:
        peer.task = [*getattr(peer, "task", []), asyncio.ensure_future(take(track))]  # type: ignore[attr-defined]

    await peer.setRemoteDescription(RTCSessionDescription(offer, "offer"))
    await peer.setLocalDescription(await peer.createAnswer())
    STATE["codecs"] = [transceiver._codecs[0].mimeType for transceiver in peer.getTransceivers()]
    PEERS["one"] = peer
    headers = {"Location": "../sessions/one"}
    return web.Response(status=201, text=peer.localDescription.sdp, content_type="application/sdp", headers=headers)


async def take(track: MediaStreamTrack) -> None:
    while True:
        frame = await track.recv()
        if track.kind == "video":
            STATE["pictures"] += 1
            STATE["size"] = [frame.width, frame.height]
        else:
            STATE["sounds"] += 1


async def delete(request: web.Request) -> web.Response:
    STATE["deleted"] += 1
    await PEERS.pop(request.match_info["name"]).close()
    return web.Response()


async def state(request: web.Request) -> web.Response:
    return web.json_response(STATE)


if __name__ == "__main__":
    app = web.Application()
    app.add_routes(
        [
            web.post("/first/whip", redirect),
            web.post("/live/whip", post),
            web.delete("/sessions/{name}", delete),
            web.get("/state", state),
        ]
    )
    web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), print=None)
