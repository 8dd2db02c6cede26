"""Attention from content to style positions, in linear memory: AdaAttN's and SANet's.

Adaptive attention normalisation gives every content position channel moments of the style: Liu et
al., "AdaAttN: Revisit Attention Mechanism in Arbitrary Neural Style Transfer", ICCV 2021, §3.2, and
its code (Huage001/AdaAttN). Style attention adds the style's features: Park & Lee, "Arbitrary Style
Transfer with Style-Attentional Networks", CVPR 2019, §3.2.

Shapes: content features (B, C, h, w) with N = h·w positions, style features (B, C, h', w') with M,
keys (B, D, …) on the same grids.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from atelier.nn.attention_by_rows import attention_by_rows
from atelier.nn.decoder import conv
from atelier.nn.eager import eager_on_cpu
from atelier.nn.losses import mean_std
from atelier.nn.products import Pointwise

STD_EPS = 1e-6
"""Epsilon inside the root: if all attention falls on one position, the variance is 0 and the root's
gradient infinite (the published code has no epsilon and ends in NaN after long trainings)."""

SOFT = 0.4
"""Scale of query and key at initialisation: about that of N(0, 0.02) with VGG19's widths. Without
it each position attends to a single other one, and no gradient reaches the projections."""

SCORES = 2**23
"""Scores of queries with keys that a CPU holds at once: 32 MiB."""
ROWS = 512
"""Queries at once from which that is faster than torch's fused attention."""


def mvn(features: Tensor) -> Tensor:
    """Return (B, C, h, w) with mean 0 and variance 1 per picture and channel, in float32.

    Unbiased variance + 1e-5 (Huang & Belongie 2017, and AdaAttN's code).
    """
    mean, std = mean_std(features)
    return (features.float() - mean[..., None, None]) / std[..., None, None]


def shallow_keys(features: Mapping[str, Tensor], layer: str, *, shallow: bool = True) -> Tensor:
    """Return the keys of attention at ``layer``: (B, D, h, w) on that layer's grid, in float32.

    Args:
        features: layer → (B, C, …), shallowest first, ``layer`` among them.
        layer: where the attention is.
        shallow: use all layers up to ``layer`` (AdaAttN, §3.2), D the sum of their widths;
            otherwise ``layer`` alone.
    """
    names = list(features)
    used = names[: names.index(layer) + 1] if shallow else [layer]
    size = features[layer].shape[2:]
    # Nearest and before mvn, as in the authors' code; bilinear changes the pictures slightly.
    return torch.cat([mvn(F.interpolate(features[name], size)) for name in used], 1)


def subset(count: int, limit: int, generator: Generator) -> Tensor | None:
    """Return indices of ``limit`` random positions out of ``count``; None if all fit."""
    return torch.randperm(count, generator=generator)[:limit] if count > limit else None


