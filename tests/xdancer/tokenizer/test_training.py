"""Training: resumable along the same curve, losses by hand, codebooks that follow and revive. On a made-up corpus."""

import numpy as np
import pytest
import torch
from tokenizer_fixtures import TINY, swaying, tiny_network

from xdancer.config import load_config
from xdancer.errors import UserError
from xdancer.pose.layout import N_JOINTS, PARTS
from xdancer.tokenizer import PoseTokenizer, frame
from xdancer.tokenizer.network import Quantiser
from xdancer.training import tokenizer as training


class SwayingSampler:
    """Stands in for the corpus: one figure that sways about places of its own, drawn from the generator only."""

    def __init__(self, folder, split="train", seed=0, vary=0.05):
        self.rng = np.random.default_rng(seed)

    def batch(self, n, frames):
        figure = swaying(1, seed=0)
        place = self.rng.normal(size=(n, 1, 1, 2)) * 40
        phase = self.rng.uniform(0, 6, (n, 1, 1, 1)) + 0.2 * np.arange(frames)[:, None, None]
        sway = np.sin(phase) * np.linspace(-20, 20, N_JOINTS)[:, None]
        pose = np.broadcast_to(figure, (n, frames, N_JOINTS, 3)).copy()
        pose[..., :2] += place + sway
        return pose


@pytest.fixture
def config(tmp_path, monkeypatch):
    monkeypatch.setattr(training, "PoseSampler", SwayingSampler)
    monkeypatch.setattr(training, "HELD_OUT", (6, 32))
    return training.TokenizerConfig(
        name="tiny", corpus="", run=str(tmp_path / "run"), steps=8, windows=3, frames=12, pool_windows=4,
        pool_frames=16, pool_steps=3, check_every=2, revive_every=2, warmup=1, shape=TINY,
    )  # fmt: skip


def test_resumed_run_is_the_same_run(config, tmp_path):
    straight = training.train(config)
    cut_off = config.model_copy(update={"run": str(tmp_path / "other")})
    training.train(cut_off, stop_at=4)
    resumed = training.train(cut_off)
    assert resumed["sha256"] == straight["sha256"]
    assert resumed["joint_error"] == straight["joint_error"]


def test_training_brings_the_error_down_and_writes_a_tokenizer(config):
    longer = config.model_copy(update={"steps": 60, "learning_rate": 3e-3, "check_every": 10})
    pose = SwayingSampler("", seed=1234).batch(6, 32)
    result = training.train(longer)
    tokenizer = PoseTokenizer.from_pretrained(result["weights"])
    made = np.stack([tokenizer.decode(tokenizer.encode(p)) for p in pose])
    assert tokenizer.sha256 == result["sha256"]
    assert training.joint_error(pose, made)["whole"] == pytest.approx(
        result["joint_error"]["whole"], rel=0.2
    )  # bfloat16
    mean = np.broadcast_to(pose.mean((0, 1)), pose.shape)
    assert result["joint_error"]["whole"] < 0.35 * training.joint_error(pose, mean)["whole"]


def test_checkpoint_of_another_shape_is_said(config):
    training.train(config, stop_at=2)
    with pytest.raises(UserError, match="another shape"):
        training.train(config.model_copy(update={"shape": {**TINY, "decoder_width": 12}}))


def test_tokens_mean_what_they_meant_after_a_tokenizer_is_gone_on_from(config, tmp_path):
    first = PoseTokenizer.from_pretrained(training.train(config.model_copy(update={"steps": 30}))["weights"])
    again = {"keep": f"{config.run}/tiny", "run": str(tmp_path / "tuned"), "steps": 100, "learning_rate": 3e-3}
    second = PoseTokenizer.from_pretrained(training.train(config.model_copy(update=again))["weights"])
    assert first.vocabulary == second.vocabulary and first.sha256 != second.sha256
    pose = SwayingSampler("", seed=1234).batch(1, 32)[0]
    tokens = first.encode(pose)
    assert not np.array_equal(tokens, second.encode(pose))
    before = training.joint_error(pose, first.decode(tokens))["whole"]
    assert training.joint_error(pose, second.decode(tokens))["whole"] < before
    assert training.joint_error(pose, second.decode(second.encode(pose)))["whole"] < before


def test_a_tokenizer_of_another_shape_is_not_gone_on_from(config, tmp_path):
    training.train(config)
    other = {"keep": f"{config.run}/tiny", "run": str(tmp_path / "tuned")}
    for shape in ({**TINY, "encoder_width": 12}, {**TINY, "encoder_dilations": [1, 1]}, {**TINY, "stages": 3}):
        with pytest.raises(UserError, match="keep: .*not a tokenizer of `shape`"):
            training.train(config.model_copy(update={**other, "shape": shape}))


def test_wrong_config_names_the_key(tmp_path):
    path = tmp_path / "t.yaml"
    path.write_text("name: x\ncorpus: c\nrun: r\nsteps: many\n")
    with pytest.raises(UserError, match="steps"):
        load_config(path, training.TokenizerConfig)
    path.write_text("name: x\ncorpus: c\nrun: r\nsteps: 1\nlearning_rat: 1\n")
    with pytest.raises(UserError, match="learning_rat"):
        load_config(path, training.TokenizerConfig)


