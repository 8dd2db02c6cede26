"""Turn the raw pictures below data/ into PNGs of one size, a manifest and the pairing."""

from pathlib import Path

from atelier.core.config import Params
from atelier.core.paths import Results
from atelier.datasets.prepare import prepare
from atelier.datasets.prepare_settings import PrepareSettings
from atelier.tracking.stage import stage, tune_process

if __name__ == "__main__":
    tune_process()
    with stage("prepare"):
        params = Params.load()
        settings = PrepareSettings.build(
            params.scaled("prepare"), "prepare", params.places("prepare")
        )
        manifest = prepare(Path("data"), Results().prepared.folder, settings, params.seed)
        for warning in manifest["warnings"]:
            print(f"warning: {warning}")
