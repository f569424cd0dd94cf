"""Encoded once for everyone; the slow skip, the late begin with a key frame, rungs change over at one."""

import asyncio
from typing import Any

import numpy as np
import pytest
from pretend import PretendShow

from engine.web import broadcast
from engine.web.broadcast import Broadcast, Channel, PacketTrack, Shape
from engine.web.encoders import VIDEO_ENCODERS, SoundEncoder, VideoEncoder
from engine.web.packing import MOST_PAYLOAD, Packed, Packer


class CountingEncoder(VideoEncoder):
    """Counts its pictures."""

    pictures = 0

    def encode(self, picture: np.ndarray, index: int, key: bool) -> list[Any]:
        CountingEncoder.pictures += 1
        return super().encode(picture, index, key)


def packed(index: int, key: bool = False) -> Packed:
    return Packed([b"x"], 3000 * index, key)


async def taken(track: PacketTrack) -> Packed:
    frame: Packed = await asyncio.wait_for(track.recv(), 20)
    return frame


async def test_many_viewers_cost_one_encoding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broadcast, "VideoEncoder", CountingEncoder)
    CountingEncoder.pictures = 0
    show, shared = PretendShow(), Broadcast(Shape(128, 224))
    tracks = [shared.track("video") for _ in range(5)]
    for track in tracks:
        shared.join(track, "vp8")
    for index in range(4):
        shared.made(show.frame(index, due=0.0))
    first = [await taken(track) for track in tracks]
    assert all(frame.payloads is first[0].payloads for frame in first) and first[0].key
    for track in tracks:
        for _ in range(3):
            await taken(track)
    assert CountingEncoder.pictures == 4
    for track in tracks:
        shared.leave(track)
    shared.made(show.frame(4, due=0.0))
    assert CountingEncoder.pictures == 4  # nobody watches
    shared.close()


async def test_what_a_studio_makes_at_once_when_it_takes_over_is_sent_and_of_sound_all() -> None:
    show, shared = PretendShow(), Broadcast(Shape(64, 64))
    sound, video = shared.track("audio"), shared.track("video")
    shared.join(sound, "opus")
    shared.join(video, "vp8")
    for index in range(8):  # a quarter of a second, all that is not due yet
        shared.made(show.frame(index, due=0.0))
    assert [(await taken(video)).key for _ in range(8)] == [True] + 7 * [False]
    for index in range(8, 48):
        shared.made(show.frame(index, due=0.0))
    assert shared.stats()["encode_skipped"] == 40 - 8  # pictures; no sound
    shared.close()


async def test_a_viewer_who_does_not_read_skips_to_the_next_key_frame() -> None:
    shared = Broadcast(Shape(64, 64))
    track = shared.track("video")
    shared.join(track, "vp8")
    assert track.channel
    track.channel._key_wanted = False
    for index in range(broadcast.QUEUE + 5):
        track.put(packed(index, key=index == 0))
    assert track.channel._key_wanted and shared.stats()["send_dropped"] == broadcast.QUEUE
    for index in range(broadcast.QUEUE + 5, 40):
        track.put(packed(index, key=index == 30))
    assert (await taken(track)) == packed(30, key=True)
    shared.leave(track)
    assert shared.stats()["send_dropped"] == broadcast.QUEUE  # still, for counters do not fall


async def test_a_stream_is_joined_at_a_key_frame() -> None:
    track = PacketTrack("video")
    for index in range(1, 6):
        track.put(packed(index, key=index == 4))
    assert track._queue.qsize() == 2


async def test_the_rung_changes_at_a_key_frame_and_no_two_frames_bear_one_time() -> None:
    shared = Broadcast(Shape(64, 64))
    track = shared.track("video")
    shared.join(track, "h264", 0)
    full = track.channel
    shared.join(track, "h264", 1)
    half = track.following
    assert isinstance(full, Channel) and isinstance(half, Channel) and track.channel is full
    for frame, channel in [
        (packed(0, True), full),
        (packed(0), half),  # no key frame: not yet
        (packed(1), full),
        (packed(1, True), half),  # the picture that has just been sent, smaller
        (packed(2), full),  # no longer
        (packed(2), half),
    ]:
        shared._send(channel, frame, heard=0.0)
    times = [(await taken(track)).timestamp for _ in range(4)]
    assert times == [0, 3000, 3001, 6000]
    assert track.channel is half and track not in full.tracks
    shared.join(track, "h264", 0)
    shared.join(track, "h264", 1)  # thinks better of it before a key frame has come
    assert track.following is None and track not in full.tracks
    assert shared.stats()["watching"] == {"full": 0, "half": 1}


