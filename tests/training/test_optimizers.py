"""Muon turns gradients into orthogonal steps; which parameters it takes."""

import pytest
import torch
from torch import nn

from models import tiny_network
from stacksam.training.optimizers import Muon, make_optimizers, orthogonalised


@pytest.mark.parametrize("shape", [(16, 16), (8, 40), (40, 8)])
def test_singular_values_become_about_one(shape):
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    values = torch.linalg.svdvals(orthogonalised(matrix))
    assert values.max() < 1.3
    assert values.median() > 0.6


def test_directions_stay():
    matrix = torch.diag(torch.tensor([4.0, 1.0, -0.5]))
    found = orthogonalised(matrix)
    assert (found.diagonal().sign() == matrix.diagonal().sign()).all()
    assert (found - torch.diag(found.diagonal())).abs().max() < 0.02


def test_a_step_goes_down_and_is_as_large_as_the_rate_says():
    weight = nn.Parameter(torch.ones(4, 3, 2, 2))
    optimizer = Muon([weight], lr=0.1)
    gradient = torch.randn(weight.shape, generator=torch.Generator().manual_seed(1))
    weight.grad = gradient.clone()
    before = weight.detach().clone()
    optimizer.step()
    change = weight.detach() - before
    assert (change * gradient).sum() < 0
    assert float(change.square().mean().sqrt()) == pytest.approx(0.1 * 0.2, rel=0.3)


def test_parameters_without_gradient_stay():
    weight = nn.Parameter(torch.ones(4, 4))
    Muon([weight], lr=0.1, weight_decay=0.5).step()
    assert torch.equal(weight.detach(), torch.ones(4, 4))


def test_every_parameter_has_one_optimizer():
    model = tiny_network()
    for name, count in (("muon", 2), ("adamw", 1)):
        made = make_optimizers(model, name, lr=1e-3, weight_decay=0.1)
        assert len(made) == count
        held = [id(p) for o in made for g in o.param_groups for p in g["params"]]
        assert sorted(held) == sorted(id(p) for p in model.parameters())


def test_depthwise_kernels_and_tokens_are_left_to_adamw():
    model = tiny_network()
    rest, muon = make_optimizers(model, "muon", lr=1e-3, weight_decay=0.1)
    held = {id(p) for g in muon.param_groups for p in g["params"]}
    assert held
    decoder = model.mask_decoder
    assert id(decoder.mask_tokens.weight) not in held
    depthwise = [m for m in model.modules() if isinstance(m, nn.Conv2d) and m.groups > 1]
    assert depthwise
    assert not held & {id(m.weight) for m in depthwise if m.groups == m.in_channels}
    kept = rest.param_groups[1]
    assert kept["weight_decay"] == 0
    assert all(p.ndim < 2 for p in kept["params"])


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match="optimizer 'sgd' is unknown"):
        make_optimizers(tiny_network(), "sgd", lr=1e-3, weight_decay=0.0)
