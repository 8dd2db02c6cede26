"""Results of a finished training: figures on held-out pictures, the weight file, its card."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tools.mini import head
from tools.mini.corpus import Corpus, damage
from tools.mini.relations import WEIGHTS
from tools.mini.training import Trainer
from torch import Generator

from atelier.core.config import UserError
from atelier.core.files import atomic, write_json
from atelier.nn.pretrained.mini import LENGTH, WIDTHS
from atelier.nn.pretrained.weights import digest

BATCHES, ROWS = 8, 8


@torch.no_grad()
def held_out_losses(training: Trainer, corpus: Corpus) -> dict[str, float]:
    """Return the training losses on seeded crops of ``corpus`` and corrupted copies of them.

    ``activations`` is the share of the teacher's variance that the adapters leave unexplained.
    """
    generator, totals = Generator().manual_seed(0), dict.fromkeys(WEIGHTS, 0.0)
    mates = torch.tensor([(row, ROWS + row) for row in range(ROWS)])
    for _ in range(BATCHES):
        fresh = corpus.draw(ROWS, generator)
        losses = training.losses(torch.cat([fresh, damage(fresh, generator)]), mates)
        for name, loss in losses.items():
            totals[name] += loss.item() / BATCHES
    return totals


def export(training: Trainer, folder: Path, facts: Mapping[str, Any]) -> Path:
    """Write ``mini.safetensors`` (float16) and its card ``mini.json`` into ``folder``.

    Args:
        training: the finished training.
        folder: created if missing.
        facts: facts known to the caller only: description of the data, figures, time.

    Raises:
        UserError: a weight is too large for float16.
    """
    state = {k: v.half().contiguous() for k, v in training.student.state_dict().items()}
    for key, value in state.items():
        if not bool(value.isfinite().all()):
            raise UserError(f"{key} does not fit into float16; nothing is written")
    with atomic(folder / "mini.safetensors") as part:
        save_file(state, part, metadata={"name": "mini"})
    card = {
        "name": "mini",
        "hash": digest(state),
        "parameters": sum(value.numel() for value in state.values()),
        "taps": WIDTHS,
        "vector": {
            "length": LENGTH,
            "ridge": head.RIDGE,
            "sides": head.SIDES,
            "rows": head.ROWS,
            "batches": head.BATCHES,
        },
        "teacher": {"name": training.teacher.name, "hash": training.teacher.hash},
        "settings": training.settings.model_dump(),
        "loss_weights": WEIGHTS,
        **facts,
    }
    write_json(folder / "mini.json", card)
    return folder / "mini.safetensors"
