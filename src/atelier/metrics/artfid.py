"""ArtFID's product of content preservation and style matching (Wright & Ommer 2022)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from atelier.metrics.measures import OfRecord


def artfid_product(lpips: float, frechet: float) -> float:
    """Return (1 + LPIPS)·(1 + Fréchet distance), at least 1, lower is better; §3.3.

    The form is ArtFID's, the factors are not, so values are not comparable with published ones.
    There: LPIPS on AlexNet, and the distance on an Inception trained to classify artists and
    styles, whose values are about ten times smaller, extrapolated to infinitely many pictures.
    Here: the LPIPS and features named in the table, at the table's n. The Fréchet factor is tens to
    hundreds and LPIPS below one, so the former dominates the ranking.

    Args:
        lpips: mean over the pairs (stylised picture, its photograph).
        frechet: between the stylised pictures and the paintings.

    Raises:
        ValueError: a negative distance.
    """
    if lpips < 0 or frechet < 0:
        raise ValueError(f"distances are not negative, got LPIPS {lpips} and Fréchet {frechet}")
    return (1 + lpips) * (1 + frechet)


def _measure(found: Mapping[str, Any]) -> dict[str, float]:
    if "lpips" not in found:
        return {}
    return {"artfid": artfid_product(found["lpips"], found["frechet"])}


MEASURE = OfRecord(_measure)
