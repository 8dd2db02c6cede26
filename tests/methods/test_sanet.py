"""SANet: the paper's sizes and formulas, mixtures, strength, any size."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from atelier.core.config import UserError
from atelier.methods.base import make
from atelier.methods.sanet import LAYERS, SANet
from atelier.nn.attention import mvn
from atelier.nn.losses import mean_std
from support import arbitrary
from support.arbitrary import (
    check_one_style,
    check_repainting_strength,
    check_tiles,
    check_uncropped_pictures,
    two_pairs,
)
from support.nets import quick_random
from support.steps import losses_of, optimise, smooth


def system(seed: int = 0, **settings: Any) -> SANet:
    block = {"class": "sanet", "features": "mini", "steps": 20, "lr": 1e-3}
    method = make({**block, **settings}, "methods.sanet", seed=seed, device="cpu")
    assert isinstance(method, SANet)
    return method


legible = arbitrary.legible(system)


def count(part: torch.nn.Module) -> int:
    return sum(weight.numel() for weight in part.parameters())


@pytest.mark.usefixtures("seeded_vgg19")
def test_with_vgg19_it_has_the_published_sizes() -> None:
    method = system(features="vgg19")
    attention = 4 * (512 * 512 + 512)
    assert {name: count(part) for name, part in method.networks.items()} == {
        "transformer": 2 * attention + 9 * 512 * 512 + 512,
        "decoder": 3_505_219,
    }


def attended(method: SANet, content: Tensor, style: Tensor) -> Tensor:
    """The papers' formulas at both layers, with the whole map, in float64."""
    state = {k: v.double() for k, v in method.networks["transformer"].state_dict().items()}

    def project(name: str, features: Tensor) -> Tensor:
        return F.conv2d(features, state[f"{name}.weight"], state[f"{name}.bias"])

    seen, painting, parts = method.features(content), method.features(style), []
    for name, layer in zip(("relu4", "relu5"), method.layers, strict=True):
        image, other = seen[layer].double(), painting[layer].double()
        query = project(f"{name}.query", mvn(image).double()).flatten(2)
        key = project(f"{name}.key", mvn(other).double()).flatten(2)
        value = project(f"{name}.value", other).flatten(2)
        found = (value @ (query.mT @ key).softmax(2).mT).reshape(image.shape)
        parts.append(image + project(f"{name}.out", found))
    four, five = parts
    if "fit.weight" in state:
        five = project("fit", five)
    summed = F.pad(four + F.interpolate(five, scale_factor=2), (1, 1, 1, 1), mode="reflect")
    return project("merge", summed).float()


@pytest.mark.parametrize("layer", ["relu4_1", "relu3_1"])
def test_the_decoder_gets_the_papers_features(layer: str) -> None:
    method, seen = system(layer=layer), two_pairs()
    assert method.layers[0] == layer
    found = method.repaint(method.features(seen.content), method.features(seen.style))
    torch.testing.assert_close(
        found, attended(method, seen.content, seen.style), rtol=1e-4, atol=1e-4
    )


def test_the_losses_are_the_papers() -> None:
    method, seen = system(content_weight=0.5, identity_features_weight=2.0), two_pairs()
    found, decoder = losses_of(method, seen), method.networks["decoder"]
    content, style = method.features(seen.content), method.features(seen.style)
    again = method.features(decoder(attended(method, seen.content, seen.style)))
    kept, moved = torch.zeros(()), torch.zeros(())
    for k in ("relu4_1", "relu5_1"):
        kept = kept + (mvn(again[k]) - mvn(content[k])).square().mean()
    for k in LAYERS:
        for ours, theirs in zip(mean_std(again[k]), mean_std(style[k]), strict=True):
            moved = moved + (ours - theirs).square().mean()
    pixels, deep = torch.zeros(()), torch.zeros(())
    for image, features in ((seen.content, content), (seen.style, style)):
        itself = decoder(attended(method, image, image))
        pixels = pixels + (itself - image).square().mean()
        for k, value in method.features(itself).items():
            deep = deep + (value - features[k]).square().mean()
    wanted = {"content": kept, "style": moved, "identity": pixels, "identity_features": deep}
    for name, value in wanted.items():
        torch.testing.assert_close(found[name], value, rtol=1e-3, atol=1e-4)
    total = 0.5 * kept + 3 * moved + 50 * pixels + 2 * deep
    torch.testing.assert_close(found["total"], total, rtol=1e-3, atol=1e-4)


@pytest.mark.slow
def test_the_losses_are_those_of_the_loss_network(monkeypatch: pytest.MonkeyPatch) -> None:
    quick_random(monkeypatch)
    method, seen = system(loss_features="random", identity_features_weight=0.0), two_pairs()
    found, judge = losses_of(method, seen), system(features="random").features
    again = method.paint(method.repaint(method.features(seen.content), method.features(seen.style)))
    kept = torch.zeros(())
    for k in ("relu4_1", "relu5_1"):
        kept = kept + (mvn(judge(again)[k]) - mvn(judge(seen.content)[k])).square().mean()
    torch.testing.assert_close(found["content"], kept)


def test_without_its_weight_the_loss_network_does_not_see_the_reconstructions() -> None:
    method, asked = system(identity_features_weight=0.0), list[Tensor]()
    method.features.register_forward_hook(lambda _, inputs, __: asked.append(inputs[0]))
    assert "identity_features" not in losses_of(method, two_pairs())
    assert len(asked) == 3


def test_the_gradient_reaches_every_trained_parameter_and_no_other() -> None:
    method = system()
    torch.autograd.backward(losses_of(method, two_pairs())["total"])
    assert all(weight.grad is not None for weight in method.networks.parameters())
    assert all(weight.grad is None for weight in method.features.parameters())


def test_identity_initialisation_adds_a_tenth_of_what_resembles_the_content() -> None:
    """With the content as its own style, nearly all of it: each position resembles itself most."""
    method, image = system(init="he", layer="relu3_1"), smooth(1)
    first = method.networks["transformer"].relu4
    content = method.features(image)
    found = first(content, content) - content["relu3_1"]
    assert found.std() < 0.15 * content["relu3_1"].std()
    assert torch.corrcoef(torch.stack([found.flatten(), content["relu3_1"].flatten()]))[0, 1] > 0.5


@pytest.mark.slow
@pytest.mark.parametrize("settings", [{}, {"init": "he", "layer": "relu3_1"}])
def test_training_lowers_the_loss(settings: dict[str, Any]) -> None:
    method = system(lr=1e-4, **settings)
    curve = optimise(method, (two_pairs(step=step) for step in range(20)))
    assert sum(curve[-3:]) < 0.8 * sum(curve[:3])


def test_uncropped_pictures_lose_what_does_not_fit() -> None:
    check_uncropped_pictures(system())


def test_strength_mixes_with_the_content_in_its_own_style() -> None:
    check_repainting_strength(legible())


def test_one_style() -> None:
    check_one_style(legible())


@pytest.mark.slow
def test_in_tiles_the_result_is_the_same() -> None:
    check_tiles(legible(), legible(tile=64))


def test_the_schedule_is_the_reimplementations() -> None:
    assert system(lr_decay=0.1).lr_factor(10) == pytest.approx(0.5)


def test_too_small_pictures_are_refused() -> None:
    with pytest.raises(UserError, match=r"40×31 px is too small.*needs 32 px"):
        system().stylize(smooth(1), smooth(1, 31, 40))
