"""Check params.yaml, and write the settings on which each method's stages depend."""

from pathlib import Path

from atelier.core.config import Params
from atelier.core.files import write_json
from atelier.core.stage_settings import SETTINGS
from atelier.engine import validate
from atelier.tracking.stage import stage

if __name__ == "__main__":
    with stage("settings"):
        validate.check(Path("params.yaml"))
        write_json(SETTINGS, validate.resolved(Params.load()))
