"""Memory format of networks and batches: the one place that decides it."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import nn

Network = TypeVar("Network", bound=nn.Module)


def memory_format(device: str, *, instance_norm: bool) -> torch.memory_format:
    """Return channels last, but contiguous for networks with instance norm on a CPU.

    There instance norm needs contiguous input: after a channels-last convolution every norm copies
    its input and its gradient, a seventh of the time of a CycleGAN step.
    """
    contiguous = instance_norm and torch.device(device).type == "cpu"
    return torch.contiguous_format if contiguous else torch.channels_last


def to_device(network: Network, device: str, *, instance_norm: bool = False) -> Network:
    """Move ``network`` to ``device``, in the format returned by ``memory_format``."""
    wanted = memory_format(device, instance_norm=instance_norm)
    return network.to(device=device).to(memory_format=wanted)
