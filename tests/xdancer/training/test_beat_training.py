"""Training the beat network: its targets, its inputs, that it learns, and that numpy runs what torch trained."""

from pathlib import Path

import numpy as np
import pytest
import torch

from xdancer.config import load_config
from xdancer.errors import UserError
from xdancer.music.activation import N_INPUTS, STEP_HOPS, BeatNet
from xdancer.music.features import N_BANDS
from xdancer.training import beats
from xdancer.training.grooves import Groove
from xdancer.weights import load_arrays


def config(folder: Path, **values: object) -> beats.BeatsConfig:
    small: dict[str, object] = {"steps": 16, "excerpts": 4, "seconds": 3.0, "learning_rate": 0.02, "warmup": 2}
    small |= {"width": 16, "hidden": 16, "dropout": 0.0, "check_every": 6}
    return beats.BeatsConfig.model_validate({"name": "tiny", "run": str(folder), **small, **values})


def piece(path: Path, tempo: float, seconds: float = 12.0) -> beats.Piece:
    """Bands that jump up at every beat, the low ones only at every fourth."""
    hops, quarters = int(seconds * 120), np.arange(0.1, seconds, 60.0 / tempo)
    bands = np.zeros((hops, N_BANDS), np.float16)
    for k, quarter in enumerate(quarters):
        first = int(quarter * 120)
        bands[first : first + 6, (0 if k % 4 == 0 else 8) :] = 1.0
    np.savez(path, bands=bands, quarters=quarters, barred=True)
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
    bands = torch.rand(120, N_BANDS)
    with torch.no_grad():
        inputs = beats.network_inputs(bands[None])
        whole = torch.softmax(network(inputs), dim=-1)[0, :, 1:].numpy()
    assert inputs.shape == (1, 60, N_INPUTS)
    net = BeatNet({key: value.numpy() for key, value in network.state_dict().items()}, lag=2)
    steps = [net.step(bands[k : k + STEP_HOPS].numpy()) for k in range(0, 120, STEP_HOPS)]
    np.testing.assert_allclose(np.array(steps), whole, atol=1e-5)


def test_it_learns_and_goes_on_where_it_was_cut_off(tmp_path: Path) -> None:
    songs = [piece(tmp_path / f"{tempo:.0f}.npz", tempo) for tempo in (90.0, 110.0, 130.0)]
    sets = {"train": songs, "val": songs[:1]}
    beats.fit(config(tmp_path / "half", steps=8), sets, tmp_path / "unused")
    part = beats.fit(config(tmp_path / "half", steps=16), sets, tmp_path / "weights")
    arrays, shape = load_arrays(tmp_path / "weights")
    assert shape["lag"] == 2 and arrays["second.weight_hh_l0"].shape == (48, 16)
    untrained = beats.BeatNetwork(16, 16)
    with torch.no_grad():
        batch = beats.draw_batch(songs, config(tmp_path), np.random.default_rng(0))
        before = float(beats.loss_of(untrained, batch))
    assert part["val_loss"] < 0.5 * before
    log = (tmp_path / "half" / "log.jsonl").read_text().splitlines()
    assert [line.split(",")[0] for line in log] == ['{"step": 6', '{"step": 8', '{"step": 12', '{"step": 16']


def test_where_no_bar_is_known_both_kinds_of_beat_count_as_one() -> None:
    torch.manual_seed(1)
    network, bands = beats.BeatNetwork(8, 8).eval(), torch.rand(1, 400, N_BANDS)
    plain = torch.from_numpy(beats.targets(np.arange(7) * 0.5, 200, 2))[None]
    swapped = plain[..., [0, 2, 1]]
    unknown, known = torch.tensor([False]), torch.tensor([True])
    with torch.no_grad():
        assert float(beats.loss_of(network, (bands, plain, unknown))) == pytest.approx(
            float(beats.loss_of(network, (bands, swapped, unknown)))
        )
        assert float(beats.loss_of(network, (bands, plain, known))) != pytest.approx(
            float(beats.loss_of(network, (bands, swapped, known)))
        )


def test_the_bar_weight_weighs_what_tells_downbeats_from_beats() -> None:
    torch.manual_seed(2)
    network, bands = beats.BeatNetwork(8, 8).eval(), torch.rand(1, 400, N_BANDS)
    wanted, barred = torch.from_numpy(beats.targets(np.arange(7) * 0.5, 200, 2))[None], torch.tensor([True])
    with torch.no_grad():
        none, plain, double = (float(beats.loss_of(network, (bands, wanted, barred), w)) for w in (0.0, 1.0, 2.0))
        unbarred = float(beats.loss_of(network, (bands, wanted, ~barred)))
    assert none == pytest.approx(unbarred)
    assert double - plain == pytest.approx(plain - none, rel=1e-3)
    assert plain > none


def test_a_run_may_start_from_a_network(tmp_path: Path) -> None:
    songs = [piece(tmp_path / "100.npz", 100.0)]
    sets = {"train": songs, "val": songs}
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
