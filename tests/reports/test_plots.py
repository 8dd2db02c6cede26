"""The plot of distance against content kept."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from atelier.reports.plots import AREA, DECADE, areas, pareto
from support.tables import MINI, frame, row


def points(*places: tuple[float, float]) -> pd.DataFrame:
    rows = [row(str(n), content=c, frechet=f, **MINI) for n, (c, f) in enumerate(places)]
    return frame(*rows)


def colours(picture: pd.DataFrame) -> int:
    return len(np.unique(np.asarray(pareto(picture)).reshape(-1, 3), axis=0))


@pytest.mark.slow
def test_every_state_can_be_drawn() -> None:
    empty, one = points(), points((0.1, 9))
    floor = row("noise_floor", frechet=3.0, **MINI)
    full = pd.concat([points((0.1, 9), (0.2, 5)), frame(floor, row("identity", content=0.0))])
    full["seconds_per_picture"] = [0.5, np.nan, np.nan, np.nan]
    sizes = {pareto(each).size for each in (empty, one, full)}
    assert len(sizes) == 1
    assert colours(empty) < colours(one)


@pytest.mark.slow
def test_a_method_without_content_is_no_point() -> None:
    with_one = points((0.1, 9), (0.2, 5))
    without = with_one.copy()
    without.loc[1, "content"] = np.nan
    assert not np.array_equal(np.asarray(pareto(with_one)), np.asarray(pareto(without)))
    assert np.array_equal(np.asarray(pareto(without)), np.asarray(pareto(points((0.1, 9)))))


def test_ten_times_the_seconds_add_the_same_area_each_time() -> None:
    found = areas(pd.Series([0.01, 0.1, 1.0, np.nan])).tolist()
    assert found == pytest.approx([AREA, AREA + DECADE, AREA + 2 * DECADE, AREA])


@pytest.mark.slow
def test_bounding_baselines_are_lines_and_the_others_marks_alone() -> None:
    methods = points((0.1, 9), (0.2, 5))

    def changed(*rows: dict[str, object]) -> int:
        """Return the number of columns of pixels in which the rows changed something."""
        drawn = np.asarray(pareto(pd.concat([methods, frame(*rows)])))
        plain = np.asarray(pareto(methods))
        return int((drawn != plain).any(axis=(0, 2)).sum())

    assert changed(row("noise_floor", frechet=7.0, **MINI)) > 500
    assert changed(row("colour_transfer", content=0.15, frechet=7.0, **MINI)) < 200
