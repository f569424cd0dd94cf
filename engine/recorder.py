"""A show as an MP4: H.264 and AAC, the first sample at the first frame."""

import contextlib
import logging
import queue
import threading
from fractions import Fraction
from pathlib import Path
from types import TracebackType

import av
import numpy as np

from engine.stage.frame import ShowFrame
from xdancer.errors import UserError
from xdancer.music.frame import FPS, SAMPLE_RATE

log = logging.getLogger(__name__)
QUEUE = 60  # frames that wait for the encoder; what does not fit is dropped


class Mp4Writer:
    """Writes beside `path` and moves the file there when all of it is written: never half a film.

    A context manager: leaving it with an error removes what was written. Raises UserError where nothing can be written.
    """

    def __init__(self, path: Path, width: int, height: int) -> None:
        self.path = path
        self.frames = 0
        self._samples = 0
        self._partial = path.with_name(f".{path.stem}.partial.mp4")
        if not path.parent.is_dir():
            raise UserError(f"{path}: there is no folder {path.parent}")
        if path.is_dir():
            raise UserError(f"{path}: is a folder")
        try:
            self._container = av.open(str(self._partial), "w", options={"movflags": "+faststart"})
        except (av.FFmpegError, OSError) as error:
            raise UserError(f"{path}: cannot be written ({error.strerror})") from None
        self._video = self._container.add_stream("libx264", rate=FPS, options={"preset": "veryfast", "crf": "18"})
        self._video.width, self._video.height, self._video.pix_fmt = width, height, "yuv420p"
        self._video.codec_context.thread_count = 1
        self._audio = self._container.add_stream("aac", rate=SAMPLE_RATE, layout="stereo")
        self._audio.bit_rate = 192_000

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
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
        frame.pts, frame.time_base = self.frames, Fraction(1, FPS)
        self._container.mux(self._video.encode(frame))
        self.frames += 1
        block = np.ascontiguousarray(np.clip(sound, -1.0, 1.0).T, np.float32)
        heard = av.AudioFrame.from_ndarray(block, format="fltp", layout="stereo")
        heard.sample_rate, heard.time_base, heard.pts = SAMPLE_RATE, Fraction(1, SAMPLE_RATE), self._samples
        self._container.mux(self._audio.encode(heard))
        self._samples += len(sound)

    def close(self) -> None:
        """Finish the file. One without a frame is not kept."""
        if not self.frames:
            self.abort()
            return
        try:
            self._container.mux(self._video.encode(None))
            self._container.mux(self._audio.encode(None))
            self._container.close()
            self._partial.replace(self.path)
        except (av.FFmpegError, OSError) as error:
            self._partial.unlink(missing_ok=True)
            raise UserError(f"{self.path}: cannot be written ({error.strerror})") from None

    def abort(self) -> None:
        """Give up; nothing is left behind."""
        with contextlib.suppress(av.FFmpegError, OSError):
            self._container.close()
        self._partial.unlink(missing_ok=True)


class Recorder:
    """The outlet that records what is on show. Encodes in a thread; `dropped` counts frames it had no time for."""

    def __init__(self, path: Path, width: int, height: int) -> None:
        self.dropped = 0
        self._writer = Mp4Writer(path, width, height)
        self._queue: queue.Queue[ShowFrame | None] = queue.Queue(QUEUE)
        self._thread = threading.Thread(target=self._encode, name="recorder")
        self._thread.start()

    def made(self, frame: ShowFrame) -> None:
        """Nothing: the film shows what is on show."""

    def shown(self, frame: ShowFrame) -> None:
        """Record the frame."""
        try:
            self._queue.put_nowait(frame)
        except queue.Full:
            self.dropped += 1

    def close(self) -> None:
        """Finish the file; blocks until it is written."""
        self._queue.put(None)
        self._thread.join()

    def _encode(self) -> None:
        try:
            expected: int | None = None
            last: np.ndarray | None = None
            while (frame := self._queue.get()) is not None:
                # A dropped frame is a gap, which the last picture and silence fill, so that sound stays in sync.
                while expected is not None and last is not None and expected < frame.index:
                    self._writer.write(last, np.zeros_like(frame.sound))
                    expected += 1
                self._writer.write(frame.picture, frame.sound)
                expected, last = frame.index + 1, frame.picture
            self._writer.close()
        except (UserError, av.FFmpegError, OSError) as error:
            log.error("recorder: %s; no longer recording", error)
            self._writer.abort()
            while self._queue.get() is not None:
                pass
