"""The only reader of ``params.yaml``: typed, frozen, validated with messages a user understands."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Self

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from atelier.core.fingerprint import settings_digest


class UserError(Exception):
    """Something the user can put right: printed as one line, without a traceback."""


class Settings(BaseModel):
    """Base of every block of knobs: frozen, and an unknown or misspelt name is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @classmethod
    def build(cls, block: dict[str, Any], where: str) -> Self:
        """Validate ``block``; ``where`` (say ``methods.gatys``) names it in the message.

        Raises:
            UserError: naming the file, the knob, what is wrong with it and the value found.
        """
        try:
            return cls.model_validate(block)
        except ValidationError as error:
            raise UserError("\n".join(_sentence(where, e) for e in error.errors())) from None


def _sentence(where: str, error: Any) -> str:
    knob = ".".join([where, *(str(part) for part in error["loc"])])
    if error["type"] == "extra_forbidden":
        return f"params.yaml: {knob}: no such setting; is the name misspelt?"
    found = "" if error["type"] == "missing" else f" (found {error['input']!r})"
    return f"params.yaml: {knob}: {error['msg']}{found}"


def project_root() -> Path:
    """Folder of ``params.yaml``: the working directory or the nearest parent that has one."""
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / "params.yaml").is_file():
            return folder
    raise UserError(f"no params.yaml in {here} or above it; run this inside the project")


def main_root() -> Path:
    """Root that outlives the run.

    ``dvc exp run --temp`` works in a throw-away copy and names the real one in ``DVC_ROOT``.
    """
    root = os.environ.get("DVC_ROOT")
    return Path(root) if root else project_root()


class Params:
    """Read-only view of ``params.yaml``."""

    def __init__(self, tree: dict[str, Any]) -> None:
        self._tree = tree

    @classmethod
    def load(cls, path: Path | None = None) -> Params:
        """Read ``path`` (default: the project's own); a syntax error names line and column."""
        path = path or project_root() / "params.yaml"
        try:
            tree = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (OSError, yaml.YAMLError) as error:
            raise UserError(f"{path}: cannot be read: {error}") from None
        if not isinstance(tree, dict):
            raise UserError(f"{path}: expected a mapping of settings, found {type(tree).__name__}")
        return cls(tree)

    def __contains__(self, key: str) -> bool:
        return key in self._tree

    def block(self, *keys: str) -> Any:
        """The value below ``keys``; a missing one is named."""
        value: Any = self._tree
        for depth, key in enumerate(keys):
            if not isinstance(value, dict) or key not in value:
                raise UserError(f"params.yaml: {'.'.join(keys[: depth + 1])}: is missing")
            value = value[key]
        return value

    @property
    def scale(self) -> str:
        """``demo`` or ``full``: which block of ``scales`` is in force."""
        scale = self.block("scale")
        known = self.block("scales")
        if scale not in known:
            raise UserError(f"params.yaml: scale: {scale!r} is none of {', '.join(known)}")
        return str(scale)

    @property
    def seed(self) -> int:
        """Seed of the pairing and of every random start."""
        return int(self.block("seed"))

    @property
    def devices(self) -> int:
        """How many processes share the batch of a training."""
        found = self.block("devices")
        if not isinstance(found, int) or found < 1:
            raise UserError(f"params.yaml: devices: {found!r} is no whole number from 1 up")
        return found

    @property
    def method_names(self) -> list[str]:
        """Every entry of ``methods``, in the order of the file."""
        return list(self.block("methods"))

    def scaled(self, step: str) -> dict[str, Any]:
        """Knobs of a pipeline step: its own block, then what the scale in force adds."""
        own = self.block(step) if step in self._tree else {}
        return {**(own or {}), **(self.block("scales", self.scale, step) or {})}

    def key(self, name: str) -> str:
        """Digest of all that decides whether the method ``name`` works: its knobs and its file.

        A failure recorded under another key tells nothing about the present settings, which DVC
        may have restored from its cache without running anything.
        """
        scaled = (self._tree.get("scales") or {}).get(self._tree.get("scale")) or {}
        own = (self._tree.get("methods") or {}).get(name) or {}
        shared = [self._tree.get(step) for step in ("seed", "prepare", "evaluate")]
        parts = [own, shared, [scaled.get(step) for step in (name, "prepare", "evaluate")]]
        return settings_digest(parts, f"atelier.methods.{own.get('class')}")

    def method(self, name: str) -> dict[str, Any]:
        """Knobs of a method, ``class`` included: its own block, then what the scale adds."""
        if name not in self.method_names:
            raise UserError(f"no method {name!r}; params.yaml has {', '.join(self.method_names)}")
        own: dict[str, Any] = self.block("methods", name)
        return {**own, **(self.block("scales", self.scale, name) or {})}
