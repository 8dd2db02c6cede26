"""Score one method's pictures, as they are and denoised, against the paintings and photographs."""

from pathlib import Path

from atelier.core.config import Params
from atelier.core.device import pick_device
from atelier.core.files import read_json, write_json
from atelier.metrics.evaluator import EvaluateSettings, Evaluator
from atelier.metrics.pairwise import made_pairs
from atelier.metrics.reference import load_reference
from atelier.tracking.stage import stage, stage_entry

RESULTS, PHOTOS = Path("results"), Path("results/prepared/photos/test")
COST = ("seconds_per_picture", "peak_memory_mib", "device")
TRAINING = ("training_seconds", "parameters_trained")


def main(name: str) -> None:
    params, made, model = Params.load(), RESULTS / "stylized" / name, RESULTS / "models" / name
    clean = RESULTS / "denoised" / name
    record, card = read_json(made / "record.json"), read_json(model / "card.json")
    settings = EvaluateSettings.build(
        params.scaled("evaluate"), "evaluate", params.places("evaluate")
    )
    evaluator = Evaluator.load(settings, pick_device(params))
    reference = load_reference(evaluator, RESULTS / "reference.safetensors")
    # A system that learns from two folders looks at no single painting.
    paintings = [] if card["kind"] == "domain" else sorted(reference.styles)
    cost = {key: record[key] for key in COST}
    if (model / "training.json").is_file():
        cost |= {key: read_json(model / "training.json")[key] for key in TRAINING}
    scores, denoised = (
        evaluator.score(reference, made_pairs(folder, PHOTOS, record["pairs"], paintings))
        for folder in (made / "images", clean / "images")
    )
    denoised["seconds_per_picture"] = read_json(clean / "record.json")["seconds_per_picture"]
    found = {"method": name, "kind": card["kind"], **scores, "denoised": denoised, **cost}
    write_json(RESULTS / "metrics" / f"{name}.json", {**found, "run_id": record["run_id"]})


if __name__ == "__main__":
    entry = stage_entry()
    with stage("evaluate", entry):
        main(entry)
