"""Losses on a logarithmic axis."""

from __future__ import annotations

import numpy as np
import pandas as pd

from atelier.reports.curves import on_log_axis


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
