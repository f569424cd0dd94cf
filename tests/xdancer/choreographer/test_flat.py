"""The paper's model: against its own one-pass form, and against transformers' GPT-2."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from models import TINY_FLAT, music, tiny_flat
from transformers import GPT2Config, GPT2Model, LogitsProcessor

from engine.bench.flat import as_prompt, as_transformers, likeliest
from xdancer.choreographer import inputs
from xdancer.choreographer.flat import layout
from xdancer.choreographer.flat.decoder import Decoder
from xdancer.choreographer.flat.network import FlatNetwork, Shape
from xdancer.errors import UserError
from xdancer.pose.layout import CODEBOOK_SIZE, TOKENS_PER_FRAME
from xdancer.training.dances import Dance, Song
from xdancer.training.flat import Segments

N = inputs.n_outside(7)


@pytest.fixture(scope="module")
def flat(tmp_path_factory, tokenizer):
    return tiny_flat(tmp_path_factory.mktemp("flat"), tokenizer)


def danced(stream, frames, cuts=()):
    edges = [0, *sorted(cuts), len(frames)]
    return np.concatenate([stream.step(frames[a:b]).tokens for a, b in zip(edges, edges[1:], strict=False)])


def random_segment(rng, frames):
    """Arguments of `Decoder.begin`, `frames` of them known."""
    return (
        rng.random((layout.MUSIC, N), np.float32), rng.integers(0, 512, (layout.CONTEXT, 30)),
        rng.random((frames, N), np.float32), rng.integers(0, 512, (frames, 30)),
    )  # fmt: skip


def test_the_segments_of_the_paper():
    assert layout.LENGTH == 2224
    assert [layout.segment(row) for row in (0, 63, 64, 115, 116)] == [0, 0, 52, 52, 104]
    assert layout.context_rows(52).tolist() == [3, 9, 16, 22, 29, 35, 42, 48]
    assert layout.music_rows(512)[[0, -1]].tolist() == [7, 511]
    assert layout.names(np.array([[5] * 30]))[0, [0, 1, 29]].tolist() == [5, 517, 14853]


@settings(max_examples=4, deadline=None)
@given(st.lists(st.integers(0, 70), max_size=5), st.sampled_from([0, 3]))
def test_any_chunking_gives_the_same_dance(flat, cuts, lead):
    frames = music(70)
    whole = danced(flat.stream(seed=2, lead=lead), frames)
    assert whole.shape == (70 + lead, 5, 6) and whole.dtype == np.int16
    np.testing.assert_array_equal(danced(flat.stream(seed=2, lead=lead), frames, cuts), whole)


@pytest.mark.parametrize("lead", [0, 5])
def test_streaming_is_the_one_pass_form_of_training(flat, monkeypatch, lead):
    """Over three segments: what the training reads of a dance is what the stream was told, and the logits are its."""
    frames = music(150 - lead, tempo=117.3)
    seen, stream = [], flat.stream(seed=3, lead=lead)
    picker = stream._picker

    def spying_picker():
        pick = picker()
        return lambda slot, logits: seen.append(logits) or pick(slot, logits)

    monkeypatch.setattr(stream, "_picker", spying_picker)
    rows = danced(stream, frames).reshape(-1, 30)
    seen = np.array(seen).reshape(len(rows), 30, -1)

    clock = np.array([(f.beat.tempo, f.beat.beat_phase, f.beat.bar_phase, f.beat.confidence) for f in frames], "f")
    song = Song(inputs.listened(np.array([f.features for f in frames])), clock, clock)
    still = np.zeros(len(rows), np.float32)
    dance = Dance(rows, rows, still > 0, still, still, np.full(len(rows), -1, np.int8), song)
    segments = Segments([dance], list(flat.styles), np.linspace(0, 1, 33))
    for first in (0, 52, 104):
        known = rows[first : first + 64]
        if len(known) < 64:
            break
        asked = np.zeros((64, 2 + len(flat.styles)), np.float32)
        heard, context, told, shown, _ = segments.at(np.random.default_rng(0), dance, first, lead, "heard", asked)
        if first == 0:  # the dance before the first frame is the start pose
            context[:] = layout.names(flat.start.reshape(30))
        with torch.no_grad():
            parts = (torch.from_numpy(part)[None] for part in (heard, context, told, shown))
            logits = flat.runtime.network.segment(*parts)[0].numpy()
        new = 0 if first == 0 else layout.OVERLAP
        np.testing.assert_allclose(seen[first + new : first + 64], logits[new:], atol=1e-4)


def test_a_dance_is_taken_up_where_it_was_left(flat):
    frames = music(90)
    whole = danced(flat.stream(seed=4, lead=2), frames)
    stream = flat.stream(seed=4, lead=2)
    stream.recall(frames[:70], whole[:72], 0)
    block = stream.step(frames[70:])
    assert block.first == 72
    np.testing.assert_array_equal(block.tokens, whole[72:])


def test_of_a_dance_half_forgotten_the_rest_goes_on(flat):
    frames = music(300)
    whole = danced(flat.stream(seed=4), frames)
    stream = flat.stream(seed=4)
    stream.recall(frames[160:290], whole[170:290], 170)
    block = stream.step(frames[290:])
    assert block.first == 290 and block.tokens.shape == (10, 5, 6)


def test_energy_style_seed_and_music_each_matter(flat):
    frames = music(6)
    plain = danced(flat.stream(seed=1), frames)
    for stream, heard in (
        (steered(flat.stream(seed=1), energy=1.0), frames),
        (steered(flat.stream(seed=1), style="salsa"), frames),
        (flat.stream(seed=2), frames),
        (flat.stream(seed=1), music(6, seed=5)),
    ):
        assert (danced(stream, heard) != plain).any()


def steered(stream, **wishes):
    for name, value in wishes.items():
        setattr(stream, name, value)
    return stream


class InTurn(LogitsProcessor):
    """Keeps `generate` to the tokens of the slot whose turn it is."""

    def __init__(self, asked):
        self.asked = asked

    def __call__(self, ids, scores):
        slot = (ids.shape[1] - self.asked) % TOKENS_PER_FRAME
        own = slice(slot * CODEBOOK_SIZE, (slot + 1) * CODEBOOK_SIZE)
        out = torch.full_like(scores, -torch.inf)
        out[:, own] = scores[:, own]
        return out


def test_greedy_tokens_are_those_of_transformers():
    torch.manual_seed(0)
    network = FlatNetwork(Shape(inputs=N, **TINY_FLAT))
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    torch.nn.init.zeros_(network.told.weight)  # no music
    torch.nn.init.zeros_(network.heard.weight)
    peer = as_transformers(network)
    heard, context, told, rows = random_segment(np.random.default_rng(0), 2)
    decoder = Decoder(network)
    segment = decoder.begin(heard, context, told, rows)
    ours = np.concatenate([decoder.frame(segment, told[0], likeliest) for _ in range(3)])

    prompt = as_prompt(network, (heard, context, told, rows))
    with torch.inference_mode():
        theirs = peer.generate(
            inputs_embeds=prompt, attention_mask=torch.ones(prompt.shape[:2]), max_new_tokens=90, do_sample=False,
            logits_processor=[InTurn(0)],
        )  # fmt: skip
    np.testing.assert_array_equal(layout.names(ours.reshape(-1, 30)).reshape(-1), theirs[0].numpy())


def test_gpt2_weights_are_taken_over(tmp_path):
    config = GPT2Config(vocab_size=50, n_positions=64, n_embd=16, n_layer=2, n_head=2)
    peer = GPT2Model(config).eval()
    peer.save_pretrained(tmp_path)
    network = FlatNetwork(Shape(inputs=N, **TINY_FLAT))
    network.start_from_gpt2(str(tmp_path))
    x = torch.randn(1, 9, 16)
    with torch.no_grad():
        theirs = peer(inputs_embeds=x - peer.wpe.weight[:9]).last_hidden_state
        torch.testing.assert_close(network(x), theirs, atol=1e-4, rtol=0)
    torch.testing.assert_close(network.wpe.weight[[0, -1]], peer.wpe.weight[[0, -1]])
    for wrong, reason in (({"layers": 1}, "more than 1 layers"), ({"layers": 3}, "shape"), ({"width": 32}, "shape")):
        with pytest.raises(UserError, match=reason):
            FlatNetwork(Shape(inputs=N, **(TINY_FLAT | wrong))).start_from_gpt2(str(tmp_path))
    with pytest.raises(UserError, match="no GPT-2 weights"):
        network.start_from_gpt2(str(tmp_path / "nowhere"))


def test_a_step_of_fixed_shape_is_the_same_step(flat):
    """What a CUDA graph records."""
    rng, decoder = np.random.default_rng(1), flat.runtime
    segment = decoder.begin(*random_segment(rng, 3))
    x = torch.randn(1, 1, TINY_FLAT["width"])
    with torch.inference_mode():
        copied = [tuple(buffer.clone() for buffer in layer) for layer in segment.past]
        plain = decoder.network(x, segment.past, segment.position)
        fixed = decoder.network(x, copied, torch.tensor([segment.position]))
    torch.testing.assert_close(fixed, plain, atol=1e-5, rtol=0)


@pytest.mark.parametrize(("precision", "agree"), [("bf16", 0.85), ("int8", 0.85)])
def test_small_numbers_choose_mostly_the_same_tokens(flat, precision, agree):
    rng = np.random.default_rng(2)
    arguments = random_segment(rng, 2)
    dances = []
    for decoder in (flat.runtime, Decoder(flat.runtime.network, precision)):
        segment = decoder.begin(*arguments)
        dances.append(forced(decoder, segment, rng=np.random.default_rng(0)))
    assert (dances[0] == dances[1]).mean() >= agree


def forced(decoder, segment, rng):
    """The likeliest tokens of two frames, each after the same past, whatever was likeliest before."""
    best = []

    def pick(slot, logits):
        best.append(logits.argmax())
        return int(rng.integers(512))

    for _ in range(2):
        decoder.frame(segment, np.zeros(N, np.float32), pick)
    return np.array(best)


def test_int8_is_for_the_cpu(flat):
    with pytest.raises(UserError, match="int8 runs on the CPU"):
        Decoder(flat.runtime.network, "int8", "cuda")
