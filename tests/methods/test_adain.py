"""AdaIN: the published sizes and formulas, mixtures, strength, any size, whole or in tiles."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Generator, Tensor

from atelier.core.batches import Batch
from atelier.core.config import UserError
from atelier.methods.adain import AdaIN, adain
from atelier.methods.base import make
from atelier.nn.colour_transfer import recolour
from atelier.nn.decoder import TAPS
from atelier.nn.feature_matching import match_covariance, match_distribution
from atelier.nn.losses import content_loss, mean_std, mean_std_loss
from atelier.nn.pretrained import features
from atelier.nn.pretrained.features import load_features
from support import arbitrary
from support.arbitrary import (
    check_he_initialisation,
    check_identity_loss,
    check_one_style,
    check_tiles,
    let_through,
    two_pairs,
)
from support.nets import quick_random
from support.steps import losses_of, optimise, smooth


def system(seed: int = 0, **overrides: Any) -> AdaIN:
    block = {"class": "adain", "features": "mini", "steps": 20, "lr": 1e-3, **overrides}
    method = make(block, "methods.adain", seed=seed, device="cpu")
    assert isinstance(method, AdaIN)
    return method


legible = arbitrary.legible(system)


def losses(method: AdaIN, seen: Batch | None = None) -> dict[str, Tensor]:
    return losses_of(method, seen or two_pairs())


def train(method: AdaIN, steps: int) -> list[float]:
    return optimise(method, (two_pairs(step=step) for step in range(steps)))


@pytest.mark.usefixtures("seeded_vgg19")
def test_with_vgg19_it_has_the_published_size_and_padding() -> None:
    method = system(features="vgg19")
    assert method.card()["parameters_trained"] == 3_505_219
    convolutions = [m for m in method.features.modules() if isinstance(m, torch.nn.Conv2d)]
    assert len(convolutions) == 9
    assert {m.padding_mode for m in convolutions} == {"reflect"}
    found = method.features(smooth(2))
    assert all(0.2 < value.mean() < 5 for value in found.values()), "rescaled to about one"


def test_with_mini_the_decoder_mirrors_its_widths() -> None:
    method = system()
    widths = [p.shape[:2] for p in method.networks["decoder"].parameters() if p.ndim == 4]
    assert widths[0] == (128, 160)
    assert widths[-2:] == [(32, 32), (3, 32)]
    assert method.card()["features"] == "mini"


def test_from_relu3_1_the_decoder_lacks_its_first_layer() -> None:
    deep, shallow = system(), system(layer="relu3_1")
    names = {k for k in deep.networks.state_dict() if not k.startswith("decoder.head")}
    assert set(shallow.networks.state_dict()) == names
    image, style = smooth(1, 33, 47), smooth(1, seed=1)
    assert shallow.stylize(image, style).shape == image.shape
    tiled = system(layer="relu3_1", tile=64)
    large = smooth(1, 150, 101)
    torch.testing.assert_close(tiled.stylize(large, style), shallow.stylize(large, style))


def test_the_content_loss_is_at_relu4_1_whatever_is_decoded() -> None:
    method, seen = system(layer="relu3_1"), two_pairs()
    found, wanted = (method.features(x)["relu3_1"] for x in (seen.content, seen.style))
    image = method.networks["decoder"](adain(found, *mean_std(wanted)))
    deep = [method.features(x)["relu4_1"] for x in (image, seen.content, seen.style)]
    expected = content_loss(deep[0], adain(deep[1], *mean_std(deep[2]))).mean()
    torch.testing.assert_close(losses(method)["content"], expected)


def test_adain_gives_the_styles_moments_and_keeps_the_contents_drawing() -> None:
    generator = Generator().manual_seed(0)
    content = 3 + 2 * torch.randn(2, 5, 6, 7, generator=generator)
    mean, std = torch.randn(2, 5, generator=generator), torch.rand(2, 5, generator=generator) + 0.1
    found = adain(content, mean, std)
    of_found = found.flatten(2)
    torch.testing.assert_close(of_found.mean(2), mean, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(of_found.std(2), std, atol=1e-5, rtol=1e-4)  # unbiased
    flat = content.flatten(2)
    spread = ((flat - flat.mean(2, keepdim=True)).square().sum(2) / 41 + 1e-5).sqrt()
    expected = std[0, 3] * (content[0, 3] - flat[0, 3].mean()) / spread[0, 3] + mean[0, 3]
    torch.testing.assert_close(found[0, 3], expected)
    own = adain(content, *mean_std(content))
    torch.testing.assert_close(own, content)


def test_the_losses_are_the_papers() -> None:
    """The content's target is the AdaIN output; the total weighs 1 and 10."""
    method, seen = system(content_weight=2.0), two_pairs()
    found = losses(method, seen)
    of_style = method.features(seen.style)
    target = adain(method.features(seen.content)["relu4_1"], *mean_std(of_style["relu4_1"]))
    again = method.features(method.networks["decoder"](target))
    content = (again["relu4_1"] - target).square().mean()
    style = torch.zeros(())
    for tap in ("relu1_1", "relu2_1", "relu3_1", "relu4_1"):
        for ours, theirs in zip(mean_std(again[tap]), mean_std(of_style[tap]), strict=True):
            style = style + (ours - theirs).square().mean()
    torch.testing.assert_close(found["content"], content)
    torch.testing.assert_close(found["style"], style)
    torch.testing.assert_close(found["total"], 2 * content + 10 * style)


