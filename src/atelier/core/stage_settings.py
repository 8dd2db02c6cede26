"""Settings of a stage of the DAG, as DVC tracks them.

DVC sees blocks of ``params.yaml``, not what they extend. The stage ``settings`` therefore writes
every method's settings to ``SETTINGS``, and the stages of a method depend on its part of that file:
they run again if, and only if, one of their values has changed, whichever block sets it.
"""

from __future__ import annotations

import os
from typing import Any

from atelier.core.config import Params, UserError
from atelier.core.files import read_record
from atelier.core.paths import Results

SETTINGS = Results().settings
"""From the project's root."""


def stage_settings(params: Params, name: str) -> dict[str, Any]:
    """Return the settings of a method for its stage.

    Raises:
        UserError: DVC runs the stage alone, and would record the settings of an earlier
            ``params.yaml`` for its results.
    """
    settings = params.method(name)
    if "DVC_STAGE" in os.environ and read_record(SETTINGS).get(name) != settings:
        raise UserError(f"{SETTINGS} is older than params.yaml; run `dvc repro settings` first")
    return settings
