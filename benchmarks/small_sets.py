"""Effect of the number of pictures on a Fréchet distance: a figure and its numbers.

    python benchmarks/small_sets.py OUT data/paintings data/photos/test --features vgg19

Left: both sets have n pictures, drawn without replacement; mean ± standard deviation over the
draws, which share pictures, so that near the full set the deviation is too small. *Floor* is
paintings against other paintings, whose true distance is zero; *photographs* are untouched
photographs against paintings. Dashed: the intercept over 1/n (FID∞), fitted to the upper half of
the sizes. The floor's dashed line is not at zero, as it would be for n far above the dimension: so
the other one is too high as well, by an unknown amount.
Right: two samples of one Gaussian, true distance zero, 2048 dimensions (those of pytorch-fid's
Inception), eigenvalues ∝ i^-p, total variance 100. How much n costs depends on the spectrum.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Generator, Tensor

from atelier.core import images
from atelier.core.config import UserError
from atelier.core.files import atomic, write_json
from atelier.metrics.embeddings import embed_files
from atelier.metrics.evaluator import EvaluateSettings, evaluation_features
from atelier.metrics.fid_infinity import extrapolated_frechet
from atelier.metrics.frechet import frechet_distance

SIZES = (25, 50, 75, 100, 150, 200, 250, 300, 350, 400)
DIMENSION, VARIANCE = 2048, 100.0
EXPONENTS = (1.5, 1.0, 0.5)
GAUSSIAN_SIZES = ((50, 50), (100, 100), (200, 200), (400, 400), (800, 800), (400, 1000))
"""Sizes (n, m); the last, unequal pair is for the table only."""
Draw = Callable[[int], tuple[Tensor, Tensor]]
Row = dict[str, float]


def vectors(
    features: str, folders: dict[str, Path], cache: Path | None
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return vectors of every folder and their network, from the file ``cache`` if it exists."""
    if cache is not None and cache.is_file():
        with safe_open(cache, "pt") as file:
            return {name: file.get_tensor(name) for name in folders}, file.metadata()
    net = evaluation_features(EvaluateSettings(features=features), "cpu")
    source = {"features": net.name, "layer": net.layers[0], "hash": net.hash}
    found = {
        name: embed_files(net, images.find(folder), device="cpu", batch=16)
        for name, folder in folders.items()
    }
    if cache is not None:
        with atomic(cache) as part:
            save_file(found, part, metadata=source)
    return found, source


def two_of_one(vectors: Tensor, draw: Generator) -> Draw:
    """Return a function that draws disjoint subsets of one set."""

    def pair(n: int) -> tuple[Tensor, Tensor]:
        order = torch.randperm(len(vectors), generator=draw)
        return vectors[order[:n]], vectors[order[n : 2 * n]]

    return pair


def one_of_each(vectors: Tensor, others: Tensor, draw: Generator) -> Draw:
    """Return a function that draws subsets of two sets."""

    def pair(n: int) -> tuple[Tensor, Tensor]:
        first, second = (torch.randperm(len(v), generator=draw)[:n] for v in (vectors, others))
        return vectors[first], others[second]

    return pair


def curve(pair: Draw, largest: int, draws: int) -> list[Row]:
    """Return the distances at every size up to ``largest``, inclusive."""
    sizes = [size for size in SIZES if size < largest] + [largest]
    return [summary(n, [frechet_distance(*pair(n)) for _ in range(draws)]) for n in sizes]


def extrapolated(pair: Draw, largest: int, draws: int) -> Row:
    """Return the intercept over 1/n, from draws of the full size."""
    found = [extrapolated_frechet(*pair(largest), seed=n)["frechet_inf"] for n in range(draws)]
    return summary(largest, found)


def summary(n: int, values: Sequence[float]) -> Row:
    return {"n": n, "mean": mean(values), "sd": stdev(values)}


