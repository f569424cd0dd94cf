import json

import numpy as np
import pytest
from models import TINY_FLAT, tiny_tokenizer
from test_choreographer_training import write_corpus

from engine.cli import main
from xdancer.choreographer import Choreographer
from xdancer.choreographer.flat import layout
from xdancer.errors import UserError
from xdancer.music.frame import MusicFrame
from xdancer.tokenizer import PoseTokenizer
from xdancer.training import flat
from xdancer.training.dances import Dance, Song


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    place = tmp_path_factory.mktemp("flat-training")
    tiny_tokenizer(place / "tokenizer")
    write_corpus(place / "corpus")
    return place


def config(place, run, **more):
    values = {
        "model": "flat", "name": "tiny", "corpus": str(place / "corpus"), "run": str(place / run), "steps": 12,
        "windows": 1, "tokenizer": str(place / "tokenizer"), "check_every": 6, "threads": 1, "warmup": 2,
        "learning_rate": 1e-2, "shape": TINY_FLAT,
    }  # fmt: skip
    return values | more


def test_training_by_the_command_learns_and_what_it_wrote_dances(place, tmp_path, capsys):
    path = tmp_path / "flat.yaml"
    path.write_text(json.dumps(config(place, "straight")))  # JSON is YAML
    assert main(["train", "choreographer", str(path), "--json", "shape.layers=3"]) == 0
    straight = json.loads(capsys.readouterr().out)
    log = [json.loads(line) for line in (place / "straight" / "log.jsonl").read_text().splitlines()]
    assert log[-1]["train_bits"] < 0.97 * log[0]["train_bits"]
    deeper = flat.FlatConfig(**config(place, "cut", shape=TINY_FLAT | {"layers": 3}))
    flat.train(deeper, stop_at=7)
    assert flat.train(deeper)["sha256"] == straight["sha256"]
    tokenizer = PoseTokenizer.from_pretrained(str(place / "tokenizer"))
    model = Choreographer.from_pretrained(straight["weights"], tokenizer)
    frame = MusicFrame(0, np.zeros(40, np.float32))
    assert model.stream(lead=2).step([frame]).tokens.shape == (3, 5, 6)


def test_segments_show_what_was_danced_and_ask_for_the_same():
    rows = np.arange(200 * 30).reshape(200, 30) % 512
    clock = np.ones((200, 4), np.float32)
    still = np.zeros(200, np.float32)
    song = Song(np.zeros((200, 160), np.float16), clock, clock)
    dance = Dance(rows.astype(np.int16), rows, still > 0, still, still, np.zeros(200, np.int8), song)
    segments = flat.Segments([dance], ["salsa"], np.linspace(0, 1, 33))
    heard, context, told, shown, wanted = segments.at(
        np.random.default_rng(0), dance, 104, 0, "heard", np.full((64, 3), 0.5, np.float32)
    )
    np.testing.assert_array_equal(wanted, rows[104:168])
    np.testing.assert_array_equal(shown, layout.names(rows[104:168]))
    np.testing.assert_array_equal(context, layout.names(rows[[55, 61, 68, 74, 81, 87, 94, 100]]))
    assert (told[:, -3:] == 0.5).all() and (heard[:, -3:] == 0.5).all()
    assert (heard[: 64 - 104 // 8 - 1, 39] == 1).all(), "before the song there is silence"
    assert not heard[-(104 // 8) :, 39].any()
    *_, spoiled, asked = segments.at(
        np.random.default_rng(3), dance, 104, 0, "heard", np.zeros((64, 3), np.float32), noise=0.4
    )
    np.testing.assert_array_equal(asked, wanted)
    assert 0.02 < (spoiled != shown).mean() < 0.9, "the past is spoiled, what is wanted is not"


def test_a_wrong_shape_is_one_line(place):
    with pytest.raises(UserError, match="shape: .*depth"):
        flat.build(flat.FlatConfig(**config(place, "wrong", shape={"depth": 3})))
