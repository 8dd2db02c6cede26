"""Write golden_mini.json anew after new weights: python -m tests.support.golden_mini."""

import json
from pathlib import Path

import torch
from torch import Tensor

from atelier.nn.pretrained.features import load_features
from atelier.nn.pretrained.mini import WIDTHS


def scene(height: int = 64, width: int = 64) -> Tensor:
    """A picture by formula: waves of three frequencies."""
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    waves = [0.5 + 0.4 * torch.sin(x / (2 + 3 * n) + n) * torch.cos(y / (3 + n)) for n in range(3)]
    return torch.stack(waves)[None]


if __name__ == "__main__":
    features = load_features("mini", WIDTHS)
    found = {**features(scene()), **load_features("mini", ["vector"])(scene())}
    values = {
        tap: [round(v, 5) for v in value[0].mean((1, 2))[:8].tolist()]
        for tap, value in found.items()
    }
    target = Path(__file__).with_name("golden_mini.json")
    target.write_text(json.dumps({"hash": features.hash, "values": values}, indent=1) + "\n")
