"""MetaNet: statistics, losses, mixtures, adaptation, training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from atelier.core import images
from atelier.core.config import UserError
from atelier.methods.base import make
from atelier.methods.metanet import MetaNet
from atelier.nn.pretrained import features
from support.nets import answer_with, quick_random, vgg_state
from support.steps import batch_of, losses_of, optimise, smooth
from support.tensors import weights

MINI = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
GRAM = {"style_loss": "gram", "style_weight": 3e5}
VARIANTS: dict[str, dict[str, Any]] = {
    "original": {},
    "improved": {"middle": "resnext", **GRAM},
    "resnet_gram": GRAM,
    "resnext_mse": {"middle": "resnext"},
    "pad40": {"padding": "pad40"},
}


def system(seed: int = 0, **overrides: Any) -> MetaNet:
    """The smallest useful one: ``mini``'s shallow layers, the least width."""
    block = {"features": "mini", "content_layers": ["relu2_1"], "style_layers": MINI[:3]}
    block |= {"class": "metanet", "steps": 1, "width": 4, "hidden": 16} | overrides
    found = make(block, "methods.x", seed=seed, device="cpu")
    assert isinstance(found, MetaNet)
    return found


def losses(method: MetaNet, content: Tensor, style: Tensor) -> dict[str, Tensor]:
    return losses_of(method, batch_of(content, style))


def train(method: MetaNet, steps: int) -> list[float]:
    batch = batch_of(smooth(2), smooth(1, seed=1))
    return optimise(method, (batch for _ in range(steps)))


def blend(method: MetaNet, *args: Any) -> Tensor:
    with torch.no_grad():
        return method.blend(*args)


def test_vggs_widths_give_1920_statistics(monkeypatch: pytest.MonkeyPatch) -> None:
    quick_random(monkeypatch)
    layers = ["relu1_2", "relu2_2", "relu3_4", "relu4_4"]
    overrides = {"content_layers": ["relu3_3"], "style_layers": layers, "width": 8, "hidden": 128}
    method = system(features="random", **overrides)
    assert method.statistics(smooth(2)).shape == (2, 1920)
    assert method.card()["parameters_trained"] == 16_867_720 + 3_899


def test_statistics_are_interleaved_means_and_unbiased_deviations() -> None:
    method, style = system(), smooth(2, seed=1)
    found, wanted = method.statistics(style), method.features(style)
    assert found.shape == (2, 2 * (32 + 64 + 128))
    begin = 0
    for layer in MINI[:3]:
        value = wanted[layer].numpy()
        part = found[:, begin : begin + 2 * value.shape[1]].numpy()
        assert part[:, 0::2] == pytest.approx(value.mean((2, 3)), rel=1e-4, abs=1e-5)
        deviation = (value.var((2, 3), ddof=1) + 1e-5) ** 0.5
        assert part[:, 1::2] == pytest.approx(deviation, rel=1e-4, abs=1e-5)
        begin += part.shape[1]
    assert begin == found.shape[1]


def test_the_total_is_the_weighted_sum_of_naive_losses() -> None:
    for form in ("mean_std", "gram"):
        weights = {"content_weight": 2.0, "style_weight": 7.0, "tv_weight": 0.01}
        method, content, style = system(style_loss=form, **weights), smooth(2), smooth(1, seed=1)
        found = losses(method, content, style)
        with torch.no_grad():
            image = method.networks(content, method.statistics(style))[0]
            made, own, want = (method.features(x) for x in (image, content, style))
            near = (made["relu2_1"] - own["relu2_1"]).square().mean()
            rough = (image.diff(dim=2).abs().sum() + image.diff(dim=3).abs().sum()) / 2
            if form == "mean_std":
                gap = (method.statistics(image) - method.statistics(style)).square().mean()
            else:
                gap = sum((_gram(made[k]) - _gram(want[k])).square().mean() for k in MINI[:3])
        torch.testing.assert_close(found["content"], near)
        torch.testing.assert_close(found["style"], gap)
        torch.testing.assert_close(found["tv"], rough)
        torch.testing.assert_close(found["total"], 2 * near + 7 * gap + 0.01 * rough)


