"""Training the beat network: its targets, its inputs, that it learns, and that numpy runs what torch trained."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from xdancer import weights
from xdancer.config import load_config
from xdancer.errors import UserError
from xdancer.music.activation import N_INPUTS, STEP_HOPS, BeatNet
from xdancer.music.features import HOPS, N_BANDS, N_CHROMA
from xdancer.training import beats
from xdancer.training.grooves import Groove
from xdancer.weights import load_arrays


def config(folder: Path, **values: object) -> beats.BeatsConfig:
    small: dict[str, object] = {"steps": 16, "excerpts": 4, "seconds": 3.0, "learning_rate": 0.02, "warmup": 2}
    small |= {"width": 16, "hidden": 16, "dropout": 0.0, "average": 0.0, "check_every": 6}
    return beats.BeatsConfig.model_validate({"name": "tiny", "run": str(folder), **small, **values})


def piece(path: Path, tempo: float, seconds: float = 12.0) -> beats.Piece:
    """Bands that jump up at every beat, the low ones only at every fourth."""
    hops, quarters = int(seconds * 120), np.arange(0.1, seconds, 60.0 / tempo)
    bands = np.zeros((hops, N_BANDS), np.float16)
    for k, quarter in enumerate(quarters):
        first = int(quarter * 120)
        bands[first : first + 6, (0 if k % 4 == 0 else 8) :] = 1.0
    chroma = np.tile(np.eye(1, N_CHROMA, dtype=np.float16), (hops // HOPS, 1))
    np.savez(path, bands=bands, chroma=chroma, quarters=quarters, barred=True)
    return beats.Piece(path)


def test_targets_mark_beats_and_downbeats_late_by_the_lag() -> None:
    wanted = beats.targets(np.array([0.0, 0.5, 1.0, 1.5, 2.0]), steps=200, lag=2)
    assert np.flatnonzero(wanted[:, 2] == 1.0).tolist() == [2, 122]
    assert np.flatnonzero(wanted[:, 1] == 1.0).tolist() == [32, 62, 92]
    np.testing.assert_allclose(wanted.sum(axis=1), 1.0)
    assert wanted[31, 1] == pytest.approx(0.4)


@pytest.mark.parametrize(("written", "folded"), [(60.0, 120.0), (100.0, 100.0), (180.0, 90.0), (310.0, 77.5)])
def test_quarters_fold_between_75_and_150(written: float, folded: float) -> None:
    quarters = np.arange(33) * 60.0 / written
    result = beats.fold_from_downbeat(quarters)
    assert result[0] == quarters[0]
    np.testing.assert_allclose(np.diff(result), 60.0 / folded)


def test_injuries_keep_bands_finite_and_in_range() -> None:
    bands = np.random.default_rng(0).uniform(0.0, 2.0, (400, N_BANDS)).astype(np.float32)
    results = [beats.injured(bands, np.random.default_rng(k)) for k in range(12)]
    assert all(np.isfinite(r).all() and r.min() >= 0.0 and r.max() <= 3.0 for r in results)
    assert not np.allclose(results[0], results[1])


def test_numpy_runs_what_torch_trained() -> None:
    torch.manual_seed(0)
    network = beats.BeatNetwork(12, 10).eval()
    bands, chroma = torch.rand(120, N_BANDS), torch.rand(60, N_CHROMA)
    with torch.no_grad():
        inputs = beats.network_inputs(bands[None], chroma[None])
        whole = torch.softmax(network(inputs), dim=-1)[0, :, 1:].numpy()
    assert inputs.shape == (1, 60, N_INPUTS)
    net = BeatNet({key: value.numpy() for key, value in network.state_dict().items()}, lag=2)
    steps = [net.step(bands[STEP_HOPS * k :][:STEP_HOPS].numpy(), chroma[k].numpy()) for k in range(60)]
    np.testing.assert_allclose(np.array(steps), whole, atol=1e-5)


def test_it_learns_and_goes_on_where_it_was_cut_off(tmp_path: Path) -> None:
    songs = [piece(tmp_path / f"{tempo:.0f}.npz", tempo) for tempo in (90.0, 110.0, 130.0)]
    sets = {"train": songs, "check": songs[:1]}
    beats.fit(config(tmp_path / "half", steps=8), sets, tmp_path / "unused")
    part = beats.fit(config(tmp_path / "half", steps=16), sets, tmp_path / "weights")
    arrays, shape = load_arrays(tmp_path / "weights")
    assert shape["lag"] == 2 and arrays["second.weight_hh_l0"].shape == (48, 16)
    untrained = beats.BeatNetwork(16, 16)
    with torch.no_grad():
        batch = beats.draw_batch(songs, config(tmp_path), np.random.default_rng(0))
        before = float(beats.loss_of(untrained, batch))
    assert part["check_loss"] < 0.5 * before
    log = (tmp_path / "half" / "log.jsonl").read_text().splitlines()
    assert [line.split(",")[0] for line in log] == ['{"step": 6', '{"step": 8', '{"step": 12', '{"step": 16']
    done = beats.fit(config(tmp_path / "half", steps=16), sets, tmp_path / "elsewhere")
    assert done["check_loss"] == part["check_loss"]
    again = load_arrays(tmp_path / "elsewhere")[0]
    assert all(np.array_equal(again[key], value) for key, value in arrays.items())
    with pytest.raises(UserError, match="another shape"):
        beats.fit(config(tmp_path / "half", width=8), sets, tmp_path / "wrong")


def test_a_run_that_was_cut_off_ends_as_one_that_was_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    songs = [piece(tmp_path / "100.npz", 100.0)]
    sets = {"train": songs, "check": songs}
    drops = {"dropout": 0.25, "average": 0.5}
    whole = beats.fit(config(tmp_path / "whole", **drops), sets, tmp_path / "straight")
    save = beats.save_checkpoint

    def cut_off(path: Path, values: dict) -> None:
        save(path, values)
        raise KeyboardInterrupt

    monkeypatch.setattr(beats, "save_checkpoint", cut_off)
    with pytest.raises(KeyboardInterrupt):
        beats.fit(config(tmp_path / "cut", **drops), sets, tmp_path / "resumed")
    monkeypatch.undo()
    assert beats.fit(config(tmp_path / "cut", **drops), sets, tmp_path / "resumed")["check_loss"] == whole["check_loss"]
    straight, resumed = (load_arrays(tmp_path / name)[0] for name in ("straight", "resumed"))
    assert all(np.array_equal(resumed[key], value) for key, value in straight.items())


def batch_of(wanted: torch.Tensor, barred: bool) -> beats.Batch:
    chroma = torch.rand(1, wanted.shape[1], N_CHROMA, generator=torch.Generator().manual_seed(3))
    bands = torch.rand(1, 2 * wanted.shape[1], N_BANDS, generator=torch.Generator().manual_seed(4))
    return beats.Batch(bands, chroma, wanted, torch.tensor([barred]))


def test_where_no_bar_is_known_both_kinds_of_beat_count_as_one() -> None:
    torch.manual_seed(1)
    network = beats.BeatNetwork(8, 8).eval()
    plain = torch.from_numpy(beats.targets(np.arange(7) * 0.5, 200, 2))[None]
    swapped = plain[..., [0, 2, 1]]
    with torch.no_grad():
        losses = {
            (order, barred): float(beats.loss_of(network, batch_of(wanted, barred)))
            for order, wanted in (("plain", plain), ("swapped", swapped))
            for barred in (False, True)
        }
    assert losses["plain", False] == pytest.approx(losses["swapped", False])
    assert losses["plain", True] != pytest.approx(losses["swapped", True])


def test_the_bar_weight_weighs_what_tells_downbeats_from_beats() -> None:
    torch.manual_seed(2)
    network = beats.BeatNetwork(8, 8).eval()
    wanted = torch.from_numpy(beats.targets(np.arange(7) * 0.5, 200, 2))[None]
    with torch.no_grad():
        none, plain, double = (float(beats.loss_of(network, batch_of(wanted, True), w)) for w in (0.0, 1.0, 2.0))
        unbarred = float(beats.loss_of(network, batch_of(wanted, False)))
    assert none == pytest.approx(unbarred)
    assert double - plain == pytest.approx(plain - none, rel=1e-3)
    assert plain > none


def test_a_song_in_another_key_keeps_its_changes() -> None:
    chroma = np.repeat(np.eye(2, N_CHROMA, dtype=np.float16), 5, axis=0)
    moved = beats.transposed(chroma, np.random.default_rng(5))
    assert moved.dtype == np.float32 and moved.min() >= 0.0 and moved.max() <= 1.0
    first, second = int(moved[0].argmax()), int(moved[9].argmax())
    assert (second - first) % N_CHROMA == 1 and np.array_equal(moved[0], moved[4])


def test_the_network_written_is_the_one_that_foretold_the_songs_kept_out_best(tmp_path: Path) -> None:
    songs = [piece(tmp_path / "100.npz", 100.0), piece(tmp_path / "130.npz", 130.0)]
    sets = {"train": songs[:1], "check": songs[1:]}
    wild = {"steps": 9, "check_every": 3, "learning_rate": 0.5}  # after a good start all goes wrong
    beats.fit(config(tmp_path / "begun", steps=12), sets, tmp_path / "good")
    result = beats.fit(config(tmp_path / "wild", begin=str(tmp_path / "good"), **wild), sets, tmp_path / "best")
    lines = [json.loads(line) for line in (tmp_path / "wild" / "log.jsonl").read_text().splitlines()]
    assert result["check_loss"] == pytest.approx(min(line["check"] for line in lines), rel=1e-4)
    assert lines[-1]["check"] > 1.1 * result["check_loss"]
    network = beats.BeatNetwork(16, 16).eval()
    network.load_state_dict(weights.load(tmp_path / "best")[0])
    with torch.no_grad():
        batches = [beats.draw_batch(songs[1:], config(tmp_path), np.random.default_rng(k)) for k in range(beats.CHECKS)]
        found = float(np.mean([float(beats.loss_of(network, batch)) for batch in batches]))
    assert found == pytest.approx(result["check_loss"], rel=0.02)  # written in bfloat16


def test_a_songs_arrangements_are_kept_out_with_it(tmp_path: Path) -> None:
    drawn = config(tmp_path, kept_out=3)
    for number in range(12):
        for tail in ("", "-arranged-0"):
            piece(tmp_path / f"song-{number}{tail}.npz", 100.0, 3.0)
    out = {path.stem for path in tmp_path.glob("*.npz") if beats.is_kept_out(beats.Piece(path), drawn)}
    assert 0 < len(out) < 24
    assert all((f"song-{n}" in out) == (f"song-{n}-arranged-0" in out) for n in range(12))


def test_a_run_may_start_from_a_network(tmp_path: Path) -> None:
    songs = [piece(tmp_path / "100.npz", 100.0)]
    sets = {"train": songs, "check": songs}
    beats.fit(config(tmp_path / "first", steps=4), sets, tmp_path / "given")
    still = {"steps": 1, "learning_rate": 1e-12, "begin": str(tmp_path / "given"), "seed": 9}
    beats.fit(config(tmp_path / "second", **still), sets, tmp_path / "after")
    given, after = load_arrays(tmp_path / "given")[0], load_arrays(tmp_path / "after")[0]
    assert all(np.array_equal(given[key], after[key]) for key in given)


def test_grooves_strike_on_their_grid() -> None:
    rng = np.random.default_rng(3)
    click = np.exp(-np.arange(2400) / 200.0).astype(np.float32)
    kit = {role: [click] for role in ("kick", "snare", "hat", "open", "crash", "tom", "tick")}
    groove = Groove(kit, rng, 12.0)
    again = Groove(kit, np.random.default_rng(3), 12.0)
    assert np.array_equal(groove.sound, again.sound) and np.abs(groove.sound).max() == pytest.approx(1.0)
    assert len(groove.beats) % 4 == 0
    np.testing.assert_allclose(np.diff(groove.beats), 60.0 / groove.tempo)


def test_a_wrong_key_is_named(tmp_path: Path) -> None:
    path = tmp_path / "beats.yaml"
    path.write_text("name: a\nrun: b\nsteps: 10\nhiden: 3\n")
    with pytest.raises(UserError, match="hiden"):
        load_config(path, beats.BeatsConfig)
