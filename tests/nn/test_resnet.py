"""ResNet generator and patch discriminator: sizes, counts, layers, and their first weights."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from atelier.methods.trained import seeded
from atelier.nn.instancenorm import InstanceNorm
from atelier.nn.patchgan import PatchGAN, adversarial, discriminator_loss
from atelier.nn.resnet import BlurDown, Init, Residual, ResNetGenerator, draw_weights
from support.tensors import count

KINDS = {
    "transposed": {"upsample": "transposed"},
    "resize": {"upsample": "resize"},
    "antialias": {"antialias": True},
}


def generator(kind: str = "transposed", width: int = 4, blocks: int = 2) -> ResNetGenerator:
    overrides: dict[str, Any] = KINDS[kind]
    with seeded(0):
        return ResNetGenerator(width, blocks, **overrides)


def picture(batch: int = 1, height: int = 32, width: int = 32) -> Tensor:
    return torch.rand(batch, 3, height, width, generator=torch.Generator().manual_seed(1)) * 2 - 1


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("blocks", "expected"), [(9, 11_378_179), (6, 7_837_699)])
def test_the_generators_published_counts(kind: str, blocks: int, expected: int) -> None:
    with torch.device("meta"):
        network = generator(kind, 64, blocks)
        assert network(torch.empty(1, 3, 256, 256)).shape == (1, 3, 256, 256)
    assert count(network) == expected


@pytest.mark.parametrize("antialias", [False, True])
def test_the_discriminators_published_count_and_map(antialias: bool) -> None:
    with torch.device("meta"):
        network = PatchGAN(antialias=antialias)
        assert network(torch.empty(2, 3, 256, 256)).shape == (2, 1, 30, 30)
    assert count(network) == 2_764_737


@pytest.mark.parametrize("side", [24, 32, 50, 96])
@pytest.mark.parametrize("antialias", [False, True])
def test_the_discriminator_takes_small_and_odd_pictures(side: int, antialias: bool) -> None:
    found = PatchGAN(4, antialias=antialias)(picture(1, side, 40))
    assert found.shape[2] == side // 8 - 2


def test_layers_of_the_published_generator() -> None:
    """MODELS' table: kernel, stride, padding, width; zeros are padded only on the way down."""
    convs = [m for m in generator(width=64, blocks=9).modules() if isinstance(m, nn.Conv2d)]
    rows = [(c.kernel_size[0], c.stride[0], c.padding[0], c.out_channels) for c in convs]
    down, body = [(3, 2, 1, 128), (3, 2, 1, 256)], [(3, 1, 1, 256)] * 18
    assert rows == [(7, 1, 0, 64), *down, *body, (7, 1, 0, 3)]
    assert [c.padding_mode for c in convs[1:-1]] == ["zeros"] * 2 + ["reflect"] * 18
    assert all(conv.bias is not None for conv in convs)


def test_norms_follow_all_but_the_last_convolution_and_know_no_weights() -> None:
    for kind in KINDS:
        norms = [m for m in generator(kind).modules() if isinstance(m, InstanceNorm)]
        assert len(norms) == 3 + 2 * 2 + 2
        assert not any(norm.affine or norm.track_running_stats for norm in norms)
    norms = [type(m).__name__ for m in PatchGAN(4)]
    assert norms.count("InstanceNorm") == 3
    assert norms.count("LeakyReLU") == 4


def test_ways_up() -> None:
    def types(kind: str) -> set[type]:
        return {type(layer) for layer in generator(kind).layers}

    assert nn.ConvTranspose2d in types("transposed")
    assert nn.ConvTranspose2d not in types("resize") | types("antialias")
    modes = {
        kind: [m.mode for m in generator(kind).layers if isinstance(m, nn.Upsample)]
        for kind in KINDS
    }
    assert modes == {"transposed": [], "resize": ["nearest"] * 2, "antialias": ["bilinear"] * 2}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [(32, 48), (12, 8)])
