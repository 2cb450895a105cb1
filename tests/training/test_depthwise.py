"""The quicker depthwise convolution gives the library's values and gradients."""

import pytest
import torch
from torch import nn

from stacksam.training.depthwise import quicken_depthwise


def gradients(module, x, is_low):
    x = x.clone().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16, enabled=is_low):
        y = module(x)
    (y.float() ** 2).sum().backward()
    found = [y.detach().float(), x.grad, module.weight.grad, module.bias.grad]
    module.zero_grad()
    return found


@pytest.mark.parametrize("is_low", [True, False])
def test_values_and_gradients_are_the_librarys(is_low):
    generator = torch.Generator().manual_seed(0)
    module = nn.Conv2d(6, 6, 7, padding=3, groups=6)
    x = torch.randn(2, 6, 12, 10, generator=generator)
    plain = gradients(module, x, False)
    quicken_depthwise(module)
    quick = gradients(module, x, is_low)
    for a, b in zip(plain, quick, strict=True):
        assert a.dtype == b.dtype == torch.float32
        torch.testing.assert_close(a, b, rtol=0.05, atol=(0.02 if is_low else 1e-5) * a.abs().max())


def test_other_convolutions_are_left_alone():
    dense = nn.Conv2d(4, 4, 3)
    quicken_depthwise(dense)
    assert "forward" not in vars(dense)
