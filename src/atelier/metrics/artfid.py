"""ArtFID's product: content kept and style reached in one number (Wright & Ommer 2022)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from atelier.metrics.measures import OfRecord


def artfid_product(lpips: float, frechet: float) -> float:
    """(1 + LPIPS)·(1 + Fréchet distance), at least 1, smaller is better; §3.3.

    The form is ArtFID's, the factors are not, so that no value here can be set beside a published
    one. There: LPIPS on AlexNet, and the distance on an Inception trained to tell artists and
    styles apart, whose values are about ten times smaller, extrapolated to infinitely many
    pictures. Here: whatever LPIPS and features the table names, at the table's n. The Fréchet
    factor is tens to hundreds and LPIPS below one, so the order follows the former nearly alone.

    Args:
        lpips: mean over the pairs (stylised picture, its photograph).
        frechet: between the stylised pictures and the paintings.

    Raises:
        ValueError: a factor below zero, which no distance is.
    """
    if lpips < 0 or frechet < 0:
        raise ValueError(f"distances are not negative, got LPIPS {lpips} and Fréchet {frechet}")
    return (1 + lpips) * (1 + frechet)


def _measure(found: Mapping[str, Any]) -> dict[str, float]:
    if "lpips" not in found:
        return {}
    return {"artfid": artfid_product(found["lpips"], found["frechet"])}


MEASURE = OfRecord(_measure)
