"""WHEP (draft-ietf-wish-whep-03): a viewer POSTs an offer and is sent the show.

Supported: POST, DELETE, trickle ICE by PATCH, CORS. ICE restarts are not (422), for aiortc has none.
"""

import asyncio
import functools
import logging
import secrets
from dataclasses import dataclass, field

from aiohttp import web
from aiortc import RTCConfiguration, RTCPeerConnection, RTCRtpSender, RTCSessionDescription, sdp

from engine.web.broadcast import Broadcast, PacketTrack

log = logging.getLogger(__name__)

MOST_SDP = 64 * 1024  # bytes of an offer
PREFERRED = ("h264", "vp8")
CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "POST, PATCH, DELETE, GET, OPTIONS",
    "Access-Control-Allow-Headers": "Authorization, Content-Type, If-Match",
    "Access-Control-Expose-Headers": "Location, ETag, Accept-Patch, Link",
}


@dataclass
class Session:
    """One viewer."""

    peer: RTCPeerConnection
    tracks: list[PacketTrack] = field(default_factory=list)
    etag: str = field(default_factory=lambda: f'"{secrets.token_hex(8)}"')


class Whep:
    """The endpoint and its sessions. `most` viewers at once; further ones get 503."""

    def __init__(self, broadcast: Broadcast, path: str = "/whep", most: int = 256) -> None:
        self._broadcast, self._path, self._most = broadcast, path, most
        self._sessions: dict[str, Session] = {}
        self._closing: set[asyncio.Task[None]] = set()

    def routes(self) -> list[web.RouteDef]:
        session = self._path + "/{session}"
        return [
            web.post(self._path, self._post),
            web.get(self._path, self._empty),
            web.options(self._path, self._options),
            web.patch(session, self._patch),
            web.delete(session, self._delete),
            web.get(session, self._empty),
            web.options(session, self._options),
        ]

    @property
    def viewers(self) -> int:
        return len(self._sessions)

    async def close(self) -> None:
        """End every session."""
        await asyncio.gather(*(self._end(name) for name in list(self._sessions)))

    async def _post(self, request: web.Request) -> web.Response:
        if request.content_type != "application/sdp":
            return _refuse(415, "an offer is sent as application/sdp")
        if len(self._sessions) >= self._most:
            return _refuse(503, "too many viewers; try again later", {"Retry-After": "10"})
        body = await request.content.read(MOST_SDP + 1)
        if len(body) > MOST_SDP:
            return _refuse(413, f"an offer has at most {MOST_SDP} bytes")
        try:
            offer = body.decode()
            offered = _codecs(offer)
        except Exception:  # whatever the parser trips over, the offer is at fault
            return _refuse(400, "not a session description")
        video = next((codec for codec in PREFERRED if codec in offered["video"]), None)
        if video is None and "opus" not in offered["audio"]:
            return _refuse(406, "nothing in the offer that can be sent: H.264, VP8 or Opus")
        session = Session(RTCPeerConnection(RTCConfiguration(iceServers=[])))
        name = secrets.token_urlsafe(18)
        self._sessions[name] = session
        try:
            answer = await self._answer(name, session, offer, video, "opus" in offered["audio"])
        except Exception as error:  # aiortc raises many kinds for offers it cannot serve
            log.info("whep: offer refused: %s", error)
            await self._end(name)
            return _refuse(400, "this offer cannot be answered")
        headers = {
            "Location": f"{self._path}/{name}",
            "ETag": session.etag,
            "Accept-Patch": "application/trickle-ice-sdpfrag",
        }
        return web.Response(status=201, text=answer, content_type="application/sdp", headers=CORS | headers)

    async def _answer(self, name: str, session: Session, offer: str, video: str | None, sound: bool) -> str:
        peer = session.peer

        @peer.on("connectionstatechange")
        def changed() -> None:
            if peer.connectionState in ("failed", "closed"):
                task = asyncio.ensure_future(self._end(name))
                self._closing.add(task)
                task.add_done_callback(self._closing.discard)

        # aiortc settles the codecs when it is given the offer, so tracks and preferences come first.
        for kind, codec in (("video", video), ("audio", "opus" if sound else None)):
            if codec is None:
                continue
            track = self._broadcast.subscribe(codec)
            session.tracks.append(track)
            sender = peer.addTrack(track)
            transceiver = next(t for t in peer.getTransceivers() if t.sender is sender)
            transceiver.direction = "sendonly"
            capabilities = RTCRtpSender.getCapabilities(kind).codecs
            usable = (f"{kind}/{codec}", f"{kind}/rtx")
            transceiver.setCodecPreferences([c for c in capabilities if c.mimeType.lower() in usable])
            if kind == "video":
                # Packets are encoded once for all, so a viewer's wish for a key frame goes to the shared encoder.
                ask = functools.partial(self._broadcast.ask_key, codec)
                sender._send_keyframe = ask  # type: ignore[method-assign]
        await peer.setRemoteDescription(RTCSessionDescription(offer, "offer"))
        await peer.setLocalDescription(await peer.createAnswer())
        return peer.localDescription.sdp

    async def _patch(self, request: web.Request) -> web.Response:
        session = self._sessions.get(request.match_info["session"])
        if session is None:
            return _refuse(404, "no such session")
        if request.content_type != "application/trickle-ice-sdpfrag":
            return _refuse(415, "candidates are sent as application/trickle-ice-sdpfrag")
        match = request.headers.get("If-Match")
        if match is None:
            return _refuse(428, "If-Match is required")
        if match not in ("*", session.etag):
            return _refuse(412, "the session has another ETag")
        fragment = (await request.content.read(MOST_SDP)).decode(errors="replace")
        password = _line(fragment, "a=ice-pwd:")
        remote = session.peer.remoteDescription
        if password and f"a=ice-pwd:{password}" not in remote.sdp:
            return _refuse(422, "ICE restarts are not supported")
        mid = _line(fragment, "a=mid:") or "0"
        for line in fragment.splitlines():
            if line.startswith("a=candidate:"):
                try:
                    candidate = sdp.candidate_from_sdp(line[len("a=candidate:") :])
                    candidate.sdpMid = mid
                    await session.peer.addIceCandidate(candidate)
                except (ValueError, AssertionError, IndexError):
                    continue  # candidates that cannot be used are silently dropped (RFC 9725, section 4.3.1)
        return web.Response(status=204, headers=CORS)

    async def _delete(self, request: web.Request) -> web.Response:
        name = request.match_info["session"]
        if name not in self._sessions:
            return _refuse(404, "no such session")
        await self._end(name)
        return web.Response(status=200, headers=CORS)

    async def _end(self, name: str) -> None:
        session = self._sessions.pop(name, None)
        if session is None:
            return
        for track in session.tracks:
            self._broadcast.unsubscribe(track)
        await session.peer.close()

    async def _empty(self, request: web.Request) -> web.Response:
        return web.Response(status=204, headers=CORS)

    async def _options(self, request: web.Request) -> web.Response:
        return web.Response(status=204, headers=CORS | {"Accept-Post": "application/sdp"})


def _refuse(status: int, why: str, headers: dict[str, str] | None = None) -> web.Response:
    return web.Response(status=status, text=why, headers=CORS | (headers or {}))


def _codecs(offer: str) -> dict[str, set[str]]:
    """Names of the codecs offered, by kind. Raises where the offer is no session description with media."""
    found: dict[str, set[str]] = {"audio": set(), "video": set()}
    description = sdp.SessionDescription.parse(offer)
    if not description.media:
        raise ValueError("no media")
    for media in description.media:
        if media.kind in found:
            found[media.kind] |= {codec.name.lower() for codec in media.rtp.codecs}
    return found


def _line(fragment: str, start: str) -> str | None:
    return next((line[len(start) :].strip() for line in fragment.splitlines() if line.startswith(start)), None)
