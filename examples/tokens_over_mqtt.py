"""Draw the dance in your own way: follow a running show's poses over MQTT.

Start the show with `xdancer live`, then run this beside it. It prints, once a beat, where the dancer's hands are.
"""

import asyncio
import json
import sys

import aiomqtt


async def main(host: str = "127.0.0.1", port: int = 1883) -> None:
    async with aiomqtt.Client(host, port) as client:
        await client.subscribe("xdancer/v1/+/meta")
        await client.subscribe("xdancer/v1/+/pose")
        await client.subscribe("xdancer/v1/+/beat")
        joints: list[str] = []
        hands: dict[str, list[float]] = {}
        async for message in client.messages:
            topic = str(message.topic).rsplit("/", 1)[-1]
            body = json.loads(message.payload)
            if topic == "meta":
                joints = body["joints"]
            elif topic == "pose" and joints:
                hands = {side: body["pose"][joints.index(f"{side}_wrist")] for side in ("left", "right")}
            elif topic == "beat":
                print(f"beat {body['beat']:4d}  {body['bpm']:5.1f} BPM  hands {hands}")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:2]))
