"""Sources that can wait: a file, and the demo track. The show takes them at the pace of its clock."""

import logging
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from engine.audio.fifo import Fifo
from engine.audio.source import clean, silence
from xdancer.errors import UserError
from xdancer.music.decode import iterate_audio
from xdancer.music.frame import HOP, SAMPLE_RATE

log = logging.getLogger(__name__)
AHEAD = 5 * SAMPLE_RATE  # samples decoded before they are taken


def read_file(path: str | Path) -> Iterator[np.ndarray]:
    """A file as the show hears it: blocks float32 (n, 2) in [-1, 1]. Raises UserError as `iterate_audio` does."""
    for block in iterate_audio(path, most_channels=2):
        yield clean(block)


def read_demo() -> Iterator[np.ndarray]:
    """The demo track, a second at a time."""
    from xdancer.music.demo import demo_track

    samples = clean(demo_track().samples)
    for first in range(0, len(samples), SAMPLE_RATE):
        yield samples[first : first + SAMPLE_RATE]


class WaitingSource:
    """Plays what `blocks()` yields, again and again where `loop` is set; silence when it is over."""

    def __init__(self, label: str, blocks: Callable[[], Iterator[np.ndarray]], loop: bool) -> None:
        self.label = label
        self.status = "starting"
        self._blocks, self._loop = blocks, loop
        self._fifo = Fifo(AHEAD)
        self._stop = threading.Event()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._decode, name=f"audio {label}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def pull(self) -> np.ndarray | None:
        ended = self._ended.is_set()  # asked before the samples are: what came in between counts
        if self._fifo.fill < HOP and not ended:
            return None
        samples = self._fifo.take(HOP)
        self.status = "ended" if ended and not len(samples) else "playing"
        if len(samples) == HOP:
            return samples
        padded = silence()
        padded[: len(samples)] = samples
        return padded

    def skew(self) -> float:
        return 0.0

    def close(self) -> None:
        self._stop.set()

    def _decode(self) -> None:
        try:
            while True:
                empty = True
                for block in self._blocks():
                    empty = False
                    if not self._fifo.put_waiting(block, self._stop):
                        return
                if empty or not self._loop:
                    break
        except UserError as error:
            log.error("audio: %s; going on in silence", error)
        except Exception:
            log.exception("audio: %s broke off; going on in silence", self.label)
        self._ended.set()


def demo_source() -> WaitingSource:
    """The demo track, looped: its last bar leads into its first."""
    return WaitingSource("demo", read_demo, loop=True)


def file_source(path: str, loop: bool) -> WaitingSource:
    """A file. Raises UserError where no sound can be read from it."""
    next(read_file(path))
    return WaitingSource(Path(path).name, lambda: read_file(path), loop)
