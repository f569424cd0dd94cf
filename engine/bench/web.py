"""Processor time of the stage for each viewer, beside aiortc's MediaRelay, which encodes for every viewer.

Real viewers over loopback, which count what they are sent but do not decode it. From the slope between a few and many
viewers; per frame sent, so that a sender that cannot keep up is charged only for what it does.
"""

import argparse
import asyncio
import functools
import struct
import sys
import time
from collections.abc import Callable
from typing import Any

import aiohttp
import numpy as np
from aiortc import RTCPeerConnection, RTCSessionDescription

from engine.bench.beside import free_port, process
from xdancer.errors import UserError

FEW, MANY = 4, 32
SHARED, RELAY = "shared, H.264", "relay, VP8"  # ours by preference; aiortc's own choice, cheaper than its H.264
WAYS = {SHARED: ("shared", "H264"), RELAY: ("relay", "VP8")}
SETTLE = 4.0  # seconds between the last viewer's first frame and the measuring
START_MOST = 180.0
SLICE = 4  # of the seconds asked for, the share that each count of each way is measured
FPS = 30


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Measure every way in turn, `args.seconds` in all. Raises UserError where a server does not start."""
    seconds = max(args.seconds / SLICE, 2.0)
    result: dict[str, Any] = {"few": FEW, "many": MANY, "seconds": seconds, "pace": args.pace}
    for name, (way, codec) in WAYS.items():
        result[name] = asyncio.run(_measure(way, codec, seconds, args.pace))
    result["share"] = result[SHARED]["slope_ms"] / result[RELAY]["slope_ms"]
    return result


def report(result: dict[str, Any]) -> str:
    few, many, pace = result["few"], result["many"], result["pace"]
    lines = [f"processor time of the server, ms a frame{'' if pace == 1 else f'; at {pace:g} of real time'}"]
    lines.append(f"{'':<14} {f'{few} viewers':>12} {f'{many} viewers':>12} {'each further':>13} {'frames/s':>13}")
    for name in WAYS:
        row = result[name]
        a, b = row["few"], row["many"]
        rates = f"{a['fps']:.1f}, {b['fps']:.1f}"
        lines.append(f"{name:<14} {a['frame_ms']:>12.2f} {b['frame_ms']:>12.2f} {row['slope_ms']:>13.3f} {rates:>13}")
    lag = result[SHARED]["many"]
    lines.append(f"a further viewer costs {100 * result['share']:.1f} % of the relay's (goal 15 %)")
    lines.append(
        f"loop lag p99 at {many} viewers {lag['loop_lag_p99_ms']:.1f} ms by the clock (goal 10), "
        f"{lag['busy_lag_p99_ms']:.1f} ms by the loop's own processor time"
    )
    return "\n".join(lines)


class Viewer:
    """Counts the frames that it is sent since `forget`. Once connected it looks at headers alone, which SRTP leaves
    readable: what 32 viewers would decrypt is not the sender's cost."""

    def __init__(self) -> None:
        self.peer = RTCPeerConnection()
        self._video = -1  # the payload type
        self.forget()

    def forget(self) -> None:
        self._frames = self._packets = 0
        self._first = self._newest = self._timestamp = -1

    @property
    def frames(self) -> float:
        """Those that came, and by the gaps in the packets' numbers those that got lost: the sender is charged with
        both."""
        if not self._packets:
            return 0.0
        return self._frames / self._packets * ((self._newest - self._first) % 65_536 + 1)

    async def join(self, http: aiohttp.ClientSession, url: str, codec: str) -> None:
        video, _ = (self.peer.addTransceiver(kind, direction="recvonly") for kind in ("video", "audio"))
        connected = asyncio.Event()
        self.peer.on("connectionstatechange", connected.set)
        await self.peer.setLocalDescription(await self.peer.createOffer())
        other = {"H264": "VP8/", "VP8": "H264/"}[codec]
        offer = self.peer.localDescription.sdp.replace(other, "unknown/")
        async with http.post(f"{url}/whep", data=offer, headers={"Content-Type": "application/sdp"}) as answer:
            if answer.status != 201:
                raise UserError(f"bench web: an offer was refused: {answer.status} {await answer.text()}")
            await self.peer.setRemoteDescription(RTCSessionDescription(await answer.text(), "answer"))
        while self.peer.connectionState != "connected":
            connected.clear()
            await asyncio.wait_for(connected.wait(), START_MOST)
        self._video = video._codecs[0].payloadType or -1
        for protocol in video.receiver.transport.transport._connection._protocols:
            received = functools.partial(self._received, protocol.datagram_received)
            protocol.datagram_received = received  # type: ignore[method-assign]

    def _received(self, otherwise: Callable[[bytes, Any], None], data: bytes, addr: Any) -> None:
        kind, sequence, timestamp = struct.unpack_from("!xBHL", data)
        if not 128 <= data[0] < 192 or 192 <= kind < 224:  # STUN, DTLS; RTCP (RFC 5761, section 4)
            otherwise(data, addr)
        elif kind & 127 == self._video:
            self._frames += timestamp != self._timestamp
            self._packets += 1
            self._timestamp, self._newest = timestamp, sequence
            if self._first < 0:
                self._first = sequence


