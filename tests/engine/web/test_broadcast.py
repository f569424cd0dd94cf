"""Encoded once for everyone; the slow skip, the late begin with a key frame."""

import asyncio
from typing import Any

import numpy as np
import pytest
from pretend import PretendShow

from engine.web import broadcast
from engine.web.encoders import SoundEncoder, VideoEncoder


class CountingEncoder(VideoEncoder):
    """Counts its pictures."""

    pictures = 0

    def encode(self, picture: np.ndarray, index: int, key: bool) -> list[Any]:
        CountingEncoder.pictures += 1
        return super().encode(picture, index, key)


async def test_many_viewers_cost_one_encoding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broadcast, "VideoEncoder", CountingEncoder)
    CountingEncoder.pictures = 0
    show, shared = PretendShow(), broadcast.Broadcast(128, 224)
    tracks = [shared.subscribe("vp8") for _ in range(5)]
    for index in range(4):
        shared.made(show.frame(index, due=0.0))
    first = [await asyncio.wait_for(track.recv(), 20) for track in tracks]
    assert all(packet is first[0] for packet in first) and first[0].is_keyframe
    for track in tracks:
        for _ in range(3):
            await asyncio.wait_for(track.recv(), 20)
    assert CountingEncoder.pictures == 4
    for track in tracks:
        shared.unsubscribe(track)
    shared.made(show.frame(4, due=0.0))
    assert CountingEncoder.pictures == 4  # nobody watches
    shared.close()


async def test_a_viewer_who_does_not_read_skips_to_the_next_key_frame() -> None:
    asked = []
    track = broadcast.PacketTrack("video", lambda: asked.append(True))
    encoder = VideoEncoder("vp8", 64, 64, 200_000)
    picture = np.zeros((64, 64, 3), np.uint8)
    packets = [p for i in range(40) for p in encoder.encode(picture, i, key=i in (0, 30))]
    for packet in packets[: broadcast.QUEUE + 5]:
        track.put(packet)
    assert asked and track.dropped == broadcast.QUEUE
    for packet in packets[broadcast.QUEUE + 5 :]:
        track.put(packet)
    resumed = await asyncio.wait_for(track.recv(), 5)
    assert resumed.is_keyframe and resumed.pts == 30


def test_a_stream_is_joined_at_a_key_frame() -> None:
    track = broadcast.PacketTrack("video")
    encoder = VideoEncoder("h264", 64, 64, 200_000)
    picture = np.zeros((64, 64, 3), np.uint8)
    packets = [p for i in range(6) for p in encoder.encode(picture, i, key=i in (0, 4))]
    for packet in packets[1:]:
        track.put(packet)
    assert track._queue.qsize() == 2


def test_wishes_for_key_frames_are_debounced(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(broadcast.time, "monotonic", lambda: now[0])
    shared = broadcast.Broadcast(64, 64)
    shared._last_key["vp8"] = 100.0
    shared.ask_key("vp8")
    assert not shared._want_key.get("vp8")
    now[0] += broadcast.KEY_SPACING + 0.1
    shared.ask_key("vp8")
    assert shared._want_key["vp8"]


def test_sound_packets_follow_the_samples_and_start_anew_after_a_gap() -> None:
    encoder, silence = SoundEncoder(), np.zeros((1600, 2), np.float32)
    times = [p.pts for index in range(6) for p in encoder.encode(silence, index)]
    assert np.diff(times).tolist() == [960] * (len(times) - 1)
    assert len(times) == 10 and -960 < times[0] <= 0
    after = [p.pts for p in encoder.encode(silence, 100)]
    assert 0 <= 100 * 1600 - after[0] < 960
