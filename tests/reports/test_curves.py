"""Curves for a chart: what a logarithmic axis shows; long ones with a hundredth of their points."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from atelier.reports.curves import POINTS, on_log_axis, thinned

STEPS = 120_000


@pytest.fixture(scope="module")
def long() -> pd.DataFrame:
    """Two noisy curves: one with a peak and a hole of one step each, one that ends half way."""
    rng = np.random.default_rng(0)
    falling = 1 / np.arange(1, STEPS + 1) + 0.01 * rng.random(STEPS)
    peaked = falling.copy()
    peaked[77_777], peaked[88_888] = 9.0, -9.0
    short = np.where(np.arange(STEPS) < STEPS // 2, falling, np.nan)
    steps = pd.Index(range(1, STEPS + 1), name="step", dtype="float64")
    return pd.DataFrame({"peaked": peaked, "short": short}, index=steps)


def test_a_long_curve_keeps_its_ends_peaks_and_holes(long: pd.DataFrame) -> None:
    found = thinned(long)
    assert found.index.name == "step"
    assert found.index.is_monotonic_increasing
    for name in long:
        curve, kept = long[name].dropna(), found[name].dropna()
        assert POINTS / 2 < len(kept) <= POINTS
        assert (kept == curve[kept.index]).all(), "points of the curve, at their places"
        assert [kept.index[0], kept.index[-1]] == [curve.index[0], curve.index[-1]]
        assert (kept.min(), kept.max()) == (curve.min(), curve.max())
    assert found["peaked"][77_778.0] == 9


def test_every_column_of_pixels_keeps_its_range(long: pd.DataFrame) -> None:
    """What a chart of 300 columns shows is the same: in each, the lowest and the highest value."""
    for name in long:
        curve, kept = long[name].dropna(), thinned(long)[name].dropna()
        width = len(curve) / 300
        middle = [
            series.groupby((series.index / width).astype(int)).agg(["min", "max"])
            for series in (curve, kept)
        ]
        apart = (middle[0] - middle[1]).abs().max().max()
        assert apart < 0.05 * (curve.max() - curve.min())


def test_a_short_curve_stays_as_it_is() -> None:
    frame = pd.DataFrame({"a": [3.0, 2.0, 1.0], "b": [1.0, np.nan, 2.0]}, index=[10.0, 20.0, 30.0])
    pd.testing.assert_frame_equal(thinned(frame.rename_axis("step")), frame.rename_axis("step"))


@pytest.mark.parametrize("count", [POINTS, POINTS + 1])
def test_it_is_thinned_from_the_first_point_too_many_on(count: int) -> None:
    frame = pd.DataFrame({"a": np.arange(count, dtype=float)}).rename_axis("step")
    assert (len(thinned(frame)) == count) == (count == POINTS)


def test_a_loss_that_begins_at_nothing_does_not_squeeze_the_others() -> None:
    losses = {"content": [1e-14, 1e-2, 0.5, 0.6, 0.7], "style": [9.0, 3.0, 1.0, 0.5, 0.3]}
    frame = pd.DataFrame(losses, index=pd.Index(range(5), name="step"))
    found = on_log_axis(frame)
    assert found["content"].isna().tolist() == [True, False, False, False, False]
    pd.testing.assert_series_equal(found["style"], frame["style"])
    assert frame["content"][0] == 1e-14, "the figures themselves stay"


def test_what_is_not_positive_has_no_logarithm() -> None:
    found = on_log_axis(
        pd.DataFrame({"a": [0.0, -1.0, 2.0], "b": [np.nan, 1.0, 1.0], "c": [0.0] * 3})
    )
    assert found["a"].isna().tolist() == [True, True, False]
    assert found["b"].isna().tolist() == [True, False, False]
    assert found["c"].isna().all()
