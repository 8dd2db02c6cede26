"""A small zoo whose weights were drawn, not learnt."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from atelier.core.checkpoints import save_weights
from atelier.core.files import write_json
from atelier.core.zoo_files import sha256
from atelier.methods.base import make
from atelier.methods.trained import Trained
from atelier.methods.warm_start import probe
from atelier.serving.zoo import halved
from support.models import METHODS

FACTS = {
    "steps": 12000, "hours": 1.5, "device": "two cores", "data": "photographs and Van Gogh",
    "scores": {"frechet": 82.3, "content": 1.26, "features": "vgg19", "n_generated": 32},
    "commit": "0123abc", "licence": "MIT",
}  # fmt: skip


def entry(zoo: Path, name: str, block: dict[str, Any] | None = None, seed: int = 5) -> Path:
    """An entry as the zoo holds it; returns its folder."""
    block, folder = block or METHODS[name], zoo / name
    method = make(block, name, seed=seed, device="cpu")
    assert isinstance(method, Trained)
    weights = folder / "model.safetensors"
    save_weights(method.inference_networks.state_dict(), weights)
    save_weights(halved(weights), weights)
    facts = {"method": name, **method.card(), "parameters": block, **FACTS}
    write_json(folder / "card.json", {**facts, "sha256": sha256(weights), "probe": probe(method)})
    return folder
