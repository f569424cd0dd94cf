"""The wall clock. Frames are due by it, for browsers and MQTT have no other clock in common with the show."""

import asyncio
import time


def unix_time() -> float:
    """Seconds since 1970; on an event loop whose time is not real, by that loop."""
    try:
        now: float = getattr(asyncio.get_running_loop(), "unix_time", time.time)()
    except RuntimeError:  # nothing runs
        now = time.time()
    return now
