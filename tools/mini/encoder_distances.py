"""Rank correlation of Fréchet distances on several encoders with those on VGG19.

    python -m tools.mini.encoder_distances DATA OUT vgg19 random mini
    python -m tools.mini.encoder_distances results OUT vgg19 random mini

With pictures: OUT is the output folder of ``encoder_gatys.py``. Its iterates, the photographs and
filtered versions of them, sets of 16 each, are compared with all held-out paintings. With the
results of ``dvc repro``: the stylised test photographs of every system, before and after denoising,
and the photographs are compared with all paintings of the run (``mini`` was trained on most of
these and of the photographs, but on no stylised picture). Spearman's correlation over the sets,
with the first encoder.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from PIL import Image, ImageEnhance, ImageFilter, ImageOps
from scipy.stats import spearmanr
from tools.mini.corpus import split

from atelier.core import images
from atelier.core.files import write_json
from atelier.metrics.embeddings import embed_files
from atelier.metrics.evaluator import EvaluateSettings, evaluation_features
from atelier.metrics.frechet import frechet_distance

SIZE = 256
FILTERS: dict[str, Callable[[Image.Image], Image.Image]] = {
    "blur": lambda image: image.filter(ImageFilter.GaussianBlur(3)),
    "posterise": lambda image: ImageOps.posterize(image, 2),
    "grey": lambda image: ImageOps.grayscale(image).convert("RGB"),
    "saturated": lambda image: ImageEnhance.Color(image).enhance(2.5),
    "median": lambda image: image.filter(ImageFilter.MedianFilter(9)),
    "noise": lambda image: Image.blend(
        image, Image.effect_noise(image.size, 90).convert("RGB"), 0.3
    ),
}


def prepare(data: Path, out: Path) -> tuple[list[Path], dict[str, list[Path]]]:
    """Return paintings at the size of the sets, and the sets by name."""
    reference = out / "reference"
    for path in split(data / "paintings")[1]:
        images.save_png(images.resize(images.read(path), SIZE), reference / f"{path.stem}.png")
    for name, change in FILTERS.items():
        for path in images.find(out / "content"):
            images.save_png(change(images.read(path)), out / name / path.name)
    apart = {"reference", "style"}
    folders = sorted(one for one in out.iterdir() if one.is_dir() and one.name not in apart)
    return images.find(reference), {one.name: images.find(one) for one in folders}


def systems(results: Path) -> tuple[list[Path], dict[str, list[Path]]]:
    """Return the paintings of a run of the bench, and the stylised sets of its systems."""
    folders = sorted(results.glob("stylized/*/images")) + sorted(results.glob("denoised/*/images"))
    sets = {f"{one.parts[-3]} {one.parts[-2]}": images.find(one) for one in folders}
    made = {path.name for paths in sets.values() for path in paths}
    photos = [path for path in images.find(results / "prepared/photos/test") if path.name in made]
    sets = {"photographs": photos, **sets}
    for name, paths in sets.items():
        if len(paths) != len(photos):
            sys.exit(f"{name}: {len(paths)} of {len(photos)} pictures; let dvc repro finish first")
    return images.find(results / "prepared/paintings"), sets


def main(data: Path, out: Path, names: list[str]) -> None:
    real = (data / "stylized").is_dir()
    reference, sets = systems(data) if real else prepare(data, out)
    found: dict[str, dict[str, float]] = {}
    for name in names:
        features = evaluation_features(EvaluateSettings(features=name), "cpu")
        wanted = embed_files(features, reference, device="cpu", batch=8)
        found[name] = {
            which: frechet_distance(wanted, embed_files(features, paths, device="cpu", batch=8))
            for which, paths in sets.items()
        }
    first = list(found[names[0]].values())
    ranks = {name: float(spearmanr(first, list(found[name].values()))[0]) for name in names}
    written = out / ("systems.json" if real else "distances.json")
    counts = {
        "sets": len(sets),
        "reference": len(reference),
        "pictures": len(next(iter(sets.values()))),
    }
    write_json(written, {**counts, "spearman": ranks, "frechet": found})
    print(len(sets), "sets; Spearman's correlation with", names[0], ranks)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])
