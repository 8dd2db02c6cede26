"""Streaming statistics: addition, files, and the distance from them against the other forms."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from pytorch_fid.fid_score import calculate_frechet_distance
from torch import Tensor

from atelier.core.config import UserError
from atelier.metrics.frechet import frechet_distance
from atelier.metrics.statistics import Statistics, frechet_from
from atelier.metrics.tensor_file import save_with_digest


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
        stream += Statistics.of(part)
    assert stream.count == 40
    torch.testing.assert_close(stream.scatter, Statistics.of(x).scatter)
    whole = frechet_from(Statistics.of(x), Statistics.of(y))
    assert frechet_from(stream, Statistics.of(y)) == pytest.approx(whole, rel=1e-12)


def test_added_shards_equal_the_whole_in_any_order() -> None:
    x, y = vectors(50, 6), Statistics.of(vectors(20, 6, seed=1))
    first, second, third = (Statistics.of(part) for part in x.split([5, 15, 30]))
    whole = frechet_from(Statistics.of(x), y)
    for total in (first + second + third, third + (first + second)):
        assert total.count == 50
        assert frechet_from(total, y) == pytest.approx(whole, rel=1e-12)


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


@pytest.mark.filterwarnings("ignore:The `disp` argument:DeprecationWarning")
@pytest.mark.parametrize("mean", [0.0, 1e7])
def test_a_million_vectors_far_from_zero_keep_their_covariance(mean: float) -> None:
    """Raw sums of float64 lose it to cancellation: 1e14 beside a variance of 1e-4."""
    spread = torch.tensor([1, 0.1, 0.01], dtype=torch.float64)
    total, draw = Statistics.of(torch.empty(0, 3)), torch.Generator().manual_seed(0)
    parts = [torch.randn(50_000, 3, generator=draw, dtype=torch.float64) for _ in range(20)]
    for part in parts:
        total += Statistics.of(part * spread + mean)
    expected = (torch.cat(parts) * spread).mT.cov()
    assert total.count == 10**6
    torch.testing.assert_close(total.covariance, expected, rtol=1e-6, atol=1e-9)
    other = torch.randn(1000, 3, generator=draw, dtype=torch.float64) * spread + mean
    moments = (total.mean.numpy(), expected.numpy(), other.mean(0).numpy(), other.mT.cov().numpy())
    found = frechet_from(total, Statistics.of(other))
    assert found == pytest.approx(calculate_frechet_distance(*moments), rel=1e-6)


def test_through_a_file(tmp_path: Path) -> None:
    before, path = Statistics.of(vectors(10, 3)), tmp_path / "sums.safetensors"
    before.save(path, {"features": "mini"})
    after, about = Statistics.load(path)
    assert (after.count, after.mean.tolist()) == (10, before.mean.tolist())
    assert torch.equal(after.scatter, before.scatter)
    assert about == {"features": "mini"}


def test_a_changed_or_missing_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "sums.safetensors"
    with pytest.raises(UserError, match=r"cannot be read .*; compute it again"):
        Statistics.load(path)
    Statistics.of(vectors(10, 3)).save(path, {})
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"sums\.safetensors: has changed since it was written"):
        Statistics.load(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"extra": torch.ones(1)}, "statistics hold count, mean, scatter; found .*extra"),
        ({"mean": torch.ones(4)}, r"found \(\), \(4,\), \(3, 3\)"),
        ({"count": torch.ones(2)}, r"found \(2,\), "),
    ],
)
def test_other_tensors_are_refused(change: dict[str, Tensor], message: str, tmp_path: Path) -> None:
    path, right = tmp_path / "sums.safetensors", Statistics.of(vectors(10, 3))
    tensors = {"count": torch.tensor(10), "mean": right.mean, "scatter": right.scatter}
    save_with_digest({**tensors, **change}, path, {})
    with pytest.raises(UserError, match=message):
        Statistics.load(path)


def test_sets_that_cannot_be_compared_are_refused() -> None:
    one, other = Statistics.of(vectors(5, 3)), Statistics.of(vectors(5, 4))
    with pytest.raises(UserError, match="of 3 and 4 dimensions"):
        frechet_from(one, other)
    with pytest.raises(UserError, match="of 3 and 4 dimensions"):
        _ = one + other
    with pytest.raises(UserError, match="at least 2 pictures, there are 1"):
        frechet_from(one, Statistics.of(vectors(1, 3)))