def test_the_identity_loss_is_of_the_photograph_as_its_own_style() -> None:
    check_identity_loss(system(identity_weight=100.0), system(), two_pairs())


def test_the_losses_of_efdm_are_its_papers() -> None:
    """Content against the matched features; style by what each channel's values lack of them."""
    method, seen = system(matching="efdm", content_weight=2.0), two_pairs()
    found = losses(method, seen)
    of_style = method.features(seen.style)
    target = match_distribution(method.features(seen.content)["relu4_1"], of_style["relu4_1"])
    again = method.features(method.networks["decoder"](target))
    content = (again["relu4_1"] - target).square().mean()
    style = torch.zeros(())
    for tap in TAPS:
        wanted = match_distribution(again[tap], of_style[tap]).detach()
        style = style + (again[tap] - wanted).square().mean()
    torch.testing.assert_close(found["content"], content)
    torch.testing.assert_close(found["style"], style)
    torch.testing.assert_close(found["total"], 2 * content + 10 * style)


def test_the_decoder_of_wct_learns_to_reconstruct_and_sees_no_style() -> None:
    method = system(matching="wct", content_weight=2.0, identity_weight=3.0)
    found = losses(method)
    image = two_pairs().content
    features = method.features(image)["relu4_1"]
    itself = method.networks["decoder"](features)
    content = (method.features(itself)["relu4_1"] - features).square().mean()
    pixels = (itself - image).square().mean()
    torch.testing.assert_close(found["total"], 2 * content + 3 * pixels)
    assert set(found) == {"total", "content", "identity"}
    sums = 2 * (content * features.numel() + pixels * image.numel())
    published = losses(system(matching="wct", content_weight=2.0))["total"]
    torch.testing.assert_close(published, sums / features.numel())
    other = losses(method, two_pairs(style=smooth(2, seed=9)))
    assert torch.equal(other["total"], found["total"])


@pytest.mark.usefixtures("seeded_vgg19")
def test_with_vgg19_the_pixels_of_wct_weigh_three_eighths() -> None:
    found = losses(system(features="vgg19", matching="wct", content_weight=2.0))
    expected = 2 * found["content"] + 0.75 * found["identity"]
    torch.testing.assert_close(found["total"], expected)


MATCHINGS = {"efdm": match_distribution, "wct": match_covariance}


@pytest.mark.parametrize("matching", MATCHINGS)
def test_a_matching_decodes_its_features_mixed_in_the_same_way(matching: str) -> None:
    method, styles = legible(matching=matching), [smooth(1, seed=1), smooth(1, 33, 50, seed=2)]
    content = method.features(smooth(1))["relu4_1"]
    match = MATCHINGS[matching]
    parts = [match(content, method.features(style)["relu4_1"]) for style in styles]
    mixed = 0.6 * (0.25 * parts[0] + 0.75 * parts[1]) + 0.4 * content
    with torch.no_grad():
        expected = method.networks["decoder"](mixed)
        found = method.blend(smooth(1), styles, [0.25, 0.75], 0.6)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("matching", MATCHINGS)
