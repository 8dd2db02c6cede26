"""Score one method's pictures against the paintings."""

import sys
from pathlib import Path

from atelier.config import Params
from atelier.files import read_json, write_json
from atelier.images import find
from atelier.metrics.embedding import embed_files
from atelier.metrics.score import EvaluateSettings, evaluation_features, load_reference, score
from atelier.stage import pick_device, stage
from atelier.tracking import open_run

COST = ("seconds_per_picture", "peak_memory_mib", "device")


def main(name: str) -> None:
    params, made = Params.load(), Path("results/stylized") / name
    device, record = pick_device(params), read_json(made / "record.json")
    block = params.scaled("evaluate")
    settings = EvaluateSettings.build(block, "evaluate")
    features = evaluation_features(settings, device)
    reference = load_reference(features, Path("results/reference.safetensors"))
    known = {"scale": params.scale, "evaluate": block}
    with open_run(name, "evaluate", known, run_id=record["run_id"]) as run:
        pictures = find(made / "images")
        vectors = embed_files(features, pictures, device=device, batch=settings.batch)
        scores = score(features, reference, vectors)
        cost = {key: record[key] for key in COST}
        write_json(
            Path("results/metrics") / f"{name}.json",
            {"method": name, **scores, **cost, "run_id": run.id},
        )
        run.summary(
            {
                f"frechet_{features.name}": scores["frechet"],
                f"kid_{features.name}": scores["kid"],
                "n_reference": scores["n_reference"],
                "n_generated": scores["n_generated"],
            }
        )


if __name__ == "__main__":
    with stage("evaluate", sys.argv[1]):
        main(sys.argv[1])
