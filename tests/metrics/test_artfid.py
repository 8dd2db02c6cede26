"""The product form of ArtFID."""

from __future__ import annotations

import pytest

from atelier.metrics.artfid import artfid_product


def test_the_product() -> None:
    assert artfid_product(0.0, 0.0) == 1
    assert artfid_product(0.5, 19.0) == 30
    # StyleID's published row of AdaAttN (MODELS §10.8): 30.35 from LPIPS 0.544 and FID 18.66
    assert artfid_product(0.544, 18.66) == pytest.approx(30.35, abs=0.01)


@pytest.mark.parametrize("factors", [(-0.1, 3.0), (0.1, -3.0)])
def test_no_distance_is_negative(factors: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="not negative"):
        artfid_product(*factors)
