"""StyTr²: the published size, losses and schedule."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from atelier.core.config import UserError
from atelier.methods.base import make
from atelier.methods.stytr2 import StyTr2
from atelier.nn.attention import mvn
from atelier.nn.identity_losses import LAYERS
from atelier.nn.losses import mean_std
from atelier.nn.pretrained.features import load_features
from support import arbitrary
from support.arbitrary import (
    check_one_style,
    check_repainting_strength,
    check_uncropped_pictures,
    two_pairs,
)
from support.steps import losses_of, optimise

SMALL = {"width": 16, "heads": 2, "layers": 1, "hidden": 16, "last_widths": (8, 8)}


def system(seed: int = 0, **settings: Any) -> StyTr2:
    block = {
        **SMALL,
        "class": "stytr2",
        "loss_features": "mini",
        "steps": 20,
        "warm_up": 0,
        "dropout": 0.0,
    }
    method = make({**block, **settings}, "methods.stytr2", seed=seed, device="cpu")
    assert isinstance(method, StyTr2)
    return method


legible = arbitrary.legible(system)


def test_it_has_the_published_sizes() -> None:
    published = {"width": 512, "heads": 8, "layers": 3, "hidden": 2048, "last_widths": (64, 128)}
    networks = system(**published).networks
    assert {n: sum(w.numel() for w in part.parameters()) for n, part in networks.items()} == {
        "embedding": 512 * 3 * 8 * 8 + 512,
        "transformer": 31_790_080,
        "decoder": 3_505_219,
    }


@pytest.mark.parametrize("patch", [4, 8])
def test_the_losses_are_the_papers(patch: int) -> None:
    method, seen = system(patch=patch, content_weight=0.5), two_pairs()
    found, parts = losses_of(method, seen), method.networks

    def painted(content: Tensor, style: Tensor) -> Tensor:
        patches = parts["embedding"](content), parts["embedding"](style)
        image: Tensor = parts["decoder"](parts["transformer"](*patches))
        return image

    judge = load_features("mini", LAYERS, padding="reflect", unit_activations=True, device="cpu")
    made = judge(painted(seen.content, seen.style))
    content, style = judge(seen.content), judge(seen.style)
    kept, moved = torch.zeros(()), torch.zeros(())
    for k in ("relu4_1", "relu5_1"):
        kept = kept + (mvn(made[k]) - mvn(content[k])).square().mean()
    for k in LAYERS:
        for ours, theirs in zip(mean_std(made[k]), mean_std(style[k]), strict=True):
            moved = moved + (ours - theirs).square().mean()
    pixels, deep = torch.zeros(()), torch.zeros(())
    for image, features in ((seen.content, content), (seen.style, style)):
        itself = painted(image, image)
        pixels = pixels + (itself - image).square().mean()
        for k, value in judge(itself).items():
            deep = deep + (value - features[k]).square().mean()
    wanted = {"content": kept, "style": moved, "identity": pixels, "identity_features": deep}
    for name, value in wanted.items():
        torch.testing.assert_close(found[name], value, rtol=1e-3, atol=1e-4)
    total = 0.5 * kept + 7 * moved + 50 * pixels + deep
    torch.testing.assert_close(found["total"], total, rtol=1e-3, atol=1e-4)


def test_the_rate_rises_to_four_tenths_then_decays() -> None:
    method = system(warm_up=10_000)
    factors = [method.lr_factor(step) for step in (0, 5_000, 9_999, 10_000, 110_000)]
    assert factors == pytest.approx([0.1, 0.25, 0.4, 0.4, 0.2], abs=1e-4)


def test_the_gradient_reaches_every_trained_parameter() -> None:
    method = system()
    torch.autograd.backward(losses_of(method, two_pairs())["total"])
    assert all(weight.grad is not None for weight in method.networks.parameters())


@pytest.mark.slow
def test_training_lowers_the_loss() -> None:
    method = system(lr=1e-3, init="he")
    curve = optimise(method, (two_pairs(step=step) for step in range(20)))
    assert sum(curve[-3:]) < 0.8 * sum(curve[:3])


def test_uncropped_pictures_lose_what_does_not_fit() -> None:
    check_uncropped_pictures(system())


def test_strength_mixes_with_the_content_in_its_own_style() -> None:
    check_repainting_strength(legible())


def test_one_style() -> None:
    check_one_style(legible())


def test_heads_must_divide_the_width() -> None:
    with pytest.raises(UserError, match="width: 16 is not a multiple of heads, 3"):
        system(heads=3)
