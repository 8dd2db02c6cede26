"""Vectors of the paintings, for all methods; their own floor, and the photographs as they are."""

from pathlib import Path

from atelier.core.config import Params
from atelier.core.device import pick_device
from atelier.core.files import write_json
from atelier.core.images import find
from atelier.core.pairing import Pairing
from atelier.metrics.evaluator import EvaluateSettings, Evaluator
from atelier.metrics.pairwise import made_pairs
from atelier.metrics.reference import floor, look_at, save_reference
from atelier.tracking.stage import stage

RESULTS, PREPARED = Path("results"), Path("results/prepared")

if __name__ == "__main__":
    with stage("reference", "do_nothing"):
        params = Params.load()
        settings = EvaluateSettings.build(
            params.scaled("evaluate"), "evaluate", params.places("evaluate")
        )
        evaluator = Evaluator.load(settings, pick_device(params))
        reference = look_at(evaluator, find(PREPARED / "paintings"))
        save_reference(reference, evaluator, RESULTS / "reference.safetensors")
        record = {"method": "floor", **floor(evaluator, reference.vectors)}
        write_json(RESULTS / "metrics/floor.json", record)
        photos, styles = PREPARED / "photos/test", Pairing.read(PREPARED / "pairing.json").styles
        untouched = made_pairs(photos, photos, styles, sorted(reference.styles))
        record = {"method": "do_nothing", **evaluator.score(reference, untouched)}
        write_json(RESULTS / "metrics/do_nothing.json", record)
