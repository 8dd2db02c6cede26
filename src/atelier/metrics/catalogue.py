"""The catalogue of metrics: whatever tables, plots, MLflow and the dashboard say of one.

A metric is its file in this folder and its entry here. This file imports neither torch nor the
other ones, since the dashboard's first view reads it; ``measures.py`` brings the two together.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal


@dataclass(frozen=True)
class Metric:
    """A number of the comparison, and how people are shown it."""

    key: str
    """Its name in records, table.csv, comparison.json, ``--sort`` and ``compare.champion``."""
    label: str
    """Its name in the dashboard's table."""
    help: str
    digits: int
    """Behind the point, wherever it is shown."""
    file: str = ""
    """The file of this folder whose ``MEASURE`` gives it; "": a stage writes it."""
    name: str = ""
    """Its name in axes of plots and descriptions of models; "": not shown there, nor in
    comparison.json."""
    heading: str = ""
    """Its column in tables of text; "": it has none there unless asked for."""
    better: Literal["lower", "higher"] | None = "lower"
    scale: float = 1
    """What it is shown times."""
    network: str = ""
    """The entry of a record that names the network it depends on, see ``NETWORKS``."""
    topic: str = ""
    """What it is called where the networks are listed; "": as its key."""
    spread: str = ""
    """Key of its standard deviation, shown behind it as ±."""
    interval: tuple[str, str] | None = None
    """Keys of the ends of its 95 % confidence interval."""
    denoised: bool = False
    """Whether it has a column for the denoised pictures, too; see ``DENOISED``."""
    required: bool = False
    """Whether a record without it is broken."""
    always: bool = False
    """Whether tables of text have its column even if no row has a value."""
    combined: bool = False
    """Whether it is made of other metrics; left out where those are compared by machine."""
    count: bool = False
    """Whether it is a whole number."""

    @property
    def title(self) -> str:
        """Return the label with an arrow to the better values: ``Fréchet ↓``."""
        unit = f" ×{self.scale:g}" if self.scale != 1 else ""
        arrow = {"lower": " ↓", "higher": " ↑", None: ""}[self.better]
        return f"{self.label}{unit}{arrow}"

    def text(self, value: float | None) -> str:
        """Return the value as people read it, scaled and rounded; "-" without one."""
        if value is None or not math.isfinite(value):
            return "-"
        return f"{self.scale * value:,.{self.digits}f}"

    def rank(self, value: float) -> float:
        """Return a number that is the smaller the better the value is."""
        return -value if self.better == "higher" else value


NETWORKS = {
    "features": ("features", "features_hash", "layer"),
    "perceptual": ("perceptual", "perceptual_hash"),
    "lpips_network": ("lpips_network",),
}
"""Network → the entries of a record that say which one exactly, in the order they are shown."""
NOT_FID = (
    "Not comparable with a published FID unless the features are inception_fid, "
    "and only between rows with the same features and the same numbers of pictures."
)

