"""A show as an MP4: H.264 and AAC, the first sample at the first frame."""

import contextlib
import logging
import os
import queue
import threading
from collections.abc import Callable
from datetime import datetime
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

import av
import numpy as np

from engine.stage.frame import ShowFrame
from xdancer.errors import UserError
from xdancer.music.frame import FPS, SAMPLE_RATE

log = logging.getLogger(__name__)
QUEUE = 30  # frames that wait for the encoder; what does not fit is dropped
FRAGMENT = 0.5  # seconds of film that reach the disk together
# A power cut takes what waits, what is in the encoder and the fragment it falls into: with these, 1.6 s at most.


class _Film:
    """Pictures and sound, frame by frame, into an open container."""

    def __init__(self, container: Any, width: int, height: int, options: dict[str, str]) -> None:
        self.frames = 0
        self._samples = 0
        self._container = container
        self._video = container.add_stream("libx264", rate=FPS, options=options)
        self._video.width, self._video.height, self._video.pix_fmt = width, height, "yuv420p"
        self._video.codec_context.thread_count = 1
        self._audio = container.add_stream("aac", rate=SAMPLE_RATE, layout="stereo")
        self._audio.bit_rate = 192_000

    def write(self, picture: np.ndarray, sound: np.ndarray) -> None:
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
        frame.pts, frame.time_base = self.frames, Fraction(1, FPS)
        self._container.mux(self._video.encode(frame))
        self.frames += 1
        block = np.ascontiguousarray(np.clip(sound, -1.0, 1.0).T, np.float32)
        heard = av.AudioFrame.from_ndarray(block, format="fltp", layout="stereo")
        heard.sample_rate, heard.time_base, heard.pts = SAMPLE_RATE, Fraction(1, SAMPLE_RATE), self._samples
        self._container.mux(self._audio.encode(heard))
        self._samples += len(sound)

    def finish(self) -> None:
        self._container.mux(self._video.encode(None))
        self._container.mux(self._audio.encode(None))
        self._container.close()


class Mp4Writer:
    """Writes beside `path` and moves the file there when all of it is written: never half a film.

    A context manager: leaving it with an error removes what was written. Raises UserError where nothing can be written.
    """

    def __init__(self, path: Path, width: int, height: int) -> None:
        self.path = path
        self._partial = path.with_name(f".{path.stem}.partial.mp4")
        _check(path)
        try:
            self._container = av.open(str(self._partial), "w", options={"movflags": "+faststart"})
        except (av.FFmpegError, OSError) as error:
            raise UserError(f"{path}: cannot be written ({error.strerror})") from None
        self._film = _Film(self._container, width, height, {"preset": "veryfast", "crf": "18"})

    @property
    def frames(self) -> int:
        """Frames written."""
        return self._film.frames

    def __enter__(self) -> "Mp4Writer":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.abort()

    def write(self, picture: np.ndarray, sound: np.ndarray) -> None:
        """The next frame: uint8 (H, W, 3) RGB, and its sound float32 (n, 2) in [-1, 1]."""
        self._film.write(picture, sound)

    def close(self) -> None:
        """Finish the file. One without a frame is not kept."""
        if not self.frames:
            self.abort()
            return
        try:
            self._film.finish()
            self._partial.replace(self.path)
        except (av.FFmpegError, OSError) as error:
            self._partial.unlink(missing_ok=True)
            raise UserError(f"{self.path}: cannot be written ({error.strerror})") from None

    def abort(self) -> None:
        """Give up; nothing is left behind."""
        with contextlib.suppress(av.FFmpegError, OSError):
            self._container.close()
        self._partial.unlink(missing_ok=True)


