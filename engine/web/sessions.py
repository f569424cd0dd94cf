"""What WHEP (draft-ietf-wish-whep-03) and WHIP (RFC 9725) have in common: an HTTP request with an offer, an address
for each session, candidates by PATCH, an end by DELETE.

ICE restarts are not supported (422): aiortc has none. Answers hold all candidates, so a peer needs none from us later.
"""

import asyncio
import contextlib
import logging
import re
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from aiohttp import web
from aiortc import RTCBundlePolicy, RTCConfiguration, RTCIceServer, RTCPeerConnection, RTCSessionDescription, sdp

from engine.config import IceServer

log = logging.getLogger(__name__)

SET_UP = 30.0  # seconds that a peer has to connect in
SDP, FRAGMENT = "application/sdp", "application/trickle-ice-sdpfrag"
CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "POST, PATCH, DELETE, GET, HEAD, OPTIONS",
    "Access-Control-Allow-Headers": "Authorization, Content-Type, If-Match",
    "Access-Control-Expose-Headers": "Location, ETag, Accept-Post, Accept-Patch, Link, Retry-After",
    "Access-Control-Max-Age": "86400",
}


class Refused(Exception):
    """A request that is answered with `status` and one line that says why."""

    def __init__(self, status: int, why: str, **headers: str) -> None:
        super().__init__(why)
        self.status = status
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}

    def response(self) -> web.Response:
        return web.Response(status=self.status, text=f"{self}\n", headers=CORS | self.headers)


@dataclass(eq=False)
class Session:
    """One peer. `ends` is unwound when it leaves."""

    peer: RTCPeerConnection
    name: str = field(default_factory=lambda: secrets.token_urlsafe(18))
    etag: str = field(default_factory=lambda: f'"{secrets.token_hex(8)}"')
    ends: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)
    connected: Callable[[], None] = lambda: None


class Endpoint:
    """An endpoint at `path` and its sessions, `most` at once; further ones get 503. What is done with an offer is
    `_answer`'s."""

    def __init__(self, path: str, most: int, ice_servers: Sequence[IceServer] = ()) -> None:
        self._path, self._most, self._ice_servers = path, most, ice_servers
        self._sessions: dict[str, Session] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def _answer(self, session: Session, offer: sdp.SessionDescription, text: str) -> str:
        """The answer to an offer, given parsed and as `text`. Raises Refused."""
        raise NotImplementedError

    def _admit(self, request: web.Request) -> None:
        """Raises Refused where this client may not offer anything now."""

    def routes(self) -> list[web.RouteDef]:
        session = self._path + "/{session}"
        return [
            web.post(self._path, self._safely(self._post)),
            web.head(self._path, self._head),
            web.get(self._path, self._empty, allow_head=False),
            web.options(self._path, self._options),
            web.route("*", self._path, self._safely(self._other("POST, GET, HEAD, OPTIONS"))),
            web.patch(session, self._safely(self._patch)),
            web.delete(session, self._safely(self._delete)),
            web.get(session, self._safely(self._get)),
            web.options(session, self._options),
            web.route("*", session, self._safely(self._other("PATCH, DELETE, GET, HEAD, OPTIONS"))),
        ]

    def __len__(self) -> int:
        return len(self._sessions)

    async def close(self) -> None:
        """End every session."""
        await asyncio.gather(*(self._end(session) for session in list(self._sessions.values())))

    # -- requests

    @staticmethod
    def _safely(handler: Callable) -> Callable:
        async def handle(request: web.Request) -> web.Response:
            try:
                response: web.Response = await handler(request)
                return response
            except Refused as refused:
                return refused.response()

        return handle

    async def _post(self, request: web.Request) -> web.Response:
        self._admit(request)
        if request.content_type != SDP:
            raise Refused(415, f"an offer is sent as {SDP}", Accept_Post=SDP)
        if not _accepts(request, SDP):
            raise Refused(406, f"an answer is {SDP}")
        if len(self._sessions) >= self._most:
            raise Refused(503, "too many sessions; try again later", Retry_After="10")
        text = await _body(request)
        offer = _parse(text)
        session = Session(connection(self._ice_servers))
        self._sessions[session.name] = session
        try:
            self._watch(session)
            answer = await self._answer(session, offer, text)
        except Refused:
            await self._end(session)
            raise
        except Exception as error:  # aiortc raises many kinds for offers it cannot serve
            log.info("%s: offer refused: %s", self._path, error)
            await self._end(session)
            raise Refused(400, "this offer cannot be answered") from None
        response = web.Response(status=201, text=muxed(answer), content_type=SDP, headers=CORS)
        response.headers["Location"] = f"{self._path}/{session.name}"
        response.headers["ETag"] = session.etag
        response.headers["Accept-Patch"] = FRAGMENT
        for link in ice_links(self._ice_servers):
            response.headers.add("Link", link)
        return response

    async def _patch(self, request: web.Request) -> web.Response:
        session = self._session(request)
        if request.content_type != FRAGMENT:
            raise Refused(415, f"candidates are sent as {FRAGMENT}", Accept_Patch=FRAGMENT)
        match = request.headers.get("If-Match")
        if match is None:
            raise Refused(428, "If-Match is required")
        if not {"*", session.etag} & {tag.strip() for tag in match.split(",")}:
            raise Refused(412, "the session has another ETag")
        fragment = (await _body(request)).splitlines()
        if not any(fragment) or not all(re.match(r"[a-z]=|$", line) for line in fragment):
            raise Refused(400, "not a session description fragment (RFC 8840)")
        remote = session.peer.remoteDescription.sdp
        for secret in ("a=ice-ufrag:", "a=ice-pwd:"):
            if any(line.startswith(secret) and line.strip() not in remote for line in fragment):
                raise Refused(422, "ICE restarts are not supported")
        await _trickle(session.peer, fragment)
        return web.Response(status=204, headers=CORS)

    async def _delete(self, request: web.Request) -> web.Response:
        await self._end(self._session(request))
        return web.Response(status=200, headers=CORS)

    async def _get(self, request: web.Request) -> web.Response:
        self._session(request)
        return web.Response(status=204, headers=CORS)

    async def _empty(self, request: web.Request) -> web.Response:
        return web.Response(status=204, headers=CORS)

    async def _head(self, request: web.Request) -> web.Response:
        return web.Response(status=200, content_type=SDP, headers=CORS)

    async def _options(self, request: web.Request) -> web.Response:
        return web.Response(status=200, headers=CORS | {"Accept-Post": SDP})

    def _other(self, allowed: str) -> Callable:
        async def refuse(request: web.Request) -> web.Response:
            raise Refused(405, f"{request.method} means nothing here", Allow=allowed)

        return refuse

    def _session(self, request: web.Request) -> Session:
        session = self._sessions.get(request.match_info["session"])
        if session is None:
            raise Refused(404, "no such session")
        return session

    # -- sessions

    def _watch(self, session: Session) -> None:
        """Follow a peer: it ends when its connection does, or when none has come about in time."""
        peer = session.peer

        @peer.on("connectionstatechange")
        def changed() -> None:
            if peer.connectionState == "connected":
                session.connected()
            elif peer.connectionState in ("failed", "closed"):
                self._end_soon(session)

        def due() -> None:
            if peer.connectionState != "connected":
                log.info("%s: a peer did not connect within %.0f s", self._path, SET_UP)
                self._end_soon(session)

        session.ends.callback(asyncio.get_running_loop().call_later(SET_UP, due).cancel)

    def _end_soon(self, session: Session) -> None:
        task = asyncio.ensure_future(self._end(session))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _end(self, session: Session) -> None:
        if self._sessions.pop(session.name, None) is None:
            return
        session.ends.close()
        await session.peer.close()


