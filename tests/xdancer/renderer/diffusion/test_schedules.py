"""In which order frames lose their noise, with a network that only keeps a record."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from xdancer.renderer.diffusion.noise import CLEAN, NoiseSchedule
from xdancer.renderer.diffusion.schedules import Rolling, offline, windows


class Recorder:
    """Stands in for the network: writes down which frame it saw at which level, and mixes the frames of a window."""

    def __init__(self) -> None:
        self.seen: list[list[tuple[int, int]]] = []

    def __call__(self, latents, timesteps, conditions):
        self.seen.append(list(zip(conditions, timesteps.tolist(), strict=True)))
        return 0.1 * latents + 0.01 * latents.mean(0, keepdim=True) + 0.001 * timesteps[:, None, None, None]


def noise(first: int, count: int) -> torch.Tensor:
    frames = range(first, first + count)
    return torch.stack([torch.randn(1, 2, 2, generator=torch.Generator().manual_seed(n)) for n in frames])


@given(frames=st.integers(0, 200), size=st.integers(2, 20), data=st.data())
def test_windows_cover_every_frame_overlap_and_never_wrap(frames: int, size: int, data: st.DataObject) -> None:
    overlap = data.draw(st.integers(0, size - 1))
    spans = windows(frames, size, overlap)
    assert sorted({n for span in spans for n in span}) == list(range(frames))
    for before, after in zip(spans, spans[1:], strict=False):
        assert before.start < after.start and before.stop - after.start >= overlap
    assert all(len(span) == min(size, frames) and span.step == 1 for span in spans)


def test_windows_by_hand() -> None:
    assert windows(64, 16, 4) == [range(0, 16), range(12, 28), range(24, 40), range(36, 52), range(48, 64)]
    assert windows(30, 16, 4) == [range(0, 16), range(12, 28), range(14, 30)]
    with pytest.raises(ValueError, match="overlap by 16"):
        windows(64, 16, 16)


def test_predictions_are_averaged_where_windows_overlap_at_every_step() -> None:
    schedule = NoiseSchedule()

    def denoise(latents, timesteps, conditions):
        return torch.full_like(latents, float(conditions[0]))  # what a window says: the number of its first frame

    start = noise(0, 8)
    made = offline(denoise, schedule, start, list(range(8)), steps=2, size=6, overlap=4)
    said = torch.tensor([0, 0, 1, 1, 1, 1, 2, 2.0])[:, None, None, None]  # windows 0..5 and 2..7
    levels = [torch.full((8,), t) for t in schedule.levels(2)]
    want = schedule.step(start, said.expand_as(start), levels[0], levels[1])
    want = schedule.step(want, said.expand_as(start), levels[1], levels[2])
    torch.testing.assert_close(made, want)


@pytest.mark.parametrize("frames", [3, 16, 41])
def test_offline_takes_every_frame_through_every_level(frames: int) -> None:
    network, schedule = Recorder(), NoiseSchedule()
    made = offline(network, schedule, noise(0, frames), list(range(frames)), steps=5)
    assert made.shape == (frames, 1, 2, 2)
    seen = {pair for window in network.seen for pair in window}
    assert seen == {(n, t) for n in range(frames) for t in schedule.levels(5)[:-1]}


@given(chunks=st.integers(1, 12), levels=st.sampled_from([1, 2, 4, 8]))
def test_rolling_takes_every_frame_through_every_level_exactly_once(chunks: int, levels: int) -> None:
    network, schedule = Recorder(), NoiseSchedule()
    rolling = Rolling(network, schedule, size=16, levels=levels)
    out = []
    for k in range(chunks):
        first = k * rolling.chunk
        out.append(rolling.push(noise(first, rolling.chunk), list(range(first, first + rolling.chunk))))
    out += rolling.finish()
    assert sum(map(len, out)) == chunks * rolling.chunk
    worked = [pair for window in network.seen for pair in window if pair[1] != CLEAN]
    assert len(worked) == len(set(worked))
    assert set(worked) == {(n, t) for n in range(chunks * rolling.chunk) for t in schedule.levels(levels)[:-1]}
    for window in network.seen:
        assert len(window) <= 16 and [n for n, _ in window] == list(range(window[0][0], window[0][0] + len(window)))
        assert [t for _, t in window] == sorted(t for _, t in window)  # the older, the cleaner


def test_rolling_gives_the_first_chunk_at_once_and_then_one_a_pass() -> None:
    network = Recorder()
    rolling = Rolling(network, NoiseSchedule())
    counts, passes = [], []
    for k in range(9):
        counts.append(len(rolling.push(noise(4 * k, 4), list(range(4 * k, 4 * k + 4)))))
        passes.append(len(network.seen))
    assert counts == [4, 0, 0, 0, 4, 4, 4, 4, 4]
    assert passes == [4, 5, 6, 7, 8, 9, 10, 11, 12]
    assert network.seen[-1] == [(n, (249, 499, 749, 999)[(n - 20) // 4]) for n in range(20, 36)]
    assert network.seen[5] == [*((n, CLEAN) for n in range(4)), *((n, (749, 999)[n // 8]) for n in range(4, 12))]


def test_a_frame_out_of_the_window_is_what_its_own_steps_make_of_it() -> None:
    schedule = NoiseSchedule()

    def denoise(latents, timesteps, conditions):
        return torch.sin(latents) * timesteps[:, None, None, None] / 1000  # looks at the frame alone

    rolling = Rolling(denoise, schedule)
    made = [rolling.push(noise(4 * k, 4), [None] * 4) for k in range(6)]
    made = torch.cat([*made, *rolling.finish()])
    want = noise(0, 24)
    levels = schedule.levels(4)
    for here, there in zip(levels, levels[1:], strict=False):
        at, to = torch.full((24,), here), torch.full((24,), there)
        want = schedule.step(want, denoise(want, at, None), at, to)
    torch.testing.assert_close(made, want)


@pytest.mark.parametrize(("levels", "alike"), [(1, True), (2, False)])
def test_in_one_pass_the_noise_says_nothing_and_in_more_it_does(levels: int, alike: bool) -> None:
    def made(seed: int) -> torch.Tensor:
        rolling = Rolling(Recorder(), NoiseSchedule(), levels=levels)
        return rolling.push(noise(seed, rolling.chunk), [*range(rolling.chunk)])

    assert torch.equal(made(0), made(100)) == alike


def test_state_is_apart_from_the_network() -> None:
    network, schedule = Recorder(), NoiseSchedule()
    one, two = Rolling(network, schedule), Rolling(network, schedule)
    first, second = [], []
    for k in range(6):
        frames = list(range(4 * k, 4 * k + 4))
        first.append(one.push(noise(4 * k, 4), frames))
        second.append(two.push(noise(4 * k, 4), frames))  # between the passes of the other
    torch.testing.assert_close(torch.cat(first), torch.cat(second))


def test_chunks_of_another_size_are_refused() -> None:
    rolling = Rolling(Recorder(), NoiseSchedule())
    with pytest.raises(ValueError, match="chunks have 4 frames, not 3"):
        rolling.push(noise(0, 3), [0, 1, 2])
    with pytest.raises(ValueError, match="3 equal chunks"):
        Rolling(Recorder(), NoiseSchedule(), levels=3)
