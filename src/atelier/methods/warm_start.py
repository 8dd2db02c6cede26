"""How a training begins from weights that are there: a path, or an entry of the zoo."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch.nn.functional import adaptive_avg_pool2d

from atelier.core import zoo_files
from atelier.core.checkpoints import load_some, load_weights
from atelier.core.config import UserError, main_root, project_root
from atelier.core.files import within
from atelier.core.paths import CARD
from atelier.core.purpose import of_today
from atelier.core.structure import CLASS
from atelier.methods.base import Method
from atelier.methods.trained import Trained, TrainSettings

PROBE_SIDE, PROBE_CELLS, PROBE_TOLERANCE = 64, 4, 0.02
"""Pixels, cells a side, and what devices and float16 may differ by in [0, 1]."""


def warm_up(method: Trained[Any]) -> None:
    """Load the weights that ``warm_start`` names; done by the engine, never to stylise.

    Raises:
        UserError: the file is missing, broken, or has no weight of this system's shape; of the
            zoo: does not fit exactly.
    """
    start = method.settings.warm_start
    entry = zoo_files.warm_entry({"warm_start": start})
    if entry:
        load_entry(method, zoo_files.project_entry(entry, project_root()))
    elif start:
        load_some(method.networks, within(main_root(), start))


def load_entry(method: Trained[Any], entry: zoo_files.Entry) -> None:
    """Give ``method`` the weights of an entry of the zoo: all of them, for the pictures it makes.

    Raises:
        UserError: broken, of other shapes or features, or made for other settings: weights can fit
            and yet be of a network that computes something else.
    """
    path = entry.weights()
    refuse_other_features(method, entry.card.model_dump(), str(path))
    load_weights(method.inference_networks, path)
    there, here = (torch.tensor(values) for values in (entry.card.probe, probe(method)))
    if there.shape != here.shape or not (there - here).abs().max() < PROBE_TOLERANCE:
        raise UserError(
            f"{path}: makes other pictures here than when it was added; what differs: "
            f"{_differences(method, entry) or 'the code'}; take the settings of {CARD} "
            "beside it, or train from scratch (warm_start: null)"
        )


def _differences(method: Trained[Any], entry: zoo_files.Entry) -> str:
    """The settings that are others than the entry's; those of trainings alone do not count."""
    card = of_today(entry.card.parameters)
    block = {key: value for key, value in card.items() if key != CLASS}
    there = type(method.settings).build(block, entry.name).model_dump()
    here = method.settings.model_dump()
    own = set(here) - set(TrainSettings.model_fields)
    return ", ".join(sorted(key for key in own if here[key] != there[key]))


def probe(method: Trained[Any]) -> list[float]:
    """Return what ``method`` makes of a fixed photograph and painting, as 48 means of cells.

    Two systems that agree in them are the same for what they do, whatever their settings say.
    """
    across = torch.linspace(0, 1, PROBE_SIDE)
    x, y = across.expand(PROBE_SIDE, -1), across[:, None].expand(-1, PROBE_SIDE)
    photo = torch.stack([x, y, 0.5 + 0.5 * torch.sin(20 * x * y)])
    painting = torch.stack([0.5 + 0.5 * torch.sin(30 * (x + y)), 1 - x * y, 0.2 + 0.3 * y])
    made = method.stylize(photo[None], painting[None]).float().cpu()
    means = adaptive_avg_pool2d(made, PROBE_CELLS)
    return [round(float(value), 4) for value in means.flatten()]


def refuse_other_features(method: Method[Any], card: Mapping[str, Any], what: str) -> None:
    """Raise ``UserError``: weights trained on one perceptual network are no use with another."""
    own = method.card()
    for part in ("features", "predictor"):
        trained, here = card.get(f"{part}_hash"), own.get(f"{part}_hash")
        if trained and here and trained != here:
            raise UserError(
                f"{what} was trained with {card.get(part)} {trained}, here is {here}; "
                "set ATELIER_WEIGHTS to the folder it was trained with, or train it again"
            )
