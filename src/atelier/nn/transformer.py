"""Transformer of StyTr²: two encoders, content-aware positions, and a decoder.

Deng et al., "StyTr²: Image Style Transfer with Transformers", CVPR 2022, §3, and its code
(diyiiyiii/StyTR-2). Shapes: B pictures as N patches of C channels, (B, N, C); their grids
(B, C, h, w) with N = h·w.
"""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from atelier.nn.pooling import average_cells

POOLED = 18
"""Side of the grid on which positions are computed: n of the paper's §3.2."""


def pool(maps: Tensor, count: int) -> Tensor:
    """Return (B, C, h, w) averaged to a grid of (B, C, count, count)."""
    if not torch.compiler.is_exporting():
        return F.adaptive_avg_pool2d(maps, count)
    return average_cells(maps, (count, count))  # ONNX has no such pooling of any size


class Attention(nn.Module):
    """x + multi-head attention, then a layer norm."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = nn.MultiheadAttention(width, heads, dropout, batch_first=True)
        self.dropout, self.norm = nn.Dropout(dropout), nn.LayerNorm(width)

    def forward(self, x: Tensor, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Return (B, N, C) for ``x`` and ``query`` (B, N, C), ``key`` and ``value`` (B, M, C)."""
        # without the weights torch stores no map of N×M
        found = self.heads(query, key, value, need_weights=False)[0]
        return cast("Tensor", self.norm(x + self.dropout(found)))


class FeedForward(nn.Module):
    """x + two linear layers with a ReLU between, then a layer norm."""

    def __init__(self, width: int, hidden: int, dropout: float) -> None:
        super().__init__()
        inner = (nn.Linear(width, hidden), nn.ReLU(), nn.Dropout(dropout))
        self.layers = nn.Sequential(*inner, nn.Linear(hidden, width), nn.Dropout(dropout))
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, N, C)."""
        return cast("Tensor", self.norm(x + self.layers(x)))


class EncoderLayer(nn.Module):
    """Self-attention, whose queries and keys know their positions (eq. 2 to 5)."""

    def __init__(self, width: int, heads: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.attention = Attention(width, heads, dropout)
        self.feed_forward = FeedForward(width, hidden, dropout)

    def forward(self, x: Tensor, positions: Tensor | float = 0.0) -> Tensor:
        """Return (B, N, C)."""
        at = x + positions
        return cast("Tensor", self.feed_forward(self.attention(x, at, at, x)))


class DecoderLayer(nn.Module):
    """Attention of the content to the style, twice (eq. 7).

    Unlike usual decoders, without self-attention, as in the authors' code.
    """

    def __init__(self, width: int, heads: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.first = Attention(width, heads, dropout)
        self.second = Attention(width, heads, dropout)
        self.feed_forward = FeedForward(width, hidden, dropout)

    def forward(self, x: Tensor, style: Tensor, positions: Tensor) -> Tensor:
        """Return (B, N, C) for content (B, N, C) and style (B, M, C)."""
        for attention in (self.first, self.second):
            x = attention(x, x + positions, style, style)
        return cast("Tensor", self.feed_forward(x))


class StyleTransformer(nn.Module):
    """Content patches repainted with style patches: (B, C, h, w) on the content's grid.

    With the published width of 512, 8 heads, 3 layers and 2048 hidden units it has 31,790,080
    parameters.
    """

    def __init__(
        self, width: int, *, heads: int = 8, layers: int = 3, hidden: int = 2048, dropout: float = 0
    ) -> None:
        super().__init__()
        sizes = (width, heads, hidden, dropout)
        self.content = nn.ModuleList(EncoderLayer(*sizes) for _ in range(layers))
        self.style = nn.ModuleList(EncoderLayer(*sizes) for _ in range(layers))
        self.decoder = nn.ModuleList(DecoderLayer(*sizes) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        for weight in self.parameters():
            if weight.dim() > 1:
                nn.init.xavier_uniform_(weight)
        self.position = nn.Conv2d(width, width, 1)

    def positions(self, patches: Tensor) -> Tensor:
        """Return the content-aware positional encoding (eq. 1): (B, C, h, w).

        From the patches averaged to a grid of ``POOLED``², whatever the size of the picture, so
        that a part of a picture is treated alike in every size. Unlike the code, which enlarges it
        to the style's size, on the content's grid: they may differ.
        """
        coarse = self.position(pool(patches, POOLED))
        return F.interpolate(coarse, patches.shape[2:], mode="bilinear", align_corners=False)

    def forward(self, content: Tensor, style: Tensor) -> Tensor:
        """Return (B, C, h, w) for patches (B, C, h, w) and (B, C, h', w')."""
        x, painting, at = map(_as_sequence, (content, style, self.positions(content)))
        for layer in self.content:
            x = layer(x, at)
        for layer in self.style:
            painting = layer(painting)
        for layer in self.decoder:
            x = layer(x, painting, at)
        # unlike the code, whose output is square whatever the picture
        return cast("Tensor", self.norm(x)).mT.reshape(content.shape)


def _as_sequence(patches: Tensor) -> Tensor:
    return patches.flatten(2).mT
