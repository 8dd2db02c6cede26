"""Load a script that is not a part of the package, to call its functions."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).parents[2]


def script(path: str) -> ModuleType:
    """The file ``path`` (from the project's root) as a module."""
    file = ROOT / path
    name = file.parent.name if file.stem == "__main__" else file.stem  # loaded, not run
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
