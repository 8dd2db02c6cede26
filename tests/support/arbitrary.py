"""What the tests of the systems that decode mixed features share: AdaIN's, AdaAttN's and others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor

from atelier.core.batches import Batch
from atelier.methods.repainting import Repainting
from atelier.methods.trained import Arbitrary, seeded
from support.steps import losses_of, smooth

A = TypeVar("A", bound=Arbitrary)


def two_pairs(content: Tensor | None = None, style: Tensor | None = None, step: int = 0) -> Batch:
    """Two photographs and two paintings, in place of those that are not given."""
    content = smooth(2) if content is None else content
    return Batch(step, 7, content, smooth(2, seed=1) if style is None else style, ())


def let_through(method: Arbitrary) -> None:
    """Give its decoder weights that let the picture through; the first give a nearly even grey."""
    layers = [m for m in method.networks["decoder"].modules() if isinstance(m, torch.nn.Conv2d)]
    with seeded(1), torch.no_grad():
        for layer in layers:
            torch.nn.init.kaiming_normal_(layer.weight)
        drawn = method.blend(smooth(1), [smooth(1, seed=1)], [1.0])
        layers[-1].weight.mul_(0.2 / drawn.std())
        layers[-1].bias.sub_(drawn.mean() * 0.2 / drawn.std() - 0.5)  # type: ignore[union-attr]


def legible(make: Callable[..., A]) -> Callable[..., A]:
    """``make`` with a decoder that lets the picture through; see ``let_through``."""

    def made(*args: Any, **overrides: Any) -> A:
        method = make(*args, **overrides)
        let_through(method)
        return method

    return made


def check_identity_loss(method: Arbitrary, without: Arbitrary, seen: Batch) -> None:
    """Of ``method``, with an identity weight of 100: it is the photograph in its own style."""
    found, plain = losses_of(method, seen), losses_of(without, seen)
    assert "identity" not in plain
    with torch.no_grad():
        itself = method.blend(seen.content, [seen.style], [1.0], 0.0)
    expected = (itself - seen.content).square().mean()
    torch.testing.assert_close(found["identity"], expected, rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(found["total"], plain["total"] + 100 * found["identity"])


def check_he_initialisation(first: Arbitrary, drawn: Arbitrary) -> None:
    """``drawn`` lets the picture through; ``first`` has the published weights, which give nearly
    the same for every picture: the encoder's rim, if anything."""
    content, style = smooth(2), smooth(2, seed=1)
    even, found = first.stylize(content, style), drawn.stylize(content, style)
    assert (found[0] - found[1]).abs().mean() > 50 * (even[0] - even[1]).abs().mean()
    assert (found.mean() - 0.5).abs() < 0.2
    assert found.std() > 0.03


def check_one_style(method: Arbitrary) -> None:
    """A style with its weight split is that style, one without weight has no part."""
    content, style, other = smooth(1), smooth(1, 40, 56, seed=1), smooth(1, 33, 35, seed=2)
    whole = method.interpolate(content, [style], [1.0], 1)
    split = method.interpolate(content, [style, style], [0.3, 0.7], 1)
    torch.testing.assert_close(split, whole)
    assert torch.equal(method.interpolate(content, [style, other], [1.0, 0.0], 1), whole)
    mixed = method.interpolate(content, [style, other], [0.5, 0.5], 1)
    assert not torch.allclose(mixed, whole, atol=1e-3)


def check_uncropped_pictures(method: Arbitrary) -> None:
    """Uncropped pictures, of any size, lose what does not fit the system's multiple."""
    odd = Batch(0, 7, smooth(1, 55, 66), smooth(1, 70, 49, seed=1), ())
    even = Batch(0, 7, odd.content[..., :48, :64], odd.style[..., :64, :48], ())
    torch.testing.assert_close(losses_of(method, odd), losses_of(method, even))


def check_repainting_strength(method: Repainting) -> None:
    """Below strength 1 the content in its own style is one of the mixture."""
    content, style = smooth(1), smooth(1, seed=1)
    own = method.blend(content, [content], [1.0])
    torch.testing.assert_close(method.blend(content, [style], [1.0], 0.0), own)
    seen, painting = method.see(content), method.see(style)
    half = 0.3 * method.repaint(seen, painting) + 0.7 * method.repaint(seen, seen)
    torch.testing.assert_close(
        method.blend(content, [style], [1.0], 0.3), method.networks["decoder"](half)
    )


def check_tiles(whole: Arbitrary, tiled: Arbitrary, tolerance: float = 1e-4) -> None:
    """Statistics are those of the whole map, so that no seam is seen."""
    content, style = smooth(1, 203, 150), smooth(1, 101, 177, seed=1)
    expected, found = whole.stylize(content, style), tiled.stylize(content, style)
    assert not torch.equal(expected, found), "the tiles were not used"
    torch.testing.assert_close(found, expected, rtol=0, atol=tolerance)
