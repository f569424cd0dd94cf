"""WHIP with a real WebRTC peer on loopback: what it sends is what the show hears."""

import asyncio
from collections.abc import AsyncIterator

import numpy as np
import pytest
from aiortc import VideoStreamTrack
from peers import SDP, Running, serving, until
from pretend import PretendShow
from senders import RATE, Sender, Tones

from engine.audio.browser import WAITING, BrowserSource
from engine.web.whip import stereo


@pytest.fixture
async def running() -> AsyncIterator[Running]:
    async with serving(PretendShow(source=BrowserSource())) as running:
        yield running


async def heard(running: Running, frames: int = 20) -> np.ndarray:
    """What the show hears once there is sound: (n, 2), a third of a second of it let go by."""
    source, blocks = running.show.source, []
    deadline = asyncio.get_running_loop().time() + 30
    while len(blocks) < frames + 10:
        assert asyncio.get_running_loop().time() < deadline, "no sound"
        block = source.pull()
        assert block is not None and block.shape == (1600, 2) and block.dtype == np.float32
        blocks = [*blocks, block] if np.abs(block).max() > 0.1 else []
        await asyncio.sleep(1 / 30)
    return np.concatenate(blocks[10:])


def tone(sound: np.ndarray) -> float:
    """The strongest frequency, Hz."""
    spectrum = np.abs(np.fft.rfft(sound * np.hanning(len(sound))))
    return float(np.fft.rfftfreq(len(sound), 1 / RATE)[spectrum.argmax()])


async def test_the_show_hears_both_ears_and_silence_when_nobody_sends(running: Running) -> None:
    source = running.show.source
    assert source.status == WAITING and not source.pull().any()
    for left, right in ((440.0, 1320.0), (660.0, 880.0)):  # the second comes after the first has left
        sender = Sender(Tones(left, right))
        answer = await sender.join(running)
        sound = await heard(running)
        assert source.status == "playing"
        assert abs(tone(sound[:, 0]) - left) < 10 and abs(tone(sound[:, 1]) - right) < 10
        assert 0.25 < np.abs(sound).max() < 0.5  # 12,000 of 32,768
        assert (await running.client.delete(running.at(answer.headers["Location"]))).status == 200
        assert source.status == WAITING and not source.pull().any()
        await sender.peer.close()


async def test_a_new_sender_takes_over(running: Running) -> None:
    first, second = Sender(Tones(440.0, 440.0)), Sender(Tones(880.0, 880.0))
    earlier = (await first.join(running)).headers["Location"]
    await heard(running, frames=2)
    later = (await second.join(running)).headers["Location"]
    await until(lambda: len(running.web.whip) == 1)
    assert (await running.client.get(running.at(earlier))).status == 410  # gone, so that it does not come back
    assert (await running.client.get(running.at(later))).status == 204
    await heard(running, frames=10)
    assert abs(tone((await heard(running))[:, 0]) - 880) < 10
    await first.peer.close()
    await second.peer.close()


async def test_one_that_never_connects_silences_nobody(running: Running) -> None:
    first = Sender(Tones(440.0, 440.0))
    own = (await first.join(running)).headers["Location"]
    await heard(running, frames=2)
    offer = await Sender().offer()
    assert (await running.client.post(running.at("/whip"), data=offer, headers=SDP)).status == 201
    assert abs(tone((await heard(running, frames=30))[:, 0]) - 440) < 10
    assert (await running.client.get(running.at(own))).status == 204
    await first.peer.close()


async def test_a_picture_is_declined_and_the_sound_comes(running: Running) -> None:
    sender = Sender(Tones(), VideoStreamTrack())
    answer = await sender.join(running)
    text = await answer.text()
    audio, video = text[text.index("m=audio") : text.index("m=video")], text[text.index("m=video") :]
    assert "a=recvonly" in audio and "stereo=1" in audio and "a=rtcp-mux-only" in audio and "a=inactive" in video
    await heard(running, frames=3)
    await sender.peer.close()


async def test_offers_without_sound_are_refused(running: Running) -> None:
    offer = await Sender().offer()

    async def post(body: str, **headers: str) -> int:
        answer = await running.client.post(running.at("/whip"), data=body, headers=SDP | headers)
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        return answer.status

    assert await post(offer.replace("opus/", "unknown/")) == 406
    assert await post(offer.replace("a=sendonly", "a=recvonly")) == 400
    assert await post("nonsense") == 400
    for origin in ("https://elsewhere.example", "null", "http://["):
        assert await post(offer, Origin=origin) == 403
    assert len(running.web.whip) == 0 and running.show.source.status == WAITING
    assert await post(offer, Origin=running.url.rstrip("/")) == 201


async def test_a_show_with_another_source_says_so() -> None:
    async with serving(PretendShow()) as running:
        answer = await running.client.post(running.at("/whip"), data=await Sender().offer(), headers=SDP)
        assert answer.status == 409 and "--audio browser" in await answer.text()
        assert int(answer.headers["Retry-After"]) > 0


async def test_with_a_token_others_may_send_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDANCER_TOKEN", "sesame")
    async with serving(PretendShow(source=BrowserSource())) as running:
        sender = Sender()
        assert (await running.client.post(running.at("/whip"), data=await sender.offer(), headers=SDP)).status == 401
        other = Sender()
        await other.join(running, Authorization="Bearer sesame", Origin="https://elsewhere.example")
        await sender.peer.close()
        await other.peer.close()


async def test_what_nobody_pulls_does_not_pile_up(running: Running) -> None:
    source = running.show.source
    assert isinstance(source, BrowserSource)
    for _ in range(100):
        source.put(np.ones((4800, 2), np.float32))
    assert source._fifo.fill <= source._fifo.capacity


def test_the_answer_asks_for_music() -> None:
    answer = "a=rtpmap:111 opus/48000/2\r\na=fmtp:111 useinbandfec=1\r\na=rtpmap:0 PCMU/8000\r\n"
    line = next(line for line in stereo(answer).splitlines() if line.startswith("a=fmtp:111"))
    assert "stereo=1" in line and stereo(answer).count("a=fmtp:111") == 1
