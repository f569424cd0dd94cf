from pathlib import Path

import numpy as np
import pytest
from motion_fixtures import make_body, make_clip, neo_joints, write_avatar

from xdancer.data.skeleton import Body


@pytest.fixture
def body() -> Body:
    return make_body()


@pytest.fixture
def raw_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of raw data: six people, a source of five clips and one of one, found through XDANCER_DATA."""
    root = tmp_path / "raw"
    (root / "avatars").mkdir(parents=True)
    (root / "motion").mkdir()
    for k in range(6):
        write_avatar(root / "avatars" / f"Tess_F_{k}_Casual.npz", make_body(scale=0.95 + 0.02 * k))
    for source, count in (("five", 5), ("one", 1)):
        clips = {f"take{k}": neo_joints(make_body(), make_clip(90 + 10 * k)) for k in range(count)}
        names = clips["take0"][0]
        np.savez(root / "motion" / f"{source}.npz", joint_names=names, **{k: v for k, (_, v) in clips.items()})
    monkeypatch.setenv("XDANCER_DATA", str(root))
    return root


@pytest.fixture
def raw_config(tmp_path: Path) -> Path:
    path = tmp_path / "corpus.yaml"
    path.write_text(
        "seed: 3\nmotion:\n- {source: five, files: motion/five.npz, style: street, styles: {take3: salsa}}\n"
        "- {source: one, files: motion/one.npz, weight: 0.5}\n"
    )
    return path
