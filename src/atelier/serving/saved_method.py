"""Recipe of a method that can be applied: settings, card, folder; no weights are read.

A result of the project's own training takes precedence over the zoo; ``Recipe.used`` says which.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from atelier.core import zoo_files
from atelier.core.config import Params, UserError, project_root
from atelier.core.files import read_json
from atelier.core.paths import CARD, Model, Results
from atelier.core.phases import total_steps
from atelier.core.purpose import of_today, split
from atelier.core.yaml_tree import read_tree
from atelier.methods.base import Kind, Method, system_of
from atelier.methods.trained import Trained

KEPT = "@"
"""Between the names of a method and a step whose weights were kept; part of no method's name."""


@dataclass(frozen=True)
class Recipe:
    """A method that can be built."""

    name: str
    kind: Kind
    block: dict[str, Any]
    """Settings, ``class`` included."""
    card: Mapping[str, Any]
    model: Path | None
    """Folder of the card and the weights; None for a system that is not trained."""
    note: str = ""
    """Differences from params.yaml; "" if there are none."""
    entry: zoo_files.Entry | None = None
    """Entry of the zoo its weights are from, if any."""

    @property
    def system(self) -> type[Method[Any]]:
        """Class that it configures."""
        return system_of(self.block, self.name)

    @property
    def networks(self) -> list[str]:
        """Perceptual networks that it needs to be applied."""
        return sorted({str(self.block[key]) for key in self.system.encoders if key in self.block})

    @property
    def used(self) -> str:
        """Origin of the weights, for display; "" for a system without weights."""
        if self.entry:
            return f"pretrained weights of the zoo ({zoo_files.trained_on(self.card)})"
        if self.model is None:
            return ""
        if step := self.card.get("step"):
            return f"weights of your own training, kept after step {step:,}"
        begun, steps = zoo_files.history(self.card), total_steps(self.block)
        given = f"epochs: {self.block.get('epochs')}" if steps is None else f"steps: {steps}"
        how = f"pretrained: {begun}" if begun else given
        return f"weights of your own training ({how})"


def here() -> tuple[Path | None, Params | None]:
    """Return the project's folder and settings; (None, None) outside a project.

    Other tools also use ``params.yaml``: one without ``methods`` is ignored.

    Raises:
        UserError: the settings cannot be read.
    """
    try:
        root = project_root()
    except UserError:
        return None, None
    path = root / "params.yaml"
    return (root, Params.load(path)) if "methods" in read_tree(path) else (None, None)


def recipe(root: Path | None, params: Params | None, name: str) -> Recipe:
    """Return the recipe of a method of the project, or else of the zoo.

    A trained system has the settings of training on its card, whatever ``params.yaml`` says now;
    the settings of application (``core.purpose``) are those in ``params.yaml``.

    Args:
        root: the project's folder; None outside one.
        params: its settings.
        name: of the method; ``NAME@STEP`` for weights that its training kept.

    Raises:
        UserError: unknown, not trained and not in the zoo, or a card cannot be read.
    """
    base, _, step = name.partition(KEPT)
    if root is not None and params is not None and step and base in params.method_names:
        return _kept(root, params, base, step)
    known = params is not None and name in params.method_names
    if root is not None and params is not None and known:
        now, model = params.method(name), Results(root).model(name).folder
        found = system_of(now, f"methods.{name}")
        if not issubclass(found, Trained):
            return Recipe(name, found.kind, now, {}, None)
        if (model / CARD).is_file():
            return _trained_here(model, name, now)
    entry = zoo_files.find(name, root)
    if entry is not None:
        return replace(recipe_in(entry.folder), name=name, entry=entry)
    if params is not None and not known:
        params.method(name)  # lists the entries
    raise UserError(untrained(name, root))


def _kept(root: Path, params: Params, base: str, step: str) -> Recipe:
    """Return the recipe of weights that a training kept after some of its steps."""
    kept = kept_folder(Results(root).model(base), base, step)
    return _trained_here(kept, f"{base}{KEPT}{step}", params.method(base))


def kept_folder(model: Model, name: str, step: str) -> Path:
    """Return the folder of the weights that the training of ``name`` kept after a step.

    Raises:
        UserError: none were kept after it; names the steps that there are.
    """
    steps = model.kept_steps()
    if step not in {str(one) for one in steps}:
        others = f"kept steps: {', '.join(map(str, steps)) or 'none'}"
        raise UserError(f"{name}: no weights were kept after step {step}; {others}")
    return model.checkpoint(int(step)).folder


def _trained_here(model: Path, name: str, now: Mapping[str, Any]) -> Recipe:
    """Return it with the settings to train of its card, and those to apply of ``now``."""
    found = replace(recipe_in(model), name=name)
    settings = found.system.Settings
    had, wanted = split(settings, found.block)["train"], split(settings, now)
    found = replace(found, block={**had, **wanted["apply"]})
    changed = {k for k in {*had, *wanted["train"]} if had.get(k) != wanted["train"].get(k)}
    if not changed:
        return found
    differs = f"params.yaml differs in {', '.join(sorted(changed))}"
    return replace(found, note=f"{name} is applied as it was trained; {differs}")


def recipe_in(model: Path) -> Recipe:
    """Return the recipe on the card in a model's folder.

    Raises:
        UserError: there is no card, or it is invalid.
    """
    path = model / CARD
    card = read_json(path)
    block = card.get("parameters") if isinstance(card, dict) else None
    if not isinstance(block, dict):
        raise UserError(f"{path}: is not a card of a trained method; train it again")
    block = of_today(block)
    return Recipe(str(card.get("method")), system_of(block, str(path)).kind, block, card, model)


def untrained(name: str, root: Path | None) -> str:
    """Return what to do about a method without weights."""
    how = zoo_files.how_to_get(root)
    if root is not None:
        either = f", or: {how}" if how else ""
        return f"{name} is not trained; run `dvc repro train@{name}`{either}"
    listed = ", ".join(zoo_files.names(root)) or "nothing"
    return f"{name}: the zoo holds {listed}" + (f"; {how}" if how else "; see `atelier zoo`")
