"""`xdancer-follow URL [SHOW]`: what a show does, on the terminal."""

import argparse
import asyncio
import json
import sys

from xdancer_client import Dance, DanceError


def main() -> int:
    parser = argparse.ArgumentParser("xdancer-follow", description="Follows a running xdancer show over MQTT.")
    parser.add_argument("url", nargs="?", default="mqtt://127.0.0.1:1883", help="the broker")
    parser.add_argument("show", nargs="?", default="main")
    parser.add_argument("--json", action="store_true", help="one object a frame, instead of one line a beat")
    args = parser.parse_args()
    try:
        asyncio.run(follow(Dance(args.url, args.show), args.json))
    except DanceError as error:
        print(f"xdancer-follow: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


async def follow(dance: Dance, as_json: bool) -> None:
    async for frame in dance:
        if as_json:
            tokens = None if frame.tokens is None else frame.tokens.tolist()
            print(json.dumps({"frame": frame.index, "due": frame.due, "tokens": tokens, "pose": frame.pose.tolist()}))
        elif frame.beat:
            (rx, ry), (lx, ly) = frame.pose[4, :2], frame.pose[7, :2]
            place = f"bar beat {frame.beat.in_bar + 1}, {frame.beat.bpm:5.1f} BPM"
            print(
                f"frame {frame.index}: {place}, right wrist {rx:.0f} {ry:.0f}, left wrist {lx:.0f} {ly:.0f}", flush=True
            )


if __name__ == "__main__":
    raise SystemExit(main())
