"""Arbitrary stylisation by predicted norms: published counts, formulas, mixtures, training."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torchvision import models

from atelier.core.config import UserError
from atelier.methods import ghiasi
from atelier.methods.base import make
from atelier.methods.ghiasi import Predicted, PredictedSettings
from atelier.nn.conditional_norm import ShiftNorm, StyledConv, StyleNorm, StyleTransformer, Topology
from atelier.nn.pretrained import features
from atelier.nn.pretrained.features import vgg_layers
from atelier.nn.pretrained.weights import StateDict
from support.nets import answer_with
from support.steps import (
    WEIGHTS,
    batch_of,
    check_finite,
    check_layer_weights,
    check_perceptual_losses,
    losses_of,
    optimise,
    pair,
    smooth,
    twins,
)
from support.tensors import weights

PORT = {"encoder_norm": "in", "pad": "zero", "upsample": "bilinear", "output": "tanh",
        "conditional_affine": True, "init_std": 0.02}  # fmt: skip
VARIANTS: dict[str, dict[str, Any]] = {
    "paper": {}, "instance": {"encoder_norm": "in"}, "port": PORT
}  # fmt: skip
OTHERS = ("paper", "port")
"""The variants that no entry of ``params.yaml`` has, so that test_contract.py does not see them."""
STYLE = ("relu1_1", "relu2_1")

untraced = pytest.mark.filterwarnings("ignore:NOTE. The nodes obtained by tracing")


def system(seed: int = 0, **overrides: Any) -> Predicted:
    """The narrowest network and the shallowest layers of ``mini``."""
    block = {"features": "mini", "content_layers": ["relu2_1"], "style_layers": STYLE}
    block |= {"predictor_features": "mini", "predictor_layer": "relu4_1"}
    block |= {"class": "ghiasi", "steps": 1, "width": 4, "bottleneck": 8, "lr": 0.01} | overrides
    found = make(block, "methods.x", seed=seed, device="cpu")
    assert isinstance(found, Predicted)
    return found


def grown(seed: int = 0, **overrides: Any) -> Predicted:
    """With heads as large as after a training, so that the style shows."""
    method = system(seed, **overrides)
    with torch.no_grad():
        method.networks["heads"].weight.mul_(30)
    return method


def losses(method: Predicted, content: Tensor, style: Tensor, step: int = 0) -> dict[str, Tensor]:
    return losses_of(method, batch_of(content, style, step))


def train(method: Predicted, steps: int) -> list[float]:
    method.networks.train()
    content, style = smooth(2), smooth(2, seed=1)
    return optimise(method, (batch_of(content, style, step) for step in range(steps)))


def blend(method: Predicted, *args: Any) -> Tensor:
    with method.inference_mode():
        return method.blend(*args)


def vector(method: Predicted, style: Tensor) -> Tensor:
    with method.inference_mode():
        return method.style_vector(style)


def naive_gram(value: Tensor) -> Tensor:
    """(C, h, w) to (C, C), divided by the positions."""
    rows = value.flatten(1)
    return torch.einsum("cm,dm->cd", rows, rows) / rows.shape[1]


def inception_state() -> StateDict:
    torch.manual_seed(0)
    state: StateDict = models.inception_v3(weights=None, init_weights=False).state_dict()
    return state


def with_inception(patch: pytest.MonkeyPatch, **overrides: Any) -> Predicted:
    """Full width, on an Inception without a training; its Mixed_6e has the published width."""
    patch.setattr(features, "resolve", answer_with(inception_state()))
    net = features.load_features("inception_v3", ["Mixed_6e"])
    patch.undo()
    block = {"features": "mini", "predictor_features": "inception_v3", "steps": 1,
             "predictor_layer": "Mixed_6e", "content_layers": ["relu2_1"],
             "style_layers": STYLE, **overrides}  # fmt: skip
    settings = PredictedSettings.build(block, "methods.x")
    judge = features.LossFeatures(lambda: features.load_features("mini", STYLE))
    return Predicted(settings, judge, net, 0, "cpu")


@pytest.mark.slow
@untraced
def test_published_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    method = with_inception(monkeypatch)
    assert method.card()["parameters_trained"] == 2_030_114
    transformer = method.networks["transformer"]
    assert isinstance(transformer, StyleTransformer)
    convs = [layer for layer in transformer.modules() if isinstance(layer, nn.Conv2d)]
    assert sum(p.numel() for conv in convs for p in conv.parameters()) == 1_674_432
    assert len(transformer.widths) == 13
    assert sum(transformer.widths) == 1379
    assert method.networks["heads"].out_features == 2758
    assert method.style_vector(smooth(2, 80, 80)).shape == (2, 100)
    port = with_inception(monkeypatch, **PORT)
    assert port.card()["parameters_trained"] == 2_033_096


@pytest.mark.slow
@untraced
def test_a_trained_inception_keeps_its_batch_norms(monkeypatch: pytest.MonkeyPatch) -> None:
    method = with_inception(monkeypatch, freeze_predictor=False)
    assert method.card()["parameters_trained"] == 2_030_114 + 8_965_856
    method.networks.train()
    norms = [m for m in method.networks["predictor"].modules() if isinstance(m, nn.BatchNorm2d)]
    assert len(norms) > 50
    assert not any(norm.training for norm in norms)
    before = [norm.running_mean.clone() for norm in norms if norm.running_mean is not None]
    torch.autograd.backward(method.style_vector(smooth(2, 80, 80)).square().sum())
    assert all(
        weight.grad is not None and weight.grad.abs().max() > 0
        for weight in method.networks["predictor"].parameters()
    )
    after = [norm.running_mean for norm in norms if norm.running_mean is not None]
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


def test_missing_inception_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> StateDict:
        raise UserError(f"the weights of {name} are missing")

    monkeypatch.setattr(features, "resolve", missing)
    overrides = {"predictor_features": "inception_v3", "predictor_layer": "Mixed_6e"}
    with pytest.raises(UserError, match="weights of"):
        system(**overrides)


def test_layers_of_the_two_topologies() -> None:
    for topology in (Topology(), Topology("in", "zero", "bilinear", "tanh", True)):
        network, paper = StyleTransformer(topology), topology == Topology()
        convs = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d)]
        rows = [(c.kernel_size[0], c.stride[0], c.out_channels) for c in convs]
        down, body = [(9, 1, 32), (3, 2, 64), (3, 2, 128)], [(3, 1, 128)] * 10
        assert rows == [*down, *body, (3, 1, 64), (3, 1, 32), (9, 1, 3)]
        assert {c.padding_mode for c in convs} == {"reflect" if paper else "zeros"}
        assert not any(c.bias is not None for c in convs)
        ups = [layer.mode for layer in network.modules() if isinstance(layer, nn.Upsample)]
        assert ups == ["nearest" if paper else "bilinear"] * 2
        norms = [layer.norm for layer in network.modules() if isinstance(layer, StyleNorm)]
        assert [norm.affine for norm in norms] == [not paper] * 13
        shifts = [layer for layer in network.encoder if isinstance(layer, ShiftNorm)]
        assert len(shifts) == (3 if paper else 0)


def test_batch_norm_of_the_encoder_has_a_shift_only() -> None:
    norm = ShiftNorm(5)
    assert {name for name, _ in norm.named_parameters()} == {"bias"}
    value = 3 * torch.randn(4, 5, 6, 6) + 2
    with torch.no_grad():
        norm.bias.fill_(0.5)
        found = norm(value)
    torch.testing.assert_close(found.mean((0, 2, 3)), torch.full((5,), 0.5), atol=1e-4, rtol=0)
    expected = value.var((0, 2, 3), correction=0)
    torch.testing.assert_close(found.var((0, 2, 3), correction=0), expected / (expected + 1e-3))
    assert norm.running_mean is not None
    torch.testing.assert_close(norm.running_mean, 1e-3 * value.mean((0, 2, 3)))


@pytest.mark.parametrize("affine", [False, True])
@pytest.mark.parametrize("low", [False, True])
def test_the_conditional_norm_is_its_formula(affine: bool, low: bool) -> None:
    norm = StyleNorm(5, affine=affine)
    value, scale, shift = torch.randn(3, 5, 6, 7) * 4 + 9, torch.randn(3, 5), torch.randn(3, 5)
    own, offset = torch.ones(5), torch.zeros(5)
    if affine:
        own, offset = torch.randn(5), torch.randn(5)
        norm.norm.weight, norm.norm.bias = nn.Parameter(own), nn.Parameter(offset)
    if low:
        value = value.bfloat16()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=low):
        found = norm(value, scale, shift)
    assert found.dtype == torch.float32
    exact = value.double()
    mean, variance = exact.mean((2, 3), keepdim=True), exact.var((2, 3), correction=0, keepdim=True)
    normed = (exact - mean) / (variance + 1e-5).sqrt()
    normed = normed * own[:, None, None] + offset[:, None, None]
    expected = normed * scale[..., None, None] + shift[..., None, None]
    torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=1e-4)


def test_every_picture_has_its_own_norm() -> None:
    torch.manual_seed(0)
    network = StyleTransformer(Topology("in"), 4)
    content, scale, shift = smooth(2), torch.randn(2, 175), torch.randn(2, 175)
    assert sum(network.widths) == 175
    with torch.no_grad():
        together = network(content, scale, shift)
        alone = [network(content[n : n + 1], scale[n : n + 1], shift[n : n + 1]) for n in (0, 1)]
        swapped = network(content, scale.flip(0), shift.flip(0))
    torch.testing.assert_close(together, torch.cat(alone), rtol=1e-4, atol=1e-5)
    assert (swapped - together).abs().mean() > 0.01


def test_codes_go_to_the_layers_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[int, float, float]] = []

    def note(self: StyleNorm, value: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        seen.append((value.shape[1], scale[0, 0].item(), shift[0, 0].item()))
        return value

    monkeypatch.setattr(StyleNorm, "forward", note)
    network = StyleTransformer(Topology("in"), 4)
    scale = torch.arange(175.0)[None]
    network(smooth(1), scale, -scale)
    starts = [16 * n for n in range(10)] + [160, 168, 172]
    assert seen == [(w, s, -s) for w, s in zip([16] * 10 + [8, 4, 3], starts, strict=True)]


def test_a_residual_block_adds_its_input_and_nothing_follows() -> None:
    """With all γ = 0 and β = 0 a block leaves its input, negative values included."""
    network = StyleTransformer(Topology("in"), 4)
    inputs: list[Tensor] = []
    hook = network.decoder[0].register_forward_pre_hook(lambda _, args: inputs.append(args[0]))
    with torch.no_grad():
        network.encoder.append(nn.Conv2d(16, 16, 1))
        network(smooth(1), torch.zeros(1, 175), torch.zeros(1, 175))
        hook.remove()
        assert torch.equal(inputs[0], network.encoder(smooth(1)))
    assert inputs[0].min() < 0


@pytest.mark.parametrize("output", ["sigmoid", "tanh"])
def test_the_output_norm_sets_the_colour(output: str) -> None:
    network = StyleTransformer(Topology("in", output=output), 4)  # type: ignore[arg-type]
    scale, shift = torch.zeros(1, 175), torch.zeros(1, 175)
    shift[0, -3:] = torch.tensor([-1.0, 0.0, 2.0])
    with torch.no_grad():
        found = network(smooth(1), scale, shift).mean((2, 3))[0]
    expected = shift[0, -3:].sigmoid() if output == "sigmoid" else (shift[0, -3:].tanh() + 1) / 2
    torch.testing.assert_close(found, expected)


def test_up_sampling_doubles_the_sides_before_the_convolution() -> None:
    layer = StyledConv(Topology(), 4, 6, up=True)
    codes = iter([(torch.ones(1, 6), torch.zeros(1, 6))])
    assert layer(torch.randn(1, 4, 8, 10), codes).shape == (1, 6, 16, 20)


def test_first_weights() -> None:
    method = system(width=32, bottleneck=100, initial_scale=1.0)
    stds = [
        w.std().item() for n, w in method.networks["transformer"].named_parameters() if "conv" in n
    ]
    assert stds[2:-1] == pytest.approx([0.01] * len(stds[2:-1]), rel=0.05)
    heads = method.networks["heads"]
    assert heads.weight.std().item() == pytest.approx(0.01, rel=0.05)
    assert torch.equal(heads.bias, torch.cat([torch.ones(1379), torch.zeros(1379)]))
    assert not system().networks["heads"].bias.any()


@pytest.mark.parametrize("variant", OTHERS)
@pytest.mark.parametrize("size", [(48, 48), (50, 37), (12, 61)])
def test_a_picture_of_any_size_keeps_it(variant: str, size: tuple[int, int]) -> None:
    found = grown(**VARIANTS[variant]).stylize(smooth(2, *size), smooth(2, 41, 30, seed=1))
    assert found.shape == (2, 3, *size)
    assert found.min() >= 0
    assert found.max() <= 1


@pytest.mark.parametrize("size", [(74, 200), (20, 20), (33, 40)])
def test_small_paintings_are_enlarged_to_what_inception_needs(size: tuple[int, int]) -> None:
    found = ghiasi._enlarged(smooth(1, *size))
    assert min(found.shape[2:]) == 75
    assert found.shape[3] / found.shape[2] == pytest.approx(size[1] / size[0], rel=0.02)


def test_large_paintings_are_left() -> None:
    style = smooth(1, 75, 90)
    assert ghiasi._enlarged(style) is style


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_losses_are_those_of_a_naive_formula(variant: str) -> None:
    method, content, style = system(**WEIGHTS, **VARIANTS[variant]), smooth(2), smooth(2, 40, 36, 1)
    with torch.no_grad():
        image = method.apply(content, method.style_vector(style))
    check_perceptual_losses(method, batch_of(content, style), image, naive_gram)


def test_style_layer_weights_weigh_their_layer() -> None:
    def style(weights: list[float]) -> Tensor:
        return losses(system(style_layer_weights=weights), smooth(2), smooth(2, seed=1))["style"]

    check_layer_weights(style)


def test_tv_is_left_out_at_weight_zero() -> None:
    assert set(losses(system(), smooth(1), smooth(1))) == {"total", "content", "style"}


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_loss_falls(variant: str) -> None:
    totals = train(system(**VARIANTS[variant]), 15)
    assert sum(totals[-3:]) < 0.8 * sum(totals[:3])


@pytest.mark.parametrize("freeze", [True, False])
@pytest.mark.parametrize("variant", VARIANTS)
def test_the_gradient_reaches_every_trained_parameter(variant: str, freeze: bool) -> None:
    method = grown(**VARIANTS[variant], freeze_predictor=freeze, initial_scale=1.0, tv_weight=1.0)
    method.networks.train()
    torch.autograd.backward(losses(method, smooth(2), smooth(2, seed=1))["total"])
    for name, weight in method.networks.named_parameters():
        assert weight.grad is not None, name
        assert weight.grad.isfinite().all(), name
        assert weight.grad.abs().max() > 0, name
    trained = any(p.requires_grad for p in method.predictor.parameters())
    assert trained == (not freeze)
    assert not any(p.requires_grad for p in method.loss_features.network.parameters())
    assert ("predictor" in method.networks) == (not freeze)


def test_a_trained_predictor_moves() -> None:
    method = grown(freeze_predictor=False)
    before = weights(method.networks)
    train(method, 2)
    after = weights(method.networks)
    moved = [key for key in after if key.startswith("predictor.") and "weight" in key]
    assert moved
    assert all(not torch.equal(before[key], after[key]) for key in moved)


@pytest.mark.parametrize("variant", OTHERS)
@pytest.mark.parametrize("which", ["content", "style", "both"])
def test_pictures_of_one_colour_stay_finite(variant: str, which: str) -> None:
    check_finite(grown(**VARIANTS[variant], tv_weight=1.0), *pair(which))


@pytest.mark.parametrize("variant", OTHERS)
def test_two_pictures_are_transformed_as_each_alone(variant: str) -> None:
    method, content, style = grown(**VARIANTS[variant]), smooth(2, 40, 44), smooth(2, 50, 36, 1)
    together = method.stylize(content, style)
    alone = [method.stylize(c[None], s[None]) for c, s in zip(content, style, strict=True)]
    torch.testing.assert_close(together, torch.cat(alone), rtol=0, atol=1e-3)


def test_the_painting_matters() -> None:
    method, content = grown(), smooth(1)
    one, other = (method.stylize(content, smooth(1, seed=n)) for n in (1, 2))
    assert (one - other).abs().mean() > 0.01


def test_a_style_split_into_parts_is_that_style() -> None:
    method, content, style = grown(), smooth(2), smooth(2, seed=1)
    whole = blend(method, content, [style], [1.0])
    split = blend(method, content, [style] * 3, [0.2, 0.5, 0.3])
    torch.testing.assert_close(split, whole, rtol=0, atol=1e-4)  # the weights sum to 1 but rounded
    other = smooth(2, 30, 60, seed=2)
    torch.testing.assert_close(blend(method, content, [style, other], [1.0, 0.0]), whole)
    torch.testing.assert_close(method.stylize(content, style), whole.clamp(0, 1))


def test_a_mixture_is_linear_in_the_style_vector_and_its_order_does_not_matter() -> None:
    method, content = grown(), smooth(1)
    one, other = smooth(1, seed=1), smooth(1, 30, 60, seed=2)
    mixed = blend(method, content, [one, other], [0.25, 0.75])
    expected = 0.25 * vector(method, one) + 0.75 * vector(method, other)
    with method.inference_mode():
        torch.testing.assert_close(mixed, method.apply(content, expected))
    torch.testing.assert_close(mixed, blend(method, content, [other, one], [0.75, 0.25]))
    ends = [blend(method, content, [style], [1.0]) for style in (one, other)]
    assert min((mixed - end).abs().mean() for end in ends) > 1e-3


def test_strength_goes_from_the_contents_own_vector_to_the_styles() -> None:
    method, content, style = grown(), smooth(2), smooth(2, seed=1)
    own = blend(method, content, [content], [1.0])
    full = blend(method, content, [style], [1.0])
    torch.testing.assert_close(blend(method, content, [style], [1.0], 0.0), own)
    torch.testing.assert_close(blend(method, content, [style], [1.0], 1.0), full)
    half = blend(method, content, [style], [1.0], 0.5)
    torch.testing.assert_close(half, blend(method, content, [style, content], [0.5, 0.5]))
    assert (half - own).abs().mean() > 1e-3
    assert (half - full).abs().mean() > 1e-3


def test_the_strength_of_the_settings_is_used() -> None:
    content, style = smooth(1), smooth(1, seed=1)
    found = grown(strength=0.0).stylize(content, style)
    torch.testing.assert_close(found, grown().stylize(content, content))


def test_interpolate_takes_contents_of_any_size() -> None:
    method = grown()
    styles = [smooth(1, seed=1), smooth(1, 40, 33, seed=2)]
    found = method.interpolate(smooth(1, 50, 37), styles, [0.5, 0.5], 0.8)
    assert found.shape == (1, 3, 50, 37)
    assert found.min() >= 0
    assert found.max() <= 1


def test_one_weight_per_style() -> None:
    with pytest.raises(ValueError, match="zip"):
        blend(system(), smooth(1), [smooth(1)], [0.5, 0.5])


def test_the_same_seed_augments_alike() -> None:
    one, other = twins(lambda: system(seed=3, augment_styles=True))
    before = torch.get_rng_state()
    assert train(one, 3) == train(other, 3)
    assert torch.equal(before, torch.get_rng_state()), "the global generator is not touched"
    pairs = zip(weights(one.networks).values(), weights(other.networks).values(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    fresh = [weights(system(seed=n).networks) for n in (3, 4)]
    for name in ("transformer.encoder.0.weight", "bottleneck.weight", "heads.weight"):
        assert not torch.equal(fresh[0][name], fresh[1][name])


def test_augmented_styles_are_what_the_loss_compares_with(monkeypatch: pytest.MonkeyPatch) -> None:
    other = smooth(2, 60, 60, seed=7)
    monkeypatch.setattr(ghiasi, "augment_styles", lambda *_: other)
    content, style = smooth(2), smooth(2, seed=1)
    found = losses(grown(augment_styles=True), content, style)
    expected = losses(grown(), content, other)
    torch.testing.assert_close(found["total"], expected["total"])
    assert not torch.equal(found["total"], losses(grown(), content, style)["total"])


def test_augmentation_differs_from_step_to_step() -> None:
    method, content, style = grown(augment_styles=True), smooth(2), smooth(2, seed=1)
    values = [losses(method, content, style, step)["style"].item() for step in (0, 0, 1)]
    assert values[0] == values[1]
    assert values[0] != values[2]


def test_evaluation_uses_the_averages_of_the_encoder() -> None:
    """Batch norm: what a picture becomes must not depend on its neighbours."""
    method = grown()
    train(method, 2)
    assert method.networks.training
    content, style = smooth(1), smooth(1, seed=1)
    one = method.stylize(content, style)
    assert method.networks.training
    assert torch.equal(one, method.stylize(content, style)), "nothing is updated"


def test_low_precision_keeps_the_losses_about_as_they_are() -> None:
    method, content, style = grown(tv_weight=1.0), smooth(2), smooth(2, seed=1)
    exact = losses(method, content, style)
    with torch.autocast("cpu", torch.bfloat16):
        rough = losses(method, content, style)
    for name, value in rough.items():
        assert value.dtype == torch.float32
        assert value.item() == pytest.approx(exact[name].item(), rel=0.1)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"encoder_norm": "batch"}, r"methods\.x\.encoder_norm: .*'bn'.*found 'batch'"),
        ({"pad": "zeros"}, r"methods\.x\.pad: .*'zero'"),
        ({"bottleneck": 0}, r"methods\.x\.bottleneck: .*greater than or equal to 1"),
        ({"strength": 1.5}, r"methods\.x\.strength: .*less than or equal to 1"),
        ({"style_layers": []}, r"methods\.x\.style_layers: .*at least 1 item"),
        ({"style_layer_weights": [1.0]}, r"style_layer_weights has 1 entries for 2 style_layers"),
        ({"style_layer_weights": []}, r"style_layer_weights has 0 entries for 2 style_layers"),
        ({"predictor_layer": "relu9_1"}, r"mini has no layer 'relu9_1'"),
        ({"freeze_inception": True}, r"methods\.x\.freeze_inception: no such setting"),
    ],
)
def test_wrong_settings_are_named(overrides: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        system(**overrides)


def test_the_default_layers_are_those_of_vgg16() -> None:
    settings = PredictedSettings(
        steps=1, features="vgg16", predictor_features="vgg16", predictor_layer="relu5_1"
    )
    wanted = {*settings.content_layers, *settings.style_layers}
    assert wanted == {"relu1_2", "relu2_2", "relu3_3", "relu4_3"}
    assert wanted < set(vgg_layers("vgg16"))


def test_the_card_names_both_networks() -> None:
    card = system().training_card()
    assert card["kind"] == "arbitrary"
    assert card["loss_features"] == card["predictor"] == "mini"
    assert card["loss_features_hash"] == card["predictor_hash"]
