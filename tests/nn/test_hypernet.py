"""The networks of MetaNet: published sizes, closed forms, filters that arrive from outside."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from atelier.core.config import UserError
from atelier.methods.trained import seeded
from atelier.nn.hypernet import (
    GeneratedConv,
    HyperNet,
    MetaNetworks,
    Middle,
    ResidualBlock,
    ResNeXtBlock,
    TransformNet,
    Up,
    cropped,
)
from support.tensors import count, uniform


def transformer(width: int, middle: Middle = "resnet", **overrides: Any) -> TransformNet:
    overrides = {"padding": "same", "branches": 32, "branch_width": 4} | overrides
    with seeded(0):
        return TransformNet(width, middle, **overrides)


def filters(sizes: Sequence[int], styles: int = 1) -> list[Tensor]:
    return [uniform(styles, size, seed=n) - 0.5 for n, size in enumerate(sizes)]


def apply(network: TransformNet, image: Tensor, numbers: Sequence[Tensor]) -> Tensor:
    with torch.no_grad():
        found: Tensor = network(image, numbers)
    return found


@pytest.mark.parametrize(
    ("width", "meta", "own"),
    [(32, 217_640_224, 15_587), (16, 57_042_448, 7_795), (8, 16_867_720, 3_899)],
)
@pytest.mark.parametrize("padding", ["same", "pad40"])
def test_the_ports_counts(width: int, meta: int, own: int, padding: str) -> None:
    with torch.device("meta"):
        network = transformer(width, padding=padding)
        hyper = HyperNet(1920, network.sizes())
    assert count(network) == own
    assert count(hyper) == meta
    assert hyper.hidden.out_features == 1792


def test_numbers_per_filter_in_the_order_they_are_taken() -> None:
    with torch.device("meta"):
        sizes = transformer(32).sizes()
    assert sizes == [18_496, 73_856, *[147_584] * 10, 73_792, 18_464]
    assert sum(sizes) == 1_660_448


@pytest.mark.parametrize(
    ("branch_width", "numbers", "meta"), [(4, 33_024, 29_549_856), (128, 1_052_800, 161_100_960)]
)
def test_a_resnext_middle_has_six_heads(branch_width: int, numbers: int, meta: int) -> None:
    inner = 32 * branch_width
    with torch.device("meta"):
        network = transformer(32, "resnext", branch_width=branch_width)
        hyper = HyperNet(1920, network.sizes())
    assert sum(network.sizes()[2:4]) == numbers
    assert len(hyper.heads) == 6
    assert hyper.hidden.out_features == 768
    assert count(hyper) == meta
    assert count(network) == 15_587 + inner * branch_width * 9


def test_the_papers_sizes() -> None:
    """MODELS §6.2, base 8."""
    network, seen = transformer(8, padding="pad40"), []

    def note(module: nn.Module, args: Any, found: Tensor) -> None:
        seen.append(tuple(found.shape[1:]))

    for layer in [network.first, *network.down, *network.middle, *network.up, network.last]:
        layer.register_forward_hook(note)
    apply(network, uniform(1, 3, 256, 256), filters(network.sizes()))
    assert seen == [
        (8, 336, 336),
        (16, 168, 168),
        *((32, side, side) for side in (84, 80, 76, 72, 68, 64)),
        (16, 128, 128),
        (8, 256, 256),
        (3, 256, 256),
    ]


@pytest.mark.parametrize("middle", ["resnet", "resnext"])
@pytest.mark.parametrize("padding", ["same", "pad40"])
@pytest.mark.parametrize("size", [(48, 64), (64, 44)])
def test_every_layout_keeps_the_size(middle: Middle, padding: str, size: tuple[int, int]) -> None:
    network = transformer(4, middle, padding=padding, branches=4, branch_width=2)
    found = apply(network, uniform(2, 3, *size), filters(network.sizes()))
    assert found.shape == (2, 3, *size)


def test_a_picture_too_small_to_be_mirrored_is_refused() -> None:
    network = transformer(4, padding="pad40")
    with pytest.raises(UserError, match="48×40 px are too small to be padded by 40"):
        network(uniform(1, 3, 40, 48), filters(network.sizes()))


@pytest.mark.parametrize("up", [None, "nearest", "deconv"])
def test_a_generated_convolution_is_the_ordinary_one_with_these_weights(up: Up | None) -> None:
    layer = GeneratedConv(3, 5, 3, rim=1, up=up)
    plain: nn.Conv2d | nn.ConvTranspose2d = nn.Conv2d(3, 5, 3, padding=1, padding_mode="reflect")
    if up == "deconv":
        plain = nn.ConvTranspose2d(3, 5, 3, 2, padding=1, output_padding=1)
    numbers = torch.cat([plain.weight.detach().flatten(), plain.bias.detach()])[None]
    value = uniform(2, 3, 8, 12)
    wanted = plain(F.interpolate(value, scale_factor=2) if up == "nearest" else value)
    assert layer.size == numbers.shape[1] == 3 * 5 * 9 + 5
    torch.testing.assert_close(layer(value, numbers), wanted)


def test_filters_per_picture_equal_one_at_a_time() -> None:
    for middle in ("resnet", "resnext"):
        network = transformer(4, middle)
        numbers, image = filters(network.sizes(), styles=3), uniform(3, 3, 32, 40)
        together = apply(network, image, numbers)
        for n in range(3):
            alone = apply(network, image[n : n + 1], [part[n : n + 1] for part in numbers])
            torch.testing.assert_close(together[n : n + 1], alone)
        assert not torch.allclose(together, apply(network, image, [part[:1] for part in numbers]))


def test_as_many_filters_as_pictures_or_one() -> None:
    network = transformer(4)
    with pytest.raises(ValueError, match="zip"):
        network(uniform(3, 3, 32, 32), filters(network.sizes(), styles=2))


def test_a_residual_block_by_hand() -> None:
    value = uniform(1, 4, 9, 10)
    for rim in (0, 1):
        block = ResidualBlock(4, rim)
        one, two = (nn.Conv2d(4, 4, 3, padding=rim, padding_mode="reflect") for _ in range(2))
        norm = nn.InstanceNorm2d(4)
        body = nn.Sequential(one, norm, nn.ReLU(), two, norm)
        numbers = iter([torch.cat([c.weight.flatten(), c.bias])[None] for c in (one, two)])
        wanted = (value if rim else value[..., 2:-2, 2:-2]) + body(value)
        torch.testing.assert_close(block(value, numbers), wanted)


def test_the_branches_of_a_resnext_block_are_separate_convolutions() -> None:
    """A grouped convolution is 32 branches; written out one by one, they give the same."""
    block, value, norm = ResNeXtBlock(6, 1, 3, 2), uniform(1, 6, 8, 9), nn.InstanceNorm2d(6)
    numbers = filters([block.reduce.size, block.expand.size])
    inner = norm(block.reduce(value, numbers[0])).relu()
    kernels = block.branches.weight.split(2)
    rim = F.pad(inner, (1, 1, 1, 1), "reflect")
    branches = [F.conv2d(part, k) for part, k in zip(rim.split(2, 1), kernels, strict=True)]
    wanted = value + norm(block.expand(norm(torch.cat(branches, 1)).relu(), numbers[1]))
    torch.testing.assert_close(block(value, iter(numbers)), wanted)


def test_cropped_cuts_the_same_on_all_sides() -> None:
    value = uniform(1, 2, 7, 9)
    assert torch.equal(cropped(value, 2), value[..., 2:5, 2:7])
    assert cropped(value, 0).shape == value.shape


def test_the_hyper_network_is_one_head_per_group() -> None:
    hyper, statistics = HyperNet(10, [7, 3], hidden=4), uniform(2, 10)
    first, second = hyper(statistics)
    hidden = (statistics @ hyper.hidden.weight.T + hyper.hidden.bias).clamp_min(0)
    for found, head, group in zip((first, second), hyper.heads, hidden.split(4, 1), strict=True):
        torch.testing.assert_close(found, group @ head.weight.T + head.bias)


def test_heads_without_weights_make_one_fixed_network() -> None:
    networks = MetaNetworks(transformer(4), 12, hidden=8)
    image, statistics = uniform(1, 3, 32, 32), uniform(2, 12)
    before = [networks(image, s[None])[0] for s in statistics]
    assert not torch.allclose(*before)
    for head in networks["hyper"].heads:
        nn.init.zeros_(head.weight)
    after = [networks(image, s[None])[0] for s in statistics]
    assert torch.equal(*after)
    assert not torch.allclose(after[0], before[0])


def test_filters_are_no_parameters_and_gradients_pass_through_them() -> None:
    with seeded(0):
        networks = MetaNetworks(transformer(4), 12, hidden=32)  # 8 can all be off in a group
    painted, numbers = networks(uniform(1, 3, 32, 32), uniform(1, 12))
    assert all(not isinstance(part, nn.Parameter) and part.requires_grad for part in numbers)
    painted.square().mean().backward()
    # biases before an instance norm change nothing: their gradients are rounding errors
    moved = {n: p.grad.abs().max() for n, p in networks.named_parameters() if p.grad is not None}
    assert moved.keys() == dict(networks.named_parameters()).keys()
    assert all(moved[n] > 1e-6 for n in moved if n != "transformer.first.bias")


def test_the_scale_of_a_generated_filter_changes_nothing() -> None:
    """Why filters can grow without end (see ``weight_decay`` of the method)."""
    network = transformer(4)
    numbers, image = filters(network.sizes()), uniform(1, 3, 32, 32)
    larger = [3 * part for part in numbers]
    wanted = apply(network, image, numbers)
    torch.testing.assert_close(apply(network, image, larger), wanted, rtol=1e-3, atol=1e-3)


def test_the_hyper_network_stays_in_float32_under_autocast() -> None:
    hyper, statistics = HyperNet(10, [7], hidden=4), uniform(1, 10)
    with torch.autocast("cpu", torch.bfloat16):
        (found,) = hyper(statistics)
    assert found.dtype == torch.float32
    assert torch.equal(found, hyper(statistics)[0])


def test_the_output_is_rgb_of_a_net_that_speaks_in_standard_deviations() -> None:
    network = transformer(4)
    for parameter in network.last.parameters():
        nn.init.zeros_(parameter)
    found = apply(network, uniform(1, 3, 32, 32), filters(network.sizes()))
    wanted = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1).expand_as(found)
    torch.testing.assert_close(found, wanted)
    nn.init.ones_(network.last.bias)
    wanted = wanted + torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)
    torch.testing.assert_close(
        apply(network, uniform(1, 3, 32, 32), filters(network.sizes())), wanted
    )
