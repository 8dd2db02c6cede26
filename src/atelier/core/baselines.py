"""The catalogue of baselines: rows that are no methods, and how people are shown them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

IDENTITY, COLOUR_TRANSFER = "identity", "colour_transfer"
PAINTINGS_PASTED, NOISE_FLOOR = "paintings_pasted", "noise_floor"


@dataclass(frozen=True)
class Baseline:
    """A row of the comparison that no system made."""

    key: str
    """Its name in ``results/metrics``, ``table.csv`` and ``comparison.json``."""
    label: str
    """What people are shown for its name."""
    meaning: str
    """What its figures are those of; goes on with "that of"."""
    picture: Literal["photo", "painting", "made"]
    """What stands for it in a table: a file of its own (``Results.baseline``) where ``made``."""
    line: bool = False
    """Whether plots draw it across, as a bound that all systems are held against."""


_ALL = (
    Baseline(
        IDENTITY, "Identity (photographs)", "the photographs as they are", "photo", line=True
    ),
    Baseline(
        COLOUR_TRANSFER, "Colour transfer",
        "the photographs with nothing but their paintings' colours", "made",
    ),
    Baseline(
        PAINTINGS_PASTED, "Paintings pasted",
        "the paintings put in the photographs' place, content ignored", "made",
    ),
    Baseline(
        NOISE_FLOOR, "Noise floor", "one half of the paintings against the other", "painting",
        line=True,
    ),
)  # fmt: skip
BASELINES = {baseline.key: baseline for baseline in _ALL}
"""Every baseline by its key, in the order of every table."""
MADE = tuple(key for key, baseline in BASELINES.items() if baseline.picture == "made")
"""Those with pictures of their own."""
