"""Losses of style transfer: pure functions of tensors, one value per picture.

Shapes: features F are (B, C, H, W) with M = H·W positions; a loss is (B,), so that the pictures of
a batch never mix (a batch-wide Gram matrix, as in some public code, does mix them).
Gram matrices and moments are computed in float32 even under autocast.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from atelier.nn.eager import eager_on_cpu
from atelier.nn.products import gram_of_columns, lower_on_cpu, of_bfloat16_values, products

GramNorm = Literal["positions", "all"]
COVARIANCE_EPS = 1e-4
"""Added to the covariance's diagonal, as roots of singular matrices have no gradient."""
STD_EPS = 1e-5
"""Added inside the root, as a picture of one colour has zero variance."""


def gram(features: Tensor, norm: GramNorm = "all") -> Tensor:
    """Return Gram matrices (B, C, C) of (B, C, H, W).

    ``positions`` divides F·Fᵀ by M (Gatys; Ghiasi); ``all`` by C·M (the PyTorch tutorial and
    pytorch/examples), which reduces the weight of wide layers.
    """
    channels, positions = features.shape[1], features.shape[2:].numel()
    size = positions if norm == "positions" else channels * positions
    found: Tensor = _Products.apply(features)
    return found / size


class _Products(torch.autograd.Function):
    """F·Fᵀ of (B, C, H, W), in float32 even under autocast; torch's own has a slower gradient.

    As F·Fᵀ is symmetric, one product does for its gradient instead of two, and it is written in the
    memory format of F. Torch's is contiguous beside channels-last features: sums with the gradients
    of other layers, and what follows them, then take several times as long. The gradient of
    features in bfloat16 is computed in it, as that of the layers before them.
    """

    @staticmethod
    def forward(ctx: Any, features: Tensor) -> Tensor:
        ctx.save_for_backward(features)
        flat = features.float().flatten(2)
        with torch.autocast(features.device.type, enabled=False):
            if lower_on_cpu(features):
                with of_bfloat16_values():  # one by one: batches are several times as slow
                    return torch.stack([rows @ rows.mT for rows in flat])
            if _channels_last(flat):
                return torch.stack([gram_of_columns(rows) for rows in flat.mT])
            return flat @ flat.mT

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (features,) = ctx.saved_tensors
        both = gradient + gradient.mT
        if lower_on_cpu(features):
            flat, both = features.flatten(2), both.to(features.dtype)
        else:
            flat = features.float().flatten(2)
        found = products(flat.mT, both).mT if _channels_last(flat) else both @ flat
        result: Tensor = found.view(features.shape).to(features.dtype)
        return result


def _channels_last(flat: Tensor) -> bool:
    return flat.stride(1) == 1