def test_strength_and_sizes_of_the_other_matchings(matching: str) -> None:
    method = legible(matching=matching)
    style, other = smooth(1, 40, 56, seed=1), smooth(1, 33, 35, seed=2)
    whole = _blend(method, [style], [1.0])
    torch.testing.assert_close(_blend(method, [style, style], [0.3, 0.7]), whole)
    assert torch.equal(_blend(method, [style], [1.0], 0.0), _blend(method, [other], [1.0], 0.0))
    assert not torch.allclose(whole, _blend(method, [style], [1.0], 0.0), atol=1e-3)
    content = smooth(1, 203, 150)
    tiled = legible(matching=matching, tile=64).stylize(content, style)
    torch.testing.assert_close(tiled, method.stylize(content, style), rtol=0, atol=2e-3)


@pytest.mark.slow
@pytest.mark.parametrize("matching", MATCHINGS)
def test_the_other_matchings_learn(matching: str) -> None:
    curve = train(legible(matching=matching, content_weight=2.0, identity_weight=100.0), 12)
    assert curve[-1] < 0.7 * curve[0]


def test_no_picture_is_encoded_twice_in_a_step() -> None:
    method, seen = system(), two_pairs()
    asked: list[Tensor] = []
    method.features.register_forward_hook(lambda _, inputs, __: asked.append(inputs[0]))
    losses(method, seen)
    assert len(asked) == 3
    assert sum(image is seen.content for image in asked) == 1
    assert sum(image is seen.style for image in asked) == 1


def test_the_gradient_reaches_every_trained_parameter_and_no_other() -> None:
    method = system()
    torch.autograd.backward(losses(method)["total"])
    for weight in method.networks.parameters():
        assert weight.grad is not None
        assert weight.grad.abs().sum() > 0
    assert all(weight.grad is None for weight in method.features.parameters())


def test_training_lowers_the_loss() -> None:
    curve = train(legible(), 12)
    assert curve[-1] < 0.7 * curve[0]


def test_he_initialisation_lets_the_picture_through() -> None:
    check_he_initialisation(*(system(init=init) for init in ("published", "he")))


def test_the_learning_rate_falls_with_one_over_the_step() -> None:
    method = system()
    assert method.lr_factor(0) == 1
    assert method.lr_factor(20_000) == pytest.approx(1 / 2)
    assert method.lr_factor(160_000) == pytest.approx(1 / 9)
    assert system(lr_decay=0).lr_factor(160_000) == 1


def _blend(method: AdaIN, styles: list[Tensor], weights: list[float], share: float = 1) -> Tensor:
    return method.interpolate(smooth(1), styles, weights, share)


def test_one_style_with_split_weights_is_that_style() -> None:
    check_one_style(legible())


def test_a_mixture_decodes_the_mixed_adain_outputs() -> None:
    method, styles = legible(), [smooth(1, seed=1), smooth(1, 33, 50, seed=2)]
    content = method.features(smooth(1))["relu4_1"]
    parts = [adain(content, *mean_std(method.features(s)["relu4_1"])) for s in styles]
    mixed = 0.6 * (0.25 * parts[0] + 0.75 * parts[1]) + 0.4 * content
    with torch.no_grad():
        expected = method.networks["decoder"](mixed)
        found = method.blend(smooth(1), styles, [0.25, 0.75], 0.6)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_at_strength_zero_no_style_is_left() -> None:
    method, styles = legible(), [smooth(1, seed=n) for n in (1, 2)]
    one, other = (_blend(method, [style], [1.0], 0.0) for style in styles)
    assert torch.equal(one, other)
    full = _blend(method, styles[:1], [1.0])
    assert not torch.allclose(one, full, atol=1e-3)
    own = _blend(method, [smooth(1)], [1.0])
    torch.testing.assert_close(own, one, rtol=1e-4, atol=1e-4)


