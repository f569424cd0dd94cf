"""A Link peer as a DJ's program is one: argv are its tempo and, where it is to change it, another and when (s)."""

import asyncio
import signal
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


# Ends as on Ctrl-C, which a process that was begun in the background may not hear.
signal.signal(signal.SIGTERM, signal.default_int_handler)
asyncio.run(main(*map(float, sys.argv[1:])))
