"""Warm start: training that begins with existing weights, from a path or an entry of the zoo."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch.nn.functional import adaptive_avg_pool2d

from atelier.core import zoo_files
from atelier.core.checkpoints import load_some, load_weights
from atelier.core.config import UserError, main_root, project_root
from atelier.core.extends import class_settings
from atelier.core.files import within
from atelier.core.paths import CARD
from atelier.core.purpose import free_settings, of_today
from atelier.methods.base import Method, system_of
from atelier.methods.train_settings import TrainSettings
from atelier.methods.trained import Trained

PROBE_SIDE, PROBE_CELLS, PROBE_TOLERANCE = 64, 4, 0.02
"""Pixels and cells per side, and the tolerance in [0, 1] for devices and float16."""


def warm_up(method: Trained[Any]) -> None:
    """Load the weights named by ``warm_start``; called by the engine, never to stylise.

    Raises:
        UserError: the file is missing or broken, or none of its weights fit; an entry of the zoo,
            of the same system, must fit exactly.
    """
    start = method.settings.warm_start
    entry = zoo_files.warm_entry({"warm_start": start})
    if entry:
        found = zoo_files.project_entry(entry, project_root())
        if type(method) is system_of(of_today(found.card.parameters), str(found.folder)):
            load_entry(method, found)
        else:  # another system's: the networks that both have, such as a decoder
            load_some(method.networks, found.weights())
    elif start:
        load_some(method.networks, within(main_root(), start))


def load_entry(method: Trained[Any], entry: zoo_files.Entry) -> None:
    """Load an entry of the zoo into ``method``; weights and outputs have to match exactly.

    Raises:
        UserError: broken, of other shapes or features, or trained with other settings: weights can
            fit a network that computes something else.
    """
    path = entry.weights()
    refuse_other_features(method, entry.card.model_dump(), str(path))
    load_weights(method.inference_networks, path)
    with _free_settings_of(entry, method):
        there, here = (torch.tensor(values) for values in (entry.card.probe, probe(method)))
    if there.shape != here.shape or not (there - here).abs().max() < PROBE_TOLERANCE:
        raise UserError(
            f"{path}: makes other pictures here than when it was added; what differs: "
            f"{_differences(method, entry) or 'the code'}; take the settings of {CARD} "
            "beside it, or train from scratch (warm_start: null)"
        )


def _settings_of(entry: zoo_files.Entry, method: Trained[Any]) -> TrainSettings:
    """Return the entry's settings, of the same system as ``method``."""
    card = of_today(entry.card.parameters)
    block = class_settings(card)
    settings: TrainSettings = type(method.settings).build(block, entry.name)
    return settings


@contextmanager
def _free_settings_of(entry: zoo_files.Entry, method: Trained[Any]) -> Iterator[None]:
    """Temporarily set the settings of ``method`` that may differ to the entry's values."""
    own, there = method.settings, _settings_of(entry, method).model_dump()
    free = {key: there[key] for key in free_settings(type(own))}
    method.settings = own.model_copy(update=free)
    try:
        yield
    finally:
        method.settings = own


def _differences(method: Trained[Any], entry: zoo_files.Entry) -> str:
    """Return the settings that differ from the entry's, except those of training only."""
    there, here = _settings_of(entry, method).model_dump(), method.settings.model_dump()
    own = set(here) - set(TrainSettings.model_fields) - free_settings(type(method.settings))
    return ", ".join(sorted(key for key in own if here[key] != there[key]))


def probe(method: Trained[Any]) -> list[float]:
    """Return the output of ``method`` for a fixed photograph and painting, as 48 cell means.

    Two systems that agree in them are taken to compute the same, whatever their settings.
    """
    across = torch.linspace(0, 1, PROBE_SIDE)
    x, y = across.expand(PROBE_SIDE, -1), across[:, None].expand(-1, PROBE_SIDE)
    photo = torch.stack([x, y, 0.5 + 0.5 * torch.sin(20 * x * y)])
    painting = torch.stack([0.5 + 0.5 * torch.sin(30 * (x + y)), 1 - x * y, 0.2 + 0.3 * y])
    made = method.stylize(photo[None], painting[None]).float().cpu()
    means = adaptive_avg_pool2d(made, PROBE_CELLS)
    return [round(float(value), 4) for value in means.flatten()]


def refuse_other_features(method: Method[Any], card: Mapping[str, Any], what: str) -> None:
    """Raise ``UserError`` if the weights were trained with another perceptual network."""
    own = method.card()
    for part in ("features", "predictor"):
        trained, here = card.get(f"{part}_hash"), own.get(f"{part}_hash")
        if trained and here and trained != here:
            raise UserError(
                f"{what} was trained with {card.get(part)} {trained}, here is {here}; "
                "set ATELIER_WEIGHTS to the folder it was trained with, or train it again"
            )
