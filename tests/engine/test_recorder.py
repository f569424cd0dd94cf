"""MP4s: sound and picture in step, and never half a file."""

from pathlib import Path

import av
import numpy as np
import pytest

from engine.recorder import Mp4Writer, Recorder
from engine.stage.frame import ShowFrame
from xdancer.errors import UserError
from xdancer.music.frame import HOP, BeatState

FLASH = 20  # the frame that is white and loud


def picture(index: int) -> np.ndarray:
    return np.full((64, 64, 3), 255 if index == FLASH else 0, np.uint8)


def sound(index: int) -> np.ndarray:
    return np.full((HOP, 2), 0.5 if index == FLASH else 0.0, np.float32) * np.tile([[1.0], [-1.0]], (HOP // 2, 1))


def check(path: Path, frames: int) -> None:
    """The flash is seen in its frame and heard at its time."""
    with av.open(str(path)) as film:
        shown = [frame.to_ndarray(format="gray").mean() for frame in film.decode(video=0)]
    assert len(shown) == frames and int(np.argmax(shown)) == FLASH
    with av.open(str(path)) as film:
        heard = [(frame.time, frame.to_ndarray()) for frame in film.decode(audio=0)]
    start = heard[0][0]
    samples = np.abs(np.concatenate([block for _, block in heard], axis=1)).max(axis=0)
    first = start + np.argmax(samples > 0.1) / 48_000
    assert abs(first - FLASH / 30) < 0.025  # AAC smears a transient over its window of 1024 samples


def test_the_first_sample_is_at_the_first_frame(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    with Mp4Writer(path, 64, 64) as film:
        for index in range(40):
            film.write(picture(index), sound(index))
        assert not path.exists()
    check(path, 40)
    assert list(tmp_path.iterdir()) == [path]


def test_an_error_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), Mp4Writer(tmp_path / "film.mp4", 64, 64) as film:
        film.write(picture(0), sound(0))
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_an_error_keeps_the_film_that_was_there(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    path.write_bytes(b"the old film")
    with pytest.raises(RuntimeError), Mp4Writer(path, 64, 64):
        raise RuntimeError
    assert path.read_bytes() == b"the old film"


@pytest.mark.parametrize("name", ["nowhere/film.mp4", "folder.mp4"])
def test_where_nothing_can_be_written(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder.mp4").mkdir()
    with pytest.raises(UserError, match="film|folder"):
        Mp4Writer(tmp_path / name, 64, 64)


def test_a_dropped_frame_does_not_move_the_sound(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    recorder = Recorder(path, 64, 64)
    for index in range(40):
        if index not in (3, 4, 5):
            pose = np.zeros((60, 3), np.float32)
            recorder.shown(ShowFrame(index, 0.0, picture(index), sound(index), pose, None, BeatState()))
    recorder.close()
    check(path, 40)
