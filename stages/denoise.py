"""Denoise one method's pictures: Zero-Shot Noise2Noise, a network for every picture."""

import sys
from pathlib import Path

from atelier.core.config import Params, UserError
from atelier.core.device import device_name, pick_device
from atelier.core.files import read_json, write_json
from atelier.core.images import find
from atelier.core.records import digest_of, set_aside
from atelier.engine.curves import write_curves
from atelier.engine.resume import checkpoint_folder, drop
from atelier.engine.stylize import mean_curves, stylize, write_outputs
from atelier.methods.zsn2n import Denoiser, DenoiseSettings, denoise_jobs
from atelier.tracking.stage import stage


def main(name: str) -> None:
    params, out = Params.load(), Path("results/denoised") / name
    block, device = params.scaled("denoise"), pick_device(params)
    settings = DenoiseSettings.build(block, "denoise")
    pictures = find(Path("results/stylized") / name / "images")
    jobs, method = denoise_jobs(pictures), Denoiser(settings, params.seed, device)
    pairs = read_json(Path("results/stylized") / name / "record.json")["pairs"]
    if missing := sorted(set(pairs) - {path.stem for path in pictures}):
        raise UserError(f"{', '.join(missing)}: not stylised; run dvc repro stylize@{name} --force")
    before = digest_of(pictures)
    key = {"parameters": block, "seed": params.seed, "pictures": before}
    kept = checkpoint_folder(f"denoise-{name}", key)
    records = stylize(method, jobs, kept, lambda *_: None, f"denoise {name}")
    write_outputs(jobs, kept, out / "images")
    curves = mean_curves(records)
    write_curves(curves, out / "curves.csv", method.places(len(curves["total"])))
    seconds = sum(record.seconds for record in records) / len(jobs)
    record = {"method": name, "seconds_per_picture": seconds, "device": device_name(device)}
    record = set_aside(Path(), name, "denoise", record, before)
    write_json(out / "record.json", {**record, "parameters": settings.model_dump()})
    drop(kept)


if __name__ == "__main__":
    with stage("denoise", sys.argv[1]):
        main(sys.argv[1])