def attention_moments(query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and std of ``value`` under softmax(query·keyᵀ), in O(N + M) memory.

    Mean and second moment come from one fused attention over V‖V², so the N×M map is never stored.
    V is centred per channel first: E[v²] - E[v]² would cancel where a channel's mean is large
    against its deviation. Computed in float32 even under autocast.

    Args:
        query: (B, N, D).
        key: (B, M, D).
        value: (B, M, C).

    Returns:
        Mean and std, (B, N, C) each. Scores are not divided by √D (AdaAttN's and SANet's are not).
    """
    with torch.autocast(value.device.type, enabled=False):
        value = value.float()
        centre = value.detach().mean(1, keepdim=True)  # the standard deviation is invariant to it
        value = value - centre
        both = attention_mean(query, key, torch.cat([value, value.square()], 2))
        mean, second = both.chunk(2, 2)
        variance = (second - mean.square()).clamp_min(0)
        return mean + centre, (variance + STD_EPS).sqrt()


def attention_mean(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Return softmax(query·keyᵀ)·value in O(N + M) memory, in float32 even under autocast.

    By torch's fused attention, or on a CPU, where that is faster, by parts of the map.

    Args:
        query: (B, N, D).
        key: (B, M, D).
        value: (B, M, C).

    Returns:
        (B, N, C). Scores are not divided by √D (AdaAttN's and SANet's are not).
    """
    with torch.autocast(value.device.type, enabled=False):
        parts = query.float(), key.float(), value.float()
        rows = SCORES // key.shape[1]
        if eager_on_cpu(value) and rows >= ROWS:
            each = zip(*parts, strict=True)
            return torch.stack([attention_by_rows(*of, rows) for of in each])
        return _fused(*parts)


def _fused(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Return torch's fused attention, (B, N, C).

    All widths are padded with zeros to be equal: otherwise torch silently falls back to the full
    N×M map.
    """
    width = max(value.shape[2], query.shape[2])
    query, key, padded = (_widened(part, width) for part in (query, key, value))
    # one head: (B, 1, positions, width)
    found = F.scaled_dot_product_attention(query, key, padded, scale=1.0).squeeze(1)
    return found[..., : value.shape[2]]


def _widened(value: Tensor, width: int) -> Tensor:
    """Pad (B, n, D) to (B, 1, n, width), zeros on the right."""
    return F.pad(value, (0, width - value.shape[2])).contiguous().unsqueeze(1)


def attend(
    content: Tensor,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    positions: Tensor | None = None,
    places: Tensor | None = None,
) -> Tensor:
    """Return std ⊙ mvn(content) + mean, moments of ``value`` by attention (AdaAttN, §3.2).

    Args:
        content: (B, C, h, w).
        query: (B, D, h, w).
        key: (B, D, h', w').
        value: (B, C, h', w').
        positions: the style positions to attend to, the same in all pictures; None: all.
        places: the n content positions to compute, the same in all pictures; None: all.

    Returns:
        (B, C, h, w) in float32; with ``places`` (B, C, n).
    """
    key, value = key.flatten(2), value.flatten(2)
    query, normal = query.flatten(2), mvn(content).flatten(2)
    if places is not None:
        query, normal = query[..., places], normal[..., places]
    if positions is not None:
        positions = positions.to(key.device)
        key, value = key[..., positions], value[..., positions]
    mean, std = (part.mT for part in attention_moments(query.mT, key.mT, value.mT))
    found = std * normal + mean
    return found if places is not None else found.reshape(content.shape)


@dataclass(frozen=True)
class EncodedImage:
    """An encoded picture; each field maps layers to values."""

    features: Mapping[str, Tensor]
    """(B, C, h, w)."""
    keys: Mapping[str, Tensor]
    """(B, D, h, w), see ``shallow_keys``."""
    positions: Mapping[str, Tensor | None]
    """Positions to attend to when this picture is the style; see ``subset``."""


class AdaAttention(nn.Module):
    """Layer of ``attend`` with learnt 1×1 projections of query, key and value."""

    def __init__(self, layer: str, key_width: int, width: int) -> None:
        super().__init__()
        self.layer = layer
        self.query = Pointwise(key_width, key_width)
        self.key = Pointwise(key_width, key_width)
        self.value = Pointwise(width, width)

    @torch.no_grad()
    def init_identity(self) -> None:
        """Initialise for a short training: ``attend_unprojected`` with softer scores."""
        for layer, scale in ((self.query, SOFT), (self.key, SOFT), (self.value, 1.0)):
            nn.init.dirac_(layer.weight)
            layer.weight.mul_(scale)

    def forward(self, content: EncodedImage, style: EncodedImage) -> Tensor:
        """Return (B, C, h, w) on the content's grid, in float32."""
        image, layer = content.features[self.layer], self.layer
        # In float32 throughout: scores are sums over up to 1472 channels without a factor 1/√D, so
        # that rounding query and key to bfloat16 would select other positions.
        with torch.autocast(image.device.type, enabled=False):
            query, key = self.query(content.keys[layer]), self.key(style.keys[layer])
            value = self.value(style.features[layer].float())
            return attend(image, query, key, value, style.positions[layer])


class StyleAttention(nn.Module):
    """SANet's layer (§3.2): the style's features where they resemble the content's, added to these.

    Four 1×1 convolutions: query, key and value (f, g, h of eq. 4 and 5), and the one after.
    """

    def __init__(self, layer: str, width: int) -> None:
        super().__init__()
        self.layer = layer
        self.query, self.key, self.value, self.out = (Pointwise(width, width) for _ in range(4))

    @torch.no_grad()
    def init_identity(self) -> None:
        """Initialise for a short training: features are compared as they are, with soft scores.

        A tenth of what attention finds is added, so that a decoder sees the photograph first.
        """
        scales = ((self.query, SOFT), (self.key, SOFT), (self.value, 1.0), (self.out, 0.1))
        for layer, scale in scales:
            nn.init.dirac_(layer.weight)
            layer.weight.mul_(scale)

    def forward(self, content: Mapping[str, Tensor], style: Mapping[str, Tensor]) -> Tensor:
        """Return (B, C, h, w) on the content's grid, in float32; arguments: layer → (B, C, …)."""
        image, painting = content[self.layer].float(), style[self.layer].float()
        # in float32 throughout, as in ``AdaAttention``
        with torch.autocast(image.device.type, enabled=False):
            query, key, value = (
                part.flatten(2).mT
                for part in (self.query(mvn(image)), self.key(mvn(painting)), self.value(painting))
            )
            carried = attention_mean(query, key, value).mT.reshape(image.shape)
            result: Tensor = image + self.out(carried)
            return result


class MergedAttention(nn.Module):
    """Attention at two layers, as published relu4_1 and relu5_1, summed and merged.

    By a convolution: SANet, §3.1, and AdaAttN, §3.1.
    """

    def __init__(self, relu4: nn.Module, relu5: nn.Module, widths: Sequence[int]) -> None:
        """``widths``: of the two layers; the second has half the first's resolution."""
        super().__init__()
        four, five = widths
        self.relu4, self.relu5 = relu4, relu5
        # unlike VGG19's, the two layers of `mini` differ in width and need one more 1×1 convolution
        self.fit = nn.Identity() if four == five else Pointwise(five, four)
        self.merge = conv(four, four)

    def forward(self, content: Any, style: Any) -> Tensor:
        """Return (B, C, h, w) on the first layer's grid, for what the two layers take."""
        four, five = self.relu4(content, style), self.fit(self.relu5(content, style))
        merged: Tensor = self.merge(four + F.interpolate(five, scale_factor=2))
        return merged


def attend_unprojected(
    content: EncodedImage, style: EncodedImage, layer: str, places: Tensor | None = None
) -> Tensor:
    """Apply ``attend`` at one layer without projections: target of AdaAttN's local loss (§3.3)."""
    key, value = style.keys[layer], style.features[layer]
    positions = style.positions[layer]
    return attend(content.features[layer], content.keys[layer], key, value, positions, places)
