"""Seeded tensors, and what is asked of networks everywhere: their size, their weights."""

from __future__ import annotations

from typing import Any

import torch
from torch import Generator, Tensor, nn


def uniform(*shape: int, seed: int = 0) -> Tensor:
    """Numbers in [0, 1)."""
    return torch.rand(shape, generator=Generator().manual_seed(seed))


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=Generator().manual_seed(seed))


def count(network: nn.Module) -> int:
    """How many parameters it has."""
    return sum(weight.numel() for weight in network.parameters())


def weights(network: nn.Module) -> dict[str, Tensor]:
    """A copy of all its weights."""
    return {key: value.clone() for key, value in network.state_dict().items()}


def equal(one: Any, other: Any) -> bool:
    """Whether two states are the same bit for bit: tensors and others, nested or not."""
    first, second = _leaves(one), _leaves(other)
    pairs = zip(first, second, strict=False)
    return len(first) == len(second) and all(
        torch.equal(a, b) if isinstance(a, Tensor) else a == b for a, b in pairs
    )


def _leaves(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [leaf for key in value for leaf in (key, *_leaves(value[key]))]
    if isinstance(value, (list, tuple)):
        return [leaf for part in value for leaf in _leaves(part)]
    return [value]
