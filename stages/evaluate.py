"""Score one method's pictures, as generated and denoised, against paintings and photographs."""

from atelier.core import zoo_files
from atelier.core.config import Params, UserError
from atelier.core.device import pick_device
from atelier.core.files import how_to_restore, read_json, write_json
from atelier.core.pairing import read_pairs
from atelier.core.paths import Results
from atelier.core.records import PICTURES, WEIGHTS
from atelier.metrics.evaluator import EvaluateSettings, Evaluator
from atelier.metrics.pairwise import made_pairs
from atelier.metrics.reference import load_reference
from atelier.tracking.stage import stage, stage_entry, tune_process

RESULTS = Results()


def main(name: str) -> None:
    params, made, model = Params.load(), RESULTS.stylized(name), RESULTS.model(name)
    clean = RESULTS.denoised(name)
    pairs, record = read_pairs(made.record), read_json(made.record)
    card = read_json(model.card)
    if not isinstance(card, dict) or "kind" not in card:
        raise UserError(f"{model.card}: is not a method's card; {how_to_restore(model.card)}")
    settings = EvaluateSettings.build(
        params.scaled("evaluate"), "evaluate", params.places("evaluate")
    )
    evaluator = Evaluator.load(settings, pick_device(params))
    reference = load_reference(evaluator, RESULTS.reference)
    # An unpaired system does not take a single painting.
    paintings = [] if card["kind"] == "unpaired" else sorted(reference.styles)
    # The cost is in the records, as it would change the hash on every machine.
    made_by = {PICTURES: record.get(PICTURES), WEIGHTS: card.get(WEIGHTS)}
    if begun := zoo_files.history(card):
        made_by["pretrained"] = begun
    if model.training.is_file():
        made_by["parameters_trained"] = read_json(model.training)["parameters_trained"]
    sets = [
        made_pairs(folder, RESULTS.prepared.photos, pairs, paintings)
        for folder in (made.images, clean.images)
    ]
    scores, denoised = evaluator.score_sets(reference, sets)
    found = {"method": name, "kind": card["kind"], **scores, "denoised": denoised, **made_by}
    write_json(RESULTS.metrics(name), found)


if __name__ == "__main__":
    tune_process()
    entry = stage_entry()
    with stage("evaluate", entry):
        main(entry)