def _gram(value: Tensor) -> Tensor:
    flat = value.flatten(2)
    return torch.einsum("bim,bjm->bij", flat, flat) / flat[0].numel()


def test_style_layer_weights_weigh_their_layer() -> None:
    content, style = smooth(1), smooth(1, seed=1)

    def loss(form: str, weights: list[float]) -> Tensor:
        method = system(style_loss=form, style_layer_weights=weights)
        return losses(method, content, style)["style"]

    for form in ("gram", "gram_positions"):
        parts = [loss(form, [float(n == k) for k in range(3)]) for n in range(3)]
        wanted = 2 * parts[0] + 3 * parts[1] + 5 * parts[2]
        torch.testing.assert_close(loss(form, [2, 3, 5]), wanted)
    torch.testing.assert_close(  # G/(H·W) instead of G/(C·H·W)
        loss("gram_positions", [1, 1, 1]), loss("gram", [32**2, 64**2, 128**2])
    )


def test_standardised_statistics_are_counted_from_the_paintings(tmp_path: Path) -> None:
    paths = [tmp_path / f"{n}.png" for n in range(3)]
    for n, path in enumerate(paths):
        images.save_png(smooth(1, seed=n)[0], path)
    plain, method = system(), system(standardise=True)
    assert method.training_styles(paths) == plain.training_styles(paths) == paths
    assert not weights(plain.networks)["hyper.centre"].any()
    found = method.statistics(images.load_batch(paths))
    hyper, seen = method.networks["hyper"], []
    hyper.hidden.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    hyper(found)
    torch.testing.assert_close(seen[0].mean(0), torch.zeros(found.shape[1]), atol=1e-3, rtol=0)
    wanted = found.std(0) / (found.std(0) + 1e-3)
    torch.testing.assert_close(seen[0].std(0), wanted, atol=1e-3, rtol=1e-3)


def test_the_watched_norms_are_no_part_of_the_total() -> None:
    method = system()
    found = losses(method, smooth(1), smooth(1, seed=1))
    filters = method.networks["hyper"](method.statistics(smooth(1, seed=1)))
    rms = torch.cat(filters, 1).square().mean().sqrt()
    torch.testing.assert_close(found["generated_norm"], rms.detach())
    first = method.networks.get_parameter("transformer.first.weight")
    torch.testing.assert_close(found["first_weight"], first.detach().square().mean().sqrt())
    assert not found["generated_norm"].requires_grad
    assert not found["first_weight"].requires_grad


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_variant_learns(variant: str) -> None:
    method = system(**VARIANTS[variant], lr=3e-3)
    before = weights(method.networks)
    totals = train(method, 12)
    assert totals[-1] < 0.8 * totals[0]
    for name, parameter in method.networks.named_parameters():
        assert not torch.equal(parameter, before[name]), name


def test_gradients_reach_every_parameter_but_idle_biases() -> None:
    method = system(middle="resnext")
    torch.autograd.backward(losses(method, smooth(2), smooth(1, seed=1))["total"])
    for name, parameter in method.networks.named_parameters():
        assert parameter.grad is not None, name
        if name != "transformer.first.bias":  # an instance norm follows
            assert parameter.grad.abs().max() > 1e-5, name
    assert all(p.grad is None for p in method.features.parameters())


@pytest.mark.parametrize("variant", ["original", "improved", "pad40"])
def test_pictures_of_one_colour_stay_finite(variant: str) -> None:
    method, flat = system(**VARIANTS[variant]), torch.full((1, 3, 48, 48), 0.4)
    for content in (flat, torch.cat([flat, smooth(1)])):
        found = losses(method, content, flat + 0.4)
        method.networks.zero_grad()
        torch.autograd.backward(found["total"])
        assert all(value.isfinite() for value in found.values())
        gradients = [p.grad for p in method.networks.parameters() if p.grad is not None]
        assert all(gradient.isfinite().all() for gradient in gradients)
    assert any(gradient.abs().max() > 1e-3 for gradient in gradients), "the other picture counts"
    adapting = system(**VARIANTS[variant], adapt_steps=2)
    assert adapting.stylize(flat, flat + 0.4).isfinite().all()


