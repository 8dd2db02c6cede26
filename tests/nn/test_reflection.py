"""Reflection padding: torch's values, and its gradients in every layout of memory."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from atelier.nn.reflection import Reflection, ReflectionConv, reflect

LAYOUTS = (torch.contiguous_format, torch.channels_last)
Pad = Callable[[Tensor, int], Tensor]


def torchs(value: Tensor, rim: int) -> Tensor:
    return F.pad(value, (rim, rim, rim, rim), "reflect")


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def derived(pad: Pad, value: Tensor, rim: int, arriving: torch.memory_format) -> list[Tensor]:
    """Return padded pixels, the gradient for a given slope, and the slope's own gradient."""
    value = value.clone().requires_grad_()
    made = pad(value, rim)
    slope = drawn(*made.shape, seed=1).contiguous(memory_format=arriving).requires_grad_()
    (first,) = torch.autograd.grad(made, value, slope, create_graph=True)
    (second,) = torch.autograd.grad(first.pow(3).sum(), slope)
    return [made, first, second]


@pytest.mark.parametrize("arriving", LAYOUTS)
@pytest.mark.parametrize("given", LAYOUTS)
@pytest.mark.parametrize(("rim", "size"), [(1, (2, 2)), (1, (6, 9)), (3, (4, 5)), (3, (12, 7))])
def test_values_and_derivatives_are_torchs(
    rim: int, size: tuple[int, int], given: torch.memory_format, arriving: torch.memory_format
) -> None:
    value = drawn(2, 3, *size).contiguous(memory_format=given)
    found = derived(reflect, value, rim, arriving)
    for one, other in zip(found, derived(torchs, value, rim, arriving), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-12)


def test_layers_are_torchs_with_the_same_weights() -> None:
    value = drawn(1, 4, 9, 8)
    assert torch.equal(Reflection(2)(value), nn.ReflectionPad2d(2)(value))
    for options in ({"padding_mode": "reflect"}, {"padding_mode": "reflect", "stride": 2}, {}):
        own = ReflectionConv(4, 5, 3, padding=1, dtype=torch.float64, **options)
        plain = nn.Conv2d(4, 5, 3, padding=1, dtype=torch.float64, **options)
        plain.load_state_dict(own.state_dict())
        assert torch.equal(own(value), plain(value))


@pytest.mark.parametrize("given", LAYOUTS)
def test_under_autocast_the_precision_stays(given: torch.memory_format) -> None:
    """Torch's is float32 there: as many bytes again, and two conversions."""
    value = drawn(1, 2, 6, 5).bfloat16().contiguous(memory_format=given).requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        found, wanted = reflect(value, 1), torchs(value, 1)
    assert found.dtype == torch.bfloat16
    assert torch.equal(found.float(), wanted.float())
    (gradient,) = torch.autograd.grad(found.sum(), value)
    assert gradient.dtype == torch.bfloat16
