"""The comparison as a picture: distance to the paintings against content kept and cost."""

from __future__ import annotations

import io

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from atelier.leaderboard import FLOOR, YARDSTICKS

INCHES, DPI = (8.0, 5.2), 110


def pareto(frame: pd.DataFrame) -> Image.Image:
    """Every finished method as a point: left kept the content, below is near the paintings.

    A method on the line is not beaten in both by another one. The circles' areas are seconds per
    picture.
    """
    figure = Figure(INCHES, DPI, layout="constrained")
    axes = figure.add_subplot()
    done = frame[frame["content"].notna() & frame["frechet"].notna()]
    methods = done[~done["method"].isin(YARDSTICKS)]
    if len(methods):
        _front(axes, methods)
        _points(axes, methods)
    for row in done[done["method"].isin(YARDSTICKS)].to_dict("records"):
        axes.plot(row["content"], row["frechet"], "k+")
        _name(axes, row)
    for row in frame[frame["method"] == FLOOR].to_dict("records"):
        if not pd.isna(row["frechet"]):
            axes.axhline(row["frechet"], color="grey", lw=0.8, ls=":", label="floor")
    return _drawn(figure, axes, frame)


def front(methods: pd.DataFrame) -> pd.DataFrame:
    """The rows no other row beats in both ``content`` and ``frechet``, by ``content``."""
    ordered = methods.sort_values(["content", "frechet"])
    best = ordered["frechet"].cummin().shift(fill_value=float("inf"))
    return ordered[ordered["frechet"] < best]


def _front(axes: Axes, methods: pd.DataFrame) -> None:
    line = front(methods)
    axes.step(line["content"], line["frechet"], where="post", color="tab:blue", lw=1, alpha=0.6)


def _points(axes: Axes, methods: pd.DataFrame) -> None:
    seconds = methods["seconds_per_picture"].astype(float)
    least = seconds.min()
    areas = 40 * (seconds / least).fillna(1).clip(1, 400) ** 0.5  # 400 times as long: 20 times
    axes.scatter(methods["content"], methods["frechet"], s=areas, alpha=0.7)
    for row in methods.to_dict("records"):
        _name(axes, row)


def _name(axes: Axes, row: dict[object, object]) -> None:
    place = (row["content"], row["frechet"])
    axes.annotate(str(row["method"]), place, (5, 4), textcoords="offset points", fontsize=8)


def _drawn(figure: Figure, axes: Axes, frame: pd.DataFrame) -> Image.Image:
    on, features = (
        ", ".join(sorted(set(frame[column]) - {""})) for column in ("perceptual", "features")
    )
    axes.set_xlabel(f"content distance to the photographs, on {on} (left: more is kept)")
    axes.set_ylabel(f"Fréchet distance to the paintings, on {features}")
    axes.set_title("Kept of the photograph, near the paintings; larger circles: slower", size=10)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI)
    return Image.open(buffer).convert("RGB")