def test_the_settings_strength_and_colour_are_obeyed() -> None:
    content, style = smooth(1), smooth(1, seed=1)
    half = legible(strength=0.5).stylize(content, style)
    assert torch.equal(half, _blend(legible(), [style], [1.0], 0.5))
    kept = legible(preserve_colour=True).stylize(content, style)
    assert torch.equal(kept, _blend(legible(), [recolour(style, content)], [1.0]))


def test_in_tiles_the_result_is_the_same() -> None:
    check_tiles(legible(), legible(tile=64))


def test_pictures_of_a_batch_do_not_mix() -> None:
    method, content, style = legible(), smooth(3), smooth(3, 40, 31, seed=1)
    together = method.stylize(content, style)
    for n in range(3):
        alone = method.stylize(content[n : n + 1], style[n : n + 1])
        torch.testing.assert_close(together[n : n + 1], alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"tile": 100}, r"methods\.adain\.tile: .*multiple of 16"),
        ({"matching": "wtc"}, r"methods\.adain\.matching: .*'efdm'.*found 'wtc'"),
        ({"tile": 32}, r"methods\.adain\.tile: .*greater than or equal to 64"),
        ({"strength": 1.5}, r"methods\.adain\.strength: .*less than or equal to 1"),
        ({"style_wieght": 1}, r"methods\.adain\.style_wieght: no such setting"),
        ({"features": "squeezenet"}, r"no features named 'squeezenet'"),
    ],
)
def test_wrong_settings_are_named(overrides: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        system(**overrides)


def test_too_small_a_style_is_refused() -> None:
    with pytest.raises(UserError, match=r"40×15 px is too small.*needs 16 px"):
        system().stylize(smooth(1), smooth(1, 15, 40))


@pytest.mark.real
def test_with_the_real_vgg19_activations_are_about_one_on_a_picture() -> None:
    folder = Path(os.environ.get("ATELIER_WEIGHTS", "missing"))
    if not (folder / "vgg19.safetensors").is_file():
        pytest.skip("no vgg19.safetensors in ATELIER_WEIGHTS")
    method = system(features="vgg19")
    assert method.card()["parameters_trained"] == 3_505_219
    found = method.features(smooth(2, 96, 96))
    assert list(found) == list(TAPS)
    assert all(0.2 < value.mean() < 5 for value in found.values())


@pytest.mark.slow
def test_the_encoder_and_the_loss_network_can_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    quick_random(monkeypatch)
    method = system(loss_features="random")
    let_through(method)
    looks, judge = method.features, load_features("random", TAPS, padding="reflect",
                                                  unit_activations=True)  # fmt: skip
    seen = two_pairs()
    found = losses(method, seen)
    with torch.no_grad():
        style = looks(seen.style)["relu4_1"]
        made = method.networks["decoder"](adain(looks(seen.content)["relu4_1"], *mean_std(style)))
        again, wanted = judge(made), {k: mean_std(v) for k, v in judge(seen.style).items()}
        aim = adain(judge(seen.content)["relu4_1"], *wanted["relu4_1"])
    torch.testing.assert_close(found["content"], content_loss(again["relu4_1"], aim).mean())
    style_loss = torch.stack([mean_std_loss(again[k], wanted[k]) for k in TAPS]).sum(0).mean()
    torch.testing.assert_close(found["style"], style_loss)


def test_the_loss_network_is_needed_in_training_only(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> Any:
        raise UserError(f"the weights of {name} are missing")

    own = features.resolve
    monkeypatch.setattr(features, "resolve", lambda n: own(n) if n == "mini" else missing(n))
    method = system(loss_features="vgg19")
    assert method.stylize(smooth(1), smooth(1, seed=1)).shape == (1, 3, 48, 48)
    assert "loss_features" not in method.card()
    with pytest.raises(UserError, match="weights of vgg19 are missing"):
        method.training_card()


def test_the_training_card_names_both_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    quick_random(monkeypatch)
    card = system(loss_features="random").training_card()
    assert (card["features"], card["loss_features"]) == ("mini", "random")
    assert card["features_hash"] != card["loss_features_hash"]
    assert "loss_features" not in system().training_card(), "one network does both"
