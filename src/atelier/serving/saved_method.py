"""What a method of the project is made of: settings, card, folder; reads nothing large."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from atelier.core.config import Params, UserError
from atelier.core.files import read_json
from atelier.methods.base import Kind, Method, method_class

CARD = "card.json"


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
    """In what it differs from params.yaml; "" when it does not."""

    @property
    def system(self) -> type[Method]:
        """The class it configures."""
        return system(self.block, self.name)

    @property
    def networks(self) -> list[str]:
        """The perceptual networks it looks with whenever it is applied."""
        return sorted({str(self.block[key]) for key in self.system.encoders if key in self.block})


def recipe(root: Path, params: Params, name: str) -> Recipe:
    """What is known of a method of the project.

    A trained system is what its card says, whatever ``params.yaml`` says today.

    Raises:
        UserError: unknown, not trained, or its card cannot be read.
    """
    now, model = params.method(name), root / "results/models" / name
    kind = system(now, f"methods.{name}").kind
    if kind == "optimise":
        return Recipe(name, kind, now, {}, None)
    if not (model / CARD).is_file():
        raise UserError(untrained(name))
    found = replace(recipe_in(model), name=name)
    changed = sorted(k for k in {*now, *found.block} if now.get(k) != found.block.get(k))
    if not changed:
        return found
    differs = f"params.yaml differs in {', '.join(changed)}"
    return replace(found, note=f"{name} is applied as it was trained; {differs}")


def recipe_in(model: Path) -> Recipe:
    """What the card in a model's folder says.

    Raises:
        UserError: there is none, or it is none.
    """
    path = model / CARD
    card = read_json(path)
    block = card.get("parameters") if isinstance(card, dict) else None
    if not isinstance(block, dict):
        raise UserError(f"{path}: is no card of a trained method; train it again")
    return Recipe(str(card.get("method")), system(block, str(path)).kind, block, card, model)


def system(block: Mapping[str, Any], where: str) -> type[Method]:
    """The class that a block of settings configures."""
    name = block.get("class")
    if not isinstance(name, str):
        raise UserError(f"{where}: needs `class`, the file in atelier/methods")
    return method_class(name)


def untrained(name: str) -> str:
    """What to do about a method without weights."""
    return f"{name} is not trained; run `dvc repro train@{name}`"