def gaussians(
    sizes: Sequence[tuple[int, int]], dimension: int, draws: int, seed: int
) -> list[dict[str, float]]:
    """Return distances between samples of one Gaussian, for every spectrum and pair of sizes."""
    draw, rows = Generator().manual_seed(seed), []
    for exponent in EXPONENTS:
        spectrum = torch.arange(1, dimension + 1, dtype=torch.float64) ** -exponent
        spread = (VARIANCE * spectrum / spectrum.sum()).sqrt()
        for pair in sizes:
            values = []
            for _ in range(draws):
                one, other = (
                    torch.randn(n, dimension, generator=draw, dtype=torch.float64) for n in pair
                )
                values.append(frechet_distance(one * spread, other * spread))
            rows.append({"p": exponent, "m": pair[1], **summary(pair[0], values)})
    return rows


def plot(found: dict[str, Any], path: Path) -> None:
    """Draw the figure, 1,400 px wide."""
    figure = Figure(figsize=(10, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    source = found["setting"]["features"]
    for colour, name in zip(("C0", "C1"), ("photographs", "floor"), strict=True):
        label = {"floor": "paintings – paintings (floor)"}.get(name, "photographs – paintings")
        limit = found["extrapolated"][name]["mean"]
        band(left, found["curves"][name], colour, label)
        left.axhline(limit, color=colour, linestyle="--", label=f"FID∞ of the {name}, {limit:.2g}")
    left.set_title(f"{source['features']} {source['layer']}, {found['setting']['dimension']} d")
    for number, exponent in enumerate(EXPONENTS):
        rows = [row for row in found["gaussians"] if row["p"] == exponent and row["n"] == row["m"]]
        band(right, rows, f"C{number + 2}", f"eigenvalues $\\propto i^{{-{exponent}}}$")
    right.set_title(f"two samples of one Gaussian, {found['setting']['gaussian_dimension']} d")
    for axes in (left, right):
        axes.set(xlabel="pictures in each set, n", ylabel="Fréchet distance")
        axes.set_xlim(left=0)
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)
    with atomic(path) as part:
        figure.savefig(part, format="png", dpi=140)


def band(axes: Axes, rows: Sequence[Row], colour: str, label: str) -> None:
    """Draw a line of means with a band of deviations."""
    n, middle, spread = ([row[key] for row in rows] for key in ("n", "mean", "sd"))
    axes.errorbar(n, middle, spread, color=colour, marker="o", markersize=3, capsize=2, label=label)


def main(
    out: Path, paintings: Path, photos: Path, features: str, cache: Path | None, draws: int,
    dimension: int, gaussian_draws: int, seed: int,
) -> None:  # fmt: skip
    folders = {"paintings": paintings, "photographs": photos}
    known, source = vectors(features, folders, cache)
    (real, plain), draw = known.values(), Generator().manual_seed(seed)
    if min(len(real) // 2, len(plain)) < SIZES[0]:
        raise UserError(f"the figure needs {2 * SIZES[0]} paintings and {SIZES[0]} photographs")
    pairs: dict[str, tuple[Draw, int]] = {
        "floor": (two_of_one(real, draw), len(real) // 2),
        "photographs": (one_of_each(real, plain, draw), min(len(real), len(plain))),
    }
    setting = {"features": source, "dimension": real.shape[1], "draws": draws}
    setting |= {"paintings": len(real), "photographs": len(plain), "seed": seed}
    setting |= {"gaussian_dimension": dimension, "gaussian_draws": gaussian_draws}
    found = {
        "setting": setting,
        "curves": {name: curve(*pair, draws) for name, pair in pairs.items()},
        "extrapolated": {name: extrapolated(*pair, draws) for name, pair in pairs.items()},
        "gaussians": gaussians(GAUSSIAN_SIZES, dimension, gaussian_draws, seed),
    }
    write_json(out / "small_sets.json", found)
    plot(found, out / "small_sets.png")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    for folder in ("out", "paintings", "photos"):
        parser.add_argument(folder, type=Path)
    parser.add_argument("--features", default="vgg19")
    parser.add_argument("--cache", type=Path, help="vectors to read, or to write for the next time")
    numbers = {"draws": 10, "dimension": DIMENSION, "gaussian-draws": 3, "seed": 0}
    for option, value in numbers.items():
        parser.add_argument(f"--{option}", type=int, default=value)
    main(**vars(parser.parse_args()))
