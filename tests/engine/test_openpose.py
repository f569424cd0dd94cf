"""OpenPose JSON: written by `render`, served live."""

import asyncio
import json
from pathlib import Path

import numpy as np
import pytest
from aiohttp import ClientSession
from brokers import show_frame

from engine.audio.files import demo_source
from engine.config import load
from engine.openpose import people, write
from engine.web.server import Web
from xdancer.errors import UserError
from xdancer.pose.layout import INDEX


class Nothing:
    """A show of which nothing is asked."""

    session = "nothing"
    source = demo_source()
    params: dict = {}

    def state(self) -> dict:
        return {}

    def set_params(self, changes: dict) -> dict:
        return {}


def read(document: dict) -> np.ndarray:
    """As those do who read OpenPose: joints of the first person, (18 + 21 + 21, 3)."""
    person = document["people"][0]
    parts = [person[f"{part}_keypoints_2d"] for part in ("pose", "hand_left", "hand_right")]
    return np.concatenate([np.reshape(part, (-1, 3)) for part in parts])


def test_the_document_has_openposes_joints_in_openposes_order() -> None:
    pose = show_frame(3).pose
    document = json.loads(json.dumps(people(pose)))
    assert document["version"] == 1.3 and len(document["people"]) == 1
    np.testing.assert_allclose(read(document), pose, atol=6e-4)
    # OpenPose, COCO-18: 4 is the right wrist, 13 the left ankle, 17 the left ear.
    assert [INDEX[name] for name in ("right_wrist", "left_ankle", "left_ear")] == [4, 13, 17]


def test_where_nobody_is_seen_there_is_nobody() -> None:
    assert people(None) == people(np.zeros((60, 3), np.float32)) == {"version": 1.3, "people": []}


def test_files_are_named_as_openpose_names_them(tmp_path: Path) -> None:
    poses = np.stack([show_frame(index).pose for index in range(3)])
    write(tmp_path / "out", "dance", poses)
    files = sorted((tmp_path / "out").iterdir())
    assert [file.name for file in files] == [f"dance_{index:012d}_keypoints.json" for index in range(3)]
    np.testing.assert_allclose([read(json.loads(file.read_text())) for file in files], poses, atol=6e-4)


def test_a_folder_that_cannot_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="file: cannot be written"):
        write(tmp_path / "file", "dance", np.zeros((1, 60, 3)))


async def test_the_pose_on_show_is_served() -> None:
    web = Web(load(None, ["port=0", "width=64", "height=64"]), Nothing())
    await web.start()
    try:
        async with ClientSession(web.address) as client:
            assert (await (await client.get("/api/openpose")).json())["people"] == []
            frame = show_frame(5)
            web.made(frame)
            web.shown(frame)
            await asyncio.sleep(0)
            answer = await client.get("/api/openpose")
            np.testing.assert_allclose(read(await answer.json()), frame.pose, atol=6e-4)
            assert answer.headers["Cache-Control"] == "no-store"
    finally:
        await web.stop()