async def test_the_rate_is_that_of_what_is_sent_and_not_of_what_could_be(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(broadcast.time, "monotonic", lambda: now[0])
    channel = Channel("h264", 0, (64, 64), 100_000)
    for frames in (30, 15):  # a second; the encoder that falls behind leaves every other frame out
        for _ in range(10 * frames):
            now[0] += 1 / frames
            channel.count(1000)
        assert channel.rate == pytest.approx(8000 * frames, rel=0.05)
    channel.close()


async def test_the_lower_rung_is_half_the_size_and_a_quarter_of_the_bits() -> None:
    shared = Broadcast(Shape(512, 896, 4_000_000))
    channel = shared._channel("h264", 1)
    assert channel._size == (256, 448) and channel._bitrate == 1_000_000
    assert shared._channel("vp8", 1)._size == (256, 448)
    encoder = VideoEncoder("h264", 64, 112, 100_000)
    (packet,) = encoder.encode(np.zeros((224, 128, 3), np.uint8), 0, True)
    assert packet.is_keyframe and (encoder._context.width, encoder._context.height) == (64, 112)


@pytest.mark.parametrize("codec", ["h264", "vp8"])
def test_noise_keeps_to_the_bitrate_and_to_the_size_of_a_vpns_packets(codec: str) -> None:
    rng = np.random.default_rng(1)
    encoder, packer = VideoEncoder(codec, 256, 256, 1_000_000), Packer(codec)
    pictures = rng.integers(0, 256, (8, 256, 256, 3), np.uint8)
    sizes = []
    for index in range(90):
        for packet in encoder.encode(pictures[index % 8], index, key=index == 0):
            frame = packer.pack(packet)
            sizes.append(frame.size)
            assert max(map(len, frame.payloads)) <= MOST_PAYLOAD
    assert 8 * sum(sizes[30:]) / 2 < 1.3e6  # bits a second, of noise that no encoder likes


def test_an_encoder_that_does_not_open_gives_way_to_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    last = VIDEO_ENCODERS["h264"][-1]
    absent = (("no_such_encoder", {}), ("libx264", {"profile": "no such profile"}), last)
    monkeypatch.setitem(VIDEO_ENCODERS, "h264", absent)
    encoder = VideoEncoder("h264", 64, 64, 100_000)
    assert encoder.name == "libx264"
    assert encoder.encode(np.zeros((64, 64, 3), np.uint8), 0, True)


async def test_wishes_for_key_frames_are_debounced(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(broadcast.time, "monotonic", lambda: now[0])
    show, channel = PretendShow(), Channel("vp8", 0, (64, 64), 100_000)

    def keys(first: int, count: int = 3) -> list[bool]:
        return [frame.key for i in range(first, first + count) for _, frame in channel._encode(show.frame(i, 0.0))]

    assert keys(0) == [True, False, False]
    channel.ask_key()  # the one just made is on its way
    assert keys(3) == [False, False, False]
    channel.joined()  # has not had it; but a crowd that joins must not have one each frame
    assert keys(6) == [False, False, False]
    now[0] += broadcast.KEY_SPACING
    assert keys(9) == [True, False, False]
    now[0] += broadcast.KEY_SPACING + 0.1
    channel.ask_key()
    assert keys(12) == [True, False, False]
    channel.close()


def test_sound_packets_follow_the_samples_and_start_anew_after_a_gap() -> None:
    encoder, silence = SoundEncoder(), np.zeros((1600, 2), np.float32)
    times = [p.pts for index in range(6) for p in encoder.encode(silence, index)]
    assert np.diff(times).tolist() == [960] * (len(times) - 1)
    assert len(times) == 10 and -960 < times[0] <= 0
    after = [p.pts for p in encoder.encode(silence, 100)]
    assert 0 <= 100 * 1600 - after[0] < 960
