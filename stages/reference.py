"""Compute the feature vectors of the paintings, the noise floor and the identity baseline."""

from atelier.core.config import Params
from atelier.core.device import pick_device
from atelier.core.files import write_json
from atelier.core.images import find
from atelier.core.pairing import Pairing
from atelier.core.paths import IDENTITY, NOISE_FLOOR, Results
from atelier.metrics.evaluator import EvaluateSettings, Evaluator
from atelier.metrics.pairwise import made_pairs
from atelier.metrics.reference import look_at, noise_floor, save_reference
from atelier.tracking.stage import stage, tune_process

RESULTS = Results()

if __name__ == "__main__":
    tune_process()
    with stage("reference", IDENTITY):
        params = Params.load()
        settings = EvaluateSettings.build(
            params.scaled("evaluate"), "evaluate", params.places("evaluate")
        )
        evaluator = Evaluator.load(settings, pick_device(params))
        reference = look_at(evaluator, find(RESULTS.prepared.paintings))
        save_reference(reference, evaluator, RESULTS.reference)
        record = {"method": NOISE_FLOOR, **noise_floor(evaluator, reference.vectors)}
        write_json(RESULTS.metrics(NOISE_FLOOR), record)
        photos, styles = RESULTS.prepared.photos, Pairing.read(RESULTS.prepared.pairing).styles
        untouched = made_pairs(photos, photos, styles, sorted(reference.styles))
        record = {"method": IDENTITY, **evaluator.score(reference, untouched)}
        write_json(RESULTS.metrics(IDENTITY), record)
