"""The only reader of ``params.yaml``: it resolves the blocks and reports mistakes as sentences."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from atelier.core.extends import SEED, repeated
from atelier.core.fingerprint import settings_digest
from atelier.core.settings import Settings, UserError, nearest
from atelier.core.structure import STEPS, settings_of, sound_blocks, structure_problems
from atelier.core.yaml_tree import read_tree

__all__ = ["Params", "Settings", "UserError", "main_root", "project_root"]

MOST_LINES = 100
"""Number of mistakes reported at once."""


def project_root() -> Path:
    """Return the folder of ``params.yaml``: the working directory or its nearest parent."""
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / "params.yaml").is_file():
            return folder
    raise UserError(f"no params.yaml in {here} or above it; run this inside the project")


def main_root() -> Path:
    """Return the project root that outlives the run.

    ``dvc exp run --temp`` works in a throw-away copy and names the real one in ``DVC_ROOT``.
    """
    root = os.environ.get("DVC_ROOT")
    return Path(root) if root else project_root()


def limited(lines: Sequence[str]) -> str:
    """Return the first ``MOST_LINES`` lines as one text that ends with the number of the others."""
    more = [f"and {len(lines) - MOST_LINES} more"] if len(lines) > MOST_LINES else []
    return "\n".join([*lines[:MOST_LINES], *more])


class Params:
    """Read-only view of ``params.yaml``."""

    def __init__(self, tree: dict[str, Any]) -> None:
        self._tree = tree

    @classmethod
    def load(cls, path: Path | None = None) -> Params:
        """Read ``path`` (default: the project's own).

        Raises:
            UserError: one line for each mistake in the file's YAML or structure, even in blocks
                that are not used; see ``structure``.
        """
        tree = read_tree(path or project_root() / "params.yaml")
        if found := structure_problems(tree):
            raise UserError(limited(found))
        return cls(tree)

    def at(self, scale: str) -> Params:
        """Return the same settings with another scale in force.

        Raises:
            UserError: the scale does not exist.
        """
        found = Params({**self._tree, "scale": scale})
        _ = found.scale
        return found

    def __contains__(self, key: str) -> bool:
        return key in self._tree

    def block(self, *keys: str) -> Any:
        """Return the value at the path ``keys``, as written in the file; a missing key is named."""
        value: Any = self._tree
        for depth, key in enumerate(keys):
            if not isinstance(value, dict) or key not in value:
                raise UserError(f"params.yaml: {'.'.join(keys[: depth + 1])}: is missing")
            value = value[key]
        return value

    @property
    def scale(self) -> str:
        """Name of the scale in force, a block of ``scales``."""
        scale, known = self.block("scale"), self.block("scales")
        if not isinstance(scale, str) or scale not in known:
            raise UserError(f"params.yaml: scale: {scale!r} is not one of {', '.join(known)}")
        return scale

    @property
    def scales(self) -> list[str]:
        """Names of all scales, in the order of the file."""
        return list(self.block("scales"))

    @property
    def seed(self) -> int:
        """Seed of the pairing and of every random start."""
        return int(self.block("seed"))

    @property
    def device(self) -> str:
        """``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``."""
        return str(self._tree.get("device", "auto"))

    @property
    def devices(self) -> int:
        """Number of processes that share the batch of a training."""
        return int(self._tree.get("devices", 1))

    @property
    def nodes(self) -> int:
        """Number of machines that these processes are divided among."""
        return int(self._tree.get("nodes", 1))

    @property
    def cluster_workers(self) -> int:
        """Number of workers on a cluster for the stages that look at pictures; 0: none."""
        return int(self._tree.get("cluster_workers", 0))

    @property
    def tf32(self) -> bool:
        """Whether NVIDIA's GPUs may round the factors in convolutions to TensorFloat-32."""
        return bool(self._tree.get("tf32", True))

    @property
    def cudnn_benchmark(self) -> bool:
        """Whether cuDNN times its algorithms and takes the fastest for each size."""
        return bool(self._tree.get("cudnn_benchmark", False))

    @property
    def method_names(self) -> list[str]:
        """Names of all entries of ``methods``, in the order of the file."""
        return list(self.block("methods"))

    def sound_blocks(self) -> Iterator[tuple[str, str]]:
        """Yield (scale, entry or step) for all whose settings can be read; see ``structure``."""
        return sound_blocks(self._tree)

    def scaled(self, step: str) -> dict[str, Any]:
        """Return the settings of a step: its own block and what the scale in force adds."""
        return settings_of(self._tree, step, self.scale)[0]

    def settings(self, name: str) -> dict[str, Any]:
        """Return ``scaled`` of a step, or ``method`` of an entry."""
        return self._settings(name)[0]

    def method(self, name: str) -> dict[str, Any]:
        """Return the settings of an entry at the scale in force, ``class`` included.

        Raises:
            UserError: no such entry, or its blocks conflict (see ``extends``).
        """
        return self._settings(name)[0]

    def places(self, name: str) -> dict[str, str]:
        """Return setting → the block it is set in, of an entry or a step at the scale in force."""
        return self._settings(name)[1]

    def _settings(self, name: str) -> tuple[dict[str, Any], dict[str, str]]:
        if name not in STEPS:
            if name not in self.method_names:
                raise UserError(f"no method {name!r}{nearest(name, self.method_names)}")
            self.block("scales", self.scale, self.repeated(name))
        return settings_of(self._tree, name, self.scale)

    def repeated(self, name: str) -> str:
        """Return the entry that ``name`` repeats with another seed, or itself; see ``extends``."""
        return repeated(self.block("methods"), self.block("scales", self.scale), name)

    def names_of(self, name: str) -> set[str]:
        """Return the names by which a list of entries may mean one: a repetition has two."""
        return {name, self.repeated(name)}

    def seed_of(self, name: str) -> int:
        """Return the seed of an entry: its own, or that of all."""
        return int(self.method(name).get(SEED, self.seed))

    def key(self, name: str) -> str:
        """Return a digest of everything that decides whether the entry ``name`` works.

        That is its settings and its source file. A failure recorded under another key says nothing
        about the current settings, whose results DVC may have restored from its cache without a
        run.
        """
        own = self._leniently(name)
        shared = [self._tree.get("seed"), *map(self._leniently, ("prepare", "evaluate"))]
        return settings_digest([own, shared], f"atelier.methods.{own.get('class')}")

    def _leniently(self, name: str) -> dict[str, Any]:
        """Return {} where there are no valid settings: a failure needs a key even then."""
        try:
            return self._settings(name)[0]
        except (UserError, KeyError):
            return {}
