"""U-GAT-IT's networks: published sizes, layers, class activation maps, spectral norms."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from atelier.core.config import UserError
from atelier.methods.trained import seeded
from atelier.nn.adalin import ILN, AdaILN
from atelier.nn.cam import ClassActivation, jet, spread
from atelier.nn.ugatit import (
    AdaptiveResidual,
    Discriminator,
    Generator,
    Residual,
    Verdict,
    distance,
    smallest_side,
)
from support.tensors import count, uniform


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return uniform(*shape, seed=seed) * 2 - 1


def generator(crop: int | None = None, width: int = 4, n_res: int = 1) -> Generator:
    with seeded(0):
        return Generator(width, n_res, crop)


def discriminator(layers: int = 3, width: int = 4, **overrides: Any) -> Discriminator:
    with seeded(0):
        return Discriminator(width, layers, **overrides)


@pytest.mark.parametrize(("crop", "expected"), [(None, 10_589_888), (256, 278_959_808)])
def test_the_papers_generators(crop: int | None, expected: int) -> None:
    with torch.device("meta"):
        network = Generator(64, 4, crop)
    assert count(network) == expected
    code = 256 * 64**2 * 256 + 256**2 if crop else 2 * 256**2
    parts = {
        "encoder": 5_096_640,
        "attention": 131_328 + 512,
        "code": code,
        "gamma": 65_536,
        "beta": 65_536,
        "middle": 4 * 1_180_160,
        "decoder": 378_624,
    }
    assert {name: count(part) for name, part in network.named_children()} == parts


@pytest.mark.parametrize(("layers", "expected"), [(7, 53_130_176), (5, 3_290_560)])
def test_the_papers_discriminators(layers: int, expected: int) -> None:
    with torch.device("meta"):
        network = Discriminator(64, layers)
    assert count(network) == expected


def test_a_full_generator_follows_width_and_crop() -> None:
    assert generator(crop=32).code[0].weight.shape == (16, 16 * 8 * 8)
    assert generator(crop=64, width=8).code[0].weight.shape == (32, 32 * 16 * 16)


def rows(network: nn.Module) -> list[tuple[int, int, int]]:
    """Kernel, stride and channels of the 2-d convolutions."""
    convs = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d)]
    assert {c.padding_mode for c in convs if c.kernel_size != (1, 1)} == {"reflect"}
    return [(c.kernel_size[0], c.stride[0], c.out_channels) for c in convs]


def test_layers_of_the_generator() -> None:
    with torch.device("meta"):
        network = Generator(64, 4)
    assert rows(network.encoder) == [(7, 1, 64), (3, 2, 128), (3, 2, 256), *[(3, 1, 256)] * 8]
    assert rows(network.middle) == [(3, 1, 256)] * 8
    assert rows(network.decoder) == [(3, 1, 128), (3, 1, 64), (7, 1, 3)]
    modules = list(network.modules())
    assert [type(m) for m in modules].count(AdaILN) == 8
    assert [type(m) for m in modules].count(ILN) == 2
    assert not any(m.affine for m in modules if isinstance(m, nn.InstanceNorm2d))
    biased = [m for m in modules if getattr(m, "bias", None) is not None]
    assert biased == [network.attention.fuse]


@pytest.mark.parametrize(
    ("layers", "widths"), [(5, [64, 128, 256, 512]), (7, [64, 128, 256, 512, 1024, 2048])]
)
def test_layers_of_the_discriminator(layers: int, widths: list[int]) -> None:
    with torch.device("meta"):
        network = Discriminator(64, layers)
    strides = [2] * (layers - 2) + [1]
    expected = [(4, stride, width) for stride, width in zip(strides, widths, strict=True)]
    assert rows(network) == [*expected, (1, 1, widths[-1]), (4, 1, 1)]
    slopes = [m.negative_slope for m in network.modules() if isinstance(m, nn.LeakyReLU)]
    assert slopes == [0.2] * (layers - 1)
    names = {name for name, _ in network.named_parameters() if "parametrizations" not in name}
    biases = {f"body.{2 * n}.bias" for n in range(layers - 1)}
    assert names == biases | {"attention.fuse.weight", "attention.fuse.bias"}, "spectral elsewhere"


@pytest.mark.parametrize(("layers", "side"), [(7, 6), (5, 30)])
def test_maps_of_the_discriminators_at_256(layers: int, side: int) -> None:
    with torch.no_grad():
        patches, logits = discriminator(layers)(drawn(1, 3, 256, 256))
    assert patches.shape == (1, 1, side, side)
    assert logits.shape == (1, 2)


@pytest.mark.parametrize("crop", [None, 32])
def test_sizes_of_what_a_generator_gives(crop: int | None) -> None:
    size = (32, 32) if crop else (20, 36)
    with torch.no_grad():
        image, logits, heat = generator(crop)(drawn(2, 3, *size))
    assert image.shape == (2, 3, *size)
    assert image.abs().max() <= 1
    assert logits.shape == (2, 2)
    assert heat.shape == (2, 1, size[0] // 4, size[1] // 4)


@pytest.mark.parametrize("crop", [None, 32])
def test_the_generators_forward_pass_by_hand(crop: int | None) -> None:
    network, image = generator(crop, n_res=2), drawn(2, 3, 32, 32)
    with torch.no_grad():
        made, logits, heat = network(image)
        value = network.encoder(image)
        gap, gmp = network.attention.average, network.attention.maximum
        pools = F.adaptive_avg_pool2d(value, 1), F.adaptive_max_pool2d(value, 1)
        expected = [head(pool.flatten(1)) for head, pool in zip((gap, gmp), pools, strict=True)]
        torch.testing.assert_close(logits, torch.cat(expected, 1))
        both = [value * head.weight[..., None, None] for head in (gap, gmp)]
        value = network.attention.fuse(torch.cat(both, 1)).relu()
        torch.testing.assert_close(heat, value.sum(1, keepdim=True), rtol=1e-4, atol=1e-5)
        code = value.flatten(1) if crop else F.adaptive_avg_pool2d(value, 1).flatten(1)
        code = network.code(code)
        for block in network.middle:
            assert isinstance(block, AdaptiveResidual)
            inner = block.norm_first(block.first(value), network.gamma(code), network.beta(code))
            inner = block.second(inner.relu())
            value = value + block.norm_second(inner, network.gamma(code), network.beta(code))
        torch.testing.assert_close(made, network.decoder(value).tanh(), rtol=1e-3, atol=1e-4)


def test_a_residual_block_adds_its_input() -> None:
    with seeded(0):
        block = Residual(4)
    value = drawn(2, 4, 8, 8)
    with torch.no_grad():
        changed = block(value) - value
    torch.testing.assert_close(changed.mean((2, 3)), torch.zeros(2, 4), rtol=0, atol=1e-5)
    torch.testing.assert_close(
        changed.var((2, 3), correction=0), torch.ones(2, 4), rtol=0.01, atol=0
    )


@pytest.mark.parametrize("weight", ["effective", "original"])
def test_the_discriminators_class_activation_by_hand(weight: str) -> None:
    with seeded(0):
        part = ClassActivation(6, spectral=True, weight=weight)  # type: ignore[arg-type]
    value = drawn(2, 6, 5, 7)
    with torch.no_grad():
        found, logits = part(value)
        original = [
            head.parametrizations.weight.original  # type: ignore[union-attr]
            for head in (part.average, part.maximum)
        ]
        unit = [vector / vector.norm() for vector in original]
        pools = value.mean((2, 3)), value.amax((2, 3))
        expected = [(pool * vector).sum(1) for pool, vector in zip(pools, unit, strict=True)]
        torch.testing.assert_close(logits, torch.stack(expected, 1))
        used = unit if weight == "effective" else original
        both = torch.cat([value * vector[..., None, None] for vector in used], 1)
        torch.testing.assert_close(found, part.fuse(both))


def test_cam_weights_differ_by_a_factor_only() -> None:
    """The spectral norm of a single row is its length."""
    found = {}
    for weight in ("effective", "original"):
        network, image = discriminator(weight=weight), drawn(1, 3, 32, 32)
        with torch.no_grad():
            found[weight] = network(image)
    assert torch.equal(found["effective"].logits, found["original"].logits)
    assert not torch.allclose(found["effective"].patches, found["original"].patches)


def test_effective_weights_have_spectral_norm_one() -> None:
    network = discriminator(4)
    with torch.no_grad():
        for _ in range(30):
            network(drawn(1, 3, 32, 32))
        network.eval()
        spectral = [*network.body[::2], network.attention.average, network.last]
        for layer in spectral:
            norm = torch.linalg.matrix_norm(layer.weight.flatten(1), 2)
            assert norm.item() == pytest.approx(1, abs=0.02)
        assert torch.linalg.matrix_norm(network.attention.fuse.weight.flatten(1), 2) != 1


@pytest.mark.parametrize(("train", "expected"), [(True, 1), (False, 0)])
def test_one_power_iteration_in_a_training_pass(
    monkeypatch: pytest.MonkeyPatch, *, train: bool, expected: int
) -> None:
    network = discriminator(5).train(train)
    kind = type(network.last.parametrizations.weight[0])  # type: ignore[union-attr, index]
    done, dtypes = [], []
    iterate = kind._power_method

    def watched(self: Any, weight: Tensor, times: int) -> None:
        done.extend([id(self)] * times)
        dtypes.append(torch.mv(weight, self._v).dtype)
        iterate(self, weight, times)

    monkeypatch.setattr(kind, "_power_method", watched)
    with torch.autocast("cpu", torch.bfloat16):
        network(drawn(2, 3, 32, 32))
    assert len(done) == len(set(done)) == 7 * expected
    assert set(dtypes) <= {torch.float32}, "not in autocast's precision"


def test_autocast_leaves_the_spectral_norms_and_the_logits_alone() -> None:
    found = []
    for low in (False, True):
        network = discriminator(5)
        with torch.autocast("cpu", torch.bfloat16, low):
            judged = network(drawn(2, 3, 32, 32))
        assert judged.logits.dtype == torch.float32
        found.append({k: v for k, v in network.state_dict().items() if k.endswith(("_u", "_v"))})
    assert found[0]
    assert all(torch.equal(found[0][key], found[1][key]) for key in found[0])


def test_pictures_of_a_batch_are_translated_and_discriminated_as_each_alone() -> None:
    image = drawn(3, 3, 32, 32)
    for network in (generator(), discriminator(4).eval()):
        with torch.no_grad():
            together = network(image)
            alone = [network(one) for one in image.split(1)]
        for n, part in enumerate(together):
            expected = torch.cat([one[n] for one in alone])
            torch.testing.assert_close(part, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("size", [(256, 256), (36, 32), (16, 64)])
def test_a_full_generator_refuses_other_sizes(size: tuple[int, int]) -> None:
    message = rf"pictures of 32×32 .*not {size[1]}×{size[0]}; light: true takes any size"
    with pytest.raises(UserError, match=message):
        generator(crop=32)(drawn(1, 3, *size))


@pytest.mark.parametrize("layers", [3, 4, 5, 6, 7])
def test_the_smallest_crop_for_so_many_layers(layers: int) -> None:
    network, side = discriminator(layers), smallest_side(layers)
    with torch.no_grad():
        assert network(drawn(1, 3, side, side)).patches.shape == (1, 1, 1, 1)
    message = rf"of {layers} layers needs crops of {side} pixels or more, not {side - 1}: set"
    with pytest.raises(UserError, match=message):
        network(drawn(1, 3, 256, side - 1))


@pytest.mark.parametrize(("side", "fewer"), [(64, 6), (48, 6), (47, 5), (32, 5), (23, 4), (5, 3)])
def test_how_many_layers_a_small_crop_allows(side: int, fewer: int) -> None:
    with pytest.raises(
        UserError, match=rf"96 pixels or more, not {side}: .*local_layers to {fewer},"
    ):
        discriminator(7)(drawn(1, 3, side, side))


def test_distance_from_an_aim() -> None:
    judged = Verdict(drawn(2, 1, 3, 3), drawn(2, 2, seed=1))
    expected = (judged.patches - 1).pow(2).mean() + (judged.logits - 1).pow(2).mean()
    torch.testing.assert_close(distance(judged, 1.0), expected)


def test_heat_spreads_over_0_to_1_and_an_even_map_is_cold() -> None:
    heat = torch.stack([drawn(1, 4, 5) * 3 + 10, torch.full((1, 4, 5), 7.0)])
    found = spread(heat)
    assert found[0].min() == 0
    assert found[0].max() == 1
    torch.testing.assert_close(found[0].argsort(), heat[0].argsort())
    assert (found[1] == 0).all()


def test_jets_colours() -> None:
    """Corners of MATLAB's colour map: dark blue, blue, cyan, yellow, red, dark red."""
    at = {0: (0, 0, 0.5), 1: (0, 0, 1), 3: (0, 1, 1), 5: (1, 1, 0), 7: (1, 0, 0), 8: (0.5, 0, 0)}
    value = torch.tensor([[list(at)]]) / 8
    found = jet(value)
    assert found.shape == (1, 3, 1, len(at))
    torch.testing.assert_close(found[0, :, 0].mT, torch.tensor(list(at.values())).float())
