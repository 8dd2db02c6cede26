"""What the tests of the trained systems share: smooth pictures, one step's losses, a few steps."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from atelier.core.batches import Batch
from atelier.methods.trained import Trained

T = TypeVar("T")


def smooth(batch: int, height: int = 48, width: int = 48, seed: int = 0) -> Tensor:
    coarse = torch.rand(batch, 3, 6, 6, generator=Generator().manual_seed(seed))
    return F.interpolate(coarse, (height, width), mode="bilinear").clamp(0, 1)


def pair(which: str = "", side: int = 48, count: int = 2, value: float = 0.4) -> list[Tensor]:
    """Photographs and paintings; ``which`` (content, style, both) are of one colour."""
    flat = torch.full((count, 3, side, side), value)
    return [
        flat if which in {name, "both"} else smooth(count, side, side, seed)
        for seed, name in enumerate(("content", "style"))
    ]


def batch_of(content: Tensor, style: Tensor, step: int = 0) -> Batch:
    return Batch(step, 0, content, style, ("a",) * (len(content) + len(style)))


def losses_of(method: Trained, seen: Batch) -> dict[str, Tensor]:
    ((name, found),) = method.training_losses(seen)
    assert name == "main"
    return found


def optimise(method: Trained, batches: Iterable[Batch]) -> list[float]:
    """One step per batch; the totals before each."""
    optimizer, totals = method.optimizers()["main"], []
    for batch in batches:
        total = losses_of(method, batch)["total"]
        optimizer.zero_grad()
        torch.autograd.backward(total)
        optimizer.step()
        totals.append(total.item())
    return totals


def check_finite(method: Trained, content: Tensor, style: Tensor) -> None:
    """Loss, gradients and result, of pictures that have no spread."""
    method.networks.train()
    total = losses_of(method, batch_of(content, style))["total"]
    torch.autograd.backward(total)
    assert total.isfinite()
    assert all(w.grad is not None and w.grad.isfinite().all() for w in method.networks.parameters())
    assert method.stylize(content, style.expand_as(content)).isfinite().all()


WEIGHTS = {"content_weight": 2.0, "style_weight": 30.0, "tv_weight": 4.0}


def check_perceptual_losses(
    method: Trained, seen: Batch, image: Tensor, gram: Callable[[Tensor], Tensor]
) -> None:
    """With ``WEIGHTS``, picture by picture; ``image`` is what the method makes of the batch."""
    found, judge = losses_of(method, seen), method.loss_features
    assert judge is not None
    with torch.no_grad():
        made, own, wanted = (judge(x) for x in (image, seen.content, seen.style))
        near = (made["relu2_1"] - own["relu2_1"]).square().mean()
        gaps = [
            (gram(one) - gram(other)).square().mean()
            for layer in method.settings.style_layers
            for one, other in zip(
                made[layer], wanted[layer].expand(len(image), -1, -1, -1), strict=True
            )
        ]
        gap = torch.stack(gaps).sum() / len(image)
        rough = (image.diff(dim=2).square().mean() + image.diff(dim=3).square().mean()) / 2
    torch.testing.assert_close(found["content"], near)
    torch.testing.assert_close(found["style"], gap)
    torch.testing.assert_close(found["tv"], rough)
    torch.testing.assert_close(found["total"], 2 * near + 30 * gap + 4 * rough)


def check_layer_weights(style: Callable[[list[float]], Tensor]) -> None:
    """``style`` is the style loss by the weights of two layers."""
    torch.testing.assert_close(style([2, 3]), 2 * style([1, 0]) + 3 * style([0, 1]))
    assert style([1, 0]) != style([0, 1])


def twins(make: Callable[[], T]) -> tuple[T, T]:
    """Two of one seed, whatever the global generator, which stays as it was."""
    torch.manual_seed(1)
    one = make()
    torch.manual_seed(2)
    before = torch.get_rng_state()
    other = make()
    assert torch.equal(before, torch.get_rng_state()), "the global generator is not touched"
    return one, other
