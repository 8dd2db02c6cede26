"""Names beside the points of a plot, placed so that none lies on another or on a point.

Deterministic, unlike adjustText, which stops after a time: the plot is an output DVC compares.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import cos, radians, sin

from matplotlib.axes import Axes
from matplotlib.backend_bases import RendererBase
from matplotlib.font_manager import FontProperties
from matplotlib.transforms import Bbox

SIZE = 8.0
"""Of the letters, in points."""
DISTANCES = (3, 10, 18, 28, 40, 54, 70, 90)
"""Between a point's rim and its name, in points; tried from the nearest on."""
DIRECTIONS = (20, -20, 160, 200, 90, 270, 0, 180, 50, -50, 130, 230)
"""Degrees from the right, anticlockwise; the first is preferred."""
LEADER = 10
"""From this distance on a thin line joins point and name."""
AIR = 1.0
"""Around each name, in points."""


@dataclass(frozen=True)
class Point:
    """A point with a name, in data coordinates."""

    x: float
    y: float
    name: str
    radius: float = 3
    """Of its mark, in points."""


def name_points(
    axes: Axes, renderer: RendererBase, points: Sequence[Point], taken: Iterable[Bbox] = ()
) -> list[Bbox]:
    """Write every point's name beside it; ``taken`` are boxes in pixels to keep clear of.

    Nearest free place first; where none is free, the one that covers least. The layout has to be
    final (``Figure.draw_without_rendering``).

    Returns:
        The boxes of the names in pixels, in the order they were placed: from the top down.
    """
    scale = axes.figure.dpi / 72
    marks = [_mark(axes, point, scale) for point in points]
    blocked, boxes = [*taken, *marks], list[Bbox]()
    for point in sorted(points, key=lambda p: (-p.y, p.x, p.name)):
        width, height, _ = renderer.get_text_width_height_descent(
            point.name, FontProperties(size=SIZE), ismath=False
        )
        choices = list(_places(axes, point, width, height, scale))
        best = min(choices, key=lambda choice: _cost(choice[1], blocked, axes.bbox))
        distance, box = best
        blocked.append(box)
        boxes.append(box)
        _write(axes, point, box, leader=distance >= LEADER)
    return boxes


def _mark(axes: Axes, point: Point, scale: float) -> Bbox:
    x, y = axes.transData.transform((point.x, point.y))
    reach = point.radius * scale
    return Bbox.from_extents(x - reach, y - reach, x + reach, y + reach)


def _places(
    axes: Axes, point: Point, width: float, height: float, scale: float
) -> Iterable[tuple[float, Bbox]]:
    """Distances and boxes, the preferred first."""
    across, up = axes.transData.transform((point.x, point.y))
    for distance in DISTANCES:
        for degrees in DIRECTIONS:
            reach = (point.radius + distance) * scale
            x, y = across + reach * cos(radians(degrees)), up + reach * sin(radians(degrees))
            left = x - width * (1 - cos(radians(degrees))) / 2  # beside it, or centred above
            low = y - height * (1 - sin(radians(degrees))) / 2
            yield distance, Bbox.from_bounds(left, low, width, height).padded(AIR * scale)


def _cost(box: Bbox, blocked: Sequence[Bbox], inside: Bbox) -> float:
    """Pixels covered, and those outside the axes; 0 for a free place."""
    covered = sum(_area(Bbox.intersection(box, other)) for other in blocked)
    return covered + _area(box) - _area(Bbox.intersection(box, inside))


def _area(box: Bbox | None) -> float:
    return 0.0 if box is None else box.width * box.height


def _write(axes: Axes, point: Point, box: Bbox, *, leader: bool) -> None:
    line = {"arrowstyle": "-", "color": "grey", "lw": 0.4} if leader else None
    middle = ((box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2)
    axes.annotate(
        point.name, (point.x, point.y), middle, textcoords="figure pixels", size=SIZE,
        ha="center", va="center", arrowprops=line,
    )  # fmt: skip
