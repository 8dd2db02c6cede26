"""Base of the systems that repaint a photograph with a painting's features: SANet and StyTr².

Encoded pictures are combined and decoded; a picture combined with itself should give itself.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

import torch
from pydantic import Field
from torch import Tensor

from atelier.core.batches import Batch
from atelier.methods.trained import Arbitrary, ArbitrarySettings, Losses
from atelier.nn.identity_losses import identity_losses
from atelier.nn.padding import cropped
from atelier.nn.pretrained.features import Features, LossFeatures


class RepaintingSettings(ArbitrarySettings):
    """Weights of the losses, see ``nn.identity_losses``."""

    load_size: int | None = Field(512, ge=32)
    """Unlike StyTr²'s code and the reimplementation of SANet, which stretch to a square of 512, the
    aspect ratio is kept."""
    content_weight: float = Field(ge=0)
    style_weight: float = Field(ge=0)
    identity_weight: float = Field(50.0, ge=0)
    """Weight of the identity loss in pixels."""
    identity_features_weight: float = Field(1.0, ge=0)
    """Weight of the identity loss in features; it takes two passes of the loss network more."""


R = TypeVar("R", bound=RepaintingSettings)


class Repainting(Arbitrary[R]):
    """A subclass implements ``see``, ``repaint`` and ``paint``; its encoding can be anything."""

    loss_features: Features | LossFeatures

    @abstractmethod
    def see(self, image: Tensor) -> Any:
        """Return the encoding of (B, 3, H, W) in [0, 1]."""

    @abstractmethod
    def repaint(self, content: Any, style: Any) -> Tensor:
        """Return a content's encoding, given the style's: (B, C, h, w)."""

    @abstractmethod
    def paint(self, repainted: Tensor) -> Tensor:
        """Return (B, 3, H, W), not clamped."""

    def judged(self, pair: Sequence[Tensor], seen: Sequence[Any]) -> Sequence[Mapping[str, Tensor]]:
        """Return the loss network's features of ``pair``, of which ``seen`` is the encoding."""
        del seen
        return [self.loss_features(image) for image in pair]

    def training_losses(self, batch: Batch) -> Iterator[tuple[str, Losses]]:
        """Yield content, style and the identity losses, on ``loss_features``."""
        s, pair = self.settings, [cropped(i, self.multiple) for i in (batch.content, batch.style)]
        seen = [self.see(image) for image in pair]
        with torch.no_grad():
            wanted = self.judged(pair, seen)
        made, *themselves = (
            self.paint(self.repaint(*both)) for both in (seen, [seen[0]] * 2, [seen[1]] * 2)
        )
        in_features = s.identity_features_weight > 0
        judge = self.loss_features
        losses = identity_losses(judge, made, themselves, pair, wanted, in_features=in_features)
        total = sum(getattr(s, f"{name}_weight") * loss for name, loss in losses.items())
        yield "main", {"total": total, **losses}

    def blend(
        self,
        content: Tensor,
        styles: Sequence[Tensor],
        weights: Sequence[float],
        strength: float = 1.0,
    ) -> Tensor:
        """Stylise with a mixture of repainted encodings (SANet, §4.4).

        Below strength 1 the content in its own style is one of them, as there.
        """
        seen = self.see(content)
        shares = [*(strength * weight for weight in weights), 1 - strength]
        mixture = [
            share * self.repaint(seen, seen if image is content else self.see(image))
            for share, image in zip(shares, [*styles, content], strict=True)
            if share
        ]
        return self.paint(torch.stack(mixture).sum(0))
