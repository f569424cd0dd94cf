"""The dancer on a wall of LEDs: `python examples/led_wall.py [--size 32x56] [--to HOST[:6454]] [--broker URL]`.

Needs the Python client: `pip install ./clients/python`; start the show with `xdancer live`. With `--to` the grid goes
out as Art-Net 4 (ArtDmx over UDP: three bytes a pixel, row by row from the top left, 170 pixels a universe, from
universe 0); without, it is printed to the terminal.
"""

import argparse
import asyncio
import contextlib
import socket
import struct

import numpy as np
from xdancer_client import Dance

# Bones of the body as pairs of joints, with their girth in canvas pixels and their colour.
WARM, COOL, MIDDLE = (255, 60, 90), (30, 140, 255), (150, 80, 255)
BONES = [
    (2, 3, 22, WARM), (3, 4, 17, WARM), (8, 9, 32, WARM), (9, 10, 22, WARM),
    (5, 6, 22, COOL), (6, 7, 17, COOL), (11, 12, 32, COOL), (12, 13, 22, COOL),
    (2, 5, 26, MIDDLE), (2, 8, 34, MIDDLE), (5, 11, 34, MIDDLE), (8, 11, 30, MIDDLE), (1, 0, 30, MIDDLE),
]  # fmt: skip
PER_UNIVERSE = 170  # pixels: 510 of its 512 channels


def grid(pose: np.ndarray, width: int, height: int, glow: float = 1.0) -> np.ndarray:
    """A pose (60, 3) as light: uint8 (height, width, 3). Each pixel is as bright as it is deep in the nearest bone."""
    x = (np.arange(width) + 0.5) * 512 / width
    y = (np.arange(height) + 0.5) * 896 / height
    at = np.stack(np.meshgrid(x, y), axis=-1)
    soft = max(512 / width, 896 / height)  # px of the canvas that one pixel covers
    picture = np.zeros((height, width, 3))
    for a, b, girth, colour in BONES:
        sure = min(pose[a, 2], pose[b, 2])
        if sure < 0.05:
            continue
        start, along = pose[a, :2], pose[b, :2] - pose[a, :2]
        t = np.clip(((at - start) @ along) / max(along @ along, 1e-6), 0, 1)
        away = np.linalg.norm(at - start - t[..., None] * along, axis=-1)
        light = np.clip((girth + soft / 2 - away) / soft, 0, 1) * sure * glow
        picture = np.maximum(picture, light[..., None] * np.array(colour))
    return picture.clip(0, 255).astype(np.uint8)


def artdmx(picture: np.ndarray, sequence: int) -> list[bytes]:
    """The picture as ArtDmx packets, one a universe (Art-Net 4, "ArtDmx")."""
    pixels = picture.reshape(-1, 3)
    packets = []
    for universe, first in enumerate(range(0, len(pixels), PER_UNIVERSE)):
        data = pixels[first : first + PER_UNIVERSE].tobytes()
        data += b"\0" * (len(data) % 2)  # an even number of channels
        head = b"Art-Net\0" + struct.pack("<H", 0x5000) + struct.pack(">H", 14)
        packets.append(head + struct.pack("<BBH", sequence, 0, universe) + struct.pack(">H", len(data)) + data)
    return packets


def printed(picture: np.ndarray) -> str:
    """For a terminal with true colour: two pixels a character, one above the other."""
    even = picture[: len(picture) // 2 * 2]
    lines = []
    for above, below in zip(even[::2], even[1::2], strict=True):
        cells = [
            f"\x1b[38;2;{a[0]};{a[1]};{a[2]};48;2;{b[0]};{b[1]};{b[2]}m▀" for a, b in zip(above, below, strict=True)
        ]
        lines.append("".join(cells) + "\x1b[0m")
    return "\x1b[H" + "\n".join(lines)


async def main() -> None:
    parser = argparse.ArgumentParser(description="The dancer on a wall of LEDs.")
    parser.add_argument("--broker", default="mqtt://127.0.0.1:1883")
    parser.add_argument("--show", default="main")
    parser.add_argument("--size", default="32x56", help="pixels, WIDTHxHEIGHT")
    parser.add_argument("--to", metavar="HOST[:PORT]", help="an Art-Net node; without, the terminal")
    args = parser.parse_args()
    width, height = (int(side) for side in args.size.split("x"))
    host, _, port = (args.to or "").partition(":")
    out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    out.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    glow = 1.0
    async for frame in Dance(args.broker, args.show).on_time():
        glow = 1.0 if frame.beat else 0.6 + (glow - 0.6) * 0.85  # brightest on the beat
        picture = grid(frame.pose, width, height, glow)
        if args.to:
            for packet in artdmx(picture, 1 + frame.index % 255):
                out.sendto(packet, (host, int(port or 6454)))
        else:
            print(printed(picture), flush=True)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main())
