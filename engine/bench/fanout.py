"""A dancing show without models for the web's bench, sent to viewers in one of two ways.

Run as a process: `python -m engine.bench.fanout shared|relay PORT PACE`, PACE a share of real time. `shared` is the
show's own server. `relay` is what one builds with aiortc alone: its MediaRelay, which hands every viewer's encoder each
frame. Both answer /whep and /api/state; the state says what has been spent and how late the event loop was since the
last time it was asked.
"""

import asyncio
import contextlib
import sys
import time
from collections.abc import AsyncIterator, Mapping
from fractions import Fraction
from typing import Any

import av
import numpy as np

from engine.audio.files import demo_source
from engine.stage.frame import Outlet, ShowFrame
from engine.stage.lag import LoopLag
from xdancer.music.demo import demo_track
from xdancer.music.frame import FPS, HOP, SAMPLE_RATE, BeatState

WIDTH, HEIGHT, BITRATE = 512, 896, 4_000_000
PICTURES = 32  # one sway of the body, drawn before the show; the stage process does not draw
NOTED = 0.1  # ms: shorter turns of the event loop make nothing late
DELAY = 0.25  # seconds that a frame is announced ahead, as in a show


class MeasuredLoop(asyncio.SelectorEventLoop):
    """Notes the processor time of each of its turns: by how much it makes things late, others apart."""

    def __init__(self) -> None:
        super().__init__()
        self._turns: list[float] = []

    def _run_once(self) -> None:
        before = time.thread_time()
        super()._run_once()  # type: ignore[misc]
        spent = 1000 * (time.thread_time() - before)
        if spent > NOTED:
            self._turns.append(round(spent, 2))

    def take(self) -> list[float]:
        """Those since the last time, in ms."""
        turns, self._turns = self._turns, []
        return turns


class Dance:
    """What `engine.web.server.Web` needs of a show, and its frames."""

    session = "fanout"

    def __init__(self, pace: float) -> None:
        from engine.bench.renderer import swaying
        from xdancer.renderer import SkeletonRenderer

        self.source = demo_source()
        self.fps = FPS * pace
        self.poses = swaying()[:PICTURES]
        stream = SkeletonRenderer(WIDTH, HEIGHT).stream()
        self.pictures = [stream.draw(pose, k % 15 / 15) for k, pose in enumerate(self.poses)]
        self.sound = demo_track().samples
        self._lag = LoopLag()
        self._spent = time.process_time()

    @property
    def params(self) -> dict[str, Any]:
        return {}

    def set_params(self, changes: Mapping[str, Any]) -> dict[str, Any]:
        return {}

    def delivered(self, seconds: float) -> None:
        pass

    def state(self) -> dict[str, Any]:
        """Since the last time: processor seconds, and the event loop's lateness."""
        now = time.process_time()
        spent, self._spent = now - self._spent, now
        loop = asyncio.get_running_loop()
        assert isinstance(loop, MeasuredLoop)
        return {"cpu_s": spent, "loop_lag_p99_ms": 1000 * self._lag.take(), "turns_ms": loop.take()}

    def hop(self, index: int) -> np.ndarray:
        """The sound of a frame: float32 (1600, 2)."""
        start = index * HOP % (len(self.sound) - HOP)
        return self.sound[start : start + HOP]

    async def run(self, outlet: Outlet | None) -> None:
        """Frames at `fps`, for ever."""
        loop = asyncio.get_running_loop()
        watching = asyncio.create_task(self._lag.run())
        begun, started, index = loop.time(), time.time(), 0
        try:
            while True:
                if outlet:
                    k = index % PICTURES
                    due = started + index / self.fps + DELAY
                    outlet.made(
                        ShowFrame(index, due, self.pictures[k], self.hop(index), self.poses[k], None, BeatState())
                    )
                index += 1
                await asyncio.sleep(max(0.0, begun + index / self.fps - loop.time()))
        finally:
            watching.cancel()


@contextlib.asynccontextmanager
async def shared(dance: Dance, port: int) -> AsyncIterator[Outlet]:
    """The show's own way."""
    from engine.config import load
    from engine.web.server import Web

    web = Web(load(None, [f"port={port}", f"width={WIDTH}", f"height={HEIGHT}", f"bitrate={BITRATE}"]), dance)
    await web.start()
    yield web
    await web.stop()


@contextlib.asynccontextmanager
async def relay(dance: Dance, port: int) -> AsyncIterator[None]:
    """aiortc's way, at the same bitrate: one encoder for each viewer."""
    from aiohttp import web
    from aiortc import MediaStreamTrack, RTCPeerConnection, RTCSessionDescription
    from aiortc.codecs import h264, vpx
    from aiortc.contrib.media import MediaRelay

    for codec in (h264, vpx):
        codec.DEFAULT_BITRATE = codec.MAX_BITRATE = BITRATE  # type: ignore[attr-defined]

    class Track(MediaStreamTrack):
        """One frame of the show after the other, at its pace."""

        def __init__(self, kind: str) -> None:
            self.kind = kind
            super().__init__()
            self._begun, self._index = asyncio.get_running_loop().time(), 0

        async def recv(self) -> av.VideoFrame | av.AudioFrame:
            index, now = self._index, asyncio.get_running_loop().time()
            self._index += 1
            await asyncio.sleep(max(0.0, self._begun + index / dance.fps - now))
            frame: av.VideoFrame | av.AudioFrame
            if self.kind == "video":
                picture = av.VideoFrame.from_ndarray(dance.pictures[index % PICTURES], format="rgb24")
                # All encoders get this one frame, each in a thread: converting it there at once crashes the process.
                frame = picture.reformat(format="yuv420p")
                frame.pts, frame.time_base = index, Fraction(1, FPS)
            else:
                sound = (32_767 * dance.hop(index)).astype(np.int16).reshape(1, -1)
                frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(sound), format="s16", layout="stereo")
                frame.sample_rate, frame.pts, frame.time_base = SAMPLE_RATE, index * HOP, Fraction(1, SAMPLE_RATE)
            return frame

    relaying, tracks = MediaRelay(), [Track("video"), Track("audio")]
    peers: list[RTCPeerConnection] = []

    async def watch(request: web.Request) -> web.Response:
        peer = RTCPeerConnection()
        peers.append(peer)
        for track in tracks:
            peer.addTrack(relaying.subscribe(track, buffered=False))
        await peer.setRemoteDescription(RTCSessionDescription(await request.text(), "offer"))
        await peer.setLocalDescription(await peer.createAnswer())
        return web.Response(status=201, text=peer.localDescription.sdp, content_type="application/sdp")

    async def state(request: web.Request) -> web.Response:
        return web.json_response(dance.state())

    app = web.Application()
    app.add_routes([web.post("/whep", watch), web.get("/api/state", state)])
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    yield
    await asyncio.gather(*(peer.close() for peer in peers))
    await runner.cleanup()


async def main(way: str, port: int, pace: float) -> None:
    dance = Dance(pace)
    async with {"shared": shared, "relay": relay}[way](dance, port) as outlet:
        await dance.run(outlet)


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=MeasuredLoop) as runner:
        runner.run(main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3])))
