"""Training the renderer: what the stages ask, checkpoints in parts, and the whole command at a tiny size."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from diffusion_fixtures import TINY, person, tiny_model
from safetensors.torch import load_file, save_file

from engine.cli import main
from xdancer.config import load_config
from xdancer.errors import UserError
from xdancer.renderer import Renderer
from xdancer.renderer.diffusion.autoencoder import AutoencoderShape, SmallAutoencoder
from xdancer.renderer.diffusion.noise import CLEAN
from xdancer.tokenizer import PoseTokenizer
from xdancer.training import renderer as training
from xdancer.training.renderer import objectives, parts
from xdancer.training.renderer.config import RendererConfig
from xdancer.training.renderer.darkroom import Darkroom
from xdancer.training.renderer.objectives import Batch, noise_levels
from xdancer.training.renderer.samples import rolled
from xdancer.training.renderer.scenes import Scenes, gathered
from xdancer.training.renderer.trainer import Trainer, taught

ROOT = Path(__file__).parents[4]
STAGES = [
    {"warmup": 1, "supersample": 1, **stage}
    for stage in (
        {"stage": "autoencoder", "steps": 3, "windows": 2, "learning_rate": 0.002},
        {"stage": "body", "steps": 2, "windows": 1, "learning_rate": 0.001},
        {"stage": "carry", "steps": 2, "windows": 1, "learning_rate": 0.001, "optimiser": "muon"},
        {"stage": "images", "steps": 2, "windows": 2, "learning_rate": 0.001},
        {"stage": "motion", "steps": 2, "windows": 1, "frames": 8, "learning_rate": 0.001, "echo": 2, "last": 0.5},
        {"stage": "painting", "steps": 2, "windows": 1, "frames": 2, "learning_rate": 0.001},
        {"stage": "consistency", "steps": 2, "windows": 1, "frames": 8, "learning_rate": 0.001},
    )
]


@pytest.fixture
def settings(corpus: Path, tokenizer_folder: Path, tmp_path: Path) -> dict:
    return {
        "name": "tiny", "corpus": str(corpus), "run": str(tmp_path / "run"), "tokenizer": str(tokenizer_folder),
        "stages": STAGES, "check_every": 2, "check_windows": 2, "shape": TINY, "threads": 1,
    }  # fmt: skip


def of(settings: dict, **changes) -> RendererConfig:
    return RendererConfig.model_validate({**settings, **changes})


def state(result: dict) -> bytes:
    return (Path(result["weights"]) / "model.safetensors").read_bytes()


def test_a_run_that_was_cut_off_goes_the_same_way(settings: dict, tmp_path: Path) -> None:
    """Cut off after a stage and within stages, of an echoed batch too; each piece is a process of its own as far as
    the run can tell. A checkpoint rounds what it keeps, so both write one after each step."""
    settings["save_minutes"] = 1e-9
    straight = training.train(of(settings))
    assert straight["finished"] and straight["steps"] == straight["of"] == 15
    moved = of(settings, run=str(tmp_path / "here"))
    for stop in (3, 6, 10, 12):
        assert not training.train(moved, stop_at=stop)["finished"]
        shutil.move(moved.run, tmp_path / f"there{stop}")  # to another machine
        moved = of(settings, run=str(tmp_path / f"there{stop}"))
    resumed = training.train(moved)
    assert resumed["finished"] and state(resumed) == state(straight)
    assert training.train(moved)["steps"] == 15  # there is nothing left to do
    rows = [json.loads(line) for line in (Path(moved.run) / "log.jsonl").read_text().splitlines()]
    assert {row["stage"] for row in rows} == {s["stage"] for s in STAGES}
    assert all(np.isfinite(row["held_out"]) for row in rows)
    assert len(list((Path(moved.run) / "samples").glob("*.png"))) == 8
    made = Renderer.from_pretrained(resumed["weights"], reference=person(), tokenizer=settings["tokenizer"])
    assert made.reads_tokens and made.stream().step(np.zeros((4, 5, 6), np.int16)).shape == (4, 64, 40, 3)


def test_a_checkpoint_keeps_weights_average_and_moments(settings: dict, tokenizer: PoseTokenizer) -> None:
    config = of(settings, stages=[{**STAGES[2], "steps": 4}])

    def trainer() -> Trainer:
        torch.manual_seed(0)
        return Trainer(config, Path(config.corpus), training.make(config), tokenizer)

    first = trainer()
    average = first.average.state_dict()
    untaught = {key: value.clone() for key, value in average.items()}
    assert not first.train(stop_at=2)
    second = trainer()
    assert (second.stage, second.step) == (0, 2)
    for a, b in ((first.model, second.model), (first.average, second.average)):
        assert all(torch.equal(b.state_dict()[key], value) for key, value in a.state_dict().items())
    assert any(not torch.equal(average[key], value) for key, value in untaught.items())
    assert any(not torch.equal(average[key], value) for key, value in first.model.state_dict().items())
    moments = [each.optimiser.state_dict()["state"] for each in (first, second)]
    assert moments[0].keys() == moments[1].keys() and len(moments[0]) > 0
    assert all(torch.equal(moments[1][n][k], v) for n, entry in moments[0].items() for k, v in entry.items())
    assert any(v.abs().sum() > 0 for entry in moments[1].values() for k, v in entry.items() if k != "step")


def test_a_stage_that_is_cut_short_behind_the_checkpoint_is_over(settings: dict) -> None:
    stages = [{**STAGES[1], "steps": 3}, STAGES[2]]
    assert training.train(of(settings, stages=stages), stop_at=2)["steps"] == 2
    shorter = [{**STAGES[1], "steps": 1}, STAGES[2]]
    assert training.train(of(settings, stages=shorter))["finished"]


def test_a_run_begins_from_other_weights_as_far_as_they_go(settings: dict, tmp_path: Path) -> None:
    first = training.train(of(settings, stages=STAGES[:1]))
    folder = Path(first["weights"])
    state = load_file(folder / "model.safetensors")
    save_file({k: v for k, v in state.items() if not k.startswith("body.")}, folder / "model.safetensors")
    second = of(settings, run=str(tmp_path / "second"), begin=str(folder), stages=STAGES[1:2])
    made = load_file(Path(training.train(second)["weights"]) / "model.safetensors")
    assert made.keys() == state.keys()
    assert all(torch.equal(made[k], v) for k, v in state.items() if not k.startswith("body."))
    guided = of(settings, begin=str(folder), begin_parts=["autoencoder"], shape="live-guided", stages=STAGES[3:4])
    with pytest.raises(UserError, match="autoencoder.+has shape"):  # the fixture's is smaller than the shipped size
        training.make(guided)
    save_file({k: v for k, v in state.items() if k != "unet.conv_in.weight"}, folder / "model.safetensors")
    with pytest.raises(UserError, match="no unet.conv_in.weight"):
        training.make(second)


def test_who_begins_from_weights_that_know_no_colours_learns_them_first(settings: dict, tmp_path: Path) -> None:
    folder = Path(training.train(of(settings, stages=STAGES[:1]))["weights"])
    state = load_file(folder / "model.safetensors")
    assert state["colouring.components"].any()
    save_file({k: v for k, v in state.items() if not k.startswith("colouring.")}, folder / "model.safetensors")
    second = of(settings, run=str(tmp_path / "second"), begin=str(folder), stages=STAGES[1:2])
    made = load_file(Path(training.train(second)["weights"]) / "model.safetensors")
    assert all(torch.equal(made[k], v) for k, v in state.items() if k.startswith("colouring."))


def test_a_guided_renderer_begins_from_parts_of_one_with_a_motion_decoder(settings: dict, tmp_path: Path) -> None:
    folder = Path(training.train(of(settings, stages=STAGES[:1]))["weights"])
    state = load_file(folder / "model.safetensors")
    shape = settings["shape"] | {"motion": None, "guider": [4, 4, 8, 8]}
    begin = {"begin": str(folder), "begin_parts": ["autoencoder", "body"], "shape": shape}
    guided = of(settings, run=str(tmp_path / "guided"), stages=STAGES[3:4], **begin)
    made = load_file(Path(training.train(guided)["weights"]) / "model.safetensors")
    assert all(torch.equal(made[k], v) for k, v in state.items() if k.startswith(("autoencoder.", "body.")))
    assert any(k.startswith("guider.") for k in made) and not any(k.startswith("motion.") for k in made)
    assert made["guider.conv_out.weight"].abs().max() > 0  # it began as zeros, and has learned


def test_the_autoencoder_learns_pictures_in_both_sizes(corpus: Path, tokenizer: PoseTokenizer) -> None:
    scenes = Scenes(corpus, "train", 1, tokenizer)
    pictures, person_here = Darkroom(scenes.wardrobe, 128, 80, torch.device("cpu")).draw(gathered([scenes[0]]))
    fine, person_here = pictures.flatten(0, 1), person_here.flatten(0, 1)
    torch.manual_seed(0)
    net = SmallAutoencoder(AutoencoderShape(latent=4, encoder=(8, 8, 8), decoder=(8, 8, 8)))
    optimiser = torch.optim.Adam(net.parameters(), lr=0.01)
    losses = []
    for _ in range(100):
        loss = objectives.autoencoding(net, fine, person_here)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.75 * losses[0]
    made, flat = net.decode(net.encode(torch.nn.functional.avg_pool2d(fine, 2)), sharp=True), fine.mean((2, 3))
    assert (made - fine).square().mean() < (fine - flat[..., None, None]).square().mean()


def test_the_command_trains_from_a_packed_corpus(settings: dict, corpus: Path, tmp_path: Path, capsys) -> None:
    packed = Path(shutil.make_archive(str(tmp_path / "packed"), "zip", corpus))
    path = tmp_path / "renderer.yaml"
    path.write_text(yaml.safe_dump({**settings, "corpus": "nowhere"}))
    command = ["train", "renderer", str(path), "--corpus", str(packed), "--minutes", "0", "--json"]
    assert main(command) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["steps"] == 1 and not result["finished"]
    assert main(command) == 0
    assert json.loads(capsys.readouterr().out)["steps"] == 2
    packed.write_bytes(b"nothing")
    shutil.rmtree(settings["run"])
    assert main(command) == 2
    assert "not a packed corpus" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"stages": [{**STAGES[0], "stepps": 3}]}, "stages.0.stepps"),
        ({"stages": []}, "stages"),
        ({"stages": [{**STAGES[0], "precision": "half"}]}, "stages.0.precision"),
        ({"sead": 1}, "sead"),
    ],
)
def test_a_wrong_key_is_named(settings: dict, tmp_path: Path, change: dict, says: str) -> None:
    path = tmp_path / "renderer.yaml"
    path.write_text(yaml.safe_dump({**settings, **change}))
    with pytest.raises(UserError, match=says):
        load_config(path, RendererConfig)


def test_what_does_not_fit_is_said(settings: dict) -> None:
    with pytest.raises(UserError, match="depth"):
        training.train(of(settings, shape={**TINY, "unet": {**TINY["unet"], "depth": 2}}))
    with pytest.raises(UserError, match="no parameter begins with nothing"):
        training.train(of(settings, stages=[{**STAGES[0], "learns": ["nothing"]}]))
    training.train(of(settings), stop_at=1)
    wider = {**TINY, "unet": {**TINY["unet"], "channels": [8, 16, 24]}}
    with pytest.raises(UserError, match="another shape"):
        training.train(of(settings, shape=wider))


def test_a_renderer_that_began_as_stable_diffusion_keeps_to_its_autoencoder(
    settings: dict, made_stable: Path, tokenizer_folder: Path
) -> None:
    stages = [{**STAGES[3], "steps": 1}, {**STAGES[4], "steps": 1, "frames": 2, "learns": ["motion.", "unet."]}]
    shape = {"size": [64, 40], "motion": {**TINY["motion"], "widths": [8, 8]}}
    result = training.train(of(settings, base=str(made_stable), stages=stages, shape=shape))
    config = json.loads((Path(result["weights"]) / "config.json").read_text())
    assert config["base"] == str(made_stable)
    made = Renderer.from_pretrained(result["weights"], reference=person(), tokenizer=str(tokenizer_folder))
    assert made.model.image_encoder is not None
    assert made.stream().step(np.zeros((4, 5, 6), np.int16)).shape == (4, 64, 40, 3)


@pytest.mark.parametrize("name", ["renderer.yaml", "renderer-sd15.yaml"])
def test_the_configurations_are_valid(name: str) -> None:
    load_config(ROOT / "configs" / name, RendererConfig)


def test_the_shipped_size_fits_where_it_is_to_be_carried() -> None:
    config = load_config(ROOT / "configs" / "renderer.yaml", RendererConfig)
    with torch.device("meta"):
        model = training.make(config)
    numbers = sum(p.numel() for p in model.parameters())
    assert 2 * numbers < 30e6  # the weights, in bfloat16
    for stage in config.stages:
        learned = sum(p.numel() for name, p in model.named_parameters() if name.startswith(taught(stage)))
        # A checkpoint: weights in full, the average and two moments of what is taught in halves, a little for names.
        assert learned and 4 * numbers + (2 + 2 * 2) * learned + 2**21 < parts.MOST * parts.PART


def test_checkpoints_come_in_parts(tmp_path: Path) -> None:
    values = {"numbers": torch.randn(5000), "step": 3}
    folder = parts.save(tmp_path, values, 3, part=6000)
    sizes = [path.stat().st_size for path in sorted(folder.glob("part-*"))]
    assert len(sizes) > 3 and max(sizes) <= 6000
    again = parts.load(tmp_path)
    assert again is not None and torch.equal(again["numbers"], values["numbers"])
    newer = parts.save(tmp_path, {"step": 4}, 4)
    assert parts.load(tmp_path) == {"step": 4} and not folder.exists()
    (newer / "part-00.bin").write_bytes(b"something else")
    with pytest.raises(UserError, match="damaged checkpoint"):
        parts.load(tmp_path)


def test_a_checkpoint_that_was_not_finished_is_none(tmp_path: Path) -> None:
    assert parts.load(tmp_path) is None
    parts.save(tmp_path, {"step": 3}, 3)
    begun = parts.save(tmp_path / "elsewhere", {"step": 4}, 4)
    (begun / parts.INDEX).unlink()
    shutil.move(begun, tmp_path)
    assert parts.load(tmp_path) == {"step": 3}


def test_noise_levels_follow_the_recipe() -> None:
    levels = noise_levels(4000, 16, 1000, torch.Generator().manual_seed(0))
    assert levels.min() == CLEAN and levels.max() == 999
    even = (levels == levels[:, :1]).all(1)
    chunked = (levels.reshape(-1, 4, 4) == levels.reshape(-1, 4, 4)[..., :1]).all(-1).all(-1)
    stairs = chunked & (levels[:, 12] - levels[:, 8] == 250)
    assert even.float().mean().item() == pytest.approx(0.25, abs=0.03)
    assert stairs.float().mean().item() == pytest.approx(0.5, abs=0.03)
    live = torch.tensor([249, 499, 749, 999]).repeat_interleave(4)
    assert (levels == live).all(1).float().mean() > 0.08  # the live schedule's own
    assert ((levels[:, 0] == CLEAN) & (levels[:, 4] == 499)).any()  # and its beginning
    assert noise_levels(500, 1, 1000, torch.Generator().manual_seed(0)).min() >= 0
    blank = noise_levels(2000, 16, 1000, torch.Generator().manual_seed(0), last=0.4) == 999
    assert blank.all(1).float().mean().item() == pytest.approx(0.4, abs=0.03)


def batch_of(model, seed: int = 0) -> Batch:
    torch.manual_seed(seed)
    return Batch(
        torch.randn(2, 5, 4, 8, 5), torch.rand(2, 4, 1, 8, 5), torch.rand(2, 3, 64, 40), torch.rand(2, 60, 3),
        torch.randint(512, (2, 4, 30)), torch.rand(2, 4, 60, 3),
    )  # fmt: skip


def test_right_answers_cost_nothing_and_clean_frames_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_model()
    batch = batch_of(model)
    clean = batch.latents[:, 1:]

    def right(model, batch, noisy, timesteps):
        a, b = model.noise._shares(noisy, timesteps)
        noise = (noisy - a * clean) / b.clamp_min(1e-9)
        said = model.noise.target(clean, noise, timesteps)
        return torch.where((timesteps == CLEAN)[..., None, None, None], 1e3, said)

    monkeypatch.setattr(objectives, "answer", right)
    for seed in range(5):
        generator = torch.Generator().manual_seed(seed)
        assert objectives.denoising(model, batch, generator) < 1e-6
        assert objectives.consistency(model, model, batch, generator) < 1e-4
    monkeypatch.setattr(objectives, "answer", lambda model, batch, noisy, timesteps: torch.zeros_like(noisy))
    assert objectives.denoising(model, batch, torch.Generator().manual_seed(0)) > 0.5


def test_every_part_learns_from_the_denoising_loss() -> None:
    model = tiny_model().train()
    objectives.denoising(model, batch_of(model), torch.Generator().manual_seed(1)).backward()
    silent = [
        name for name, p in model.named_parameters()
        if not name.startswith(("autoencoder.", "body.")) and (p.grad is None or not p.grad.abs().max() > 0)
    ]  # fmt: skip
    # The ReferenceNet is read at its self-attentions' entrances: what follows the last of them is never asked.
    assert all(name.startswith("reference.up_blocks") for name in silent), silent


def test_painting_asks_for_the_pictures_of_a_show_in_one_pass() -> None:
    """They cost nothing where they are right; all others do, most where the person is."""
    model = tiny_model()
    batch = batch_of(model)
    shown = []
    for k in range(2):
        reference = batch.pictures[k : k + 1], batch.posed[k : k + 1]
        latents = model.autoencoder.encode(reference[0])
        batch.latents[k, 0] = latents[0].detach()
        shown.append(rolled(model, reference, batch.tokens[k], batch.poses[k], seed=k, levels=1, chunk=4))
    true, person_here = torch.stack(shown), torch.zeros(2, 4, 1, 64, 40)
    torch.testing.assert_close(objectives.once(model, batch), true.flatten(0, 1), atol=2e-3, rtol=0)
    assert objectives.painting(model, batch, true, person_here) < 1e-3
    person_here[..., :20] = 1
    left, right = true.clone(), true.clone()
    left[..., 5:15] += 0.5
    right[..., 25:35] += 0.5
    beside, within = (objectives.painting(model, batch, wrong, person_here).item() for wrong in (right, left))
    assert within > 2 * beside > 0.5


def test_the_autoencoders_loss_is_nothing_for_what_it_gives_back() -> None:
    net = tiny_model().autoencoder
    fine, person_here = torch.rand(2, 3, 128, 80) * 2 - 1, torch.rand(2, 1, 128, 80)
    before = objectives.autoencoding(net, fine, person_here)
    net.decode_both = lambda latents: (torch.nn.functional.avg_pool2d(fine, 2), fine)
    small = 1e-3 * net.encode(torch.nn.functional.avg_pool2d(fine, 2)).square().mean()
    torch.testing.assert_close(objectives.autoencoding(net, fine, person_here), small)
    assert before > 0.1
