"""Model card of a method in Markdown: its card, its figures, how to reproduce it."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from atelier.core import zoo_files
from atelier.core.files import read_record
from atelier.core.markdown import code, escaped
from atelier.core.paths import Model, Results
from atelier.metrics.catalogue import FIGURES, HELD_OUT, UNSEEN

JUDGES = ("loss_features", "features")
"""Keys of a card that may name the loss network, in order of precedence."""


def describe(root: Path, name: str, found: Mapping[str, Any], model: Path | None = None) -> str:
    """Return MLflow's description of a method with the scores ``found``.

    ``model`` is the folder of its card; default: that of its training here.
    """
    folder = Model(model) if model else Results(root).model(name)
    card = read_record(folder.card)
    block = card.get("parameters")
    system = headline(block.get("class") if isinstance(block, Mapping) else None)
    unseen = {UNSEEN + key: value for key, value in (found.get(HELD_OUT) or {}).items()}
    known = {**card, **found, **unseen}
    rows = [(m.name, _number(known.get(m.key))) for m in FIGURES.values()]
    table = "\n".join(f"| {text} | {value} |" for text, value in rows if text and value)
    head = " · ".join(part for part in (f"**{escaped(name)}**", escaped(system)) if part)
    facts = [escaped(part) for part in (*_facts(card, found), _kept(folder))]
    parts = [head, _table(table), *facts, _again(name)]
    return "\n\n".join(part for part in parts if part)


def headline(system: Any) -> str:
    """Return the first line of a system's file: its name, idea and source."""
    if not isinstance(system, str):
        return ""
    try:
        text = importlib.import_module(f"atelier.methods.{system}").__doc__
    except ImportError:
        return system
    return (text or system).partition("\n")[0]


def _table(rows: str) -> str:
    return f"| figure | value |\n|---|---:|\n{rows}" if rows else ""


def _number(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return ""
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4g}"


def _again(name: str) -> str:
    command = code(f"dvc repro evaluate@{name} compare")
    return f"Reproduce: {command}. Grid and weights are in the artifacts."


def _kept(model: Model) -> str:
    steps = ", ".join(f"{step:,}" for step in model.kept_steps())
    return f"Checkpoints kept beside the final weights, after steps: {steps}." if steps else ""


def _facts(card: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    counted = f"{found.get('n_generated')} pictures against {found.get('n_reference')} paintings"
    if unseen := found.get(HELD_OUT):
        counted += f" and {unseen.get('n_reference')} held-out ones"
    eyes = f"{found.get('features')} {str(found.get('features_hash') or '')[:8]}".strip()
    named = [f"{card.get(k)} {card.get(f'{k}_hash')}" for k in JUDGES if card.get(k)]
    learnt = f"Trained with {named[0]}." if named else ""
    about = [f"Kind: {card['kind']}."] if "kind" in card else []
    about += [learnt] if learnt and "parameters_trained" in card else []
    begun = zoo_files.history(card)
    if "sha256" in card:  # of an entry
        begun = f"{zoo_files.trained_on(card)}; weights of the zoo"
    return [
        f"Pretrained: {begun}." if begun else "",
        f"Distances on {eyes}, {counted}; lower is better." if found else "",
        " ".join(about),
    ]