def connection(
    ice_servers: Sequence[IceServer], policy: RTCBundlePolicy = RTCBundlePolicy.BALANCED
) -> RTCPeerConnection:
    """A peer connection of our own that uses the servers of the configuration, and no others."""
    servers = [RTCIceServer(server.urls, server.username, _secret(server)) for server in ice_servers]
    return RTCPeerConnection(RTCConfiguration(iceServers=servers, bundlePolicy=policy))


def ice_links(ice_servers: Sequence[IceServer]) -> list[str]:
    """The servers as Link headers (RFC 9725, section 4.6)."""
    links = []
    for server in ice_servers:
        for url in server.urls:
            link = f'<{url}>; rel="ice-server"'
            if server.username is not None and server.credential is not None:
                link += f'; username="{server.username}"; credential="{_secret(server)}"; credential-type="password"'
            links.append(link)
    return links


def _secret(server: IceServer) -> str | None:
    return server.credential.get_secret_value() if server.credential else None


def muxed(description: str) -> str:
    """Both protocols ask for rtcp-mux-only (RFC 8858) in every section; aiortc keeps to it unsaid."""
    return description.replace("a=rtcp-mux\r\n", "a=rtcp-mux\r\na=rtcp-mux-only\r\n")


async def answered(peer: RTCPeerConnection) -> str:
    """The answer to the offer that `peer` has been given, with every candidate."""
    await peer.setLocalDescription(await peer.createAnswer())
    answer: str = peer.localDescription.sdp
    return answer


async def offered(peer: RTCPeerConnection, text: str) -> None:
    await peer.setRemoteDescription(RTCSessionDescription(text, "offer"))


async def _body(request: web.Request) -> str:
    try:
        return await request.text()
    except web.HTTPRequestEntityTooLarge:
        raise Refused(413, "at most 64 KiB") from None
    except (UnicodeDecodeError, LookupError):
        raise Refused(400, "not text") from None


def _parse(text: str) -> sdp.SessionDescription:
    try:
        offer = sdp.SessionDescription.parse(text)
    except Exception:  # whatever the parser trips over, the offer is at fault
        raise Refused(400, "not a session description") from None
    if not offer.media:
        raise Refused(400, "a session description without media")
    for kind in ("audio", "video"):
        if sum(media.kind == kind for media in offer.media) > 1:
            raise Refused(400, f"more than one {kind} section")
    return offer


def _accepts(request: web.Request, kind: str) -> bool:
    accepted = {part.split(";")[0].strip() for part in request.headers.get("Accept", "*/*").split(",")}
    return bool(accepted & {kind, "application/*", "*/*"})


async def _trickle(peer: RTCPeerConnection, fragment: list[str]) -> None:
    """Hand over the candidates of a fragment; those that cannot be used are dropped silently (RFC 9725, 4.3.1)."""
    first = next((media.rtp.muxId for media in sdp.SessionDescription.parse(peer.remoteDescription.sdp).media), "0")
    mid = first
    for line in fragment:
        if line.startswith("a=mid:"):
            mid = line[len("a=mid:") :].strip()
        elif line.startswith("a=candidate:"):
            with contextlib.suppress(ValueError, AssertionError, IndexError):
                candidate = sdp.candidate_from_sdp(line[len("a=candidate:") :])
                candidate.sdpMid = mid
                await peer.addIceCandidate(candidate)
        elif line.startswith("a=end-of-candidates"):
            await peer.addIceCandidate(None)
