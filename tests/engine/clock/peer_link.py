"""A Link peer as a DJ's program is one: argv are its tempo and, where it is to change it, another and when (s)."""

import asyncio
import sys
import time

from aalink import Link


async def main(tempo: float, later: float | None = None, after: float = 0.0) -> None:
    """Say every 50 ms: the time, the beat, the tempo."""
    link = Link(tempo)
    link.quantum = 4.0
    link.enabled = True
    began = time.monotonic()
    while True:
        if later is not None and time.monotonic() - began > after:
            link.tempo, later = later, None
        print(time.monotonic(), link.beat, link.tempo, flush=True)
        await asyncio.sleep(0.05)


asyncio.run(main(*map(float, sys.argv[1:])))