def test_a_picture_keeps_its_size_and_stays_in_range(kind: str, size: tuple[int, int]) -> None:
    network = generator(kind)
    found = network(picture(2, *size))
    assert found.shape == (2, 3, *size)
    with torch.no_grad():
        network.layers[-1].bias.fill_(1e3)  # type: ignore[union-attr]
        assert (network(picture(1, *size)) == 1).all()
        network.layers[-1].bias.fill_(-1e3)  # type: ignore[union-attr]
        assert (network(picture(1, *size)) == -1).all()


@pytest.mark.parametrize("kind", KINDS)
def test_pictures_of_a_batch_do_not_mix(kind: str) -> None:
    network, images = generator(kind), picture(3)
    alone = torch.cat([network(image[None]) for image in images])
    torch.testing.assert_close(network(images), alone, rtol=1e-4, atol=1e-5)
    judge = PatchGAN(4, antialias=kind == "antialias")
    alone = torch.cat([judge(image[None]) for image in images])
    torch.testing.assert_close(judge(images), alone, rtol=1e-4, atol=1e-5)


def test_low_precision_ends_with_the_tanh() -> None:
    network = generator()
    with torch.autocast("cpu", torch.bfloat16):
        found = network(picture())
    assert found.dtype == torch.float32
    assert not torch.equal(found, found.bfloat16().float())
    torch.testing.assert_close(found, network(picture()), rtol=0, atol=0.1)


def test_a_residual_block_adds_its_input_and_nothing_follows() -> None:
    block, value = Residual(4), torch.randn(2, 4, 8, 8)
    torch.testing.assert_close(block(value) - value, block.body(value), rtol=1e-4, atol=1e-5)
    assert (block(value) < 0).any()


def test_blur_down_is_the_binomial_filter() -> None:
    value = torch.randn(2, 3, 7, 10, generator=torch.Generator().manual_seed(0))
    row = torch.tensor([1.0, 2.0, 1.0])
    kernel = (row[:, None] * row / 16)[None, None]
    padded = F.pad(value, (1, 1, 1, 1), "reflect").flatten(0, 1)[:, None]
    expected = F.conv2d(padded, kernel, stride=2)[:, 0].unflatten(0, (2, 3))
    found = BlurDown(3)(value)
    assert found.shape == (2, 3, 4, 5)
    torch.testing.assert_close(found, expected)
    assert not BlurDown(3).state_dict()


def test_the_way_up_of_cut_is_the_published_transposed_convolution() -> None:
    """Its code pads by repeating the rim and convolves with (1, 3, 3, 1), four times as strong."""
    (up,) = (m for m in generator("antialias").layers[:-8] if isinstance(m, nn.Upsample))
    value = torch.randn(2, 1, 5, 6, generator=torch.Generator().manual_seed(0))
    row = torch.tensor([1.0, 3.0, 3.0, 1.0])
    kernel = (row[:, None] * row / 16)[None, None]
    padded = F.pad(value, (1, 1, 1, 1), "replicate")
    published = F.conv_transpose2d(padded, kernel, stride=2, padding=2)[..., 1:-1, 1:-1]
    torch.testing.assert_close(up(value), published)


def test_taps_are_the_published_layers() -> None:
    network = generator("antialias", 4, 9)
    assert network.taps == (0, 4, 8, 12, 16)
    taps = network.encode(picture(2, 32, 48))
    sizes = [(38, 54), (32, 48), (16, 24), (8, 12), (8, 12)]
    assert [tuple(tap.shape) for tap in taps] == [
        (2, width, *size) for width, size in zip((3, 8, 16, 16, 16), sizes, strict=True)
    ]
    assert network.tap_widths == (3, 8, 16, 16, 16)
    torch.testing.assert_close(taps[0], F.pad(picture(2, 32, 48), (3, 3, 3, 3), "reflect"))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("blocks", [1, 2, 6])
