"""A small project with methods of every kind whose weights were drawn, not learnt."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from atelier.core.checkpoints import save_weights
from atelier.core.files import read_json, write_json
from atelier.core.paths import Model
from atelier.methods.base import make
from atelier.methods.trained import Trained
from support import settings_file

LAYERS = {"content_layers": ["relu3_1"], "style_layers": ["relu2_1", "relu3_1"]}
METHODS: dict[str, dict[str, Any]] = {
    "fast_night": {
        "class": "fast", "style": "night", "features": "mini", "width": 4, "steps": 1, **LAYERS
    },
    "adain": {"class": "adain", "features": "mini", "steps": 1, "init": "he"},
    "cut": {"class": "cut", "width": 4, "blocks": 2, "steps": 1},
    "gatys": {
        "class": "gatys", "features": "mini", "steps": 3, "optimizer": "adam", "lr": 0.02,
        "content_layers": ["relu3_1"],
    },
}  # fmt: skip
"""One per kind: per_style, arbitrary, unpaired, optimisation."""
HEATED: dict[str, Any] = {
    "class": "ugatit", "width": 4, "n_res": 1, "steps": 1, "crop": 32, "discriminator_width": 4,
    "global_layers": 4, "local_layers": 3,
}  # fmt: skip
"""One with attention; a test adds it to ``METHODS``."""


GUIDED: dict[str, Any] = {
    "class": "strotss", "features": "mini", "layers": ["relu1_1", "relu2_1"], "samples": 100,
    "steps": 3, "lr": 0.02, "last_lr": 0.02, "content_weight": 0.5,
}  # fmt: skip
"""One that is guided by regions, likewise."""


def project(root: Path, *trained: str) -> Path:
    """``params.yaml`` with all ``METHODS`` and, of those named, a card and weights."""
    root.mkdir(parents=True, exist_ok=True)
    scaled = dict.fromkeys(METHODS)
    tree: dict[str, Any] = {"scale": "demo", "seed": 1, "device": "cpu", "methods": METHODS}
    tree["scales"] = {"demo": scaled}
    settings_file.write(root / "params.yaml", tree)
    for name in trained:
        train(root, name)
    return root


def train(root: Path, name: str, **overrides: Any) -> Path:
    """Card and weights of a method as the train stage leaves them; returns their folder."""
    block, folder = {**METHODS[name], **overrides}, root / "results/models" / name
    method = make(block, name, seed=1, device="cpu")
    assert isinstance(method, Trained)
    save_weights(method.inference_networks.state_dict(), folder / "model.safetensors")
    write_json(folder / "card.json", {"method": name, **method.card(), "parameters": block})
    return folder


def keep(model: Path, name: str, step: int, seed: int) -> Trained[Any]:
    """Weights of ``step`` beside the final ones, as `keep_checkpoints` has them; their method."""
    method = make({**METHODS[name]}, name, seed=seed, device="cpu")
    assert isinstance(method, Trained)
    kept = Model(model).checkpoint(step)
    save_weights(method.inference_networks.state_dict(), kept.weights)
    write_json(kept.card, {**read_json(model / "card.json"), "step": step})
    return method
