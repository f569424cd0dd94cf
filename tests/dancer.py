"""Somebody who stands and waves without end, with the shipped tokenizer's tokens."""

import asyncio
import time
from dataclasses import replace

import numpy as np
from brokers import show_frame

from engine.mqtt import MqttOutlet
from xdancer.music.frame import BeatState
from xdancer.tokenizer import PoseTokenizer

TOKENIZER = PoseTokenizer.from_pretrained("live")


def standing() -> np.ndarray:
    """Somebody who stands and waves, float32 (T, 60, 3)."""
    body = [
        (256, 170), (256, 240), (196, 240), (150, 330), (140, 420), (316, 240), (365, 330), (372, 420),
        (220, 460), (215, 610), (210, 760), (292, 460), (297, 610), (302, 760),
        (244, 158), (268, 158), (228, 165), (284, 165),
    ]  # fmt: skip
    pose = np.zeros((90, 60, 3), np.float32)
    pose[:, :18, :2] = body
    for first, wrist in ((18, 7), (39, 4)):
        pose[:, first : first + 21, :2] = np.array(body[wrist]) + [[0, 0]] + np.arange(21)[:, None] * [0.8, 1.8]
    pose[:, 2:8, 0] += 12 * np.sin(np.arange(90) / 30 * 3)[:, None]
    pose[..., 2] = 0.9
    return pose


ROWS = TOKENIZER.encode(standing())  # over and over
LAPS = TOKENIZER.decode(np.concatenate([ROWS, ROWS]))


def danced(index: int) -> np.ndarray:
    """The pose of frame `index`: every lap but the first begins with the end of the one before."""
    return LAPS[index if index < 90 else 90 + index % 90]


async def dance(out: MqttOutlet) -> None:
    """Publishes 30 frames a second, each 0.3 s ahead, until cancelled."""
    start = time.time()
    for index in range(10**6):
        beat = BeatState(120.0, beat=index // 15, beat_in_bar=index // 15 % 4, confidence=0.9, struck=index // 15 * 0.5)
        frame = replace(show_frame(index, beat), due=start + index / 30 + 0.3)
        out.made(replace(frame, tokens=ROWS[index % 90], pose=danced(index)))
        await asyncio.sleep(max(0.0, start + index / 30 - time.time()))
