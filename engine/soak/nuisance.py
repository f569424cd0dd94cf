"""Requests that nobody should send."""

import asyncio
import itertools
import random

TIMEOUT = 20.0  # seconds in which a request is answered or hung up on
AT_ONCE = 8


CUT = (0, 12)  # kinds that end in the middle


def requests(host: str, count: int, seed: int = 0) -> list[tuple[bytes, bool]]:
    """Malformed ones of many kinds, each as it goes over the wire, and whether it is whole, so that an answer can be
    expected. None of them is to succeed."""
    rng = random.Random(seed)
    end = f" HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n"

    def post(method: str, path: str, kind: str, body: bytes) -> bytes:
        head = f"{method} {path}{end}Content-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
        return head.encode() + body

    def make(kind: int) -> bytes:
        noise = rng.randbytes(rng.randrange(1, 400))
        match kind:
            case 0:
                return noise
            case 1:
                return post("PATCH", "/api/params", "application/json", noise)
            case 2:
                return post("PATCH", "/api/params", "application/json", b'{"energy": 1e999, "no": [[[[]]]]}')
            case 3:
                return post("PATCH", "/api/params", "application/json", b"[" * 30_000)
            case 4:
                return post("POST", "/whep", "application/sdp", noise)
            case 5:
                return post("POST", "/whep", "application/sdp", b"v=0\r\nm=video 9 UDP 96\r\na=rtpmap:96\r\n")
            case 6:
                return post("POST", "/whep", "text/plain", b"v=0")
            case 7:
                return post("PATCH", "/whep/" + noise.hex()[:40], "application/trickle-ice-sdpfrag", noise)
            case 8:
                return post("POST", "/api/record", "application/json", b'{"on": "../../etc/passwd"}')
            case 9:
                return f"GET /tokenizer/%2e%2e/%2e%2e/{noise.hex()}{end}\r\n".encode()
            case 10:
                return f"GET /{'a' * 20_000}{end}\r\n".encode()
            case 11:
                return f"GET /{noise.hex()}{end}X: {'b' * 9_000}\r\n\r\n".encode()
            case _:  # the connection closes in the middle
                return f"POST /whep{end}Content-Type: application/sdp\r\nContent-Length: 500\r\n\r\nv=0".encode()

    return [(make(kind), kind not in CUT) for kind, _ in zip(itertools.cycle(range(13)), range(count), strict=False)]


async def pester(host: str, port: int, count: int, pause: float) -> dict[str, int]:
    """Send `count` of them, AT_ONCE at a time, each after `pause` seconds. Counts by what came of it: "refused" (4xx),
    "served" (2xx, 3xx), "broken" (5xx, no answer in time), "hung_up"."""
    waiting = iter(requests(f"{host}:{port}", count))
    outcome = {"refused": 0, "served": 0, "broken": 0, "hung_up": 0}

    async def work() -> None:
        for request, whole in waiting:
            try:
                outcome[await asyncio.wait_for(_send(host, port, request, whole), TIMEOUT)] += 1
            except TimeoutError:
                outcome["broken"] += 1
            except OSError:
                outcome["hung_up"] += 1
            await asyncio.sleep(pause)

    await asyncio.gather(*(work() for _ in range(AT_ONCE)))
    return outcome


async def _send(host: str, port: int, request: bytes, whole: bool) -> str:
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(request)
        if not whole:
            writer.write_eof()
        status = (await reader.readline()).split()[1:2]
        while await reader.read(65_536):
            pass
    finally:
        writer.close()
    if not status:
        return "hung_up"
    return {b"2": "served", b"3": "served", b"5": "broken"}.get(status[0][:1], "refused")
