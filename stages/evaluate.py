"""Score one method's pictures against paintings and photographs."""

from atelier.core import zoo_files
from atelier.core.config import Params
from atelier.core.files import read_json, write_json
from atelier.core.pairing import read_pairs
from atelier.core.paths import Results
from atelier.core.records import PICTURES, WEIGHTS
from atelier.metrics.reference import score_made
from atelier.tracking.stage import stage, stage_entry, tune_process

RESULTS = Results()


def main(name: str) -> None:
    made, model = RESULTS.stylized(name), RESULTS.model(name)
    scores = score_made(Params.load(), name, made.images, read_pairs(made.record))
    record, card = read_json(made.record), read_json(model.card)
    # The cost is in the records, as it would change the hash on every machine.
    made_by = {PICTURES: record.get(PICTURES), WEIGHTS: card.get(WEIGHTS)}
    if begun := zoo_files.history(card):
        made_by["pretrained"] = begun
    if model.training.is_file():
        made_by["parameters_trained"] = read_json(model.training)["parameters_trained"]
    write_json(RESULTS.metrics(name), {"method": name, "kind": card["kind"], **scores, **made_by})


if __name__ == "__main__":
    tune_process()
    entry = stage_entry()
    with stage("evaluate", entry):
        main(entry)
