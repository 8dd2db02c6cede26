"""U-GAT-IT's norms: a learnt mixture of instance and layer norm (Kim et al., ICLR 2020, eq. 1).

Shapes: B features of C channels at H×W positions.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

EPS = 1e-5
FIRST_RHO = 0.9
"""Initial share of the instance norm in AdaILN; in ILN it is 0."""


class AdaILN(nn.Module):
    """Mixture ρ·instance norm + (1 - ρ)·layer norm, then scale and shift passed with the call."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.rho = nn.Parameter(torch.full((1, channels, 1, 1), FIRST_RHO))

    def forward(self, value: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
        """Map (B, C, H, W) to the same shape; ``gamma`` and ``beta`` are (B, C)."""
        return instance_layer_norm(value, self.rho, gamma[..., None, None], beta[..., None, None])


class ILN(nn.Module):
    """The mixture of ``AdaILN`` with its own learnt scale and shift."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.rho = nn.Parameter(torch.zeros(1, channels, 1, 1))
        self.gamma = nn.Parameter(torch.ones(1, channels, 1, 1))
        self.beta = nn.Parameter(torch.zeros(1, channels, 1, 1))

    def forward(self, value: Tensor) -> Tensor:
        """Map (B, C, H, W) to the same shape."""
        return instance_layer_norm(value, self.rho, self.gamma, self.beta)


def instance_layer_norm(value: Tensor, rho: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
    """Return γ·(ρ·(x - μ_I)/σ_I + (1 - ρ)·(x - μ_L)/σ_L) + β, in float32, cast to ``value``'s type.

    Variances are unbiased, as in the authors' PyTorch code. Those of the layer follow from those of
    its channels, so the features are read once per moment.

    Args:
        value: (B, C, H, W) of at least two positions.
        rho: (1, C, 1, 1) in [0, 1].
        gamma: (B or 1, C, 1, 1).
        beta: (B or 1, C, 1, 1).
    """
    channels, positions = value.shape[1], value.shape[2] * value.shape[3]
    value32 = value.float()
    mean = value32.mean((2, 3), keepdim=True)
    centred = value32 - mean
    squares = centred.square().sum((2, 3), keepdim=True)
    offset = mean - mean.mean(1, keepdim=True)  # μ_I - μ_L
    spread = (squares + positions * offset.square()).sum(1, keepdim=True)
    of_instance = rho * (squares / (positions - 1) + EPS).rsqrt()
    of_layer = (1 - rho) * (spread / (channels * positions - 1) + EPS).rsqrt()
    scale, shift = gamma * (of_instance + of_layer), beta + gamma * of_layer * offset
    return torch.addcmul(shift, centred, scale).to(value.dtype)


@torch.no_grad()
def clamp_rho(network: nn.Module) -> None:
    """Clamp every ρ to [0, 1]; after each update of ``network``."""
    for layer in network.modules():
        if isinstance(layer, (AdaILN, ILN)):
            layer.rho.clamp_(0, 1)
