"""`python -m engine.soak.crowd WHEP STAY CHURN`: viewers in a process of their own, STAY of them for the whole show,
and one every CHURN seconds for half of that (0: none). On SIGTERM one line of JSON tells what they were sent."""

import asyncio
import contextlib
import json
import logging
import signal
import sys
import time
from typing import Any

from aiohttp import ClientError, ClientSession
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription, rtcrtpreceiver


class Listener:
    """In a decoder's place: notes when frames come. Decoding is the browser's work, and would hide the show's."""

    all: list["Listener"] = []

    def __init__(self, codec: Any) -> None:
        self.kind = codec.mimeType.partition("/")[0].lower()
        self.frames = 0
        self.gap = 0.0
        self._last = 0.0
        Listener.all.append(self)

    def decode(self, frame: Any) -> list[Any]:
        now = time.monotonic()
        if self.frames:
            self.gap = max(self.gap, now - self._last)
        self.frames, self._last = self.frames + 1, now
        return []


class Viewer:
    """One viewer, as a browser would be."""

    def __init__(self, http: ClientSession, whep: str) -> None:
        self._http, self._whep = http, whep
        self._peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self._session: str | None = None

    async def join(self) -> None:
        """Raises ClientError where the show is not there."""
        for kind in ("video", "audio"):
            self._peer.addTransceiver(kind, direction="recvonly")
        await self._peer.setLocalDescription(await self._peer.createOffer())
        headers = {"Content-Type": "application/sdp"}
        offer = self._peer.localDescription.sdp
        async with self._http.post(self._whep, data=offer, headers=headers, raise_for_status=True) as answer:
            self._session = str(answer.url.join(type(answer.url)(answer.headers["Location"])))
            await self._peer.setRemoteDescription(RTCSessionDescription(await answer.text(), "answer"))

    async def leave(self, politely: bool = True) -> None:
        """Go; the impolite just close the window."""
        if politely and self._session:
            with contextlib.suppress(ClientError):
                await (await self._http.delete(self._session)).read()
        await self._peer.close()


async def main(whep: str, stay: int, churn: float) -> dict[str, Any]:
    """Watch until SIGTERM."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    rtcrtpreceiver.get_decoder = Listener  # type: ignore[assignment]
    joined = refused = 0
    async with ClientSession() as http:
        staying = [Viewer(http, whep) for _ in range(stay)]
        for viewer in staying:
            await viewer.join()
        print("watching", flush=True)
        while not stop.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), churn / 2 or None)
                break
            guest = Viewer(http, whep)
            try:
                await guest.join()
                joined += 1
                await asyncio.sleep(churn / 2)
            except ClientError:
                refused += 1
            await guest.leave(politely=joined % 2 == 0)
        for viewer in staying:
            await viewer.leave()
    heard = [listener for listener in Listener.all if listener.frames]
    gaps = {kind: max((one.gap for one in heard if one.kind == kind), default=0.0) for kind in ("audio", "video")}
    return {"joined": joined, "refused": refused, "gap_s": gaps, "frames": sum(one.frames for one in heard)}


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    print(json.dumps(asyncio.run(main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3])))), flush=True)
