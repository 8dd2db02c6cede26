"""Catalogue of metrics: everything that tables, plots, MLflow and the dashboard show of them.

A metric is a file in this folder and an entry here. This file imports neither torch nor the
metrics' files, since the dashboard's first view reads it; ``measures.py`` joins the two.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal


@dataclass(frozen=True)
class Metric:
    """A number of the comparison, and how it is displayed."""

    key: str
    """Name in records, table.csv, comparison.json, ``--sort`` and ``compare.champion``."""
    label: str
    """Name in the dashboard's table."""
    help: str
    digits: int
    """Digits after the decimal point, wherever it is shown."""
    file: str = ""
    """File of this folder whose ``MEASURE`` computes it; "": written by a stage."""
    name: str = ""
    """Its name in axes of plots and descriptions of models; "": not shown there, nor in
    comparison.json."""
    heading: str = ""
    """Its column in tables of text; "": it has none there unless asked for."""
    better: Literal["lower", "higher"] | None = "lower"
    scale: float = 1
    """Factor by which the displayed value is multiplied."""
    network: str = ""
    """Entry of a record that names the network it depends on; see ``NETWORKS``."""
    topic: str = ""
    """Name in the list of networks; "": its key."""
    spread: str = ""
    """Key of its standard deviation, shown after it as ±."""
    interval: tuple[str, str] | None = None
    """Keys of the bounds of its 95 % confidence interval."""
    denoised: bool = False
    """Whether it also has a column for the denoised pictures; see ``DENOISED``."""
    held_out: bool = False
    """Whether it is measured against the held-out paintings, too; see ``HELD_OUT_METRICS``."""
    required: bool = False
    """Whether every record must have it."""
    always: bool = False
    """Whether text tables include its column even if no row has a value."""
    combined: bool = False
    """Whether it is computed from other metrics; left out of machine-readable comparisons."""
    count: bool = False
    """Whether it is an integer."""

    @property
    def title(self) -> str:
        """Return the label with an arrow towards better values: ``Fréchet ↓``."""
        unit = f" ×{self.scale:g}" if self.scale != 1 else ""
        arrow = {"lower": " ↓", "higher": " ↑", None: ""}[self.better]
        return f"{self.label}{unit}{arrow}"

    def text(self, value: float | None) -> str:
        """Return the value for display, scaled and rounded; "-" without a value."""
        if value is None or not math.isfinite(value):
            return "-"
        return f"{self.scale * value:,.{self.digits}f}"

    def rank(self, value: float) -> float:
        """Return a number that is lower for better values."""
        return -value if self.better == "higher" else value


NETWORKS = {
    "features": ("features", "features_hash", "layer"),
    "perceptual": ("perceptual", "perceptual_hash"),
    "lpips_network": ("lpips_network",),
}
"""Network → the entries of a record that identify it, in order of display."""
NOT_FID = (
    "Not comparable with a published FID unless the features are inception_fid, "
    "and only between rows with the same features and the same numbers of pictures."
)

