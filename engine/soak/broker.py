"""`python -m engine.soak.broker PORT`: the embedded broker in a process of its own, so that it can be taken away."""

import asyncio
import sys

from engine.mqtt.broker import EmbeddedBroker


async def main(port: int) -> None:
    """Serve until killed; says so when it listens."""
    broker = EmbeddedBroker(port, 0)
    await broker.start()
    print(broker.port, flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
