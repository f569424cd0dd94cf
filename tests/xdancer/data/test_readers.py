import gzip
import json
import struct
from pathlib import Path

import numpy as np
import pytest

from xdancer.data import readers
from xdancer.errors import UserError

BVH = """HIERARCHY
ROOT hip
{
  OFFSET 0 0 0
  CHANNELS 6 Xposition Yposition Zposition Zrotation Yrotation Xrotation
  JOINT knee
  {
    OFFSET 1 0 0
    CHANNELS 3 Zrotation Yrotation Xrotation
    End Site
    {
      OFFSET 0 2 0
    }
  }
}
MOTION
Frames: 3
Frame Time: 0.02
9 9 9 0 0 0 0 0 0
0 5 0 90 0 0 0 0 0
0 5 0 90 0 0 0 0 90
"""


def test_bvh_forward_kinematics_by_hand_without_the_left_over_first_frame(tmp_path: Path) -> None:
    path = tmp_path / "walk.bvh.gz"
    path.write_bytes(gzip.compress(BVH.encode()))
    (take,) = readers.read(path)
    assert (take.name, len(take)) == ("walk", 2)
    assert take.fps == pytest.approx(50)
    # A quarter turn about Z carries the knee's offset from +X to +Y and the shin's from +Y to -X.
    np.testing.assert_allclose(take.positions["knee"], [[0, 6, 0]] * 2, atol=1e-12)
    np.testing.assert_allclose(take.positions["knee_end"], [[-2, 6, 0], [0, 6, 2]], atol=1e-12)
    np.testing.assert_allclose(take.rotations["hip"][0] @ [1, 0, 0], [0, 1, 0], atol=1e-12)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not a gzip",
        gzip.compress(BVH.encode())[:60],
        gzip.compress(BVH.replace("Frames: 3", "Frames: 4").encode()),
    ],
)
def test_a_damaged_bvh_is_one_line_that_names_it(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.bvh.gz"
    path.write_bytes(content)
    with pytest.raises(UserError, match="broken.bvh.gz: damaged motion file") as caught:
        list(readers.read(path))
    assert "\n" not in str(caught.value)


def test_npz_needs_three_coordinates_for_every_joint(tmp_path: Path) -> None:
    path = tmp_path / "takes.npz"
    np.savez(
        path, joint_names=np.array(["a", "b"]), one=np.zeros((5, 2, 3), np.float32), two=np.zeros((5, 3, 3), np.float32)
    )
    takes = readers.read(path, fps=50)
    assert next(takes).fps == 50
    with pytest.raises(UserError, match="takes.npz.*two has shape"):
        next(takes)


def test_glb_tracks_are_sampled_and_carried_down_the_tree(tmp_path: Path) -> None:
    times = np.array([0, 1], np.float32)
    half = np.float32(np.sqrt(0.5))
    turns = np.array([[0, 0, 0, 1], [0, 0, half, half]], np.float32)  # x, y, z, w: none, then a quarter about Z
    scene = {
        "nodes": [
            {"name": "hips", "children": [1], "translation": [0, 1, 0]},
            {"name": "knee", "translation": [1, 0, 0]},
        ],
        "animations": [
            {
                "name": "Dance Loop",
                "channels": [{"sampler": 0, "target": {"node": 0, "path": "rotation"}}],
                "samplers": [{"input": 0, "output": 1}],
            }
        ],
        "accessors": [
            {"bufferView": 0, "componentType": 5126, "count": 2, "type": "SCALAR"},
            {"bufferView": 1, "componentType": 5126, "count": 2, "type": "VEC4"},
        ],
        "bufferViews": [{"buffer": 0, "byteOffset": 0}, {"buffer": 0, "byteOffset": 8}],
    }
    text = json.dumps(scene).encode()
    text += b" " * (-len(text) % 4)
    blob = times.tobytes() + turns.tobytes()
    path = tmp_path / "moves.glb"
    path.write_bytes(
        struct.pack("<4sIIII", b"glTF", 2, 20 + len(text) + 8 + len(blob), len(text), 0x4E4F534A)
        + text
        + struct.pack("<II", len(blob), 0x004E4942)
        + blob
    )
    (take,) = readers.read(path)
    assert take.name == "Dance_Loop" and len(take) == 60
    np.testing.assert_allclose(take.positions["knee"][0], [1, 1, 0], atol=1e-6)
    angle = np.arctan2(take.positions["knee"][30, 1] - 1, take.positions["knee"][30, 0])
    assert angle == pytest.approx(np.pi / 4, abs=0.02)
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(UserError, match="moves.glb"):
        list(readers.read(path))
