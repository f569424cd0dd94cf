"""A web radio that plays the demo track, and stutters when told to."""

import io
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import av
import numpy as np

from xdancer.music.frame import SAMPLE_RATE

BITRATE = 192_000
STEP = 0.1  # seconds between pieces


def mp3(samples: np.ndarray) -> bytes:
    """Sound float32 (n, 2) as MP3."""
    file = io.BytesIO()
    with av.open(file, "w", format="mp3") as container:
        stream: Any = container.add_stream("mp3", rate=SAMPLE_RATE, layout="stereo")
        stream.bit_rate = BITRATE
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples.T, np.float32), format="fltp", layout="stereo")
        frame.sample_rate = SAMPLE_RATE
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return file.getvalue()


class Radio:
    """Sends `samples` (n, 2) again and again to whoever listens, at their pace; `stutter` holds everybody up."""

    def __init__(self, samples: np.ndarray) -> None:
        self._until = 0.0
        self._closed = False
        track, radio = mp3(samples), self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "audio/mpeg")
                self.end_headers()
                try:
                    radio._play(self.wfile, track)
                except OSError:  # the listener has gone
                    return

            def log_message(self, *args: object) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/live.mp3"
        threading.Thread(target=self._server.serve_forever, name="radio", daemon=True).start()

    def stutter(self, seconds: float) -> None:
        """Send nothing for so long, and then what was held back at once."""
        self._until = time.monotonic() + seconds

    def close(self) -> None:
        self._closed = True
        self._server.shutdown()
        self._server.server_close()

    def _play(self, wire: Any, track: bytes) -> None:
        began, sent = time.monotonic(), 0
        while not self._closed:
            time.sleep(max(0.0, self._until - time.monotonic()))
            due = int((time.monotonic() - began) * BITRATE / 8)
            while sent < due:
                piece = track[sent % len(track) :][: due - sent]
                wire.write(piece)
                sent += len(piece)
            time.sleep(STEP)