class _Disk:
    """The file beneath a muxer. From the first failure on it takes everything and writes nothing: a muxer writes on as
    it is closed, and PyAV prints each exception that it meets there."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("xb")
        self._error: OSError | None = None

    def write(self, data: bytes) -> int:
        self._try(lambda: self._file.write(data))
        return len(data)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._try(lambda: self._file.seek(offset, whence))

    def tell(self) -> int:
        return self._try(self._file.tell)

    def sync(self) -> None:
        """Force everything to the disk. Raises OSError where it, or anything before, could not be written."""
        self._try(self._flush)
        if self._error:
            raise self._error

    def close(self) -> None:
        with contextlib.suppress(OSError):  # what it still holds of what could not be written
            self._file.close()

    def _flush(self) -> int:
        self._file.flush()
        os.fsync(self._file.fileno())
        return 0

    def _try(self, work: Callable[[], int]) -> int:
        """What `work` gives, or -1."""
        if self._error is None:
            try:
                return work()
            except OSError as error:
                self._error = error
        return -1


class LiveWriter:
    """Writes a film that plays up to wherever it is cut off: fragments, each forced to the disk; an ordinary MP4 once
    closed. `path` must not exist. Raises UserError where nothing can be written there, OSError later on."""

    def __init__(self, path: Path, width: int, height: int) -> None:
        self.path = path
        self._whole = 0  # bytes that are surely on the disk
        self._pieces = 0  # of these, one after the other: a header, then fragments
        _check(path)
        try:
            self._disk = _Disk(path)
        except OSError as error:
            raise UserError(f"{path}: cannot be written ({error.strerror})") from None
        flags = {"movflags": "hybrid_fragmented+delay_moov", "frag_duration": str(round(1e6 * FRAGMENT))}
        self._container = av.open(self._disk, "w", format="mp4", options=flags)
        # No frame waits for a later one, so that all but the newest are in the file.
        encoding = {"preset": "veryfast", "tune": "zerolatency", "crf": "20", "g": str(FPS)}
        self._film = _Film(self._container, width, height, encoding)

    @property
    def frames(self) -> int:
        """Frames written."""
        return self._film.frames

    def write(self, picture: np.ndarray, sound: np.ndarray) -> None:
        """The next frame, as `Mp4Writer.write` has it."""
        self._film.write(picture, sound)
        position = self._disk.tell()
        if position != self._whole:  # the muxer lets go of a fragment at a time
            self._disk.sync()
            self._whole = position
            self._pieces += 1

    def close(self) -> None:
        """Finish the film; one that cannot be finished keeps its fragments, one without a frame is not kept."""
        if not self.frames:
            self.abort()
            return
        try:
            self._film.finish()
            self._disk.sync()
            self._disk.close()
        except (av.FFmpegError, OSError):
            self.abort()
            raise

    def abort(self) -> None:
        """Let go of the file; what is left of it plays, or there is none."""
        with contextlib.suppress(av.FFmpegError):
            self._container.close()
        self._disk.close()
        with contextlib.suppress(OSError):
            os.truncate(self.path, self._whole)
            if self._pieces < 2:
                self.path.unlink()


def _check(path: Path) -> None:
    if not path.parent.is_dir():
        raise UserError(f"{path}: there is no folder {path.parent}")
    if path.is_dir():
        raise UserError(f"{path}: is a folder")


class Recorder:
    """The outlet that records what is on show between `start` and `stop`, as often as asked.

    Films that are not named get the show's name and the time, in `folder`. An earlier film is never overwritten: the
    new one gets a number. A disk that is full, or gone, ends the film and not the show.
    """

    def __init__(self, width: int, height: int, folder: Path, name: str = "show") -> None:
        self._size, self._folder, self._name = (width, height), folder, name
        self._take: _Take | None = None
        self._switch = threading.Lock()

    @property
    def path(self) -> Path | None:
        """The film that is being recorded."""
        return self._take.path if self._take and not self._take.over else None

    def state(self) -> dict[str, Any]:
        """`on`, and of the film being recorded or the last one: `file`, `seconds`, `dropped` frames, `error` if any."""
        take = self._take
        if take is None:
            return {"on": False, "file": None, "seconds": 0.0, "dropped": 0, "error": None}
        seconds = round(take.frames / FPS, 2)
        on = self.path is not None
        return {"on": on, "file": take.path.name, "seconds": seconds, "dropped": take.dropped, "error": take.error}

    def start(self, path: Path | None = None) -> Path:
        """Record from the next frame on; returns the film's path. Blocks for some ms. Raises UserError where nothing
        can be written."""
        with self._switch:
            if self.path is not None:
                return self.path
            path = _unused(path or self._new_name())
            self._take = _Take(LiveWriter(path, *self._size))
        log.info("recorder: recording %s", path)
        return path

    def stop(self) -> None:
        """Finish the film; blocks until it is written."""
        with self._switch:
            if self._take:
                self._take.close()

    def made(self, frame: ShowFrame) -> None:
        """Nothing: the film shows what is on show."""

    def shown(self, frame: ShowFrame) -> None:
        """Record the frame."""
        if self._take:
            self._take.put(frame)

    def _new_name(self) -> Path:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"recordings: {self._folder} cannot be made ({error.strerror})") from None
        return self._folder / f"{self._name}-{datetime.now():%Y%m%d-%H%M%S}.mp4"


class _Take:
    """One film on its way to the disk, in a thread."""

    def __init__(self, writer: LiveWriter) -> None:
        self.path = writer.path
        self.dropped = 0
        self.error: str | None = None
        self.over = False
        self._writer = writer
        self._queue: queue.Queue[ShowFrame | None] = queue.Queue(QUEUE)
        self._thread = threading.Thread(target=self._record, name="recorder")
        self._thread.start()

    @property
    def frames(self) -> int:
        return self._writer.frames

    def put(self, frame: ShowFrame) -> None:
        if self.over:
            return
        try:
            self._queue.put_nowait(frame)
        except queue.Full:
            self.dropped += 1

    def close(self) -> None:
        self.over = True
        while self._thread.is_alive():
            with contextlib.suppress(queue.Full):  # of a thread that has given up meanwhile
                self._queue.put(None, timeout=0.1)
                break
        self._thread.join()

    def _record(self) -> None:
        try:
            self._film()
            self._writer.close()
            log.info("recorder: %s is complete, %.1f s", self.path, self.frames / FPS)
        except Exception as error:  # whatever it is: the show goes on
            self.error = getattr(error, "strerror", None) or str(error) or type(error).__name__
            log.error("recorder: %s: %s; the film ends after %.1f s", self.path, self.error, self.frames / FPS)
            self.over = True
            self._writer.abort()

    def _film(self) -> None:
        expected: int | None = None
        last: np.ndarray | None = None
        while (frame := self._queue.get()) is not None:
            # A dropped frame is a gap, which the last picture and silence fill, so that sound stays in sync.
            while expected is not None and last is not None and expected < frame.index:
                self._writer.write(last, np.zeros_like(frame.sound))
                expected += 1
            self._writer.write(frame.picture, frame.sound)
            expected, last = frame.index + 1, frame.picture


def _unused(path: Path) -> Path:
    """`path`, or with the first number that makes it a new one."""
    candidate, number = path, 1
    while candidate.exists():
        number += 1
        candidate = path.with_name(f"{path.stem}-{number}{path.suffix}")
    return candidate
