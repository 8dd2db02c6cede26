"""Vectors of the paintings, for all methods; the baselines, with their pictures and scores."""

from atelier.core.baselines import IDENTITY, MADE, NOISE_FLOOR
from atelier.core.config import Params
from atelier.core.device import pick_device
from atelier.core.files import write_json
from atelier.core.images import find
from atelier.core.pairing import Pairing, list_jobs
from atelier.core.paths import Results
from atelier.datasets.baselines import make_baselines
from atelier.metrics.evaluator import EvaluateSettings, Evaluator
from atelier.metrics.pairwise import made_pairs
from atelier.metrics.reference import look_at, noise_floor, save_reference
from atelier.tracking.stage import stage, tune_process

RESULTS = Results()

if __name__ == "__main__":
    tune_process()
    with stage("reference", IDENTITY):
        params, prepared = Params.load(), RESULTS.prepared
        settings = EvaluateSettings.build(
            params.scaled("evaluate"), "evaluate", params.places("evaluate")
        )
        evaluator = Evaluator.load(settings, pick_device(params))
        reference = look_at(evaluator, find(prepared.paintings), find(prepared.test_paintings))
        save_reference(reference, evaluator, RESULTS.reference)
        held_out = reference.held_out.vectors if reference.held_out else None
        floor = noise_floor(evaluator, reference.vectors, held_out=held_out)
        write_json(RESULTS.metrics(NOISE_FLOOR), {"method": NOISE_FLOOR, **floor})
        styles, jobs = Pairing.read(prepared.pairing).styles, list_jobs(prepared.folder)
        made = {key: RESULTS.baseline(key).images for key in MADE}
        make_baselines(jobs, made)
        folders = {IDENTITY: prepared.photos, **made}
        sets = [made_pairs(f, prepared.photos, styles, reference.names) for f in folders.values()]
        for key, scores in zip(folders, evaluator.score_sets(reference, sets), strict=True):
            write_json(RESULTS.metrics(key), {"method": key, **scores})
