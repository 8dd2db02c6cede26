"""Score one method's pictures, as they are and denoised, against the paintings and photographs."""

import sys
from pathlib import Path

from atelier.core.config import Params
from atelier.core.device import pick_device
from atelier.core.files import read_json, write_json
from atelier.core.records import PICTURES, WEIGHTS
from atelier.metrics.evaluator import EvaluateSettings, Evaluator
from atelier.metrics.pairwise import made_pairs
from atelier.metrics.reference import load_reference
from atelier.tracking.stage import stage

RESULTS, PHOTOS = Path("results"), Path("results/prepared/photos/test")


def main(name: str) -> None:
    params, made, model = Params.load(), RESULTS / "stylized" / name, RESULTS / "models" / name
    clean = RESULTS / "denoised" / name
    record, card = read_json(made / "record.json"), read_json(model / "card.json")
    settings = EvaluateSettings.build(params.scaled("evaluate"), "evaluate")
    evaluator = Evaluator.load(settings, pick_device(params))
    reference = load_reference(evaluator, RESULTS / "reference.safetensors")
    # A system that learns from two folders looks at no single painting.
    paintings = [] if card["kind"] == "domain" else sorted(reference.styles)
    # What it cost stands in the records: it would be another hash on every machine.
    made_by = {PICTURES: record.get(PICTURES), WEIGHTS: card.get(WEIGHTS)}
    if (model / "training.json").is_file():
        made_by["parameters_trained"] = read_json(model / "training.json")["parameters_trained"]
    scores, denoised = (
        evaluator.score(reference, made_pairs(folder, PHOTOS, record["pairs"], paintings))
        for folder in (made / "images", clean / "images")
    )
    found = {"method": name, "kind": card["kind"], **scores, "denoised": denoised, **made_by}
    write_json(RESULTS / "metrics" / f"{name}.json", found)


if __name__ == "__main__":
    with stage("evaluate", sys.argv[1]):
        main(sys.argv[1])
