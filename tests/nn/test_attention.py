"""Attention moments: the formula, in memory that does not grow with the number of pairs."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Generator, Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from atelier.nn import attention, attention_by_rows
from atelier.nn.attention import (
    STD_EPS,
    AdaAttention,
    EncodedImage,
    attend,
    attend_unprojected,
    attention_mean,
    attention_moments,
    mvn,
    shallow_keys,
    subset,
)
from atelier.nn.products import product
from support.tensors import normal


def naive(query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
    """With the whole map, the variance as a mean of squared deviations, in float64."""
    query, key, value = query.double(), key.double(), value.double()
    weights = (query @ key.mT).softmax(2)
    mean = weights @ value
    deviation = value[:, None] - mean[:, :, None]
    variance = (weights[..., None] * deviation.square()).sum(2)
    return mean, (variance + STD_EPS).sqrt()


@pytest.fixture(params=["fused", "one part", "parts"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Way of the computation; parts are of twelve queries for twenty keys."""
    if request.param == "fused":
        monkeypatch.setattr(attention, "SCORES", 0)
    if request.param == "parts":
        monkeypatch.setattr(attention, "SCORES", 12 * 20)
        monkeypatch.setattr(attention, "ROWS", 12)
    return str(request.param)


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize(("depth", "width"), [(24, 8), (5, 8), (16, 8)])
@pytest.mark.parametrize("offset", [0.0, 100.0])
def test_moments_and_their_gradients_are_those_of_the_whole_map(
    depth: int, width: int, offset: float
) -> None:
    """Keys wider, narrower and as wide as V‖V²; an offset would cancel without the shift."""
    query, key = 0.3 * normal(2, 30, depth), normal(2, 20, depth, seed=1)
    value = normal(2, 20, width, seed=2) + offset
    weights = normal(2, 30, 2 * width, seed=3)

    def run(moments: Any) -> list[Tensor]:
        leaves = [part.clone().requires_grad_() for part in (query, key, value)]
        found = torch.cat(moments(*leaves), 2)
        gradients = torch.autograd.grad((found * weights).sum(), leaves)
        return [part.float() for part in (found, *gradients)]

    for ours, exact in zip(run(attention_moments), run(naive), strict=True):
        torch.testing.assert_close(ours, exact, rtol=1e-4, atol=2e-5)


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("width", [4, 40])
def test_the_mean_is_the_one_of_the_moments(width: int) -> None:
    query, key, value = normal(2, 30, 8), normal(2, 20, 8, seed=1), normal(2, 20, width, seed=2)
    found = attention_mean(query, key, value)
    torch.testing.assert_close(found.double(), naive(query, key, value)[0], rtol=1e-4, atol=2e-5)


