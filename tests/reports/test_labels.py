"""Names beside points: none on another, none on a point, the same every time."""

from __future__ import annotations

from itertools import combinations

import pytest
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg, RendererAgg
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

from atelier.reports.labels import Point, name_points

CROWD = [Point(0.5 + n / 500, 0.5 - n / 300, f"metanet_{n}", 4) for n in range(12)]


def drawing() -> tuple[Axes, RendererAgg]:
    figure = Figure((8, 5), 100)
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_axes((0.1, 0.1, 0.8, 0.8))
    axes.set(xlim=(0, 1), ylim=(0, 1))
    return axes, canvas.get_renderer()


def covered(a: Bbox, b: Bbox) -> float:
    common = Bbox.intersection(a, b)
    return common.width * common.height if common else 0


@pytest.mark.slow
def test_no_name_of_a_crowd_lies_on_another_or_on_a_point() -> None:
    axes, renderer = drawing()
    boxes = name_points(axes, renderer, CROWD)
    assert len(boxes) == len(axes.texts) == len(CROWD)
    assert all(covered(a, b) == 0 for a, b in combinations(boxes, 2))
    places = [axes.transData.transform((point.x, point.y)) for point in CROWD]
    assert not any(box.contains(*place) for box in boxes for place in places)


def test_what_is_taken_is_left_free() -> None:
    axes, renderer = drawing()
    one = Point(0.5, 0.5, "gatys")
    (free,) = name_points(axes, renderer, [one])
    (moved,) = name_points(axes, renderer, [one], [free])
    assert covered(free, moved) == 0


@pytest.mark.parametrize("place", [(0, 0), (0, 1), (1, 0), (1, 1)])
def test_names_stay_inside_the_axes(place: tuple[int, int]) -> None:
    axes, renderer = drawing()
    (box,) = name_points(axes, renderer, [Point(*place, "a long name of a method")])
    assert covered(box, axes.bbox) == pytest.approx(box.width * box.height)


@pytest.mark.slow
def test_a_name_alone_is_beside_its_point_and_one_in_a_crowd_has_a_line() -> None:
    axes, renderer = drawing()
    name_points(axes, renderer, [Point(0.2, 0.2, "alone")])
    assert axes.texts[0].arrow_patch is None  # type: ignore[attr-defined]
    name_points(axes, renderer, CROWD)
    assert any(text.arrow_patch for text in axes.texts)  # type: ignore[attr-defined]


@pytest.mark.slow
def test_the_order_of_the_points_does_not_matter() -> None:
    found = []
    for points in (CROWD, CROWD[::-1]):
        axes, renderer = drawing()
        found.append([box.bounds for box in name_points(axes, renderer, points)])
    assert found[0] == found[1]
