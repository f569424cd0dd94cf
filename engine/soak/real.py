"""A real show, in real time, with everything around it: a web radio, a broker, viewers, and what goes wrong."""

import asyncio
import contextlib
import json
import os
import resource
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import av
import psutil
from aiohttp import ClientError, ClientSession, ClientTimeout

from engine.mqtt import MqttSettings, messages
from engine.mqtt.link import LinkError, connect
from engine.mqtt.settings import parse_url
from engine.soak import nuisance
from engine.soak.radio import Radio
from engine.soak.verdict import Seen, verdict
from xdancer.errors import UserError
from xdancer.music.demo import demo_track

ROUND = 300.0  # seconds in which everything goes wrong once; less where that is needed for two rounds
START_MOST = 120.0
STAYING = 3  # viewers
PASSING = 700  # viewers who would come and go, if a join took no time
MALFORMED = 10_000
LIVE = "from engine.cli import main; raise SystemExit(main())"


def run(minutes: float, settings: list[str], say: Callable[[str], None] = lambda line: None) -> dict[str, Any]:
    """Soak for so long; `settings` are the show's. `say` hears what is being done. Raises UserError where the show
    cannot begin."""
    with tempfile.TemporaryDirectory(prefix="xdancer-soak-") as folder:
        return asyncio.run(Soak(Path(folder), 60 * minutes, settings, say).run())


