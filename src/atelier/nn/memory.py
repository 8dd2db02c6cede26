"""Memory layout of networks and batches: the one place that decides it."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import nn

Network = TypeVar("Network", bound=nn.Module)
LAYOUT = torch.channels_last
"""On a CPU, too: there torch rearranges contiguous features around every convolution."""


def to_device(network: Network, device: str) -> Network:
    """Move ``network`` to ``device``, its filters in ``LAYOUT``."""
    return network.to(device=device).to(memory_format=LAYOUT)
