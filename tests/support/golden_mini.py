"""Write golden_mini.json anew, after new weights were shipped: python tests/golden_mini.py."""

import json
from pathlib import Path

from atelier.nn.pretrained.features import load_features
from atelier.nn.pretrained.mini import WIDTHS
from test_mini import scene

if __name__ == "__main__":
    features = load_features("mini", WIDTHS)
    found = {**features(scene()), **load_features("mini", ["vector"])(scene())}
    values = {
        tap: [round(v, 5) for v in value[0].mean((1, 2))[:8].tolist()]
        for tap, value in found.items()
    }
    target = Path(__file__).with_name("golden_mini.json")
    target.write_text(json.dumps({"hash": features.hash, "values": values}, indent=1) + "\n")
