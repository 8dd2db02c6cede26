"""Feature vectors of the paintings, which every method is compared with, and their own floor."""

from pathlib import Path

from atelier.config import Params
from atelier.files import write_json
from atelier.images import find
from atelier.metrics.embedding import embed_files
from atelier.metrics.score import EvaluateSettings, evaluation_features, floor, save_reference
from atelier.stage import pick_device, stage

if __name__ == "__main__":
    with stage("reference"):
        params = Params.load()
        device = pick_device(params)
        settings = EvaluateSettings.build(params.scaled("evaluate"), "evaluate")
        features = evaluation_features(settings, device)
        paintings = find(Path("results/prepared/paintings"))
        vectors = embed_files(features, paintings, device=device, batch=settings.batch)
        save_reference(vectors, features, Path("results/reference.safetensors"))
        record = {"method": "floor", **floor(features, vectors)}
        write_json(Path("results/metrics/floor.json"), record)
