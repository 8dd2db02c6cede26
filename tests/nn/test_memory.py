"""Memory format: by device and by whether there are instance norms; names of weights stay."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from atelier.nn.memory import memory_format, to_device


@pytest.mark.parametrize(
    ("device", "instance_norm", "wanted"),
    [
        ("cpu", True, torch.contiguous_format),
        ("cpu", False, torch.channels_last),
        ("cuda", True, torch.channels_last),
        ("cuda:1", False, torch.channels_last),
    ],
)
def test_the_format_follows_device_and_network(
    device: str, instance_norm: bool, wanted: torch.memory_format
) -> None:
    assert memory_format(device, instance_norm=instance_norm) == wanted


def test_a_network_keeps_its_names_and_values() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3))
    before = {key: value.clone() for key, value in network.state_dict().items()}
    placed = to_device(network, "cpu")
    assert placed[1].weight.is_contiguous(memory_format=torch.channels_last)
    assert all(torch.equal(value, before[key]) for key, value in placed.state_dict().items())
    assert to_device(network, "cpu", instance_norm=True)[1].weight.is_contiguous()
