"""Score the untouched test photographs: the row every method has to beat."""

from pathlib import Path

from atelier.config import Params
from atelier.data import Pairing
from atelier.files import write_json
from atelier.metrics.embedding import embed_files
from atelier.metrics.score import EvaluateSettings, evaluation_features, load_reference, score
from atelier.stage import pick_device, stage

PREPARED = Path("results/prepared")

if __name__ == "__main__":
    with stage("evaluate", "do_nothing"):
        params = Params.load()
        device = pick_device(params)
        settings = EvaluateSettings.build(params.scaled("evaluate"), "evaluate")
        stems = sorted(Pairing.read(PREPARED / "pairing.json").styles)
        photos = [PREPARED / "photos/test" / f"{stem}.png" for stem in stems]
        features = evaluation_features(settings, device)
        reference = load_reference(features, Path("results/reference.safetensors"))
        vectors = embed_files(features, photos, device=device, batch=settings.batch)
        record = score(features, reference, vectors)
        write_json(Path("results/metrics/do_nothing.json"), {"method": "do_nothing", **record})
