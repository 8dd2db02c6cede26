"""Names, tooltips and formats of the table's columns; columns not listed keep their default."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import pandas as pd
from streamlit.column_config import ImageColumn, NumberColumn, TextColumn

from atelier.metrics.catalogue import FIGURES, UNSEEN, Metric
from atelier.reports.leaderboard import PHOTOS, label
from atelier.reports.repeats import OVER_SEEDS, SEEDS

PICTURE = "picture"


def _spread(metric: Metric) -> Any:
    help_ = "Standard deviation over the seeds of the entry."
    return NumberColumn(f"{metric.label}, ± over seeds", help=help_, format=f"%.{metric.digits}f")


def _number(metric: Metric) -> Any:
    form = "localized" if metric.count else f"%.{metric.digits}f"
    return NumberColumn(metric.title, help=metric.help, format=form)


def _together() -> Iterator[Metric]:
    """Yield all figures, the distances to the held-out paintings beside those to the others."""
    for key, metric in FIGURES.items():
        yield metric
        if UNSEEN + key in FIGURES:
            yield FIGURES[UNSEEN + key]


def _figures() -> Iterator[tuple[str, Any]]:
    """Yield the columns of all figures; beside the training's time, what it was trained on."""
    for metric in _together():
        yield metric.key, _number(metric)
        yield metric.key + OVER_SEEDS, _spread(metric)
        if metric.key == "training_seconds":
            help_ = "Photographs that its training drew from; none without a step of its own."
            yield PHOTOS, NumberColumn("Training photographs", help=help_, format="localized")


COLUMNS: dict[str, Any] = {
    "method": TextColumn(
        "Method", help="Entry of `methods` in params.yaml.", pinned=True, width=140
    ),
    PICTURE: ImageColumn("Picture", help="The stylised picture of the photograph chosen above."),
    SEEDS: NumberColumn("Seeds", help="Seeds of the entry; the figures are their means."),
    "status": TextColumn("Status", help="ok, failed, running or not run."),
    "kind": TextColumn(
        "Kind",
        help="optimisation, per_style, arbitrary, unpaired or diffusion; see docs/methods.md.",
    ),
    **dict(_figures()),
    "pretrained": TextColumn(
        "Pretrained", help="Pretrained weights of the zoo, and the steps trained since."
    ),
    "device": TextColumn("Device", help="Device on which the pictures were generated."),
    "features": TextColumn("Features", help="Network of the Fréchet and kernel distances."),
    "features_hash": TextColumn("Feature hash", help="Hash of the network's weights."),
    "layer": TextColumn("Layer", help="Layer of the features."),
    "perceptual": TextColumn("Perceptual", help="Network of the content and style distances."),
    "perceptual_hash": TextColumn("Perceptual hash", help="Hash of the network's weights."),
    "lpips_network": TextColumn("LPIPS network", help="And the hash of its weights."),
    "error": TextColumn("Note", help="Why there are no figures.", width="large"),
}


def arranged(frame: pd.DataFrame, beside: Iterable[str] = ()) -> pd.DataFrame:
    """The known columns in this order, then the others; those without any value are left out.

    Those named in ``beside`` stand beside the name and the picture.
    """
    front = [name for name in ("method", PICTURE) if name in frame]
    order = dict.fromkeys((*front, *beside, *COLUMNS, *frame))
    names = [name for name in order if name in frame]
    kept = [name for name in names if not frame[name].isin(["", None]).all()]
    shown = frame[[name for name in kept if frame[name].notna().any()]].copy()
    for name in shown.columns:
        figure = FIGURES.get(str(name).removesuffix(OVER_SEEDS))
        if figure and figure.scale != 1:
            shown[name] *= figure.scale
    if "method" in shown:
        shown["method"] = shown["method"].map(label)
    return shown
