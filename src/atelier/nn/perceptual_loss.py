"""Weighted sum of content, style and total-variation losses: the objective of several systems.

Gatys et al. 2016, eq. 7; the smoothness term after Johnson et al. 2016, §3.2.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from pydantic import Field
from torch import Tensor

from atelier.core.config import Settings, UserError
from atelier.nn.losses import (
    STYLE_LOSSES,
    StyleLoss,
    Target,
    TotalVariation,
    content_loss,
    total_variation,
)

STYLE_LAYERS = ("relu1_2", "relu2_2", "relu3_3", "relu4_3")
"""Johnson et al. 2016, §3.2; VGG16's names."""


class PerceptualSettings(Settings):
    """Settings of the objective; systems override its defaults."""

    content_layers: tuple[str, ...] = Field(("relu3_3",), min_length=1)
    style_layers: tuple[str, ...] = Field(STYLE_LAYERS, min_length=1)
    style_layer_weights: tuple[float, ...] | None = None
    """One weight per style layer; None: all 1."""
    content_weight: float = Field(1.0, ge=0)
    style_weight: float = Field(1.0, ge=0)
    tv_weight: float = Field(0.0, ge=0)
    tv: TotalVariation = "mean_square"
    unit_activations: bool = True
    """Scale the layers of the perceptual network to a mean activation of one."""

    def layer_weights(self) -> tuple[float, ...]:
        """Return one weight per style layer.

        Raises:
            UserError: there are more or fewer weights than layers.
        """
        if self.style_layer_weights is None:
            return (1.0,) * len(self.style_layers)
        if len(self.style_layer_weights) != len(self.style_layers):
            raise UserError(
                f"params.yaml: style_layer_weights has {len(self.style_layer_weights)} entries for "
                f"{len(self.style_layers)} style_layers"
            )
        return self.style_layer_weights


class PerceptualLoss:
    """α·content + β·style + γ·TV of a batch, separately for each picture.

    Features are activations of the perceptual network, layer → (B, C, h, w).
    """

    def __init__(self, settings: PerceptualSettings, style_loss: StyleLoss) -> None:
        self.settings = settings
        self.measure, self.style_loss = STYLE_LOSSES[style_loss]
        self.weights = settings.layer_weights()

    def style_targets(self, found: Mapping[str, Tensor]) -> dict[str, Target]:
        """Return the targets of ``style`` from the features of paintings."""
        return {layer: self.measure(found[layer]) for layer in self.settings.style_layers}

    def content(self, found: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> Tensor:
        """Return the sum over content layers of mean squared differences, (B,)."""
        layers = self.settings.content_layers
        return torch.stack([content_loss(found[k], wanted[k]) for k in layers]).sum(0)

    def style(self, found: Mapping[str, Tensor], targets: Mapping[str, Target]) -> Tensor:
        """Return the weighted sum over the style layers, (B,)."""
        losses = [
            weight * self.style_loss(found[layer], targets[layer])
            for layer, weight in zip(self.settings.style_layers, self.weights, strict=True)
        ]
        return torch.stack(losses).sum(0)

    def weighted(
        self, image: Tensor, content: Tensor, style: Tensor, *, mean: bool = False
    ) -> dict[str, Tensor]:
        """Return ``total``, ``content``, ``style`` and, with a weight above 0, ``tv``.

        Args:
            image: (B, 3, H, W), for the total variation.
            content: see ``content``.
            style: see ``style``.
            mean: average each loss over the batch before weighting; otherwise (B,).
        """
        s, losses = self.settings, {"content": content, "style": style}
        if s.tv_weight:
            losses["tv"] = total_variation(image.float(), s.tv)
        if mean:
            losses = {name: loss.mean() for name, loss in losses.items()}
        total = s.content_weight * losses["content"] + s.style_weight * losses["style"]
        if s.tv_weight:
            total = total + s.tv_weight * losses["tv"]
        return {"total": total, **losses}
