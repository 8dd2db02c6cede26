"""StyTr²'s transformer: the published size, the formulas, positions of any size."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from atelier.nn.transformer import POOLED, StyleTransformer


def count(part: nn.Module) -> int:
    return sum(weight.numel() for weight in part.parameters())


def drawn(*size: int, seed: int = 0) -> Tensor:
    return torch.randn(*size, generator=torch.Generator().manual_seed(seed))


def small() -> StyleTransformer:
    torch.manual_seed(0)
    return StyleTransformer(8, heads=2, layers=1, hidden=12).double()


def test_it_has_the_published_size() -> None:
    width, hidden = 512, 2048
    attention = 4 * width * width + 4 * width + 2 * width  # and its norm
    feed_forward = 2 * width * hidden + hidden + width + 2 * width
    layers = 3 * (2 * (attention + feed_forward) + 2 * attention + feed_forward)
    found = count(StyleTransformer(width, heads=8, layers=3, hidden=hidden))
    assert found == layers + 2 * width + width * width + width == 31_790_080


def attend(state: dict[str, Tensor], name: str, x: Tensor, query: Tensor, other: Tensor) -> Tensor:
    """softmax(QKᵀ/√d)V in two heads with the whole map, the residual, the norm; a batch of one."""
    weights = state[f"{name}.heads.in_proj_weight"].chunk(3)
    biases = state[f"{name}.heads.in_proj_bias"].chunk(3)
    key, value = other if isinstance(other, tuple) else (other, other)
    q, k, v = (
        (part @ weight.T + bias).unflatten(1, (2, 4)).transpose(0, 1)
        for part, weight, bias in zip((query, key, value), weights, biases, strict=True)
    )
    found = ((q @ k.mT / 2).softmax(2) @ v).transpose(0, 1).flatten(1)
    out = F.linear(
        found, state[f"{name}.heads.out_proj.weight"], state[f"{name}.heads.out_proj.bias"]
    )
    return norm(state, f"{name}.norm", x + out)


def norm(state: dict[str, Tensor], name: str, x: Tensor) -> Tensor:
    centred = x - x.mean(1, keepdim=True)
    scaled = centred / (centred.square().mean(1, keepdim=True) + 1e-5).sqrt()
    return scaled * state[f"{name}.weight"] + state[f"{name}.bias"]


def feed(state: dict[str, Tensor], name: str, x: Tensor) -> Tensor:
    first, last = f"{name}.layers.0", f"{name}.layers.3"
    inner = (x @ state[f"{first}.weight"].T + state[f"{first}.bias"]).clamp_min(0)
    found = inner @ state[f"{last}.weight"].T + state[f"{last}.bias"]
    return norm(state, f"{name}.norm", x + found)


def test_it_computes_the_papers_formulas() -> None:
    network, content, style = (
        small(),
        drawn(1, 8, 5, 7).double(),
        drawn(1, 8, 4, 6, seed=1).double(),
    )
    state = dict(network.state_dict())
    at = network.positions(content).flatten(2).mT[0]
    x, y = content.flatten(2).mT[0], style.flatten(2).mT[0]
    x = attend(state, "content.0.attention", x, x + at, (x + at, x))  # type: ignore[arg-type]
    x = feed(state, "content.0.feed_forward", x)
    y = feed(state, "style.0.feed_forward", attend(state, "style.0.attention", y, y, y))
    for name in ("first", "second"):
        x = attend(state, f"decoder.0.{name}", x, x + at, y)
    x = norm(state, "norm", feed(state, "decoder.0.feed_forward", x))
    found = network(content, style)
    assert found.shape == content.shape
    torch.testing.assert_close(found[0].flatten(1).mT, x)


def test_positions_are_those_of_the_content_in_every_size() -> None:
    """§3.2: an enlarged picture has the positions of the small one, enlarged."""
    network, content = small(), drawn(1, 8, POOLED, POOLED).double()
    found = network.positions(content)
    torch.testing.assert_close(found, network.position(content))
    large = network.positions(content.repeat_interleave(3, 2).repeat_interleave(3, 3))
    torch.testing.assert_close(large[..., 1::3, 1::3], found)


def test_the_order_of_the_styles_patches_has_no_effect() -> None:
    """The style has no positions."""
    network, content, style = small(), drawn(1, 8, 5, 5).double(), drawn(1, 8, 4, 6).double()
    mixed = style.flatten(2)[..., torch.randperm(24)].reshape(style.shape)
    torch.testing.assert_close(network(content, mixed), network(content, style))


@pytest.mark.parametrize("training", [True, False])
def test_dropout_is_for_training_only(training: bool) -> None:
    network = StyleTransformer(8, heads=2, layers=1, hidden=12, dropout=0.5).train(training)
    content, style = drawn(1, 8, 5, 5), drawn(1, 8, 4, 4)
    assert torch.equal(network(content, style), network(content, style)) is not training