def test_taps_are_convolutions_and_blocks_whatever_the_layout(kind: str, blocks: int) -> None:
    network = generator(kind, 4, blocks)
    layers = [network.layers[place] for place in network.taps]
    assert [type(layer).__name__ for layer in layers] == [
        "Reflection",
        *["Conv2d"] * 2,
        *["Residual"] * 2,
    ]
    places = [n for n, layer in enumerate(network.layers) if isinstance(layer, Residual)]
    assert network.taps[3:] == (places[0], places[min(5, blocks) - 1])


@pytest.mark.parametrize("kind", KINDS)
def test_encoding_stops_early_and_finds_the_same(kind: str) -> None:
    network = generator(kind)
    made, taps = network.tapped(picture())
    assert torch.equal(made, network(picture()))
    for one, other in zip(taps, network.encode(picture()), strict=True):
        assert torch.equal(one, other)
    network.layers[-1].register_forward_hook(lambda *_: pytest.fail("ran to the end"))
    network.encode(picture())


def test_the_taps_see_what_comes_before_the_norm() -> None:
    """Not in place: a ReLU must not have changed what a tap keeps."""
    network = generator()
    _, taps = network.tapped(picture())
    expected = network.layers[4](network.layers[:4](picture()))
    assert torch.equal(taps[1], expected)


@pytest.mark.parametrize("side", [96, 128])
def test_a_verdict_sees_a_patch_of_70_pixels(side: int) -> None:
    """Without the norms, which see everything."""
    judge = PatchGAN(4)
    layers = nn.Sequential(*[m for m in judge if not isinstance(m, InstanceNorm)])
    image = picture(1, side, side).requires_grad_()
    verdicts = layers(image)
    middle = verdicts.shape[2] // 2
    (slope,) = torch.autograd.grad(verdicts[0, 0, middle, middle], image)
    seen = slope.abs().sum((0, 1)).nonzero()
    assert (seen.max(0).values - seen.min(0).values + 1).tolist() == [70, 70]


@pytest.mark.parametrize("init", ["normal", "xavier"])
def test_first_weights(init: Init) -> None:
    with seeded(0):
        networks = nn.ModuleList([ResNetGenerator(32, 1), nn.Linear(300, 200)])
        draw_weights(networks, init, 0.02)
    layers = [m for m in networks.modules() if isinstance(getattr(m, "weight", None), Tensor)]
    assert len(layers) == 3 + 2 + 3 + 1
    for layer in layers:
        weight = layer.weight
        fans = sum(weight.shape[:2]) * weight[0, 0].numel()
        wanted = 0.02 if init == "normal" else 0.02 * (2 / fans) ** 0.5
        assert weight.std().item() == pytest.approx(wanted, rel=0.05)
        assert abs(weight.mean().item()) < 0.1 * wanted
        assert (layer.bias == 0).all()


@pytest.mark.parametrize("real", [True, False])
def test_adversarial_losses(real: bool) -> None:
    verdict = torch.tensor([[-2.0, 0.3], [1.5, 4.0]])
    wanted = 1.0 if real else 0.0
    least_squares = ((verdict - wanted) ** 2).mean()
    torch.testing.assert_close(adversarial(verdict, "lsgan", real=real), least_squares)
    likely = verdict.sigmoid() if real else 1 - verdict.sigmoid()
    torch.testing.assert_close(adversarial(verdict, "vanilla", real=real), -likely.log().mean())
    low = adversarial(verdict.bfloat16(), "lsgan", real=real)
    assert low.dtype == torch.float32


def test_a_discriminators_loss_is_half_of_both_mistakes() -> None:
    judge, real, fake = PatchGAN(4), picture(2), picture(3).flip(3)
    expected = ((judge(real) - 1).square().mean() + judge(fake).square().mean()) / 2
    torch.testing.assert_close(discriminator_loss(judge, real, fake, "lsgan"), expected)
