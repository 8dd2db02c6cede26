"""Precision, recall, density, coverage: by hand on a line, by brute force, and in expectation."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from atelier.core.config import UserError
from atelier.metrics.density_coverage import density_coverage
from atelier.metrics.manifold import radii
from atelier.metrics.precision_recall import precision_recall


def drawn(count: int, width: int, seed: int) -> Tensor:
    return torch.randn(count, width, generator=torch.Generator().manual_seed(seed))


def line(*places: float) -> Tensor:
    return torch.tensor(places)[:, None]


def test_radii_reach_to_the_kth_other() -> None:
    places = line(0, 1, 3, 7)
    assert radii(places, 1).tolist() == [1, 1, 2, 4]
    assert radii(places, 2).tolist() == [3, 2, 3, 6]
    assert radii(line(5, 5, 5), 2).tolist() == [0, 0, 0]


def test_by_hand_on_a_line() -> None:
    """Balls around the paintings, k = 1: [-1, 1], [0, 2], [1, 5], [3, 11]."""
    paintings, pictures = line(0, 1, 3, 7), line(0.5, 2.5, 20)
    found = precision_recall(paintings, pictures, k=1)
    # around the pictures: [-1.5, 2.5], [0.5, 4.5], [2.5, 37.5]: all paintings lie in one
    assert found == {"precision": pytest.approx(2 / 3), "recall": 1.0}
    found = density_coverage(paintings, pictures, k=1)
    # 0.5 lies in two balls, 2.5 in one, 20 in none; three balls of four have a picture
    assert found == {"density": pytest.approx(1.0), "coverage": 0.75}


@pytest.mark.parametrize("k", [1, 3, 5])
def test_they_are_what_loops_count(k: int) -> None:
    real, made = drawn(23, 4, 1), 0.8 * drawn(17, 4, 2) + 0.3

    def far(a: Tensor, b: Tensor) -> float:
        return float((a.double() - b.double()).square().sum().sqrt())

    def reach(place: int, every: Tensor) -> float:
        others = [far(every[place], one) for n, one in enumerate(every) if n != place]
        return sorted(others)[k - 1]

    def inside(centres: Tensor, others: Tensor) -> list[list[bool]]:
        balls = [reach(n, centres) for n in range(len(centres))]
        return [[far(c, o) <= r for o in others] for c, r in zip(centres, balls, strict=True)]

    by_real, by_made = inside(real, made), inside(made, real)
    expected = {
        "precision": sum(map(any, zip(*by_real, strict=True))) / len(made),
        "recall": sum(map(any, zip(*by_made, strict=True))) / len(real),
        "density": sum(map(sum, by_real)) / (k * len(made)),
        "coverage": sum(map(any, by_real)) / len(real),
    }
    found = precision_recall(real, made, k=k) | density_coverage(real, made, k=k)
    assert found == pytest.approx(expected, rel=1e-12)
    assert 0 < expected["coverage"] < 1


def test_the_set_itself_is_all_there_and_one_picture_repeated_has_no_variety() -> None:
    paintings = drawn(30, 8, 0) * 1000 + 1e5  # far from the origin, where rounding is coarse
    same = precision_recall(paintings, paintings) | density_coverage(paintings, paintings)
    assert (same["precision"], same["recall"], same["coverage"]) == (1, 1, 1)
    one = precision_recall(paintings, paintings[:1].expand(30, -1))
    assert one == {"precision": 1, "recall": pytest.approx(1 / 30)}
    apart = precision_recall(paintings, -paintings) | density_coverage(paintings, -paintings)
    assert set(apart.values()) == {0}


def test_equal_distributions_have_the_published_expectations() -> None:
    """Naeem et al. 2020, §3.3: density 1, coverage 1 - (n-1)…(n-k) / ((n+m-1)…(n+m-k))."""
    n, m, k = 40, 30, 5
    found = [density_coverage(drawn(n, 3, s), drawn(m, 3, 1000 + s)) for s in range(60)]
    missed = 1.0
    for step in range(1, k + 1):
        missed *= (n - step) / (n + m - step)
    for key, value in (("density", 1.0), ("coverage", 1 - missed)):
        mean = sum(one[key] for one in found) / len(found)
        assert mean == pytest.approx(value, rel=0.05), key


def test_one_outlier_spoils_precision_and_not_density() -> None:
    paintings = torch.cat([drawn(40, 4, 0), torch.full((1, 4), 60.0)])
    pictures = drawn(40, 4, 1) + 8
    assert precision_recall(paintings, pictures)["precision"] == 1
    assert density_coverage(paintings, pictures)["density"] < 0.3


def test_too_few_pictures() -> None:
    with pytest.raises(UserError, match="3 neighbours need more than 3 pictures, there are 3"):
        precision_recall(drawn(10, 2, 0), drawn(3, 2, 1))
    with pytest.raises(UserError, match="5 neighbours need more than 5 pictures, there are 5"):
        density_coverage(drawn(5, 2, 0), drawn(3, 2, 1))
