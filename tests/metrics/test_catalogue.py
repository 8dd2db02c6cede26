"""Every metric of the catalogue is measured, and every table knows it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from atelier.metrics.catalogue import (
    COSTS,
    DENOISED,
    FIGURES,
    FILES,
    HELD_OUT_METRICS,
    METRICS,
    NETWORKS,
    PREFERENCES,
    topics,
)
from atelier.metrics.evaluator import labelled
from atelier.metrics.measures import OfPairs, OfRecord, OfSets, PerceptualNetworks, measures
from atelier.metrics.pairwise import Pair
from atelier.metrics.reference import look_at
from atelier.reports.comparison import SHOWN
from atelier.reports.leaderboard import Metrics
from support.nets import Difference, evaluator
from support.pictures import save


@pytest.mark.slow
def test_every_entry_is_measured_and_named_with_its_network(tmp_path: Path) -> None:
    """35 pictures, so that nothing is left out for want of them."""
    own = evaluator()
    networks = PerceptualNetworks(own.networks.perceptual, Difference(), "cpu")  # type: ignore[arg-type]
    own = replace(own, networks=networks)
    paths = [save(tmp_path / f"{n:02d}.png", n, (32, 32)) for n in range(35)]
    scores = own.score(look_at(own, paths), [Pair(path, path, "00.png") for path in paths])
    assert {metric.key for metric in METRICS} <= set(scores)
    assert {name for names in NETWORKS.values() for name in names} <= set(scores)
    named = {key for key in labelled(scores) if key.startswith(("frechet", "content", "lpips"))}
    assert {"frechet_random", "content_random", "lpips_lpips-difference"} <= named


def test_every_file_is_of_one_kind() -> None:
    kinds = {kind: len(measures(kind)) for kind in (OfSets, OfPairs, OfRecord)}
    assert sum(kinds.values()) == len(FILES)
    assert all(kinds.values())


def test_what_an_entry_refers_to_exists() -> None:
    for metric in (*METRICS, *PREFERENCES):
        ends = (metric.spread, *(metric.interval or ()))
        assert set(ends) - {""} <= set(FIGURES), metric.key
        assert metric.network in {"", *NETWORKS}, metric.key
    assert len(FIGURES) == len({*FIGURES.values()})
    derived = {metric.key for metric in (*DENOISED, *HELD_OUT_METRICS, *PREFERENCES)}
    assert set(FIGURES) - derived <= set(Metrics.model_fields)


def test_values_as_people_read_them() -> None:
    assert FIGURES["frechet"].text(1234.56) == "1,234.6"
    assert FIGURES["kid"].text(0.0123) == "12"
    assert FIGURES["kid"].title == "KID ×1000 ↓"
    assert FIGURES["ssim"].title == "SSIM ↑"
    assert FIGURES["denoised_kid"].title == "Denoised: KID ×1000 ↓"
    assert [FIGURES["lpips"].text(value) for value in (None, float("nan"))] == ["-", "-"]


def test_the_better_value_ranks_first() -> None:
    assert min((0.2, 0.7), key=FIGURES["ssim"].rank) == 0.7
    assert min((0.2, 0.7), key=FIGURES["denoised_ssim"].rank) == 0.7
    assert min((0.2, 0.7), key=FIGURES["lpips"].rank) == 0.2


def test_order_of_machine_read_tables() -> None:
    """Others read these by column; a new metric goes behind the metrics."""
    kept = [
        *("frechet", "frechet_low", "frechet_high", "frechet_inf", "kid", "kid_sd"),
        *("content", "style", "style_set", "ssim", "lpips", "artfid"),
        *("precision", "recall", "density", "coverage", "sifid", "cfsd"),
    ]
    measured = [metric.key for metric in METRICS]
    assert measured[: len(kept)] == kept, "put a new one behind the others"
    denoised = [f"denoised_{key}" for key in ("frechet", "kid", "content", "style", "ssim")]
    assert [metric.key for metric in DENOISED][: len(denoised)] == denoised
    costs = ["seconds_per_picture", "peak_memory_mib", "training_seconds", "parameters_trained"]
    assert list(FIGURES)[-6:] == [*costs, "n_reference", "n_generated"]
    groups = (METRICS, DENOISED, HELD_OUT_METRICS, PREFERENCES, costs, ("two sizes", ""))
    assert len(FIGURES) == sum(map(len, groups))
    shown = [
        *("frechet", "denoised_frechet", "kid", "content", "style", "style_set", "ssim", "lpips"),
        *("precision", "recall", "density", "coverage", "sifid", "cfsd"),
    ]
    assert list(SHOWN)[: len(shown)] == shown
    assert SHOWN[-4:] == ("n_generated", "n_reference", "features", "pretrained")


@pytest.mark.parametrize(
    ("network", "words"),
    [("features", "frechet, kid"), ("perceptual", "content, style"), ("lpips_network", "lpips")],
)
def test_what_depends_on_a_network(network: str, words: str) -> None:
    assert topics(network) == words


def test_costs_are_no_metrics() -> None:
    assert not {metric.key for metric in COSTS} & {metric.key for metric in METRICS}
