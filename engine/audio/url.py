"""A network stream: http and Icecast, RTMP, RTSP, through PyAV (FFmpeg)."""

import re

import av

from engine.audio.live import LiveSource
from engine.audio.source import clean
from xdancer.music.decode import container_blocks

OPEN_TIMEOUT, READ_TIMEOUT = 10.0, 5.0  # seconds; a stream that is silent for longer on the wire is dead
HELD = 0.5  # seconds: networks deliver in bursts
CAPACITY = 8.0  # Icecast begins with a burst of several seconds


class UrlSource(LiveSource):
    """Reconnects, with longer and longer waits, whenever the stream ends or breaks."""

    def __init__(self, url: str) -> None:
        # Name and password in a URL are nobody's business.
        super().__init__(re.sub(r"//[^/@]*@", "//", url), HELD, CAPACITY)
        self._url = url

    def _listen(self) -> None:
        options = {"fflags": "nobuffer", "analyzeduration": "500000", "probesize": "65536"}
        if self._url.startswith("rtsp"):
            options["rtsp_transport"] = "tcp"
        try:
            container = av.open(self._url, options=options, timeout=(OPEN_TIMEOUT, READ_TIMEOUT))
        except (av.FFmpegError, ValueError) as error:
            raise OSError(getattr(error, "strerror", None) or str(error)) from None
        with container:
            if not container.streams.audio:
                raise OSError("no audio in it")
            for block in container_blocks(container, most_channels=2):
                if not self._fifo.put_waiting(clean(block), self._stop):
                    return
                self._heard()
