"""The comparison as a picture: the headline metric against content kept and cost."""

from __future__ import annotations

import io

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from atelier.core.baselines import BASELINES, NOISE_FLOOR
from atelier.metrics.catalogue import FIGURES, HEADLINE, PRICE
from atelier.reports.leaderboard import front, label

INCHES, DPI = (8.0, 5.2), 110
LABEL = (85, 10)
"""Width and height a name takes, in points: where two would touch, one moves down."""


def pareto(frame: pd.DataFrame) -> Image.Image:
    """Every finished method as a point: left kept the content, below is near the paintings.

    A method on the line is not beaten in both by another one. The circles' areas are seconds per
    picture.
    """
    figure = Figure(INCHES, DPI, layout="constrained")
    axes = figure.add_subplot()
    done = frame[frame[PRICE].notna() & frame[HEADLINE].notna()]
    methods = done[~done["method"].isin(BASELINES)]
    if len(methods):
        _front(axes, methods)
        _points(axes, methods)
    for row in done[done["method"].isin(BASELINES)].to_dict("records"):
        axes.plot(row[PRICE], row[HEADLINE], "k+")
    for value in frame.loc[frame["method"] == NOISE_FLOOR, HEADLINE].dropna():
        axes.axhline(value, color="grey", lw=0.8, ls=":")
        name = f"{label(NOISE_FLOOR)} "
        axes.text(1, value, name, transform=axes.get_yaxis_transform(), ha="right", va="bottom")
    axes.margins(x=0.1)
    _names(figure, axes, done[done["method"] != NOISE_FLOOR])
    return _drawn(figure, axes, frame)


def _front(axes: Axes, methods: pd.DataFrame) -> None:
    line = front(methods)
    axes.step(line[PRICE], line[HEADLINE], where="post", color="tab:blue", lw=1, alpha=0.6)


def _points(axes: Axes, methods: pd.DataFrame) -> None:
    seconds = methods["seconds_per_picture"].astype(float)
    least = seconds.min()
    areas = 40 * (seconds / least).fillna(1).clip(1, 400) ** 0.5  # 400 times as long: 20 times
    axes.scatter(methods[PRICE], methods[HEADLINE], s=areas, alpha=0.7)


def _names(figure: Figure, axes: Axes, done: pd.DataFrame) -> None:
    """Beside the points, from the top down; one that would touch another moves below it."""
    taken: list[tuple[float, float]] = []
    for row in done.sort_values(HEADLINE, ascending=False).to_dict("records"):
        place = (row[PRICE], row[HEADLINE])
        across, up = axes.transData.transform(place) * 72 / figure.dpi  # points
        level = min([up, *(y - LABEL[1] for x, y in taken if _touch(x - across, y - up))])
        taken.append((across, level))
        shift = (6, level - up + 3)
        line = {"arrowstyle": "-", "color": "grey", "lw": 0.4} if level < up else None
        text = label(row["method"])
        axes.annotate(text, place, shift, textcoords="offset points", size=8, arrowprops=line)


def _touch(across: float, up: float) -> bool:
    return abs(across) < LABEL[0] and up < LABEL[1]


def _drawn(figure: Figure, axes: Axes, frame: pd.DataFrame) -> Image.Image:
    kept, near = (FIGURES[key] for key in (PRICE, HEADLINE))
    networks = (", ".join(sorted(set(frame[m.network]) - {""})) for m in (kept, near))
    across, up = (f"{m.name}, on {on}" for m, on in zip((kept, near), networks, strict=True))
    axes.set_xlabel(f"{across} (left: more is kept)")
    axes.set_ylabel(up)
    slower = "; larger circles: slower" if frame["seconds_per_picture"].notna().any() else ""
    axes.set_title(f"Kept of the photograph, near the paintings{slower}", size=10)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI)
    return Image.open(buffer).convert("RGB")
