"""The interval of a Fréchet distance: the mean's textbook error, known Gaussians, the groups."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from atelier.core.config import UserError
from atelier.core.intervals import standard_error
from atelier.metrics import jackknife
from atelier.metrics.frechet import frechet_distance
from atelier.metrics.jackknife import GROUPS, frechet_interval, leave_out, means_left_out


def drawn(n: int, seed: int, scale: float = 1.0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, 6, generator=generator).double() * scale


def test_for_a_mean_it_is_the_textbooks_error() -> None:
    """Leaving out one at a time: s/√n exactly."""
    x = drawn(30, 0)[:, 0]
    without = (x.sum() - x) / 29
    assert standard_error(without.tolist()) == pytest.approx(float(x.std()) / 30**0.5, rel=1e-12)


def test_the_error_is_the_spread_of_new_samples() -> None:
    reference = drawn(50, 0)
    sets = [drawn(80, seed, 1.4) for seed in range(1, 81)]
    spread = torch.tensor([frechet_distance(reference, one) for one in sets]).std()
    errors = [frechet_interval(reference, one)["frechet_se"] for one in sets[:30]]
    assert sum(errors) / 30 == pytest.approx(float(spread), rel=0.25)


def test_the_interval_holds_the_mean_of_new_samples() -> None:
    reference = drawn(50, 0)
    middle = sum(frechet_distance(reference, drawn(80, s, 1.4)) for s in range(1, 101)) / 100
    found = [frechet_interval(reference, drawn(80, s, 1.4)) for s in range(200, 240)]
    held = sum(one["frechet_low"] <= middle <= one["frechet_high"] for one in found)
    assert held >= 33  # 38 of 40 expected; 33 has one chance in a hundred


def test_every_picture_is_left_out_once(monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[Tensor] = []
    monkeypatch.setattr(jackknife, "frechet_distance", lambda _, b: float(len(kept.append(b) or b)))
    generated = torch.arange(47.0)[:, None]
    sizes = leave_out(drawn(5, 0), generated)
    assert len(sizes) == GROUPS
    assert set(sizes.tolist()) == {44, 45}
    counts = torch.cat(kept).flatten().long().bincount()
    assert counts.tolist() == [GROUPS - 1] * 47


def test_systems_of_the_same_photographs_are_compared_in_pairs() -> None:
    reference, photos = drawn(50, 0), drawn(60, 1)
    one, other = (leave_out(reference, photos * scale) for scale in (1.3, 1.4))
    apart, *alone = (standard_error(values.tolist()) for values in (one - other, one, other))
    assert apart < 0.5 * min(alone)


def test_means_leave_out_what_distances_leave_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jackknife, "frechet_distance", lambda _, b: b.mean().item())
    values = drawn(47, 2)[:, 0]
    assert means_left_out(values) == leave_out(drawn(5, 0), values).tolist()
    few = torch.tensor([1.0, 2.0, 6.0])
    assert sorted(means_left_out(few)) == [1.5, 3.5, 4.0]
    assert means_left_out(few[:2]) == []


def test_groups_are_seeded() -> None:
    sets = drawn(20, 0), drawn(45, 1)
    assert torch.equal(leave_out(*sets, seed=3), leave_out(*sets, seed=3))
    assert not torch.equal(leave_out(*sets, seed=3), leave_out(*sets, seed=4))


def test_few_pictures() -> None:
    reference, few = drawn(20, 0), drawn(3, 1)
    found = frechet_interval(reference, few)
    assert 0 <= found["frechet_low"] < frechet_distance(reference, few) < found["frechet_high"]
    assert frechet_interval(few, few)["frechet_low"] == 0
    with pytest.raises(UserError, match="at least 3 generated pictures, there are 2"):
        frechet_interval(reference, drawn(2, 1))
