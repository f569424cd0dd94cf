"""A network stream against a real HTTP server: it plays, dies, and comes back."""

import io
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import av
import numpy as np
import pytest

from engine.audio.url import UrlSource
from engine.soak import radio as soak_radio
from xdancer.music.demo import click_track
from xdancer.music.frame import HOP


def mp3(seconds: float) -> bytes:
    """A tone as MP3."""
    file = io.BytesIO()
    with av.open(file, "w", format="mp3") as container:
        stream = container.add_stream("mp3", rate=44_100, layout="stereo")
        t = np.arange(int(44_100 * seconds)) / 44_100
        tone = np.float32(0.5 * np.sin(2 * np.pi * 440 * t))
        frame = av.AudioFrame.from_ndarray(np.stack([tone, tone]), format="fltp", layout="stereo")
        frame.sample_rate = 44_100
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return file.getvalue()


class Radio:
    """An Icecast-like server: sends the tone again and again, at four times its pace, until told to hang up."""

    def __init__(self) -> None:
        self.listeners = 0
        self.on_air = threading.Event()
        self.on_air.set()
        radio, tone = self, mp3(1.0)

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if not radio.on_air.is_set():
                    self.send_error(404)
                    return
                radio.listeners += 1
                self.send_response(200)
                self.send_header("Content-Type", "audio/mpeg")
                self.end_headers()
                try:
                    while radio.on_air.is_set():
                        self.wfile.write(tone)
                        time.sleep(0.25)
                except OSError:
                    pass

            def log_message(self, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://name:secret@127.0.0.1:{self.server.server_address[1]}/live"


@pytest.fixture
def radio() -> Iterator[Radio]:
    radio = Radio()
    yield radio
    radio.on_air.clear()
    radio.server.shutdown()


def pull_until(source: UrlSource, sounding: bool) -> None:
    """Pull, faster than the clock, until there is sound or silence."""
    for _ in range(3000):
        block = source.pull()
        assert block.shape == (HOP, 2)
        if (np.abs(block).max() > 0.1) == sounding:
            return
        time.sleep(0.01)
    pytest.fail(f"still no {'sound' if sounding else 'silence'}; {source.status}")


def test_a_stream_that_dies_comes_back(radio: Radio) -> None:
    source = UrlSource(radio.url)
    assert "secret" not in source.label
    source.start()
    try:
        pull_until(source, sounding=True)
        assert source.status == "playing"
        radio.on_air.clear()
        pull_until(source, sounding=False)
        while not source.status.startswith("reconnecting"):
            source.pull()
            time.sleep(0.01)
        radio.on_air.set()
        while radio.listeners < 2:
            source.pull()
            time.sleep(0.01)
        pull_until(source, sounding=True)
        assert source.reconnects >= 1 and source.status == "playing"
    finally:
        source.close()


def test_a_stream_that_is_not_there_is_silence() -> None:
    source = UrlSource("http://127.0.0.1:9/nothing")
    source.start()
    while source.reconnects < 1:
        assert not source.pull().any()
        time.sleep(0.01)
    assert "refused" in source.status.lower()
    source.close()


def test_a_stream_that_stutters_is_waited_for() -> None:
    radio = soak_radio.Radio(click_track(20.0).samples + np.float32(0.2))
    source = UrlSource(radio.url)
    source.start()
    try:
        pull_until(source, sounding=True)
        for _ in range(2):
            radio.stutter(1.5)
            pull_until(source, sounding=False)
            pull_until(source, sounding=True)
        assert source.reconnects == 0 and source.underruns >= 2
        assert source._fifo.fill <= source._fifo.capacity + 4096
    finally:
        source.close()
        radio.close()
