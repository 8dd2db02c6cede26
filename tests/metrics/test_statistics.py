"""Streaming statistics: merging, files, and the distance from them against the other forms."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from pytorch_fid.fid_score import calculate_frechet_distance
from safetensors.torch import load_file, save_file
from torch import Tensor

from atelier.core.config import UserError
from atelier.metrics.frechet import frechet_distance
from atelier.metrics.statistics import Statistics, frechet_from


def vectors(n: int, d: int, seed: int = 0) -> Tensor:
    """Correlated, of different spreads, away from zero."""
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(d, d, generator=generator, dtype=torch.float64) / d**0.5
    noise = torch.randn(n, d, generator=generator, dtype=torch.float64)
    return noise @ mixing + torch.rand(d, generator=generator, dtype=torch.float64)


def test_mean_and_covariance() -> None:
    x = vectors(30, 5)
    found = Statistics.of(x)
    torch.testing.assert_close(found.mean, x.mean(0))
    torch.testing.assert_close(found.covariance, x.mT.cov(), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("batch", [1, 7, 40])
def test_any_batch_size_gives_the_same(batch: int) -> None:
    x, y = vectors(40, 6), vectors(20, 6, seed=1)
    stream = Statistics.of(torch.empty(0, 6))
    for part in x.split(batch):
        stream = stream.update(part)
    assert stream.count == 40
    torch.testing.assert_close(stream.outer, Statistics.of(x).outer)
    whole = frechet_from(Statistics.of(x), Statistics.of(y))
    assert frechet_from(stream, Statistics.of(y)) == pytest.approx(whole, rel=1e-12)


def test_merged_shards_equal_the_whole_in_any_order() -> None:
    x, y = vectors(50, 6), Statistics.of(vectors(20, 6, seed=1))
    first, second, third = (Statistics.of(part) for part in x.split([5, 15, 30]))
    whole = frechet_from(Statistics.of(x), y)
    for merged in (first.merge(second).merge(third), third.merge(first.merge(second))):
        assert merged.count == 50
        assert frechet_from(merged, y) == pytest.approx(whole, rel=1e-12)


@pytest.mark.parametrize(("n", "m", "d"), [(60, 50, 8), (40, 9, 16), (9, 40, 16), (6, 9, 40)])
def test_equals_the_form_from_vectors(n: int, m: int, d: int) -> None:
    """Singular covariances included: the last three have fewer vectors than dimensions."""
    x, y = vectors(n, d), vectors(m, d, seed=1)
    found = frechet_from(Statistics.of(x), Statistics.of(y))
    assert found == pytest.approx(frechet_distance(x, y), rel=1e-10)
    assert found == pytest.approx(frechet_from(Statistics.of(y), Statistics.of(x)), rel=1e-10)


@pytest.mark.filterwarnings("ignore:The `disp` argument:DeprecationWarning")
@pytest.mark.parametrize("d", [8, 64])
def test_equals_pytorch_fid(d: int) -> None:
    x, y = vectors(4 * d, d), vectors(3 * d, d, seed=1)
    moments = [(v.mean(0).numpy(), np.cov(v.numpy(), rowvar=False)) for v in (x, y)]
    expected = calculate_frechet_distance(*moments[0], *moments[1])
    assert frechet_from(Statistics.of(x), Statistics.of(y)) == pytest.approx(expected, rel=1e-6)


def test_float32_features_far_from_zero_keep_their_precision() -> None:
    x, y = vectors(40, 8), vectors(30, 8, seed=1)
    far = frechet_from(*(Statistics.of((v + 500).float()) for v in (x, y)))
    assert far == pytest.approx(frechet_distance(x, y), rel=1e-3)


def test_equal_pictures_have_no_spread() -> None:
    """A point against a set: ‖Δμ‖² + Tr(Σ)."""
    x, y = torch.ones(5, 4), vectors(20, 4)
    expected = (1 - y.mean(0)).square().sum() + y.var(0).sum()
    for pair in ((x, y), (y, x)):
        found = frechet_from(*(Statistics.of(v) for v in pair))
        assert found == pytest.approx(expected.item(), rel=1e-10)
    assert frechet_from(Statistics.of(x), Statistics.of(x + 1)) == pytest.approx(4)


def test_a_set_against_itself_is_at_zero() -> None:
    for n in (5, 50):
        x = Statistics.of(vectors(n, 12))
        assert frechet_from(x, x) == pytest.approx(0, abs=1e-10)


def test_through_a_file(tmp_path: Path) -> None:
    before = Statistics.of(vectors(10, 3))
    save_file(before.tensors(), tmp_path / "sums.safetensors")
    after = Statistics.read(load_file(tmp_path / "sums.safetensors"))
    assert (after.count, after.total.tolist()) == (10, before.total.tolist())
    assert torch.equal(after.outer, before.outer)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"extra": torch.ones(1)}, "statistics hold count, total, outer; found .*extra"),
        ({"total": torch.ones(4)}, r"found \(\), \(4,\), \(3, 3\)"),
        ({"count": torch.ones(2)}, r"found \(2,\), "),
    ],
)
def test_other_tensors_are_refused(change: dict[str, Tensor], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Statistics.read({**Statistics.of(vectors(10, 3)).tensors(), **change})


def test_sets_that_cannot_be_compared_are_refused() -> None:
    one, other = Statistics.of(vectors(5, 3)), Statistics.of(vectors(5, 4))
    with pytest.raises(UserError, match="of 3 and 4 dimensions"):
        frechet_from(one, other)
    with pytest.raises(UserError, match="of 3 and 4 dimensions"):
        one.merge(other)
    with pytest.raises(UserError, match="at least 2 pictures, there are 1"):
        frechet_from(one, Statistics.of(vectors(1, 3)))
