"""Feature vectors of the paintings: computed once, compared with by every method."""

from pathlib import Path

from atelier.config import Params
from atelier.images import find
from atelier.metrics.embedding import embed_files
from atelier.metrics.score import EvaluateSettings, evaluation_features, save_reference
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
