"""Ableton Link: the beat that all programs in the network share.

Two Link sessions that meet go on with the tempo of the older one. A dancer must never change the tempo of a DJ who
switches Link on during the show, so it joins only where somebody is already: until then it listens, without a Link of
its own, for the announcements that Link's peers send (discovery protocol of Link, UDP multicast).
"""

import asyncio
import contextlib
import importlib.util
import logging
import socket
import struct
from typing import Any

from engine.clock.source import exact
from xdancer.errors import UserError
from xdancer.music.frame import BeatState

log = logging.getLogger(__name__)
GROUP, PORT = "224.76.78.75", 20808
ANNOUNCED = b"_asdp_v\x01\x01"  # protocol and version, then the kind of message: somebody is there
OLDER = 1.0  # seconds that the others have had their session before we join: Link takes half a second for a tie
MEET = 2.0  # seconds in which we should have met them
OWN = 0.1  # seconds after leaving in which an announcement may still be one of ours; the others' come every 0.25 s
RETRY_FIRST, RETRY_MOST = 2.0, 60.0  # seconds until it listens again where it could not, doubled each time
MISSING = "Ableton Link needs aalink: pip install 'xdancer[link]'"


def installed() -> bool:
    """Whether Link can be had here."""
    return importlib.util.find_spec("aalink") is not None


class LinkClock(asyncio.DatagramProtocol):
    """A silent peer, from `start` to `stop`. Raises UserError without aalink."""

    name = "link"

    def __init__(self) -> None:
        if not installed():
            raise UserError(f"clock: {MISSING}")
        self._link: Any = None
        self._task: asyncio.Task[None] | None = None
        self._transport: asyncio.BaseTransport | None = None
        self._announced = asyncio.Event()

    @property
    def status(self) -> str:
        if self._transport is None:
            return "off"
        peers = self._link.num_peers if self._link is not None else 0
        return f"{peers} peer{'s' if peers > 1 else ''}" if peers else "no peers"

    def start(self) -> None:
        """Listen from now on, on the running event loop, as soon as the network lets us; never waits."""
        self._task = asyncio.create_task(self._run(), name="link")

    def stop(self) -> None:
        if self._task:
            self._task.cancel()
        if self._transport:
            self._transport.close()
        self._task = self._transport = self._link = None

    def datagram_received(self, data: bytes, addr: Any) -> None:
        if data.startswith(ANNOUNCED) and self._link is None:
            self._announced.set()

    def error_received(self, exc: Exception) -> None:
        pass  # a network that comes and goes; the next announcement counts

    def beat(self, index: int, at: float) -> BeatState | None:
        link = self._link
        if link is None or not link.num_peers:
            return None
        tempo = link.tempo
        early = at - asyncio.get_running_loop().time()
        return exact(link.beat + early * tempo / 60.0, tempo, self.name)

    async def _run(self) -> None:
        loop, said, wait = asyncio.get_running_loop(), "", RETRY_FIRST
        while self._transport is None:
            try:
                self._transport, _ = await loop.create_datagram_endpoint(lambda: self, sock=_ear())
            except OSError as error:
                if str(error) != said:
                    said = str(error)
                    log.warning("clock: Link cannot listen on UDP port %d (%s); trying again", PORT, error)
                await asyncio.sleep(wait)
                wait = min(2.0 * wait, RETRY_MOST)
        log.info("clock: listening for Link")
        await self._join()

    async def _join(self) -> None:
        """Be in the session while there is one."""
        from aalink import Link

        while True:
            await self._announced.wait()
            await asyncio.sleep(OLDER)
            self._link = Link(120.0)  # a tempo that nobody hears of, for the others' session is the older one
            self._link.quantum = 4.0
            await _stay(self._link)
            self._link.enabled = False  # at once: whoever comes next must find no session of ours
            self._link = None
            await asyncio.sleep(OWN)
            self._announced.clear()


async def _stay(link: Any) -> None:
    """Be there until the last of the others leaves, or none was met.

    Told, not asked: a message of one who has left may still be under way, and bring it back for five seconds.
    """
    came, left = asyncio.Event(), asyncio.Event()
    link.set_num_peers_callback(lambda peers: (came if peers else left).set())
    link.enabled = True
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(came.wait(), MEET)
    if came.is_set():
        await left.wait()


def _ear() -> socket.socket:
    """A socket that hears the announcements on every interface, beside the Link programs of this machine."""
    ear = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        ear.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        ear.bind(("", PORT))
        ear.setblocking(False)
        for number, _ in socket.if_nameindex():
            member = struct.pack("=4s4si", socket.inet_aton(GROUP), b"\0\0\0\0", number)
            with contextlib.suppress(OSError):  # an interface without multicast
                ear.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, member)
    except OSError:
        ear.close()
        raise
    return ear
