"""MP4s: sound and picture in step, and never half a file."""

import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterable
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


def shown(index: int, noisy: bool = False) -> ShowFrame:
    image = np.random.default_rng(index).integers(0, 255, (64, 64, 3), np.uint8) if noisy else picture(index)
    return ShowFrame(index, 0.0, image, sound(index), np.zeros((60, 3), np.float32), None, BeatState())


def record(recorder: Recorder, indices: Iterable[int], noisy: bool = False) -> None:
    """Show frames as fast as the recorder takes them."""
    for index in indices:
        while recorder.path and recorder._take._queue.full():  # type: ignore[union-attr]
            time.sleep(0.001)
        recorder.shown(shown(index, noisy))


def pictures(path: Path) -> int:
    """Frames that can be decoded, in step with as much sound."""
    with av.open(str(path)) as film:
        times = [frame.time for frame in film.decode(video=0)]
    with av.open(str(path)) as film:
        heard = [frame.time + frame.samples / 48_000 for frame in film.decode(audio=0)]
    np.testing.assert_allclose(np.diff(times), 1 / 30, atol=1e-3)
    assert heard and abs(heard[-1] - times[-1] - 1 / 30) < 0.1
    return len(times)


def test_a_dropped_frame_does_not_move_the_sound(tmp_path: Path) -> None:
    recorder = Recorder(64, 64, tmp_path)
    path = recorder.start(tmp_path / "film.mp4")
    record(recorder, (index for index in range(40) if index not in (3, 4, 5)))
    recorder.stop()
    check(path, 40)


def test_recording_starts_and_stops_while_the_show_runs_and_overwrites_nothing(tmp_path: Path) -> None:
    recorder = Recorder(64, 64, tmp_path / "films", "main")
    record(recorder, range(10))
    assert recorder.state()["on"] is False and not (tmp_path / "films").exists()
    first = recorder.start()
    assert recorder.start() == first and recorder.state()["file"] == first.name
    record(recorder, range(10, 50))
    recorder.stop()
    record(recorder, range(50, 60))
    assert recorder.state() == {"on": False, "file": first.name, "seconds": 1.33, "dropped": 0, "error": None}
    second = recorder.start(first)
    record(recorder, range(60, 80))
    recorder.stop()
    assert second.name == f"{first.stem}-2.mp4" and first.name.startswith("main-20")
    assert (pictures(first), pictures(second)) == (40, 20)
    with av.open(str(first)) as film:
        assert film.streams.video[0].frames == 40  # an ordinary MP4, with an index that players can seek by


def test_a_film_without_a_frame_is_not_kept(tmp_path: Path) -> None:
    recorder = Recorder(64, 64, tmp_path)
    recorder.start()
    recorder.stop()
    assert list(tmp_path.iterdir()) == []


KILLED = """
import sys, time
from pathlib import Path
from test_recorder import Recorder, shown
recorder = Recorder(64, 64, Path(sys.argv[1]))
recorder.start(Path(sys.argv[1]) / "film.mp4")
for index in range(10_000):
    recorder.shown(shown(index))
    print(index, recorder.state()["dropped"], flush=True)
    time.sleep(1 / 30)
"""


def test_a_power_cut_costs_two_seconds_at_most(tmp_path: Path) -> None:
    command = [sys.executable, "-c", KILLED, str(tmp_path)]
    here = Path(__file__).parent
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(here), str(here.parents[1])])}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as show:
        assert show.stdout
        index = dropped = 0
        while index < 100:
            index, dropped = map(int, show.stdout.readline().split())
        show.kill()
    assert dropped == 0  # or the machine was too slow to tell anything
    assert pictures(tmp_path / "film.mp4") >= index + 1 - 60


@pytest.mark.parametrize("room", [0, 500, 40_000, 200_000])
def test_a_full_disk_ends_the_film_with_one_line(tmp_path: Path, room: int, caplog: pytest.LogCaptureFixture) -> None:
    """No file may grow beyond `room` bytes: the operating system refuses writes as it does on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    recorder = Recorder(64, 64, tmp_path)
    path = recorder.start()
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
    try:
        record(recorder, range(150), noisy=True)
        recorder.stop()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    (line,) = [record.getMessage() for record in caplog.records]
    assert path.name in line and "\n" not in line
    state = recorder.state()
    assert not state["on"] and state["error"] and recorder.path is None
    if path.exists():
        assert pictures(path) >= 15 and path.stat().st_size <= room
    else:
        assert room < 40_000
    # There is room again, so that the next film is whole.
    again = recorder.start()
    record(recorder, range(40))
    recorder.stop()
    check(again, 40)


def test_a_disk_that_fills_up_at_the_very_end_keeps_what_is_there(tmp_path: Path) -> None:
    recorder = Recorder(64, 64, tmp_path)
    path = recorder.start()
    record(recorder, range(90))
    while recorder.state()["seconds"] < 3:
        time.sleep(0.01)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size, hard))
    try:
        recorder.stop()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert recorder.state()["error"] and pictures(path) >= 75


@pytest.mark.parametrize("name", ["nowhere/film.mp4", "file/film.mp4"])
def test_where_no_film_can_be_written(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    recorder = Recorder(64, 64, tmp_path / "file" / "films")
    for path in (tmp_path / name, None):
        with pytest.raises(UserError):
            recorder.start(path)
    assert recorder.state()["on"] is False
