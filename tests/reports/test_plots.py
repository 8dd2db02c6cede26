"""The plot of distance against content kept."""

from __future__ import annotations

import numpy as np
import pandas as pd

from atelier.reports.leaderboard import DO_NOTHING, FLOOR
from atelier.reports.plots import pareto
from support.tables import MINI, frame, row


def points(*places: tuple[float, float]) -> pd.DataFrame:
    rows = [row(str(n), content=c, frechet=f, **MINI) for n, (c, f) in enumerate(places)]
    return frame(*rows)


def colours(picture: pd.DataFrame) -> int:
    return len(np.unique(np.asarray(pareto(picture)).reshape(-1, 3), axis=0))


def test_every_state_can_be_drawn() -> None:
    empty, one = points(), points((0.1, 9))
    floor = row(FLOOR, frechet=3.0, **MINI)
    full = pd.concat([points((0.1, 9), (0.2, 5)), frame(floor, row(DO_NOTHING, content=0.0))])
    full["seconds_per_picture"] = [0.5, np.nan, np.nan, np.nan]
    sizes = {pareto(each).size for each in (empty, one, full)}
    assert len(sizes) == 1
    assert colours(empty) < colours(one)


def test_a_method_without_content_is_no_point() -> None:
    with_one = points((0.1, 9), (0.2, 5))
    without = with_one.copy()
    without.loc[1, "content"] = np.nan
    assert not np.array_equal(np.asarray(pareto(with_one)), np.asarray(pareto(without)))
    assert np.array_equal(np.asarray(pareto(without)), np.asarray(pareto(points((0.1, 9)))))
