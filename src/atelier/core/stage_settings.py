"""Settings and code of a stage of the DAG, as DVC tracks them.

DVC sees blocks of ``params.yaml``, but neither what they extend, nor which settings a stage does
not depend on, nor what a script imports. The stage ``settings`` therefore writes every method's
settings by purpose to ``SETTINGS``, with a digest of the code of each of its stages. A stage
depends on its parts of that file: it runs again if, and only if, one of their values has changed,
whichever block sets it.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from atelier.core.config import Params, UserError
from atelier.core.extends import CLASS
from atelier.core.files import read_record
from atelier.core.fingerprint import stage_code
from atelier.core.paths import Results

SETTINGS = Results().settings
"""From the project's root."""
OLDER = f"{SETTINGS} is older than params.yaml; run `dvc repro settings` first"
CODE, DENOISE = "code", "denoise"
STAGES = ("train", "stylize")
"""Stages that depend on a method's file."""


def codes(system: str, root: Path = Path()) -> dict[str, str]:
    """Return stage → digest of its code, for the stages of a method of the class ``system``."""
    return {stage: stage_code(stage, system, root) for stage in STAGES}


def stage_settings(params: Params, name: str) -> dict[str, Any]:
    """Return the settings of a method for its stage.

    Raises:
        UserError: DVC runs the stage alone, and would record earlier settings or code for its
            results.
    """
    settings = params.method(name)
    if "DVC_STAGE" in os.environ:
        noted = read_record(SETTINGS).get(name, {})
        if {**noted.get("train", {}), **noted.get("apply", {})} != _deciding(settings, noted):
            raise UserError(OLDER)
        if noted.get(CODE) != codes(settings[CLASS]):
            raise UserError(f"{SETTINGS} is older than the code; run `dvc repro settings` first")
    return settings


def is_among(names: Collection[str], on: object) -> bool:
    """Return whether ``denoise.on``, "all", "none" or a list, has an entry by any of its names."""
    return on == "all" or (isinstance(on, list | tuple) and any(name in on for name in names))


def refuse_older(name: str, denoise: Mapping[str, Any] | None) -> None:
    """Check the settings with which a method's pictures are denoised against those DVC tracks.

    Raises:
        UserError: DVC runs the stage alone, and would record earlier settings.
    """
    if "DVC_STAGE" in os.environ and read_record(SETTINGS).get(name, {}).get(DENOISE) != denoise:
        raise UserError(OLDER)


def _deciding(settings: Mapping[str, Any], noted: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in settings.items() if key not in noted.get("run", {})}


def running(root: Path, name: str) -> dict[str, Any]:
    """Return a method's settings used to run, as last written to ``SETTINGS``, else {}."""
    found: dict[str, Any] = read_record(Results(root).settings).get(name, {}).get("run", {})
    return found
