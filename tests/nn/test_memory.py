"""Memory layout: filters are in it, names and values of weights stay."""

from __future__ import annotations

import torch
from torch import nn

from atelier.nn.memory import LAYOUT, to_device


def test_a_network_keeps_its_names_and_values() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3))
    before = {key: value.clone() for key, value in network.state_dict().items()}
    placed = to_device(network, "cpu")
    assert placed[1].weight.is_contiguous(memory_format=LAYOUT)
    assert all(torch.equal(value, before[key]) for key, value in placed.state_dict().items())