def test_two_pictures_equal_each_alone() -> None:
    for middle in ("resnet", "resnext"):
        method = system(middle=middle, strength=0.7, preserve_colour=True)
        content, style = smooth(2), smooth(2, 40, 56, seed=1)
        together = method.stylize(content, style)
        for n in range(2):
            alone = method.stylize(content[n : n + 1], style[n : n + 1])
            torch.testing.assert_close(together[n : n + 1], alone, rtol=1e-4, atol=1e-5)


def test_the_style_decides_the_picture() -> None:
    method, content = system(), smooth(1)
    one, other = (method.stylize(content, smooth(1, seed=n)) for n in (1, 2))
    assert (one - other).abs().max() > 1e-3


def test_mixtures() -> None:
    method, content = system(), smooth(2)
    one, two = smooth(2, seed=1), smooth(2, 64, 40, seed=2)
    alone = blend(method, content, [one], [1.0])
    torch.testing.assert_close(alone, method.generate(content, one))
    split = blend(method, content, [one, one], [0.3, 0.7])
    torch.testing.assert_close(split, alone, rtol=1e-3, atol=1e-4)
    mixed = blend(method, content, [one, two], [0.4, 0.6])
    statistics = 0.4 * method.statistics(one) + 0.6 * method.statistics(two)
    torch.testing.assert_close(mixed, method.networks(content, statistics)[0].detach())
    torch.testing.assert_close(
        blend(method, content, [one, two], [0.0, 1.0]), blend(method, content, [two], [1.0])
    )


def test_strength() -> None:
    method, content, style = system(), smooth(1), smooth(1, seed=1)
    own = blend(method, content, [content], [1.0])
    torch.testing.assert_close(blend(method, content, [style], [1.0], 0.0), own)
    half = blend(method, content, [style], [1.0], 0.5)
    wanted = blend(method, content, [style, content], [0.5, 0.5])
    torch.testing.assert_close(half, wanted, rtol=1e-4, atol=1e-5)
    weaker = system(strength=0.5)
    torch.testing.assert_close(weaker.generate(content, style).detach(), half)


def test_odd_sizes_with_the_ports_padding() -> None:
    method = system(padding="pad40")
    found = method.stylize(smooth(1, 50, 57), smooth(1, 61, 43, seed=1))
    assert found.shape == (1, 3, 50, 57)
    assert found.min() >= 0
    assert found.max() <= 1
    assert method.interpolate(smooth(1, 50, 57), [smooth(1)], [1.0], 0.5).shape == (1, 3, 50, 57)


def test_one_painting_stays_for_twenty_steps() -> None:
    plan = system(batch=8, crop=256, smallest_side=256 / 480).plan()
    assert (plan.batch, plan.style_batch, plan.style_every) == (8, 1, 20)
    assert plan.smallest_side == pytest.approx(0.5333, abs=1e-4)
    assert system(style_every=3).plan().style_every == 3


@pytest.mark.slow
def test_decay_holds_the_growth() -> None:
    """Filters grow without it, as the report saw; with it they shrink here, and both learn."""
    found = {}
    for decay in (0.0, 20.0):
        method = system(weight_decay=decay)
        first = losses(method, smooth(2), smooth(1, seed=1))
        totals = train(method, 12)
        last = losses(method, smooth(2), smooth(1, seed=1))
        assert totals[-1] < totals[0]
        for norm in ("generated_norm", "first_weight"):
            found[norm, decay] = (last[norm] / first[norm]).item()
    for norm in ("generated_norm", "first_weight"):
        assert found[norm, 0.0] > 1
        assert found[norm, 20.0] < found[norm, 0.0]


def adapted(**overrides: Any) -> MetaNet:
    return system(adapt_steps=4, adapt_lr=2e-3, **overrides)


