"""Several seeds of an entry as one row: means, spreads, and what stays apart."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from atelier.core.config import Params
from atelier.reports.repeats import OVER_SEEDS, SEEDS, pooled
from atelier.reports.tables import shown, to_text
from support.settings import tree
from support.tables import MINI, frame, row


def params() -> Params:
    settings = tree({"adain": {"class": "adain"}, "gatys": {"class": "gatys"}})
    for seed in (2, 3):
        settings["methods"][f"adain_{seed}"] = {"class": "adain", "extends": "adain", "seed": seed}
    return Params(settings)


def scored(method: str, frechet: float, **known: Any) -> dict[str, Any]:
    return row(
        method, **MINI, frechet=frechet, frechet_low=1.0, frechet_high=99.0, kid=frechet / 100,
        kid_sd=0.5, n_generated=4, n_reference=9, **known,
    )  # fmt: skip


def four() -> pd.DataFrame:
    rows = [scored("adain_3", 12.0), scored("gatys", 13.0), scored("adain", 16.0)]
    return frame(*rows, scored("adain_2", 20.0), scored("identity", 50.0))


def test_seeds_are_one_row_with_mean_and_standard_deviation() -> None:
    found = pooled(four(), params()).set_index("method")
    assert list(found.index) == ["gatys", "adain", "identity"], "sorted by the mean"
    assert found.loc["adain", "frechet"] == 16.0
    assert found.loc["adain", f"frechet{OVER_SEEDS}"] == pytest.approx(4.0)
    assert found.loc["adain", SEEDS] == 3
    assert found.loc["adain", "n_generated"] == 4
    assert pd.isna(found.loc["adain", "frechet_low"]), "an interval is of one seed"
    assert pd.isna(found.loc["gatys", f"frechet{OVER_SEEDS}"])
    assert found.loc["gatys", "frechet_low"] == 1.0
    assert pd.isna(found.loc["gatys", SEEDS])
    assert f"content{OVER_SEEDS}" not in found, "nobody has it"


def test_without_repetitions_the_table_stays_as_it_is() -> None:
    own = frame(scored("adain", 1.0), scored("gatys", 2.0))
    assert pooled(own, params()) is own
    lone = frame(scored("adain", 1.0), row("adain_2", status="failed", error="why"))
    assert pooled(lone, params()) is lone, "one finished seed has no spread"


def test_a_seed_without_figures_keeps_its_row() -> None:
    rows = [scored("adain_2", 1.0), scored("adain_3", 3.0)]
    found = pooled(frame(*rows, row("adain", status="failed", error="why")), params())
    assert list(zip(found["method"], found["status"], strict=True)) == [
        ("adain_2", "ok"),
        ("adain", "failed"),
    ]
    assert found["frechet"].tolist()[0] == 2.0


def test_a_figure_that_a_seed_lacks_has_no_mean() -> None:
    found = pooled(frame(scored("adain", 1.0, content=1.0), scored("adain_2", 3.0)), params())
    assert found["content"].isna().all()


def test_people_read_mean_spread_and_count() -> None:
    cells = shown(pooled(four(), params())).set_index("method")
    assert cells.loc["adain (3 seeds)", "frechet"] == "16.0 ± 4.0"
    assert cells.loc["adain (3 seeds)", "95 % CI"] == "-"
    assert cells.loc["adain (3 seeds)", "kid ×1000"] == "160 ± 40", "over seeds, not over subsets"
    assert cells.loc["gatys", "frechet"] == "13.0"
    assert cells.loc["gatys", "kid ×1000"] == "130 ± 500"
    assert "rows of several seeds: mean ± standard deviation" in to_text(pooled(four(), params()))
    assert "seeds" not in to_text(four())
