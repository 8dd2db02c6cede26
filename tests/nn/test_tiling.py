"""Tiles: the same result as at once, whatever the size, because every halo is wide enough."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import pytest
import torch
from torch import Tensor, nn

from atelier.core.config import UserError
from atelier.methods.trained import seeded
from atelier.nn.decoder import TAPS, Decoder, conv
from atelier.nn.pretrained import features
from atelier.nn.pretrained.features import Features, load_features
from atelier.nn.tiling import HALO, STRIDES, TAIL_HALO, decode, encode, tiled
from support.nets import answer_with, vgg_state
from support.tensors import uniform

LAYERS = (*TAPS, "relu5_1")
WIDTHS = {"relu1_1": 4, "relu2_1": 6, "relu3_1": 8, "relu4_1": 10}
SIZES = [(101, 130), (64, 97), (35, 149)]


@pytest.fixture(scope="module")
def vgg() -> Features:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(features, "resolve", answer_with(vgg_state("vgg19")))
        return load_features("vgg19", LAYERS, padding="reflect", unit_activations=True)


@pytest.fixture(scope="module")
def mini() -> Features:
    return load_features("mini", LAYERS)


def network() -> nn.Module:
    """Down by 2; sees 2 + 2·2 px around the 2×2 of a position."""
    with seeded(0):
        first, last = [conv(3, 4), conv(4, 4)], [conv(4, 4), conv(4, 4)]
        return nn.Sequential(*first, nn.MaxPool2d(2), *last)


@pytest.mark.parametrize("size", [(40, 32), (33, 47), (17, 5), (16, 16), (15, 65)])
@pytest.mark.parametrize("tile", [8, 16])
def test_tiles_fit_together_at_any_size(size: tuple[int, int], tile: int) -> None:
    apply, image = network(), uniform(2, 3, *size)
    (found,) = tiled(lambda part: [apply(part)], image, tile, 6, [Fraction(1, 2)])
    torch.testing.assert_close(found, apply(image))


def test_a_halo_that_is_too_narrow_shows() -> None:
    """So that the tests here can fail."""
    apply, image = network(), uniform(1, 3, 32, 32)
    (found,) = tiled(lambda part: [apply(part)], image, 16, 4, [Fraction(1, 2)])
    assert not torch.allclose(found, apply(image), atol=1e-4)


@pytest.mark.parametrize("size", SIZES)
def test_encoding_in_tiles_is_exact(mini: Features, size: tuple[int, int]) -> None:
    image = uniform(2, 3, *size)
    whole, found = mini(image), encode(mini, image, LAYERS, 64)
    assert list(found) == list(LAYERS)
    for layer in LAYERS:
        torch.testing.assert_close(found[layer], whole[layer], rtol=1e-4, atol=1e-4)


def test_encoding_in_tiles_is_exact_for_a_vgg(vgg: Features) -> None:
    image = uniform(1, 3, 101, 130)
    whole = vgg(image)["relu4_1"]
    (found,) = encode(vgg, image, ["relu4_1"], 64).values()
    torch.testing.assert_close(found, whole, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("skip", [False, True])
def test_decoding_in_tiles_is_exact(skip: bool) -> None:
    with seeded(1):
        decoder = Decoder(WIDTHS, skip=skip)
    maps = [uniform(2, 10, 13, 17), uniform(2, 8, 26, 34, seed=1)][: 1 + skip]
    with torch.no_grad():
        whole, found = decoder(*maps), decode(decoder, maps, 64)
    assert whole.shape == (2, 3, 104, 136)
    torch.testing.assert_close(found, whole, rtol=1e-4, atol=1e-4)


def test_small_pictures_are_taken_at_once(mini: Features) -> None:
    calls: list[Tensor] = []
    handle = mini.register_forward_hook(lambda _, inputs, __: calls.append(inputs[0]))
    image = uniform(1, 3, 64, 50)
    for tile in (None, 64):
        encode(mini, image, LAYERS, tile)
    handle.remove()
    assert [call.shape for call in calls] == [image.shape] * 2


def _reach(apply: Callable[[Tensor], Tensor], value: Tensor, own: int, at: int) -> int:
    """How far beyond its own block of inputs the output position (at, at) sees."""
    value.requires_grad_()
    (gradient,) = torch.autograd.grad(apply(value)[..., at, at].sum(), value)
    rows, columns = gradient.abs().sum((0, 1)).nonzero().unbind(1)
    first, last = min(rows.min(), columns.min()), max(rows.max(), columns.max())
    start = at * own
    return max(start - int(first), int(last) - (start + own - 1))


@pytest.mark.parametrize(
    ("layer", "reach", "most"), [("relu3_1", 10, 13), ("relu4_1", 30, 30), ("relu5_1", 70, 70)]
)
def test_the_halo_covers_what_the_encoders_see(
    vgg: Features, mini: Features, layer: str, reach: int, most: int
) -> None:
    stride = STRIDES[layer]
    assert HALO[layer] % stride == 0
    # no side of the field meets the rim; the deepest layer needs two positions
    side = max((2 * (reach // stride) + 3) * stride, 64)
    image, at = uniform(1, 3, side, side), side // stride // 2
    assert _reach(lambda x: mini(x)[layer], image, stride, at) <= most <= HALO[layer]
    assert _reach(lambda x: vgg(x)[layer], image, stride, at) == reach <= HALO[layer]


def test_the_halo_covers_what_the_decoder_sees() -> None:
    with seeded(0):
        tail = Decoder(WIDTHS).tail
    for layer in tail:
        if isinstance(layer, nn.Conv2d):
            nn.init.ones_(layer.weight)  # so that no path is blocked
    reaches = []
    for at in range(40, 48):  # 4 px to a position: not all see equally far
        value = torch.ones(1, 8, 22, 22)
        value.requires_grad_()
        (gradient,) = torch.autograd.grad(tail(value)[..., at, at].sum(), value)
        rows = gradient.abs().sum((0, 1)).nonzero()[:, 0]
        reaches += [at // 4 - int(rows.min()), int(rows.max()) - at // 4]
    assert max(reaches) == TAIL_HALO


def test_too_small_pictures_are_refused(mini: Features) -> None:
    with pytest.raises(UserError, match=r"31×40 px is too small.*needs 32 px"):
        encode(mini, uniform(1, 3, 40, 31), LAYERS)


def test_the_decoder_has_the_published_sizes() -> None:
    widths = dict(zip(TAPS, (64, 128, 256, 512), strict=True))
    for skip, expected in ((False, 3_505_219), (True, 4_095_043)):
        decoder = Decoder(widths, skip=skip)
        assert sum(part.numel() for part in decoder.parameters()) == expected
    assert sum(isinstance(layer, nn.Conv2d) for layer in decoder.modules()) == 9
    assert not any(isinstance(layer, nn.InstanceNorm2d) for layer in decoder.modules())