METRICS = (
    Metric(
        "frechet", "Fréchet",
        "Distance between the stylised photographs and the paintings, on the features named "
        f"beside it. Lower is better. {NOT_FID}",
        1, "frechet", "Fréchet distance to the paintings",
        "frechet", network="features", interval=("frechet_low", "frechet_high"), denoised=True,
        held_out=True, required=True, always=True,
    ),
    Metric(
        "frechet_low", "95 % CI, low",
        "Lower bound of the Fréchet distance's 95 % confidence interval for other photographs.",
        0, "jackknife", better=None, network="features", topic="frechet",
    ),
    Metric(
        "frechet_high", "95 % CI, high", "Upper bound of the same interval.",
        0, "jackknife", better=None, network="features", topic="frechet",
    ),
    Metric(
        "frechet_inf", "Fréchet, n → ∞", "The distance extrapolated to infinitely many pictures.",
        1, "fid_infinity", network="features", topic="frechet",
    ),
    Metric(
        "kid", "KID", "Kernel distance (KID) between the same sets, unbiased in n.",
        0, "kid", "kernel distance to the paintings", "kid", scale=1000, network="features",
        spread="kid_sd", denoised=True, held_out=True, always=True,
    ),
    Metric(
        "kid_sd", "± sd", "Standard deviation of the kernel distance over random subsets.",
        0, "kid", better=None, scale=1000, network="features", topic="kid",
    ),
    Metric(
        "content", "Content", "Perceptual distance between each picture and its photograph.",
        2, "perceptual", "content distance to the photographs", "content", network="perceptual",
        denoised=True,
    ),
    Metric(
        "style", "Style", "Distance between the style statistics of each picture and its painting.",
        3, "perceptual", "style distance to its painting", "style", network="perceptual",
        denoised=True,
    ),
    Metric(
        "style_set", "Style (set)", "The same distance to the average of all paintings.",
        3, "perceptual", "style distance to all paintings", "style set", network="perceptual",
        topic="style",
    ),
    Metric(
        "ssim", "SSIM", "Structural similarity to the photograph; 1: identical.",
        2, "ssim", "SSIM to the photographs", "ssim", better="higher", denoised=True,
    ),
    Metric(
        "lpips", "LPIPS", "Learned perceptual image patch similarity (LPIPS) to the photograph.",
        3, "lpips", "LPIPS to the photographs", "lpips", network="lpips_network",
    ),
    Metric(
        "artfid", "ArtFID", "(1 + LPIPS) · (1 + Fréchet distance): content and style in one.",
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
    Metric(
        "sifid", "SIFID",
        "Fréchet distance between the local features of each picture and its painting.",
        1, "sifid", "single-image Fréchet distance to its painting", network="perceptual",
        topic="style",
    ),
    Metric(
        "cfsd", "CFSD",
        "Content feature structural distance: whether places resemble each other as in the "
        "photograph; 0: they do.",
        2, "cfsd", "content feature structural distance to the photographs", scale=1000,
        network="perceptual", topic="content",
    ),
)  # fmt: skip
"""Metrics of the pictures, in the order of every table."""
QUESTIONS = {
    "overall": "Which is the better picture of this photograph in this painting's style?",
    "style": "Which is closer to the painting's style?",
    "content": "Which keeps more of what the photograph shows?",
}
"""Questions that people answer about two pictures, in order of display."""
PREFERENCE, VOTES_ON = "preference_", "votes_"
"""Prefixes of a question's strength and number of votes."""


def _preference(question: str) -> tuple[Metric, ...]:
    """Return a question's strength, its bounds, and the number of votes on the method."""
    key, label = PREFERENCE + question, f"Preference ({question})"
    low, high = f"{key}_low", f"{key}_high"
    asks = f"people's votes on “{QUESTIONS[question]}”"
    return (
        Metric(
            key, label,
            f"Bradley–Terry strength in {asks}, in log odds; 0: the average method.",
            2, name=f"people's preference ({question})", better="higher", interval=(low, high),
            heading="preference" if question == "overall" else "",
        ),
        Metric(low, f"{label}, low", "Lower bound of its 95 % interval for other votes.",
               2, better=None),
        Metric(high, f"{label}, high", "Upper bound of the same interval.", 2, better=None),
        Metric(
            VOTES_ON + question, f"Votes ({question})",
            f"Number of {asks} in which it was one of the two.",
            0, better=None, count=True,
        ),
    )  # fmt: skip


PREFERENCES = tuple(metric for question in QUESTIONS for metric in _preference(question))
"""What people prefer; no column of it where nobody has voted."""
COSTS = (
    Metric(
        "seconds_per_picture", "s / picture", "Seconds to stylise one photograph, "
        "without reading and writing of files, and without the first batch.",
        3, name="seconds per picture", heading="s/picture",
    ),
    Metric(
        "peak_memory_mib", "Memory (MiB)", "Peak memory: of the GPU if one was used, else RAM.",
        0, name="peak memory in MiB", heading="MiB",
    ),
    Metric(
        "training_seconds", "Training (s)", "Total training time.",
        0, name="training time in seconds", heading="training s",
    ),
    Metric(
        "parameters_trained", "Parameters", "Number of trained parameters.",
        0, name="trained parameters", better=None, count=True,
    ),
)  # fmt: skip
SIZES = (
    Metric(
        "n_reference", "Paintings", "Number of paintings in the reference set.", 0,
        better=None, count=True,
    ),
    Metric(
        "n_generated", "Pictures", "Number of stylised photographs.", 0,
        better=None, count=True,
    ),
)  # fmt: skip
HEADLINE = "frechet"
"""Headline metric: default for sorting and the champion, plotted against ``PRICE``.

In text tables, it alone has a denoised column."""
PRICE = "content"
AFTER = "denoised_"


def _again(metric: Metric, prefix: str, label: str, meaning: str) -> Metric:
    """Return the same metric of other pictures."""
    return replace(
        metric, key=prefix + metric.key, label=f"{label}: {metric.label}", file="", help=meaning,
        name="", heading="", spread="", interval=None, denoised=False, held_out=False,
        required=False,
    )  # fmt: skip


DENOISED = tuple(
    _again(metric, AFTER, "Denoised", "The same metric after denoising.")
    for metric in METRICS
    if metric.denoised
)
"""The same metrics of the denoised pictures."""
HELD_OUT = "held_out"
"""Key, in records, of the distances to the held-out paintings."""
UNSEEN = f"{HELD_OUT}_"
"""Prefix of their columns; none of them where no painting is held out."""
HELD_OUT_METRICS = (
    *(
        replace(
            _again(
                metric, UNSEEN, "Held-out",
                "The same distance to the held-out paintings (`prepare.test_paintings`), which no "
                "training on this data has seen. Their number differs, so the two are not "
                "comparable with each other; the noise floor has both.",
            ),
            name=metric.name.replace("the paintings", "the held-out paintings"),
        )
        for metric in METRICS if metric.held_out
    ),
    Metric(
        f"{UNSEEN}n_reference", "Held-out paintings", "Number of held-out paintings.", 0,
        better=None, count=True,
    ),
)  # fmt: skip
"""What is measured against the paintings that no training sees."""
FIGURES = {
    metric.key: metric
    for metric in (*METRICS, *DENOISED, *HELD_OUT_METRICS, *PREFERENCES, *COSTS, *SIZES)
}
"""All numbers of the comparison, by key."""
FILES = tuple(dict.fromkeys(metric.file for metric in METRICS))
"""Files that compute metrics, in order of evaluation."""


def topics(network: str) -> str:
    """Return the metrics that depend on a network, in short: ``frechet, kid``."""
    found = [metric.topic or metric.key for metric in METRICS if metric.network == network]
    return ", ".join(dict.fromkeys(found))