METRICS = (
    Metric(
        "frechet", "Fréchet",
        "Distance of the stylised photographs to the paintings, in the features named beside it. "
        f"Lower is better. {NOT_FID}",
        1, "frechet", "Fréchet distance to the paintings", "frechet", network="features",
        interval=("frechet_low", "frechet_high"), denoised=True, required=True, always=True,
    ),
    Metric(
        "frechet_low", "Fréchet, low",
        "Lower end of its 95 % confidence interval for other photographs.",
        0, "jackknife", better=None, network="features", topic="frechet",
    ),
    Metric(
        "frechet_high", "Fréchet, high", "Upper end of the same interval.",
        0, "jackknife", better=None, network="features", topic="frechet",
    ),
    Metric(
        "frechet_inf", "Fréchet, n → ∞", "Extrapolated to endlessly many pictures.",
        1, "fid_infinity", network="features", topic="frechet",
    ),
    Metric(
        "kid", "KID", "Kernel distance: the same by kernels, unbiased in n.",
        0, "kid", "kernel distance to the paintings", "kid", scale=1000, network="features",
        spread="kid_sd", denoised=True, always=True,
    ),
    Metric(
        "kid_sd", "± sd", "Of the kernel distance, over random subsets.",
        0, "kid", better=None, scale=1000, network="features", topic="kid",
    ),
    Metric(
        "content", "Content", "Perceptual distance of each picture to its photograph.",
        2, "perceptual", "content distance to the photographs", "content", network="perceptual",
        denoised=True,
    ),
    Metric(
        "style", "Style", "Distance of each picture's style statistics to its painting's.",
        3, "perceptual", "style distance to each one's painting", "style", network="perceptual",
        denoised=True,
    ),
    Metric(
        "style_set", "Style (set)", "The same to the average of all paintings.",
        3, "perceptual", "style distance to all paintings", "style set", network="perceptual",
        topic="style",
    ),
    Metric(
        "ssim", "SSIM", "Structural similarity to the photograph; 1: the same.",
        2, "ssim", "SSIM to the photographs", "ssim", better="higher", denoised=True,
    ),
    Metric(
        "lpips", "LPIPS", "Learned perceptual distance to the photograph.",
        3, "lpips", "LPIPS to the photographs", "lpips", network="lpips_network",
    ),
    Metric(
        "artfid", "ArtFID", "(1 + LPIPS) · (1 + Fréchet distance): both in one.",
        1, "artfid", "ArtFID", "artfid", combined=True,
    ),
    Metric(
        "precision", "Precision", "Share of the pictures that lie among the paintings.",
        2, "precision_recall", "precision", better="higher", network="features", topic="frechet",
    ),
    Metric(
        "recall", "Recall", "Share of the paintings that lie among the pictures: variety.",
        2, "precision_recall", "recall", better="higher", network="features", topic="frechet",
    ),
    Metric(
        "density", "Density", "How densely the pictures lie among the paintings; 1: as those do.",
        2, "density_coverage", "density", better="higher", network="features", topic="frechet",
    ),
    Metric(
        "coverage", "Coverage", "Share of the paintings that have a picture near them.",
        2, "density_coverage", "coverage", better="higher", network="features", topic="frechet",
    ),
)  # fmt: skip
"""What pictures are scored with, in the order of every table."""
COSTS = (
    Metric(
        "seconds_per_picture", "s / picture", "Time to stylise one photograph.",
        3, name="seconds per picture", heading="s/picture",
    ),
    Metric(
        "peak_memory_mib", "Memory (MiB)", "Peak of the GPU if one was used, else RAM.",
        0, name="MiB of memory at most", heading="MiB",
    ),
    Metric(
        "training_seconds", "Training (s)", "Time the whole training took.",
        0, name="seconds of training", heading="training s",
    ),
    Metric(
        "parameters_trained", "Parameters", "Numbers trained.",
        0, name="trained parameters", better=None, count=True,
    ),
)  # fmt: skip
SIZES = (
    Metric(
        "n_reference", "Paintings", "How many paintings were compared with.", 0,
        better=None, count=True,
    ),
    Metric(
        "n_generated", "Pictures", "How many stylised photographs were compared.", 0,
        better=None, count=True,
    ),
)  # fmt: skip
HEADLINE = "frechet"
"""The metric that sorts and crowns unless another is asked for, and is plotted against ``PRICE``.

It alone has its denoised column in tables of text, too."""
PRICE = "content"
AFTER = "denoised_"
DENOISED = tuple(
    replace(
        metric, key=AFTER + metric.key, label=f"Denoised: {metric.label}", file="",
        help="The same after denoising.", name="", heading="", spread="", interval=None,
        denoised=False, required=False,
    )
    for metric in METRICS if metric.denoised
)  # fmt: skip
"""The same metrics of the denoised pictures."""
FIGURES = {metric.key: metric for metric in (*METRICS, *DENOISED, *COSTS, *SIZES)}
"""Everything that is a number in the comparison, by its key."""
FILES = tuple(dict.fromkeys(metric.file for metric in METRICS))
"""The files that measure, in the order they are asked."""


def topics(network: str) -> str:
    """Return what depends on a network, in a word each: ``frechet, kid``."""
    found = [metric.topic or metric.key for metric in METRICS if metric.network == network]
    return ", ".join(dict.fromkeys(found))
