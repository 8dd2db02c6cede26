"""Commands of the documents, and the settings they lead to."""

from __future__ import annotations

import re
import shlex
import shutil
from itertools import pairwise
from pathlib import Path

from dvc.utils.hydra import apply_overrides

from atelier.core.config import Params
from support.scripts import ROOT

COMMAND = re.compile(r"dvc exp run (?:[^`\\]|\\\n)+")
"""With the lines that continue it."""


def overridden(command: str, folder: Path) -> Params:
    """The settings after `dvc exp run` with the command's changes, checked as a command would."""
    path = Path(shutil.copy(ROOT / "params.yaml", folder / "params.yaml"))
    words = shlex.split(command)
    apply_overrides(path, [word for before, word in pairwise(words) if before == "-S"])
    return Params.load(path)