def moments(features: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean (B, C) and second raw moment F·Fᵀ/M (B, C, C)."""
    return features.float().mean((2, 3)), gram(features, "positions")


def mean_square(a: Tensor, b: Tensor) -> Tensor:
    """Return the mean squared difference per picture (B,); ``b`` may have batch size 1."""
    if eager_on_cpu(a):
        found: Tensor = _MeanSquare.apply(a, b)
        return found
    return (a.float() - b.float()).square().flatten(1).mean(1)


class _MeanSquare(torch.autograd.Function):
    """``mean_square`` with a gradient in the memory format of the difference.

    Torch's of a mean is contiguous, and what meets it in channels last takes several times as long.
    """

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor) -> Tensor:
        difference = a.float() - b.float()
        ctx.save_for_backward(difference)
        ctx.like = [(part.shape, part.dtype) for part in (a, b)]
        return difference.square().mean(tuple(range(1, difference.ndim)))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None]:
        (difference,) = ctx.saved_tensors
        slope = gradient * (2 / difference[0].numel())
        of_a = difference * slope.view(-1, *[1] * (difference.ndim - 1))
        (shape_a, type_a), (shape_b, type_b) = ctx.like
        needs_a, needs_b = ctx.needs_input_grad
        return (
            of_a.sum_to_size(shape_a).to(type_a) if needs_a else None,
            -of_a.sum_to_size(shape_b).to(type_b) if needs_b else None,
        )


content_loss = mean_square
"""Mean squared difference of features (Gatys et al. 2016, eq. 1, as a mean instead of ½Σ)."""


def gram_loss(features: Tensor, target: Tensor, norm: GramNorm = "all") -> Tensor:
    """Return the mean squared difference of Gram matrices (Gatys et al. 2016, eq. 4)."""
    return mean_square(gram(features, norm), target)


def scaled_gram_loss(features: Tensor, target: Tensor) -> Tensor:
    """Return Σd² / (Σ|d| + 1e-8), d the Gram difference: the gradient's L1 norm is near one.

    After crowsonkb/style-transfer-pytorch (ScaledMSELoss); it makes loss weights independent of
    scale.
    """
    difference = (gram(features, "positions") - target).flatten(1)
    return difference.square().sum(1) / (difference.abs().sum(1) + 1e-8)


def mean_std_loss(features: Tensor, target: tuple[Tensor, Tensor]) -> Tensor:
    """Return squared differences of channel means and stds (Huang & Belongie 2017, eq. 13)."""
    mean, std = mean_std(features)
    return mean_square(mean, target[0]) + mean_square(std, target[1])


def mean_std(features: Tensor) -> tuple[Tensor, Tensor]:
    """Return channel means and unbiased standard deviations, (B, C) each."""
    features = features.float()
    if eager_on_cpu(features):
        mean, variance = _Spread.apply(features)
    else:
        variance, mean = torch.var_mean(features, (2, 3))
    return mean, (variance + STD_EPS).sqrt()


class _Spread(torch.autograd.Function):
    """Mean and unbiased variance of (B, C, H, W) over H and W, (B, C) each.

    In two passes: on a CPU torch's single one takes eight times as long.
    """

    @staticmethod
    def forward(ctx: Any, features: Tensor) -> tuple[Tensor, Tensor]:
        mean = features.mean((2, 3), keepdim=True)
        ctx.save_for_backward(features, mean)
        ctx.count = features[0, 0].numel()
        squares = (features - mean).square_().sum((2, 3))
        return mean.flatten(1), squares / (ctx.count - 1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, mean: Tensor, variance: Tensor) -> Tensor:
        features, centre = ctx.saved_tensors
        slope = 2 * variance[..., None, None] / (ctx.count - 1)
        result: Tensor = (features - centre).mul_(slope).add_(mean[..., None, None] / ctx.count)
        return result


def wasserstein_target(features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the style's target of ``wasserstein_loss``: mean, covariance, its square root."""
    mean, second = moments(features)
    covariance = _covariance(mean, second)
    values, vectors = torch.linalg.eigh(covariance)
    with torch.autocast(mean.device.type, enabled=False):
        root = (vectors * values.clamp_min(0).sqrt().unsqueeze(1)) @ vectors.mT
    return mean, covariance, root


def wasserstein_loss(features: Tensor, target: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    """Return the squared 2-Wasserstein distance of the features' Gaussians, over channels.

    As in crowsonkb/style-transfer-pytorch: mean_c (μ-μ')² + tr(Σ' + Σ - 2(Σ'^½ Σ Σ'^½)^½) / C.
    Unlike there, the trace of the root is a sum over eigenvalues instead of Newton-Schulz
    iterations, and its gradient needs no second iteration. If a layer has fewer positions than
    channels, rounding errors reach 0.01, so the loss of a style against itself can be slightly
    negative.
    """
    mean_t, covariance_t, root_t = target
    mean, second = moments(features)
    covariance = _covariance(mean, second)
    with torch.autocast(mean.device.type, enabled=False):
        eigenvalues: Tensor = torch.linalg.eigvalsh(root_t @ covariance @ root_t)
    cross = eigenvalues.clamp_min(1e-12).sqrt().mean(1)
    diagonals = (covariance + covariance_t).diagonal(dim1=1, dim2=2).mean(1)
    return mean_square(mean, mean_t) + diagonals - 2 * cross


def _covariance(mean: Tensor, second: Tensor) -> Tensor:
    eye = torch.eye(mean.shape[1], device=mean.device)
    return second - mean.unsqueeze(2) * mean.unsqueeze(1) + COVARIANCE_EPS * eye


StyleLoss = Literal["gram", "gram_positions", "gram_scaled", "wasserstein", "mean_std"]
Target = Tensor | tuple[Tensor, ...]
STYLE_LOSSES: Mapping[
    StyleLoss, tuple[Callable[[Tensor], Target], Callable[[Tensor, Any], Tensor]]
] = {
    "gram": (gram, gram_loss),
    "gram_positions": (
        lambda f: gram(f, "positions"),
        lambda f, t: gram_loss(f, t, "positions"),
    ),
    "gram_scaled": (lambda f: gram(f, "positions"), scaled_gram_loss),
    "wasserstein": (wasserstein_target, wasserstein_loss),
    "mean_std": (mean_std, mean_std_loss),
}
"""Name in ``params.yaml`` → (statistic of the style, loss against that statistic)."""

TotalVariation = Literal["l1_sum", "mean_square", "nine_point"]


def total_variation(image: Tensor, form: TotalVariation = "l1_sum") -> Tensor:
    """Return the total variation of (B, 3, H, W), per picture.

    ``l1_sum``: Σ|Δx| + Σ|Δy| (anisotropic; grows with the number of pixels).
    ``mean_square``: ½ mean Δx² + ½ mean Δy² (magenta's, Ghiasi et al. 2017).
    ``nine_point``: squared differences with diagonals (crowsonkb/style-transfer-pytorch).
    """
    if form == "nine_point":
        return _nine_point(image)
    across, down = image.diff(dim=3).flatten(1), image.diff(dim=2).flatten(1)
    if form == "l1_sum":
        return across.abs().sum(1) + down.abs().sum(1)
    return across.square().mean(1) / 2 + down.square().mean(1) / 2


def _nine_point(image: Tensor) -> Tensor:
    """Return 2 · mean(Δx²/3 + Δy²/3 + diagonals²/12) with replicate padding."""
    padded = F.pad(image, (1, 1, 1, 1), "replicate")
    middle = padded[..., 1:-1, 1:-1]
    across, down = padded[..., 1:-1, 2:] - middle, padded[..., 2:, 1:-1] - middle
    falling, rising = padded[..., 2:, 2:] - middle, padded[..., 2:, :-2] - middle
    square = (across.square() + down.square()) / 3 + (falling.square() + rising.square()) / 12
    return 2 * square.flatten(1).mean(1)
