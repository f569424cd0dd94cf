"""Sources that cannot wait: what they share. Sound comes when it comes; what is missing is silence."""

import logging
import threading

import numpy as np

from engine.audio.fifo import Fifo
from engine.audio.source import silence
from xdancer.music.frame import HOP, SAMPLE_RATE

log = logging.getLogger(__name__)
MOST_SKEW = 5e-4  # sound cards differ by less; more would be heard
RETRY_FIRST, RETRY_MOST = 0.5, 15.0  # seconds between attempts, doubled from one to the next


class Buffered:
    """Sound put into `_fifo` at another's pace and pulled at the show's. `held` is the sound kept against jitter, in
    seconds."""

    def __init__(self, label: str, status: str, held: float, capacity: float) -> None:
        self.label, self.status = label, status
        self.underruns = 0
        self._target = HOP + int(held * SAMPLE_RATE)  # in the fifo, before a frame is taken
        self._fifo = Fifo(int(capacity * SAMPLE_RATE))
        self._smooth = float(self._target)
        self._primed = False

    def pull(self) -> np.ndarray:
        fill = self._fifo.fill
        if not self._primed:
            if fill < self._target:
                return silence()
            self._primed, self._smooth = True, float(fill)
        self._smooth += (fill - self._smooth) / 300  # over about ten seconds
        samples = self._fifo.take(HOP)
        if len(samples) == HOP:
            return samples
        self._primed = False
        self.underruns += 1
        padded = silence()
        padded[: len(samples)] = samples
        return padded

    def skew(self) -> float:
        if not self._primed:
            return 0.0
        return float(np.clip(0.05 * (self._smooth - self._target) / SAMPLE_RATE, -MOST_SKEW, MOST_SKEW))


class LiveSource(Buffered):
    """Runs `_listen` in a thread, and again after it has failed, ever later; `reconnects` counts the attempts after the
    first."""

    def __init__(self, label: str, held: float, capacity: float) -> None:
        super().__init__(label, "connecting", held, capacity)
        self.reconnects = 0
        self._stop = threading.Event()
        self._wait = RETRY_FIRST
        self._thread = threading.Thread(target=self._run, name=f"audio {label}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._stop.set()

    def _listen(self) -> None:
        """Put sound into the fifo until `_stop` is set or it breaks (raise OSError with the reason)."""
        raise NotImplementedError

    def _heard(self) -> None:
        """Called by `_listen` when sound has come."""
        if self.status != "playing":
            log.info("audio: %s is playing", self.label)
        self.status = "playing"
        self._wait = RETRY_FIRST

    def _run(self) -> None:
        said = ""
        while not self._stop.is_set():
            try:
                self._listen()
                reason = "it ended"
            except OSError as error:
                reason = str(error)
            if self._stop.is_set():
                return
            if reason != said or self.status == "playing":
                log.warning("audio: %s: %s; trying again, silence meanwhile", self.label, reason)
            said, self.status = reason, f"reconnecting: {reason}"
            self._stop.wait(self._wait)
            self._wait = min(2 * self._wait, RETRY_MOST)
            self.reconnects += 1
