"""Plot of the comparison: the headline metric against content distance and cost."""

from __future__ import annotations

import io
import math
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text
from PIL import Image

from atelier.core.baselines import BASELINES
from atelier.metrics.catalogue import FIGURES, HEADLINE, PRICE
from atelier.reports.labels import SIZE, Point, name_points
from atelier.reports.leaderboard import front, label

INCHES, DPI = (8.0, 5.2), 110
SECONDS = "seconds_per_picture"
AREA, DECADE = 40.0, 60.0
"""Area of the quickest method's circle in square points, and what ten times the seconds add."""
MARKS = ("P", "X", "D", "s", "^")
"""Of the baselines that are points, in their order."""


def pareto(frame: pd.DataFrame) -> Image.Image:
    """Return a scatter plot of the finished methods: left keeps the content, low is near the style.

    A method on the line is not beaten in both by another one. The circles' areas grow with the
    logarithm of the seconds per picture. Baselines are marks; those that bound the systems are
    lines across, too.
    """
    figure = Figure(INCHES, DPI, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    done = frame[frame[PRICE].notna() & frame[HEADLINE].notna()]
    methods = done[~done["method"].isin(BASELINES)]
    points = _methods(axes, methods) if len(methods) else []
    points += _baselines(axes, done)
    lines = _lines(axes, frame)
    axes.margins(x=0.1, y=0.08)
    _describe(axes, frame)
    figure.draw_without_rendering()  # a name's place depends on the layout
    renderer = canvas.get_renderer()  # type: ignore[no-untyped-call]
    name_points(
        axes, renderer, points, [line.get_window_extent(renderer).padded(1) for line in lines]
    )
    return drawn(figure)


def areas(seconds: pd.Series[float]) -> pd.Series[float]:
    """Areas of circles in square points: ``DECADE`` more for each factor of ten in seconds.

    The least seconds have ``AREA``; unknown ones count as the least.
    """
    times = (seconds / seconds.min()).fillna(1).clip(lower=1)
    return AREA + DECADE * times.map(math.log10)


def _methods(axes: Axes, methods: pd.DataFrame) -> list[Point]:
    line = front(methods)
    axes.step(line[PRICE], line[HEADLINE], where="post", color="tab:blue", lw=1, alpha=0.6)
    sizes = areas(methods[SECONDS].astype(float))
    axes.scatter(methods[PRICE], methods[HEADLINE], s=sizes, alpha=0.7)
    rows = methods.assign(radius=np.sqrt(sizes / np.pi)).to_dict("records")
    return [Point(r[PRICE], r[HEADLINE], label(r["method"]), r["radius"]) for r in rows]


def _baselines(axes: Axes, done: pd.DataFrame) -> list[Point]:
    """Marks of the baselines that have both figures."""
    known, points = _rows(done), []
    for mark, key in zip(MARKS, BASELINES, strict=False):
        if key in known:
            x, y = known[key][PRICE], known[key][HEADLINE]
            axes.plot(x, y, mark, color="black", ms=7, mec="white")
            points.append(Point(x, y, label(key), 3.5))
    return points


def _lines(axes: Axes, frame: pd.DataFrame) -> list[Line2D | Text]:
    """Lines across at the baselines that bound; their names, at the right rim, if no mark has."""
    drawn: list[Line2D | Text] = []
    known = _rows(frame[frame[HEADLINE].notna()])
    for key, baseline in BASELINES.items():
        if baseline.line and key in known:
            value = known[key][HEADLINE]
            drawn.append(axes.axhline(value, color="grey", lw=0.8, ls=":"))
            if pd.isna(known[key][PRICE]):
                place, rim = f"{baseline.label} ", axes.get_yaxis_transform()
                drawn.append(
                    axes.text(1, value, place, transform=rim, ha="right", va="bottom", size=SIZE)
                )
    return drawn


def _rows(frame: pd.DataFrame) -> dict[str, dict[Any, Any]]:
    return {str(row["method"]): row for row in frame.to_dict("records")}


def _describe(axes: Axes, frame: pd.DataFrame) -> None:
    kept, near = (FIGURES[key] for key in (PRICE, HEADLINE))
    networks = (", ".join(sorted(set(frame[m.network]) - {""})) for m in (kept, near))
    across, up = (f"{m.name}, on {on}" for m, on in zip((kept, near), networks, strict=True))
    axes.set_xlabel(f"{across} (left: more is kept)")
    axes.set_ylabel(up)
    slower = "; larger circles: slower" if frame[SECONDS].notna().any() else ""
    axes.set_title(f"Kept of the photograph, near the paintings{slower}", size=10)


def drawn(figure: Figure) -> Image.Image:
    """Return a figure as a picture."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI)
    return Image.open(buffer).convert("RGB")
