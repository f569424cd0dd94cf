"""Sound that is sent to the show over WebRTC: a browser's microphone or tab, OBS. `engine.web.whip` puts it in."""

import numpy as np

from engine.audio.live import Buffered

HELD = 0.06  # seconds: sound comes in packets of 20 ms, unevenly over a wireless network
CAPACITY = 0.5
WAITING = "waiting for a sender at /whip"


class BrowserSource(Buffered):
    """Silence while nobody sends, and what comes once somebody does. All calls belong to the event loop's thread."""

    def __init__(self) -> None:
        super().__init__("browser", WAITING, HELD, CAPACITY)

    def start(self) -> None:
        """Nothing: senders come by themselves."""

    def put(self, block: np.ndarray) -> None:
        """Sound float32 (n, 2) in [-1, 1] at 48 kHz."""
        self.status = "playing"
        self._fifo.put(block)

    def left(self) -> None:
        """The sender has gone."""
        self.status = WAITING
        self._fifo.clear()

    def close(self) -> None:
        """Nothing: the server ends the session."""
