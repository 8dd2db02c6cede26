"""Instance norm: torch's result, and the gradient of the formula in every layout of memory."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from atelier.nn.instancenorm import InstanceNorm

LAYOUTS = (torch.contiguous_format, torch.channels_last)


def drawn(batch: int, seed: int = 0) -> Tensor:
    return torch.randn(batch, 4, 8, 7, generator=torch.Generator().manual_seed(seed))


def formula(value: Tensor, scale: Tensor | float, shift: Tensor | float) -> Tensor:
    variance, mean = torch.var_mean(value, (2, 3), correction=0, keepdim=True)
    return (value - mean) / (variance + 1e-5).sqrt() * scale + shift


@pytest.mark.parametrize("arriving", LAYOUTS)
@pytest.mark.parametrize("given", LAYOUTS)
@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("affine", [True, False])
def test_value_and_gradient_are_those_of_the_formula(
    affine: bool, batch: int, given: torch.memory_format, arriving: torch.memory_format
) -> None:
    """One picture whose gradient arrives channels last is what torch 2.15 gets wrong."""
    norm = InstanceNorm(4, affine=affine)
    value, slope = drawn(batch), drawn(batch, 1)
    own = value.clone(memory_format=given).requires_grad_()
    wanted = value.clone().requires_grad_()
    weights = list(norm.parameters())
    terms = [weight.view(1, 4, 1, 1) for weight in weights] or [1.0, 0.0]
    made, expected = norm(own), formula(wanted, *terms)
    torch.testing.assert_close(made, expected)
    found = torch.autograd.grad(made, [own, *weights], slope.clone(memory_format=arriving))
    true = torch.autograd.grad(expected, [wanted, *weights], slope)
    for one, other in zip(found, true, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("given", LAYOUTS)
def test_statistics_of_bfloat16_are_float32(given: torch.memory_format) -> None:
    """Rounded to bfloat16, a mean of 30 deviations is wrong by a tenth of one."""
    value = (drawn(2) + 30 * drawn(2, 1)[..., :1, :1]).bfloat16().contiguous(memory_format=given)
    found, wanted = InstanceNorm(4)(value), formula(value.double(), 1.0, 0.0)
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.double(), wanted, rtol=2**-8, atol=1e-3)


def test_it_is_torchs_in_all_else() -> None:
    norm = InstanceNorm(4, eps=1e-3)
    assert isinstance(norm, nn.InstanceNorm2d)
    assert not norm.state_dict()
    torch.testing.assert_close(norm(drawn(2)), F.instance_norm(drawn(2), eps=1e-3))
    with torch.autocast("cpu", torch.bfloat16):
        assert norm(drawn(1).bfloat16()).dtype == torch.bfloat16