class Largest(TorchDispatchMode):
    """Size in elements of the largest tensor any operation makes, and the operations' names."""

    def __init__(self) -> None:
        super().__init__()
        self.size, self.names = 0, set[str]()

    def __torch_dispatch__(
        self, operation: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        found = operation(*args, **(kwargs or {}))
        self.names.add(str(operation))
        for part in found if isinstance(found, tuple | list) else [found]:
            if isinstance(part, Tensor):
                self.size = max(self.size, part.numel())
        return found


@pytest.mark.parametrize("fused", [False, True])
def test_no_map_is_made_forward_or_backward(fused: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    positions, depth, width = 1024, 40, 8
    monkeypatch.setattr(attention, "SCORES", 0 if fused else 2**5 * positions)
    monkeypatch.setattr(attention, "ROWS", 2**5)
    query, key = (normal(1, positions, depth, seed=n).requires_grad_() for n in range(2))
    value = normal(1, positions, width, seed=2).requires_grad_()
    with Largest() as seen:
        mean, std = attention_moments(query, key, value)
        torch.autograd.backward((mean + std).sum())
    largest = positions * (depth if fused else max(depth, 2**5))
    assert seen.size == largest, "a map has positions² elements"
    flash = "aten._scaled_dot_product_flash_attention_for_cpu"
    names = {name.split(".default")[0] for name in seen.names}
    assert ({flash, f"{flash}_backward"} <= names) == fused


@pytest.mark.usefixtures("way")
def test_attention_on_one_position_has_finite_gradients() -> None:
    """Its variance is 0, where a root has none."""
    key = (100 * torch.eye(4))[None].requires_grad_()
    value = normal(1, 4, 3).requires_grad_()
    mean, std = attention_moments(torch.eye(4)[None] * 10, key, value)
    torch.testing.assert_close(mean, value)
    torch.testing.assert_close(std, torch.full_like(std, STD_EPS**0.5), rtol=0.1, atol=1e-4)
    gradients = torch.autograd.grad((mean + std).sum(), [key, value])
    assert all(part.isfinite().all() for part in gradients)


def test_weights_by_rows_are_normal_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Products with subnormal ones take several times as long on some processors."""
    seen: list[Tensor] = []

    def watched(a: Tensor, b: Tensor) -> Tensor:
        seen.append(a.detach().abs())
        return product(a, b)

    monkeypatch.setattr(attention_by_rows, "product", watched)
    parts = [(40 * normal(1, 30, 8, seed=n)).requires_grad_() for n in range(3)]
    scores = parts[0][0] @ parts[1][0].mT
    assert (scores.softmax(1) < torch.finfo().tiny).any()
    torch.autograd.backward(attention_mean(*parts).mean())
    assert len(seen) == 5
    assert all(not ((part > 0) & (part < torch.finfo().tiny)).any() for part in seen)


@pytest.mark.usefixtures("way")
def test_autocast_changes_nothing() -> None:
    parts = normal(1, 9, 6), normal(1, 7, 6, seed=1), normal(1, 7, 4, seed=2)
    exact = attention_moments(*parts)
    with torch.autocast("cpu", torch.bfloat16):
        found = attention_moments(*parts)
    assert all(torch.equal(a, b) for a, b in zip(exact, found, strict=True))
    assert found[0].dtype == torch.float32


def test_scores_that_are_all_equal_give_the_moments_of_the_whole_style() -> None:
    """AdaIN then (with the variance over M, not M - 1)."""
    content, style = normal(2, 5, 6, 4), 3 + 2 * normal(2, 5, 3, 7, seed=1)
    found = attend(content, torch.zeros(2, 4, 6, 4), normal(2, 4, 3, 7), style)
    flat = style.flatten(2)
    mean, std = flat.mean(2), flat.std(2, correction=0)
    expected = std[..., None, None] * mvn(content) + mean[..., None, None]
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_attend_keeps_every_position_in_its_place() -> None:
    """Against a loop over the positions of a picture that is not square."""
    content, query = normal(1, 3, 2, 5), normal(1, 4, 2, 5, seed=1)
    style, key = normal(1, 3, 4, 3, seed=2), normal(1, 4, 4, 3, seed=3)
    positions = torch.tensor([11, 0, 5])
    found, normalised = attend(content, query, key, style, positions), mvn(content)
    for y in range(2):
        for x in range(5):
            keys, values = key.flatten(2)[0][:, positions], style.flatten(2)[0][:, positions]
            weights = (query[0, :, y, x] @ keys).softmax(0)
            mean = values @ weights
            std = ((values - mean[:, None]).square() @ weights + STD_EPS).sqrt()
            torch.testing.assert_close(found[0, :, y, x], std * normalised[0, :, y, x] + mean)


def test_mvn_has_mean_zero_and_variance_one_and_survives_a_constant() -> None:
    found = mvn(5 + 3 * normal(2, 4, 6, 7)).flatten(2)
    torch.testing.assert_close(found.mean(2), torch.zeros(2, 4), atol=1e-5, rtol=0)
    torch.testing.assert_close(found.var(2), torch.ones(2, 4), atol=1e-4, rtol=0)
    constant = torch.full((1, 2, 3, 3), 4.0, requires_grad=True)
    torch.testing.assert_close(mvn(constant).detach(), torch.zeros(1, 2, 3, 3))
    (gradient,) = torch.autograd.grad(mvn(constant).square().sum(), constant)
    assert gradient.isfinite().all()


def test_shallow_keys_are_the_layers_up_to_their_own_on_its_grid() -> None:
    features = {"a": normal(1, 2, 8, 12), "b": normal(1, 3, 4, 6), "c": normal(1, 5, 2, 3)}
    found = shallow_keys(features, "b")
    assert found.shape == (1, 5, 4, 6)
    # nearest at a whole ratio is every second position; mvn is computed after it
    torch.testing.assert_close(found[:, :2], mvn(features["a"][..., ::2, ::2]))
    torch.testing.assert_close(found[:, 2:], mvn(features["b"]))
    assert shallow_keys(features, "c").shape == (1, 10, 2, 3)
    torch.testing.assert_close(shallow_keys(features, "c", shallow=False), mvn(features["c"]))


def test_a_subset_is_drawn_only_where_needed_and_without_repetition() -> None:
    assert subset(16, 16, Generator()) is None
    found = [subset(100, 16, Generator().manual_seed(n)) for n in (3, 3, 4)]
    one, same, other = (part for part in found if part is not None)
    assert len(one.unique()) == 16
    assert one.max() < 100
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def _seen(seed: int, height: int, width: int, positions: Tensor | None = None) -> EncodedImage:
    feature = normal(1, 4, height, width, seed=seed)
    key = normal(1, 6, height, width, seed=seed + 1)
    return EncodedImage({"k": feature}, {"k": key}, {"k": positions})


def test_the_block_with_identity_projections_is_attention_without_projections() -> None:
    content, style = _seen(0, 4, 4), _seen(2, 5, 3, torch.tensor([1, 2, 14, 7]))
    block = AdaAttention("k", 6, 4)
    for layer in (block.query, block.key, block.value):
        torch.nn.init.dirac_(layer.weight)
        torch.nn.init.zeros_(layer.bias)
    torch.testing.assert_close(block(content, style), attend_unprojected(content, style, "k"))
    every = attend_unprojected(content, _seen(2, 5, 3), "k")
    assert not torch.allclose(every, attend_unprojected(content, style, "k"), atol=1e-2)


def test_the_block_computes_in_float32_within_autocast() -> None:
    content, style, block = _seen(0, 4, 4), _seen(2, 5, 3), AdaAttention("k", 6, 4)
    with torch.autocast("cpu", torch.bfloat16):
        found = block(content, style)
    assert torch.equal(found, block(content, style))


def test_a_style_of_one_colour_gives_its_value_everywhere() -> None:
    content, constant = normal(1, 3, 4, 4), torch.full((1, 3, 5, 5), 0.7)
    key = shallow_keys({"a": constant}, "a")
    found = attend(content, shallow_keys({"a": content}, "a"), key, constant)
    torch.testing.assert_close(found, torch.full_like(found, 0.7), atol=0.01, rtol=0)
    larger = F.interpolate(constant, (9, 9))
    again = attend(content, mvn(content), mvn(larger), larger)
    torch.testing.assert_close(again, found)
