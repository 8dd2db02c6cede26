"""Paired differences: the textbook's paired t, who is better, and what does not compare."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from atelier.core.config import Params, UserError
from atelier.metrics.catalogue import FIGURES
from atelier.reports import leaderboard
from atelier.reports.leaderboard import Metrics
from atelier.reports.paired import columns, compared, difference
from support.settings import tree

HARD = np.random.default_rng(0).normal(0, 5, 15)
"""How hard each photograph is, for every system."""


def record(values: Any, **known: Any) -> dict[str, Any]:
    """A record whose content distance is a mean over photographs."""
    without = (values.sum() - values) / (len(values) - 1)
    return {
        "frechet": 1.0, "content": float(values.mean()), "features": "mini",
        "perceptual": "mini", "perceptual_hash": "ab", "n_generated": len(values),
        "n_reference": 9, "left_out": {"content": without.tolist()}, **known,
    }  # fmt: skip


def scored(values: Any, **known: Any) -> Metrics:
    return Metrics.model_validate(record(values, **known))


def test_of_a_mean_it_is_the_paired_t_interval() -> None:
    draw = np.random.default_rng(1)
    one, other = (HARD + draw.normal(shift, 1, 15) for shift in (0, 1.5))
    found = difference(scored(one), scored(other), "content")
    assert found is not None
    test = stats.ttest_rel(one, other)
    low, high = test.confidence_interval(0.95)
    assert found.value == pytest.approx((one - other).mean())
    assert (found.low, found.high) == (pytest.approx(low), pytest.approx(high))
    assert found.verdict == "better"
    # two intervals side by side would not have told them apart
    alone = stats.t.interval(0.95, 14, one.mean(), stats.sem(one))
    assert alone[0] < other.mean() < alone[1]


@pytest.mark.parametrize(
    ("shift", "verdict"), [(-2.0, "better"), (0.0, "indistinguishable"), (2.0, "worse")]
)
def test_the_verdict_goes_by_the_metrics_direction(shift: float, verdict: str) -> None:
    noise = np.random.default_rng(2).normal(0, 1, 15)
    noise -= noise.mean()
    found = difference(scored(HARD + noise + shift), scored(HARD), "content")
    assert found is not None
    assert found.verdict == verdict
    mirrored = difference(scored(HARD), scored(HARD + noise + shift), "content")
    assert mirrored is not None
    assert mirrored.value == pytest.approx(-found.value)
    opposite = {"better": "worse", "worse": "better"}
    assert mirrored.verdict == opposite.get(verdict, verdict)
    assert FIGURES["ssim"].rank(1) < FIGURES["ssim"].rank(0), "a higher one is better there"


def test_the_direction_of_ssim_is_upwards() -> None:
    both = [
        scored(HARD, ssim=value, left_out={"ssim": [value, value + 0.01, value - 0.01]})
        for value in (0.9, 0.5)
    ]
    found = difference(*both, "ssim")
    assert found is not None
    assert found.verdict == "better"


@pytest.mark.parametrize(
    "other", [{"perceptual_hash": "cd"}, {"n_reference": 8}, {"left_out": {}}, {"n_generated": 3}]
)
def test_other_protocols_do_not_compare(other: dict[str, Any]) -> None:
    assert difference(scored(HARD), scored(HARD, **other), "content") is None


def test_every_row_is_compared_with_the_chosen_one(tmp_path: Path) -> None:
    folder = tmp_path / "results/metrics"
    folder.mkdir(parents=True)
    params = Params(tree({name: {} for name in ("a", "b", "c", "old")}))
    rows = {"a": record(HARD), "b": record(HARD + 3 + np.arange(15) / 50), "identity": record(HARD)}
    rows["old"] = {**record(HARD), "left_out": {}}
    for name, row in rows.items():
        (folder / f"{name}.json").write_text(json.dumps(row))
    frame = leaderboard.comparison(tmp_path, params)
    found = dict(zip(frame["method"], compared(tmp_path, frame, "a", "content"), strict=True))
    assert found["b"] is not None
    assert found["b"].verdict == "worse"
    assert found["identity"] is not None
    assert found["identity"].verdict == "indistinguishable"
    assert [found[name] for name in ("a", "c", "old", "noise_floor")] == [None] * 4
    texts = columns(list(found.values()), "a", "content")
    assert list(texts) == ["to a", "than a"]
    assert "worse" in texts["than a"]
    assert texts["to a"][list(found).index("b")].startswith("3.1")
    for name, reason in (("x", "no row"), ("c", "no figures"), ("old", "no paired differences")):
        with pytest.raises(UserError, match=reason):
            compared(tmp_path, frame, name, "content")
