"""Perceptual networks: layer tables, taps, switches, random weights, the Inceptions."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from pytorch_fid import inception as pytorch_fid
from torch import Tensor, nn
from torchvision import models

from atelier.core.config import UserError
from atelier.nn.pretrained import calibration, features
from atelier.nn.pretrained.features import (
    RescaledPool,
    load_features,
    squeezenet_layers,
    vgg_layers,
)
from atelier.nn.pretrained.weights import IMAGENET_MEAN, IMAGENET_STD, StateDict, digest
from support.nets import answer_with, random_chain, random_features, vgg_state

# name: index in VGG16, index in VGG19, channels, stride
LAYERS: dict[str, tuple[int | None, int, int, int]] = {
    "relu1_1": (1, 1, 64, 1),
    "relu1_2": (3, 3, 64, 1),
    "pool1": (4, 4, 64, 2),
    "relu2_1": (6, 6, 128, 2),
    "relu2_2": (8, 8, 128, 2),
    "pool2": (9, 9, 128, 4),
    "relu3_1": (11, 11, 256, 4),
    "relu3_2": (13, 13, 256, 4),
    "relu3_3": (15, 15, 256, 4),
    "relu3_4": (None, 17, 256, 4),
    "pool3": (16, 18, 256, 8),
    "relu4_1": (18, 20, 512, 8),
    "relu4_2": (20, 22, 512, 8),
    "relu4_3": (22, 24, 512, 8),
    "relu4_4": (None, 26, 512, 8),
    "pool4": (23, 27, 512, 16),
    "relu5_1": (25, 29, 512, 16),
    "pool5": (30, 36, 512, 32),
}


def picture(batch: int = 1, side: int = 32, seed: int = 0) -> Tensor:
    return torch.rand(batch, 3, side, side, generator=torch.Generator().manual_seed(seed))


def parameters(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


@pytest.fixture(scope="module")
def vgg16_state() -> StateDict:
    return vgg_state("vgg16")


@pytest.fixture
def vgg16(monkeypatch: pytest.MonkeyPatch, vgg16_state: StateDict) -> None:
    monkeypatch.setattr(features, "resolve", answer_with(vgg16_state))


@pytest.mark.parametrize(("name", "column"), [("vgg16", 0), ("vgg19", 1)])
def test_layer_names_and_indices(name: str, column: int) -> None:
    expected = {layer: row[column] for layer, row in LAYERS.items() if row[column] is not None}
    found = vgg_layers(name)
    assert {layer: found.get(layer) for layer in expected} == expected
    assert ("relu3_4" in found) == (name == "vgg19")
    with torch.device("meta"):
        chain = getattr(models, name)().features
    kinds = {"conv": nn.Conv2d, "relu": nn.ReLU, "pool": nn.MaxPool2d}
    assert len(found) == len(chain)
    assert all(isinstance(chain[i], kinds[layer[:4]]) for layer, i in found.items())


def test_channels_and_strides_of_vgg19() -> None:
    found = random_features(*LAYERS)(picture(side=32))
    assert list(found) == list(LAYERS)
    for layer, (_, _, channels, stride) in LAYERS.items():
        assert found[layer].shape == (1, channels, 32 // stride, 32 // stride), layer


def test_channels_and_strides_of_vgg16(vgg16: None) -> None:
    rows = {layer: row for layer, row in LAYERS.items() if row[0] is not None}
    found = load_features("vgg16", rows)(picture(side=32))
    for layer, (_, _, channels, stride) in rows.items():
        assert found[layer].shape == (1, channels, 32 // stride, 32 // stride), layer


@pytest.mark.slow
def test_parameter_counts(vgg16: None) -> None:
    assert parameters(load_features("vgg16", ["pool5"])) == 14_714_688
    assert parameters(load_features("vgg16", ["relu4_3"])) == 7_635_264
    assert parameters(random_features("pool5")) == 20_024_384
    assert parameters(random_features("relu4_1")) == 3_505_728


def test_the_network_is_frozen_and_cut_after_the_deepest_tap() -> None:
    net = random_features("relu2_1", "relu1_1")
    assert not any(p.requires_grad for p in net.parameters())
    assert not net.network.training
    assert len(net.network.chain) == 7  # type: ignore[arg-type]


def test_a_tap_before_the_relu_keeps_its_negative_values() -> None:
    found = random_features("conv3_1", "relu3_1")(picture())
    assert found["conv3_1"].min() < 0
    torch.testing.assert_close(found["conv3_1"].relu(), found["relu3_1"], rtol=0, atol=0)


def test_imagenet_normalisation_is_inside(vgg16: None, vgg16_state: StateDict) -> None:
    image = picture(2)
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (IMAGENET_MEAN, IMAGENET_STD))
    weight, bias = vgg16_state["features.0.weight"], vgg16_state["features.0.bias"]
    expected = nn.functional.conv2d((image - mean) / std, weight, bias, padding=1)
    torch.testing.assert_close(load_features("vgg16", ["conv1_1"])(image)["conv1_1"], expected)


def test_replicate_padding_leaves_no_rim(vgg16: None) -> None:
    flat = torch.full((1, 3, 32, 32), 0.8)
    plain = load_features("vgg16", ["conv1_1"])(flat)["conv1_1"]
    replicated = load_features("vgg16", ["conv1_1"], first_padding="replicate")(flat)["conv1_1"]
    middle = replicated[..., 16:17, 16:17].expand_as(replicated)
    torch.testing.assert_close(replicated, middle, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(plain, middle, atol=0.1)
    torch.testing.assert_close(plain[..., 1:-1, 1:-1], replicated[..., 1:-1, 1:-1])


@pytest.mark.parametrize(("kind", "factor"), [("average", 2.0), ("l2", 0.78)])
def test_poolings_and_their_factors(vgg16: None, kind: features.Pooling, factor: float) -> None:
    found = load_features("vgg16", ["relu1_2", "pool1"], pooling=kind)(picture())
    blocks = found["relu1_2"].unfold(2, 2, 2).unfold(3, 2, 2).flatten(4)
    pooled = blocks.mean(-1) if kind == "average" else blocks.square().sum(-1).sqrt()
    torch.testing.assert_close(found["pool1"], factor * pooled)


def test_max_pooling_is_left_alone(vgg16: None) -> None:
    found = load_features("vgg16", ["relu1_2", "pool1"])(picture())
    expected = nn.functional.max_pool2d(found["relu1_2"], 2)
    torch.testing.assert_close(found["pool1"], expected, rtol=0, atol=0)
    chain = load_features("vgg16", ["pool5"], pooling="average").network.chain
    assert sum(isinstance(layer, RescaledPool) for layer in chain) == 5  # type: ignore[union-attr]


@pytest.mark.slow
def test_random_weights_are_the_same_on_every_machine() -> None:
    """Golden: seen with AVX2, AVX-512, ATEN_CPU_CAPABILITY=default, and without oneDNN."""
    chain = calibration.random_vgg19()
    assert digest(chain.state_dict()) == "08ec1a47cfe6"
    assert random_features("relu1_1").hash == "08ec1a47cfe6"  # made at another time
    assert chain[0].weight.dtype == torch.float32  # type: ignore[union-attr]
    other = calibration.random_vgg19(1)
    assert not torch.equal(other[0].weight, chain[0].weight)  # type: ignore[arg-type]


def test_random_layers_weigh_alike() -> None:
    convs = [layer for layer in vgg_layers("vgg19") if layer.startswith("conv")]
    net = random_features(*convs)
    noise = calibration._smooth_noise(torch.Generator().manual_seed(0), torch.float64).float()
    value = noise
    for layer in net.network.chain:  # type: ignore[union-attr]
        value = layer(value)
        if isinstance(layer, nn.Conv2d):
            assert value.square().mean().item() == pytest.approx(1, rel=1e-2)


def test_unit_activations_change_scales_and_nothing_else(vgg16_state: StateDict) -> None:
    with torch.device("meta"):
        chains = [models.vgg16().features for _ in range(2)]
    for chain in chains:
        state = {k.removeprefix("features."): v.clone() for k, v in vgg16_state.items()}
        chain.load_state_dict(state, assign=True)
        chain.requires_grad_(False)
    before, after = chains
    calibration.normalise_activations(after)
    noise = calibration._smooth_noise(torch.Generator().manual_seed(calibration.SEED))
    values, image, means = [noise, noise], [picture(), picture()], []
    for old, new in zip(before, after, strict=True):
        values = [old(values[0]), new(values[1])]
        image = [old(image[0]), new(image[1])]
        if isinstance(new, nn.ReLU):
            means.append(values[1].mean().item())
            factor = values[0].mean() / values[1].mean()
            torch.testing.assert_close(image[1] * factor, image[0], rtol=1e-3, atol=1e-4)
    assert means == pytest.approx([1.0] * 13, rel=1e-4)


def test_unit_activations_keep_the_hash(vgg16: None) -> None:
    plain = load_features("vgg16", ["relu1_1"])
    scaled = load_features("vgg16", ["relu1_1"], unit_activations=True)
    assert plain.hash == scaled.hash
    one, other = (net(picture())["relu1_1"] for net in (plain, scaled))
    assert not torch.allclose(one, other)


@pytest.fixture
def caffes(monkeypatch: pytest.MonkeyPatch, vgg16: None, vgg16_state: StateDict) -> None:
    """The same network with activations that average 100, as those of Caffe's weights do."""
    factor = 100 / calibration.activation_scale(features._chain("vgg16")[0])
    large = {
        key: value * factor if key == "features.0.weight" or key.endswith("bias") else value
        for key, value in vgg16_state.items()
    }
    monkeypatch.setattr(features, "resolve", answer_with(large))