async def _measure(way: str, codec: str, seconds: float, pace: float) -> dict[str, Any]:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    viewers: list[Viewer] = []
    found: dict[str, Any] = {}
    with process([sys.executable, "-m", "engine.bench.fanout", way, str(port), str(pace)]):
        async with aiohttp.ClientSession() as http:
            await _started(http, url)
            for name, count in (("few", FEW), ("many", MANY)):
                while len(viewers) < count:
                    viewers.append(Viewer())
                    await viewers[-1].join(http, url, codec)
                await _watching(viewers)
                found[name] = await _window(http, url, viewers, seconds)
        await asyncio.gather(*(viewer.peer.close() for viewer in viewers))
    slope = (found["many"]["frame_ms"] - found["few"]["frame_ms"]) / (MANY - FEW)
    return found | {"slope_ms": slope}


async def _window(http: aiohttp.ClientSession, url: str, viewers: list[Viewer], seconds: float) -> dict[str, float]:
    await _state(http, url)  # from here on
    for viewer in viewers:
        viewer.forget()
    begun = time.monotonic()
    await asyncio.sleep(seconds)
    state = await _state(http, url)
    took = time.monotonic() - begun
    frames = sum(viewer.frames for viewer in viewers) / len(viewers)
    return {
        "frame_ms": 1000 * state["cpu_s"] / frames,
        "fps": frames / took,
        "loop_lag_p99_ms": state["loop_lag_p99_ms"],
        "busy_lag_p99_ms": busy_lag(np.array(state["turns_ms"]), 1000 * frames / FPS),
    }


def busy_lag(turns: np.ndarray, total: float) -> float:
    """How long what is due at any moment waits for the event loop's turn in progress, 99th percentile. `turns` are
    those of the loop within `total`; all in ms."""
    turns = np.sort(turns)
    # The share of moments that wait longer than x is the sum of what the turns have beyond x.
    beyond = np.cumsum(turns[::-1])[::-1] - turns * np.arange(len(turns), 0, -1)
    longer = turns[beyond <= 0.01 * total]
    return float(longer[0]) if len(longer) else 0.0


async def _started(http: aiohttp.ClientSession, url: str) -> None:
    deadline = time.monotonic() + START_MOST
    while time.monotonic() < deadline:
        try:
            await _state(http, url)
            return
        except aiohttp.ClientError:
            await asyncio.sleep(0.1)
    raise UserError(f"bench web: no server within {START_MOST:.0f} s")


async def _watching(viewers: list[Viewer]) -> None:
    """Until everyone has had a picture, and then a little."""
    deadline = time.monotonic() + START_MOST
    while not all(viewer.frames for viewer in viewers):
        if time.monotonic() > deadline:
            raise UserError(f"bench web: not every viewer is sent a picture within {START_MOST:.0f} s")
        await asyncio.sleep(0.1)
    await asyncio.sleep(SETTLE)


async def _state(http: aiohttp.ClientSession, url: str) -> dict[str, Any]:
    async with http.get(f"{url}/api/state") as answer:
        state: dict[str, Any] = await answer.json()
        return state
