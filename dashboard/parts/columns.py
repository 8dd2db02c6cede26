"""Names, explanations and formats of the table's columns; one that is not listed shows as it is."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pandas as pd
from streamlit.column_config import ImageColumn, NumberColumn, TextColumn

from atelier.metrics.catalogue import FIGURES, Metric
from atelier.reports.leaderboard import label

PICTURE = "picture"


def _number(metric: Metric) -> Any:
    form = "localized" if metric.count else f"%.{metric.digits}f"
    return NumberColumn(metric.title, help=metric.help, format=form)


COLUMNS: dict[str, Any] = {
    "method": TextColumn(
        "Method", help="Entry of `methods` in params.yaml.", pinned=True, width=140
    ),
    PICTURE: ImageColumn("Picture", help="What it made of the photograph chosen above."),
    "status": TextColumn("Status", help="ok, failed, running or not run."),
    "kind": TextColumn(
        "Kind", help="optimisation, per_style, arbitrary or unpaired; see the README."
    ),
    **{metric.key: _number(metric) for metric in FIGURES.values()},
    "pretrained": TextColumn(
        "Pretrained", help="Weights of the zoo its training began from, and its own steps after."
    ),
    "device": TextColumn("Device", help="Where the pictures were made."),
    "features": TextColumn("Features", help="The network whose activations are compared."),
    "features_hash": TextColumn("Feature hash", help="Of the weights: which ones exactly."),
    "layer": TextColumn("Layer", help="Of the features."),
    "perceptual": TextColumn("Perceptual", help="The network of the content and style distances."),
    "perceptual_hash": TextColumn("Perceptual hash", help="Of the weights: which ones exactly."),
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
    for name in shown.columns.intersection(list(FIGURES)):
        if FIGURES[name].scale != 1:
            shown[name] *= FIGURES[name].scale
    if "method" in shown:
        shown["method"] = shown["method"].map(label)
    return shown