def test_losses_by_hand():
    pose = np.zeros((1, 4, N_JOINTS, 3), dtype=np.float32)
    pose[0, :, 1] = (256, 448, 1.0)  # the neck, in the middle of the canvas
    outputs = torch.zeros(1, 4, frame.OUTPUTS)
    place, velocity, jerk, _ = training.losses(outputs, torch.from_numpy(pose))
    assert place == 0 and velocity == 0 and jerk == 0
    neck = 3 * PARTS[0].joints.index(1)
    outputs[0, 1, neck] = 8 / frame.UNIT  # 8 px to the right in the second frame
    place, velocity, jerk, _ = training.losses(outputs, torch.from_numpy(pose))
    one = (np.sqrt(65) - 1) / 2 / 8  # mean of two axes, in units of 8 px
    assert place.item() == pytest.approx(one / 4 / len(PARTS), rel=1e-4)  # one of four frames, one of five parts
    assert velocity.item() == pytest.approx(2 * one / 3 / len(PARTS), rel=1e-4)  # there and back, of three steps
    three = (np.sqrt(24**2 + 1) - 1) / 2 / 8  # 0, 8, 0, 0: differences 8, -8, 0; -16, 8; 24
    assert jerk.item() == pytest.approx(three / len(PARTS), rel=1e-4)


def test_confidence_loss_is_nought_only_where_it_is_right():
    pose = np.ones((1, 4, N_JOINTS, 3), dtype=np.float32)
    right, wrong = torch.full((1, 4, frame.OUTPUTS), 30.0), torch.full((1, 4, frame.OUTPUTS), -30.0)
    assert training.losses(right, torch.from_numpy(pose))[3] < 1e-6
    assert training.losses(wrong, torch.from_numpy(pose))[3] == pytest.approx(1 + 0.2 * 30, rel=1e-3)


def test_unseen_joints_cost_no_place():
    pose = np.zeros((1, 4, N_JOINTS, 3), dtype=np.float32)
    place, velocity, jerk, _ = training.losses(torch.randn(1, 4, frame.OUTPUTS), torch.from_numpy(pose))
    assert place == 0 and velocity == 0 and jerk == 0


def test_augmented_poses_keep_the_contract():
    pose = swaying(20, n=16)
    changed = training.augmented(np.random.default_rng(0), pose, 1.0)
    assert not np.array_equal(changed, pose)
    unseen = changed[..., 2] == 0
    assert unseen.any() and (changed[unseen] == 0).all()
    seen = changed[~unseen]
    assert (seen[:, :2] >= 0).all() and (seen[:, 0] <= 511).all() and (seen[:, 1] <= 895).all()
    np.testing.assert_array_equal(training.augmented(np.random.default_rng(0), pose, 0.0), pose)


def test_codes_follow_the_latents():
    torch.manual_seed(0)
    quantiser = Quantiser(stages=2)
    quantiser.decay = 0.9
    z = torch.randn(800, 5, 18)
    quantiser(z, start=True)
    shifted = z + 0.5
    before = (quantiser(shifted)[0] - shifted).square().mean()
    for _ in range(30):
        quantiser(shifted, learn=True)
    after = (quantiser(shifted)[0] - shifted).square().mean()
    assert after < 0.8 * before


def test_dead_codes_come_back():
    torch.manual_seed(0)
    quantiser = Quantiser(stages=2)
    z = torch.randn(2000, 5, 18)
    quantiser(z, start=True)
    quantiser.codebooks[0, 0, :100] = 1e3  # nobody's nearest
    quantiser.counts[0, 0, :100] = 0
    assert quantiser.revive(z, torch.Generator().manual_seed(1)) >= 100
    tokens = quantiser(z)[1]
    assert len(torch.unique(tokens[:, 0, 0])) > 450


def test_gradient_passes_straight_through():
    quantiser = tiny_network().quantiser
    z = torch.randn(7, 5, 18, requires_grad=True)
    quantised, _, _ = quantiser(z)
    weight = torch.randn_like(quantised)
    (quantised * weight).sum().backward()
    torch.testing.assert_close(z.grad, weight)


def test_one_encoder_for_the_whole_body_learns_as_well(config, tmp_path):
    single = {"shape": {**TINY, "single": True}, "run": str(tmp_path / "single"), "steps": 40}
    result = training.train(config.model_copy(update=single))
    tokenizer = PoseTokenizer.from_pretrained(result["weights"])
    pose = SwayingSampler("", seed=1234).batch(6, 32)
    nearest, searched = (
        training.joint_error(pose, np.stack([tokenizer.decode(tokenizer.encode(p, search)) for p in pose]))["whole"]
        for search in (False, True)
    )
    assert nearest == pytest.approx(result["joint_error"]["whole"], rel=0.2)  # bfloat16
    assert searched < nearest