def test_the_scale_of_activations_is_one_once_calibrated(vgg16: None) -> None:
    chain = features._chain("vgg16")[0]
    calibration.normalise_activations(chain)
    assert calibration.activation_scale(chain) == pytest.approx(1, rel=1e-3)


@pytest.mark.slow
def test_weights_of_another_scale_are_refused_or_told(
    caffes: None, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(UserError, match=r"its activations average 100, .* unit_activations: true"):
        load_features("vgg16", ["relu1_1"], other_scale="refuse")
    assert not caplog.text
    load_features("vgg16", ["relu1_1"], other_scale="warn")
    assert "published loss weights do not apply" in caplog.text
    caplog.clear()
    load_features("vgg16", ["relu1_1"], other_scale="refuse", unit_activations=True)
    load_features("vgg16", ["relu1_1"])
    assert not caplog.text


def test_weights_of_the_published_scale_pass(vgg16: None) -> None:
    load_features("vgg16", ["relu1_1"], other_scale="refuse")


def test_embedding_is_the_spatial_mean() -> None:
    net, image = random_features("relu4_1"), picture(2)
    torch.testing.assert_close(net.embed(image), net(image)["relu4_1"].mean((2, 3)))
    assert net.embed(image).shape == (2, 512)


def test_squeezenet_layers_match_torchvision(monkeypatch: pytest.MonkeyPatch) -> None:
    model = models.squeezenet1_1(weights=None)
    state = {k: v for k, v in model.state_dict().items() if k.startswith("features.")}
    monkeypatch.setattr(features, "resolve", answer_with(state))
    layers = squeezenet_layers()
    found = load_features("squeezenet1_1", layers, unit_activations=True)(picture(side=64))
    channels = [found[layer].shape[1] for layer in layers]
    assert channels == [64, 64, 64, 128, 128, 128, 256, 256, 256, 384, 384, 512, 512]
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (IMAGENET_MEAN, IMAGENET_STD))
    expected = model.features.eval()((picture(side=64) - mean) / std)
    torch.testing.assert_close(found["fire9"], expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "layer", "message"),
    [
        ("vgg18", "relu1_1", r"no features named 'vgg18'; there are vgg16, vgg19"),
        ("random", "relu3_5", r"random has no layer 'relu3_5'; it has conv1_1, relu1_1"),
        ("vgg16", "relu3_4", r"vgg16 has no layer 'relu3_4'"),
        ("inception_fid", "Mixed_5d", r"inception_fid has one layer, pool3; asked for Mixed_5d"),
        ("inception_v3", "pool3", r"inception_v3 has Mixed_5d, .* not 'pool3'"),
    ],
)
def test_unknown_names_are_named(vgg16: None, name: str, layer: str, message: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(features, "random_vgg19", random_chain)
        with pytest.raises(UserError, match=message):
            load_features(name, [layer])


@pytest.mark.parametrize("name", ["squeezenet1_1", "inception_fid"])
def test_switches_of_the_vggs_are_refused_elsewhere(name: str) -> None:
    with pytest.raises(UserError, match=f"{name}: pooling and first_padding are options of the"):
        load_features(name, ["fire9"], pooling="average")
    with pytest.raises(UserError, match="of the VGGs only"):
        load_features(name, ["fire9"], first_padding="replicate")


def test_weights_of_another_network_give_a_sentence(vgg16: None) -> None:
    with pytest.raises(UserError, match="the weight file found for vgg19 does not fit it: ") as got:
        load_features("vgg19", ["relu1_1"])
    assert "\n" not in str(got.value)


@pytest.mark.slow
def test_the_fid_network_is_that_of_pytorch_fid(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    made = pytorch_fid.load_state_dict_from_url
    with torch.device("meta"):
        shapes = pytorch_fid._inception_v3(num_classes=1008, aux_logits=False, weights=None)
        shapes.Mixed_7b = pytorch_fid.FIDInceptionE_1(1280)
    generator = torch.Generator().manual_seed(0)
    state = {
        key: torch.zeros((), dtype=torch.long)
        if key.endswith("num_batches_tracked")
        else torch.randn(value.shape, generator=generator) / value[0].numel() ** 0.5
        if value.ndim == 4
        else torch.rand(value.shape, generator=generator) + 0.5
        for key, value in shapes.state_dict().items()
    }
    torch.save(state, tmp_path / "pt_inception-2015-12-05-6726825d.pth")
    monkeypatch.setenv("ATELIER_WEIGHTS", str(tmp_path))
    net = load_features("inception_fid", ["pool3"])
    assert pytorch_fid.load_state_dict_from_url is made, "the library is left as it was"
    monkeypatch.setattr(pytorch_fid, "load_state_dict_from_url", lambda *_, **__: state)
    reference = pytorch_fid.InceptionV3().eval()
    image = picture(1, 48)
    found = net(image)["pool3"]
    assert found.shape == (1, 2048, 1, 1)
    assert found.std() > 0
    torch.testing.assert_close(found, reference(image)[0], rtol=0, atol=0)
    assert net.embed(image).shape == (1, 2048)
    assert net.hash == digest(state)


def test_ill_fitting_fid_weights_give_a_sentence_and_restore_the_library(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = pytorch_fid.load_state_dict_from_url
    state = {"fc.weight": torch.zeros(3), "fc.bias": torch.zeros(1008)}
    monkeypatch.setattr(features, "resolve", answer_with(state))
    with pytest.raises(UserError, match="does not fit pytorch-fid's Inception: ") as got:
        load_features("inception_fid", ["pool3"])
    assert "\n" not in str(got.value)
    assert pytorch_fid.load_state_dict_from_url is made


def test_mini_by_reflection_sees_no_rim() -> None:
    """A picture mirrored at its rim goes on evenly there: so do its features."""
    even = torch.full((1, 3, 64, 64), 0.5)
    for padding, flat in (("reflect", True), ("zeros", False)):
        found = load_features("mini", ["relu3_1"], padding=padding)(even)["relu3_1"]
        assert torch.allclose(found, found.mean((2, 3), keepdim=True), atol=1e-4) == flat


@pytest.mark.slow
def test_a_network_first_needed_in_a_step_is_calibrated_as_any_other(monkeypatch) -> None:
    monkeypatch.setattr(features, "resolve", answer_with(vgg_state("vgg19")))
    before = load_features("vgg19", ["relu4_1"], unit_activations=True)
    with torch.autocast("cpu", torch.bfloat16):
        inside = load_features("vgg19", ["relu4_1"], unit_activations=True)
    pairs = zip(before.state_dict().values(), inside.state_dict().values(), strict=True)
    assert all(torch.equal(*pair) for pair in pairs)