class Soak:
    """One soak: starts the parts, does its worst, and keeps what it saw."""

    def __init__(self, folder: Path, seconds: float, settings: list[str], say: Callable[[str], None]) -> None:
        self._folder, self._seconds, self._settings, self._say = folder, seconds, settings, say
        self._rounds = max(2, round(seconds / ROUND))
        self._radio = Radio(demo_track().samples)
        self._broker_port = 0
        self._url = ""
        self.seen = Seen()

    async def run(self) -> dict[str, Any]:
        async with contextlib.AsyncExitStack() as ends:
            ends.callback(self._radio.close)
            self._http = await ends.enter_async_context(ClientSession(timeout=ClientTimeout(total=30)))
            await self._start_broker()
            ends.push_async_callback(self._end, lambda: self._broker, signal.SIGKILL)
            await self._start_show()
            ends.push_async_callback(self._end, lambda: self._show, signal.SIGKILL)
            crowd = await ends.enter_async_context(self._crowd(STAYING, churn=max(1.25, self._seconds / PASSING)))
            watching = [asyncio.create_task(work) for work in (self._look(), self._listen())]
            for task in watching:
                ends.callback(task.cancel)
            self.seen.began = time.monotonic()
            for number in range(self._rounds):
                await self._round(number)
                self.seen.tried = self.seen.tried or time.monotonic()
            await self._until(self._seconds)
            self.seen.crowd = await self._dismiss(crowd)
            self.seen.viewers_left = await self._viewers_left(0)
            self.seen.code = await self._end(lambda: self._show, signal.SIGTERM)
            for task in watching:
                task.cancel()
        await self._reading
        self._check_films()
        return verdict(self.seen, self._seconds)

    # -- what goes wrong

    async def _round(self, number: int) -> None:
        length = self._seconds / self._rounds
        troubles: list[tuple[str, Callable[[float], Awaitable[None]]]] = [
            ("studio killed", self._kill_studio),
            ("studio hangs", self._hang_studio),
            ("broker away", self._lose_broker),
            ("radio stutters", self._stutter),
            ("malformed requests", self._pester),
            ("viewer stops reading", self._freeze_viewer),
            ("disk full", self._fill_disk),
        ]
        calm = 0.2 if number == 0 else 0.0  # until the memory of the first minute has settled
        for k, (what, trouble) in enumerate(troubles):
            share = calm + (1 - calm) * k / len(troubles)
            await self._until((number + share) * length)
            self._say(f"{time.monotonic() - self.seen.began:6.0f} s  {what}")
            begun = time.monotonic()
            await trouble(length / len(troubles))
            self.seen.troubles.append((what, begun, time.monotonic()))

    async def _lose_broker(self, length: float) -> None:
        self._broker.kill()
        await self._broker.wait()
        await asyncio.sleep(min(60.0, length / 2))
        await self._start_broker()
        since = time.monotonic()
        while not self.seen.tokens or self.seen.tokens[-1][0] < since:
            if time.monotonic() - since > 30.0:
                break
            await asyncio.sleep(0.1)
        self.seen.broker_back.append(time.monotonic() - since)

    async def _stutter(self, length: float) -> None:
        for gap in (0.3, 1.0, 3.0):
            self._radio.stutter(gap)
            await asyncio.sleep(gap + min(2.0, length / 8))

    async def _kill_studio(self, length: float) -> None:
        await self._blow(signal.SIGKILL)

    async def _hang_studio(self, length: float) -> None:
        await self._blow(signal.SIGSTOP)

    async def _blow(self, number: int) -> None:
        """Strike the studio on stage, and wait until another one dances."""
        before = await self._until_state(lambda state: state["studio"]["spare"] and state["studio"]["status"] == "live")
        if "studio" not in before["pids"]:
            return  # on a machine this busy there is none to strike
        os.kill(before["pids"]["studio"], number)
        self.seen.struck += 1
        replaced = before["studio"]["replaced"]
        await self._until_state(
            lambda state: state["studio"]["replaced"] > replaced and state["studio"]["status"] == "live"
        )

    async def _pester(self, length: float) -> None:
        count = MALFORMED // self._rounds if self._seconds >= ROUND else MALFORMED // 10 // self._rounds
        host, port = "127.0.0.1", int(self._url.rsplit(":", 1)[1].strip("/"))
        pause = nuisance.AT_ONCE * length / 2 / count
        for what, number in (await nuisance.pester(host, port, count, pause)).items():
            self.seen.malformed[what] = self.seen.malformed.get(what, 0) + number
        address = parse_url(MqttSettings(url=f"mqtt://127.0.0.1:{self._broker_port}"))
        with contextlib.suppress(LinkError):
            async with connect(address, "nuisance") as link:
                for payload in (b"\xff", b"[" * 30_000, b'{"energy": "loud"}', b"null"):
                    await link.publish(f"{messages.ROOT}/main/params/set", payload, qos=1)

    async def _freeze_viewer(self, length: float) -> None:
        """A viewer whose machine stops answering: it must cost nothing, and be given up in the end."""
        async with self._crowd(1, churn=0.0) as frozen:
            os.kill(frozen.pid, signal.SIGSTOP)
            await asyncio.sleep(1)
            try:
                begun = time.monotonic()
                await self._until_state(lambda state: state["viewers"] <= STAYING, within=90.0)
                self.seen.frozen_for = max(self.seen.frozen_for, time.monotonic() - begun)
            finally:
                os.kill(frozen.pid, signal.SIGKILL)

    async def _fill_disk(self, length: float) -> None:
        """The operating system refuses to let a file grow, as a full disk does."""
        film = await self._record(True)
        await asyncio.sleep(min(5.0, length / 4))
        room = (self._folder / film["file"]).stat().st_size + 50_000
        limits = psutil.Process(self._show.pid)
        limits.rlimit(resource.RLIMIT_FSIZE, (room, resource.RLIM_INFINITY))
        try:
            ended = await self._until_state(lambda state: not state["recorder"]["on"])
            self.seen.disk_full.append(ended["recorder"]["error"] or "")
        finally:
            limits.rlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        await self._record(True)
        await asyncio.sleep(min(5.0, length / 4))
        await self._record(False)

    # -- the parts

    async def _start_broker(self) -> None:
        self._broker = await self._python("-m", "engine.soak.broker", str(self._broker_port))
        assert self._broker.stdout
        self._broker_port = int(await self._broker.stdout.readline())

    async def _start_show(self) -> None:
        broker = f"mqtt.url=mqtt://127.0.0.1:{self._broker_port}"
        arguments = ["live", "--json", "--audio", self._radio.url, "--port", "0", broker, f"recordings={self._folder}"]
        self._show = await self._python("-c", LIVE, *arguments, *self._settings, stderr=asyncio.subprocess.PIPE)
        assert self._show.stdout and self._show.stderr
        self._reading = asyncio.create_task(self._read(self._show.stderr))
        line = await self._show.stdout.readline()
        if line:
            self._url = json.loads(line)["viewer"]
            with contextlib.suppress(ClientError):
                await self._until_state(lambda state: state["studio"]["status"] == "live", START_MOST)
                return
        raise UserError(f"soak: the show does not begin: {' '.join(list(self.seen.log)[-1:])}")

    @contextlib.asynccontextmanager
    async def _crowd(self, stay: int, churn: float) -> AsyncIterator[asyncio.subprocess.Process]:
        crowd = await self._python("-m", "engine.soak.crowd", f"{self._url}whep", str(stay), str(churn))
        assert crowd.stdout
        if await crowd.stdout.readline() != b"watching\n":
            raise UserError("soak: viewers cannot join the show")
        try:
            yield crowd
        finally:
            await self._end(lambda: crowd, signal.SIGKILL)

    async def _dismiss(self, crowd: asyncio.subprocess.Process) -> dict[str, Any]:
        crowd.send_signal(signal.SIGTERM)
        assert crowd.stdout
        told: dict[str, Any] = json.loads(await crowd.stdout.readline())
        return told

    async def _python(self, *arguments: str, stderr: Any = None) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            sys.executable, *arguments, stdout=asyncio.subprocess.PIPE, stderr=stderr
        )

    async def _end(self, which: Callable[[], asyncio.subprocess.Process], number: int) -> int:
        process = which()
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(number)
        return await process.wait()

    # -- what is seen

    async def _state(self) -> dict[str, Any]:
        async with self._http.get(f"{self._url}api/state") as answer:
            state: dict[str, Any] = await answer.json()
            return state

    async def _record(self, on: bool) -> dict[str, Any]:
        async with self._http.post(f"{self._url}api/record", json={"on": on}) as answer:
            film: dict[str, Any] = await answer.json()
            return film

    async def _until(self, second: float) -> None:
        """Wait until so many seconds after the beginning."""
        await asyncio.sleep(max(0.0, self.seen.began + second - time.monotonic()))
        if self._show.returncode is not None:
            raise UserError(f"soak: the show ended with code {self._show.returncode}")

    async def _until_state(self, reached: Callable[[dict[str, Any]], bool], within: float = 60.0) -> dict[str, Any]:
        """Wait for a state; after `within` seconds any will do, and the report shows what is wrong."""
        deadline = time.monotonic() + within
        while True:
            state = await self._state()
            if reached(state) or time.monotonic() > deadline:
                return state
            await asyncio.sleep(0.2)

    async def _viewers_left(self, expected: int) -> int:
        return int((await self._until_state(lambda state: state["viewers"] <= expected))["viewers"])

    async def _read(self, stderr: asyncio.StreamReader) -> None:
        """What the show says, to its end."""
        async for line in stderr:
            self.seen.log.append(line.decode(errors="replace").rstrip())

    async def _look(self) -> None:
        """The state, once a second."""
        while True:
            with contextlib.suppress(ClientError, TimeoutError):
                self.seen.states.append((time.monotonic(), await self._state()))
            await asyncio.sleep(1.0)

    async def _listen(self) -> None:
        """Every message on `tokens`, for as long as there is a broker."""
        address = parse_url(MqttSettings(url=f"mqtt://127.0.0.1:{self._broker_port}"))
        while True:
            with contextlib.suppress(LinkError):
                async with connect(address, "soak") as link:
                    async for payload in link.messages(f"{messages.ROOT}/+/tokens"):
                        self.seen.tokens.append((time.monotonic(), json.loads(payload)["frame"]))
            await asyncio.sleep(0.2)

    def _check_films(self) -> None:
        """Every film plays to its end, picture and sound alike."""
        for path in sorted(self._folder.glob("*.mp4")):
            with contextlib.suppress(av.FFmpegError), av.open(str(path)) as film:
                ends = {"video": 0.0, "audio": 0.0}
                for frame in film.decode(video=0, audio=0):
                    if isinstance(frame, av.VideoFrame | av.AudioFrame):
                        ends["video" if isinstance(frame, av.VideoFrame) else "audio"] = float(frame.time or 0.0)
                self.seen.films.append((path.name, ends["video"], ends["audio"]))
                continue
            self.seen.films.append((path.name, 0.0, float("inf")))
