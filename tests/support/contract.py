"""Every entry of ``params.yaml: methods`` at scale demo, as small as its settings allow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor

from atelier.core.batches import Batch, Batches
from atelier.core.config import Params
from atelier.engine.loop import Trainer
from atelier.methods.base import Method, make, method_class
from atelier.methods.trained import Losses, Trained
from support.pictures import save
from support.scripts import ROOT

PARAMS = Params({**yaml.safe_load((ROOT / "params.yaml").read_text("utf-8")), "scale": "demo"})
NAMES = PARAMS.method_names
OPTIONAL = ("styleid",)
"""Systems without an entry: their weights do not ship, `docs/methods.md` says how to add one."""
CLASSES = {name: method_class(PARAMS.method(name)["class"]) for name in NAMES}
TRAINED = [name for name, found in CLASSES.items() if issubclass(found, Trained)]
SMALL: dict[str, Any] = {
    "steps": 4, "batch": 2, "crop": 32, "load_size": 36, "stylize_batch": 2, "log_every": 3,
    "width": 4, "discriminator_width": 4, "hidden": 16, "blocks": 2, "patches": 16, "projection": 8,
    "pool": 3, "ema": 0.9, "style": 0, "snapshots": 1, "warm_start": None, "split_steps": 1,
    "samples": 200,
}  # fmt: skip
"""Of these, what a system knows; an average and a short pool, so that both have to be kept."""


def build(name: str, seed: int = 0, device: str = "cpu", **overrides: Any) -> Method:
    """Return the entry ``name``, shrunk, with ``overrides`` on top."""
    known = CLASSES[name].Settings.model_fields
    small = {key: value for key, value in SMALL.items() if key in known}
    block = {**PARAMS.method(name), **small, **overrides}
    return make(block, f"methods.{name}", seed=seed, device=device)


def build_trained(name: str, seed: int = 0, **overrides: Any) -> Trained:
    """Return the same of an entry that is trained."""
    method = build(name, seed, **overrides)
    assert isinstance(method, Trained)
    return method


def trainer(method: Trained, folder: Path) -> Trainer:
    """Return a training on four photographs and two paintings; its states are below ``folder``."""
    paths = [save(folder / "pictures" / f"{n}.png", n) for n in range(6)]
    styles = method.training_styles(paths[4:])
    batches = Batches(paths[:4], styles, method.plan(), method.seed)
    return Trainer(method, batches, folder / "states")


def batch_of(method: Trained, content: Tensor, style: Tensor, step: int = 0) -> Batch:
    """Return a batch with as many paintings as the method asks for."""
    style = style[: method.plan().style_batch]
    return Batch(step, 0, content, style, ("a",) * (len(content) + len(style)))


def losses(method: Trained, batch: Batch) -> dict[str, Losses]:
    """Return the losses of a step by optimiser, their gradients in the weights; no update."""
    method.networks.train()
    found = {}
    for name, values in method.training_losses(batch):
        torch.autograd.backward(values["total"])
        found[name] = {key: value.detach() for key, value in values.items()}
    return found
