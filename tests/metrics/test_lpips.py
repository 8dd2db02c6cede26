"""LPIPS against torchmetrics' own implementation with the same weights; its limits."""

from __future__ import annotations

import importlib
import warnings
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torchvision import models

from atelier.core.config import UserError
from atelier.metrics import lpips
from atelier.metrics.lpips import TAPS, Lpips, load_heads, load_lpips
from atelier.nn.pretrained import features
from atelier.nn.pretrained.weights import StateDict
from support.nets import answer_with, vgg_state


def pictures(batch: int, seed: int = 0, side: int = 40) -> Tensor:
    return torch.rand(batch, 3, side, side, generator=torch.Generator().manual_seed(seed))


@cache
def state(name: str) -> StateDict:
    """Random weights of a backbone, as the published file names them."""
    if name == "vgg16":
        return vgg_state("vgg16")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        found = models.squeezenet1_1(weights=None).state_dict()
    return {key: value for key, value in found.items() if key.startswith("features.")}


@cache
def ours(name: str) -> Lpips:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(features, "resolve", answer_with(state(name)))
        return load_lpips(name)


@cache
def torchmetrics(name: str) -> nn.Module:
    """The library's own network and heads, its backbone with our weights."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        library: Any = importlib.import_module("torchmetrics.functional.image.lpips")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(library, "_get_tv_model_features", chain)
        network: nn.Module = library._LPIPS(net=TAPS[name][0], pnet_rand=True)
    return network


def chain(name: str, _: bool) -> nn.Sequential:
    with torch.device("meta"):
        found: nn.Sequential = getattr(models, name)(weights=None).features
    weights = {key.removeprefix("features."): value for key, value in state(name).items()}
    found.load_state_dict(weights, assign=True)
    return found


@pytest.mark.parametrize("name", TAPS)
def test_equals_torchmetrics(name: str) -> None:
    image, other = pictures(3), pictures(3, seed=1)
    found = ours(name)(image, other)
    expected = torchmetrics(name)(image, other, normalize=True).flatten()
    assert found.shape == (3,)
    assert found.std() > 0
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("name", TAPS)
def test_zero_for_itself_symmetric_and_growing(name: str) -> None:
    image, other = pictures(2), pictures(2, seed=1)
    near, far = ours(name)(image, image.lerp(other, 0.1)), ours(name)(image, other)
    assert ours(name)(image, image).tolist() == [0, 0]
    assert (near < far).all()
    torch.testing.assert_close(far, ours(name)(other, image))


def test_one_picture_at_a_time_is_the_same() -> None:
    net, image, other = ours("squeezenet1_1"), pictures(3), pictures(3, seed=1)
    alone = torch.cat([net(a[None], b[None]) for a, b in zip(image, other, strict=True)])
    torch.testing.assert_close(net(image, other), alone, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize(
    ("file", "widths"),
    [
        ("alex", [64, 192, 384, 256, 256]),
        ("vgg", [64, 128, 256, 512, 512]),
        ("squeeze", [64, 128, 256, 384, 384, 512, 512]),
    ],
)
def test_the_published_heads(file: str, widths: list[int]) -> None:
    heads = load_heads(file)
    assert list(heads) == [f"lin{n}" for n in range(len(widths))]
    assert [head.shape[1] for head in heads.values()] == widths
    assert min(float(head.min()) for head in heads.values()) >= 0


def test_the_hash_tells_the_heads_and_the_network() -> None:
    heads = load_heads("squeeze")
    changed = {**heads, "lin0": heads["lin0"] + 1}
    net = ours("squeezenet1_1")
    assert net.name == "lpips-squeezenet1_1"
    assert len({net.hash, ours("vgg16").hash, Lpips(net.features, changed).hash}) == 3
    assert Lpips(net.features, heads).hash == net.hash


def test_networks_without_heads_or_weights_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="no heads for 'alexnet' here; it has them for squeezenet"):
        load_lpips("alexnet")
    monkeypatch.setattr(lpips, "find_spec", lambda _: None)
    with pytest.raises(UserError, match="LPIPS needs torchmetrics"):
        load_heads("squeeze")


def test_sizes() -> None:
    net = ours("squeezenet1_1")
    assert net(pictures(1, side=17), pictures(1, 1, side=17)).shape == (1,)
    with pytest.raises(UserError, match="at least 17 px, got 16×16"):
        net(pictures(1, side=16), pictures(1, side=16))
    with pytest.raises(UserError, match="of one size"):
        net(pictures(1), pictures(1, side=48))
