"""The optimiser, beside torch's own for what those can do."""

import copy

import pytest
import torch
from torch import nn

from xdancer.training.muon import Muon, orthogonal


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 16), nn.SiLU(), nn.Linear(16, 24), nn.SiLU(), nn.Linear(24, 2))


def trained(net: nn.Module, optimisers: list[torch.optim.Optimizer], steps: int = 8) -> nn.Module:
    generator = torch.Generator().manual_seed(1)
    for _ in range(steps):
        x = torch.randn(32, 6, generator=generator)
        for optimiser in optimisers:
            optimiser.zero_grad()
        (net(x) - x[:, :2] * x[:, 2:4]).square().mean().backward()
        for optimiser in optimisers:
            optimiser.step()
    return net


def parted(net: nn.Module) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    parameters = list(net.parameters())
    return [p for p in parameters if p.ndim == 2], [p for p in parameters if p.ndim != 2]


@pytest.mark.parametrize("shape", [(5, 5), (4, 40), (40, 4)])
def test_a_matrix_becomes_nearly_orthogonal_and_keeps_its_directions(shape: tuple[int, int]) -> None:
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(2))
    made = orthogonal(matrix)
    values = torch.linalg.svdvals(made)
    assert values.min() > 0.6 and values.max() < 1.3
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    turned = left.T @ made @ right.T  # diagonal where the singular vectors are the same
    assert (turned - torch.diag(turned.diagonal())).abs().max() < 1e-3
    assert torch.allclose(orthogonal(7 * matrix), made, atol=1e-4)


def test_matrices_move_as_by_torchs_muon_in_single_precision(monkeypatch) -> None:
    monkeypatch.setattr(torch.Tensor, "bfloat16", torch.Tensor.clone)
    ours, theirs = network(), network()
    trained(ours, [Muon(*parted(ours), lr=0.01, weight_decay=0.1)])
    hidden, others = parted(theirs)
    trained(theirs, [
        torch.optim.Muon(hidden, lr=0.01, weight_decay=0.1, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(others, lr=0.01, betas=(0.9, 0.99), weight_decay=0.1),
    ])  # fmt: skip
    assert all(torch.allclose(a, b, atol=1e-4) for a, b in zip(ours.parameters(), theirs.parameters(), strict=True))


def test_the_others_move_as_by_adamw() -> None:
    ours, theirs = network(), network()
    trained(ours, [Muon([], ours.parameters(), lr=0.01, betas=(0.9, 0.98), weight_decay=0.1)])
    trained(theirs, [torch.optim.AdamW(theirs.parameters(), lr=0.01, betas=(0.9, 0.98), weight_decay=0.1)])
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(ours.parameters(), theirs.parameters(), strict=True))


def test_a_convolution_moves_as_the_matrix_it_is() -> None:
    torch.manual_seed(0)
    flat = nn.Linear(12, 5, bias=False)
    whole = nn.Conv2d(3, 5, 2, bias=False)
    whole.weight.data = flat.weight.detach().view(5, 3, 2, 2).clone()
    x = torch.randn(4, 3, 2, 2)
    for net, seen in ((flat, x.flatten(1)), (whole, x)):
        optimiser = Muon([net.weight], [])
        net(seen).square().sum().backward()
        optimiser.step()
    assert torch.allclose(whole.weight.flatten(1), flat.weight, atol=1e-6)


def test_who_goes_on_from_a_saved_state_goes_the_same_way() -> None:
    net = network()
    optimiser = Muon(*parted(net))
    trained(net, [optimiser])
    later = copy.deepcopy(net)
    taken_up = Muon(*parted(later))
    taken_up.load_state_dict(copy.deepcopy(optimiser.state_dict()))
    trained(net, [optimiser])
    trained(later, [taken_up])
    assert all(torch.equal(a, b) for a, b in zip(net.parameters(), later.parameters(), strict=True))


def test_a_bias_is_no_matrix() -> None:
    with pytest.raises(ValueError, match="one dimension"):
        Muon([nn.Parameter(torch.zeros(3))], [])
