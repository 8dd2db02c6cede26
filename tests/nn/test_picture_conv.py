"""Convolution to pictures: that of torch, for every size, and in every order of derivatives."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from atelier.nn import picture_conv
from atelier.nn.picture_conv import PictureConv, conv_by_squares
from atelier.nn.resnet import ResNetGenerator


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def equal(found: Sequence[Tensor], wanted: Sequence[Tensor]) -> None:
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-12)


def derived(layer: nn.Conv2d, value: Tensor) -> list[Tensor]:
    """Return output, gradients, and the gradients of a gradient's square."""
    value = value.clone().requires_grad_()
    leaves = [value, *layer.parameters()]
    made = layer(value)
    first = torch.autograd.grad(made.square().sum(), leaves, create_graph=True)
    second = torch.autograd.grad(first[0].square().sum(), leaves)
    return [made, *first, *second]


@pytest.mark.parametrize(("side", "padding", "mode"), [
    (7, 0, "zeros"), (7, 3, "reflect"), (9, 4, "zeros"), (9, 4, "reflect"), (8, 2, "replicate"),
])  # fmt: skip
@pytest.mark.parametrize("size", [(12, 16), (13, 16), (12, 15), (11, 11)])
def test_it_is_torchs_convolution_with_all_derivatives(
    size: tuple[int, int], side: int, padding: int, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"padding": padding, "padding_mode": mode, "dtype": torch.float64}
    own, plain = PictureConv(5, 3, side, **options), nn.Conv2d(5, 3, side, **options)
    plain.load_state_dict(own.state_dict())
    calls = []
    monkeypatch.setattr(
        picture_conv, "conv_by_squares", lambda *a: calls.append(a) or conv_by_squares(*a)
    )
    value = drawn(2, 5, *size)
    equal(derived(own, value), derived(plain, value))
    assert len(calls) == 1


@pytest.mark.parametrize("size", [(1, 1), (1, 4), (3, 2)])
def test_small_filters_and_results_and_no_bias(size: tuple[int, int]) -> None:
    value, weight = drawn(1, 2, size[0] + 2, size[1] + 2), drawn(4, 2, 3, 3, seed=1)
    equal([conv_by_squares(value, weight, None)], [F.conv2d(value, weight)])


@pytest.mark.parametrize("options", [
    {"out_channels": 8}, {"kernel_size": 3}, {"stride": 2}, {"dilation": 2}, {"padding": "same"},
])  # fmt: skip
def test_other_convolutions_are_left_to_torch(options: dict[str, object]) -> None:
    layer = PictureConv(**{"in_channels": 4, "out_channels": 3, "kernel_size": 7, **options})
    value = drawn(1, 4, 16, 16).float()
    wanted = layer._conv_forward(value, layer.weight, layer.bias)
    assert torch.equal(layer(value), wanted)


def test_autocast_lowers_it_as_torchs() -> None:
    layer, value = PictureConv(8, 3, 7), drawn(1, 8, 20, 20).float()
    with torch.autocast("cpu", torch.bfloat16):
        found, plain = layer(value), F.conv2d(value, layer.weight, layer.bias)
    assert found.dtype == plain.dtype == torch.bfloat16
    exact = layer(value)  # bfloat16 has 8 bits
    assert (found - exact).abs().max() < 2**-7 * exact.abs().max()


def test_a_generator_is_exported_and_stored_as_before() -> None:
    """Weights trained before load, and ONNX is made of the recorded graph."""
    own, plain = ResNetGenerator(4, 1), ResNetGenerator(4, 1)
    assert isinstance(own.layers[-1], PictureConv)
    plain.layers[-1] = nn.Conv2d(4, 3, 7)
    plain.load_state_dict(own.state_dict())

    def operations(network: nn.Module) -> list[str]:
        program = torch.export.export(network.eval(), (torch.zeros(1, 3, 32, 32),))
        return [str(node.target) for node in program.graph.nodes]

    assert operations(own) == operations(plain)