def test_adaptation_lowers_the_loss_and_leaves_the_networks_alone() -> None:
    method, content, style = adapted(), smooth(2, 50, 47), smooth(2, seed=1)
    before = weights(method.networks)
    found = list(method.iterates(content, style))
    assert [it.step for it in found] == [1, 2, 3, 4, 5]
    assert {it.total for it in found} == {method.steps(50, 47)} == {5}
    assert {it.image.shape for it in found} == {content.shape}
    assert found[0].losses["total"].shape == (2,)
    assert (found[-1].losses["total"] < found[0].losses["total"]).all()
    assert all(it.image.min() >= 0 and it.image.max() <= 1 for it in found)
    torch.testing.assert_close(found[0].image, system().stylize(content, style))
    assert all(torch.equal(value, before[key]) for key, value in weights(method.networks).items())
    assert all(p.grad is None for p in method.networks.parameters())


def test_an_adapted_picture_does_not_depend_on_earlier_or_neighbouring_ones() -> None:
    method, content, style = adapted(), smooth(2), smooth(2, seed=1)
    together = method.stylize(content, style)
    again = method.stylize(content[1:], style[1:])
    assert torch.equal(again, together[1:])
    assert torch.equal(again, method.stylize(content[1:], style[1:]))


def test_the_first_step_of_adaptation_by_hand() -> None:
    method, content, style = adapted(), smooth(1), smooth(1, seed=1)
    _, second, *_ = method.iterates(content, style)
    hand = system(lr=2e-3)
    optimizer = hand.optimizers()["main"]
    torch.autograd.backward(losses(hand, content, style)["total"])
    optimizer.step()
    torch.testing.assert_close(second.image, hand.stylize(content, style))
    total = losses(hand, content, style)["total"]
    torch.testing.assert_close(second.losses["total"][0], total.detach())


def test_each_adapted_picture_has_its_own_copy_so_they_come_one_by_one() -> None:
    assert adapted(stylize_batch=8).batch == 1
    assert system(stylize_batch=8).batch == 8
    assert system().steps(64, 64) == 1


def test_adapted_colours_can_be_kept() -> None:
    content, style = smooth(1), smooth(1, seed=1)
    kept = adapted(preserve_colour=True).stylize(content, style)
    assert not torch.allclose(kept, adapted().stylize(content, style), atol=1e-3)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"adapt_steps": 2, "strength": 0.5}, "set strength to 1"),
        ({"style_loss": "grams"}, r"methods\.x\.style_loss: .*found 'grams'"),
        ({"middle": "dense"}, r"methods\.x\.middle: .*'resnext'"),
        ({"padding": "pad4"}, r"methods\.x\.padding: .*'pad40'"),
        ({"style_layers": []}, r"methods\.x\.style_layers: .*at least 1 item"),
        ({"style_layers": ["relu1_2"]}, "mini has no layer 'relu1_2'"),
        ({"style_every": 0}, r"methods\.x\.style_every: .*greater than or equal to 1"),
    ],
)
def test_wrong_settings_are_named(overrides: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        system(**overrides)


@pytest.mark.parametrize("part", ["features", "loss_features"])
def test_caffes_weights_as_they_are_are_refused(monkeypatch: pytest.MonkeyPatch, part: str) -> None:
    state = {key: 1e4 * value for key, value in vgg_state("vgg16").items()}
    monkeypatch.setattr(features, "resolve", answer_with(state))
    layers = {"content_layers": ["relu1_1"], "style_layers": ["relu1_1"], "features": "random"}
    block = {"class": "metanet", "steps": 1, "unit_activations": False, **layers, part: "vgg16"}
    quick_random(monkeypatch)
    with pytest.raises(UserError, match="published loss weights do not apply"):
        make(block, "methods.m", seed=0, device="cpu").training_card()


def test_too_small_a_style_is_refused() -> None:
    for overrides in ({}, {"adapt_steps": 1}):
        method = system(style_layers=MINI, **overrides)
        assert method.stylize(smooth(1), smooth(1, 32, 32)).isfinite().all()
        with pytest.raises(UserError, match="too small for its statistics: 32 px will do"):
            method.stylize(smooth(1), smooth(1, 31, 31))
    with pytest.raises(UserError, match="too small to be padded by 40"):
        system(padding="pad40").stylize(smooth(1, 40, 64), smooth(1))
