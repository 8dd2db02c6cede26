"""Jackknife intervals of plain numbers, for those who measure and those who read; no torch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

LEVEL = 0.95


def standard_error(left_out: Sequence[float]) -> float:
    """√((G - 1)/G · Σ(θ - θ̄)²) of the values without each of G groups (Shao & Wu 1989)."""
    values = np.asarray(left_out, dtype=np.float64)
    deviations = np.square(values - values.mean()).sum()
    return float(np.sqrt(deviations * (len(values) - 1) / len(values)))


def reach(left_out: Sequence[float]) -> float:
    """Half the width of the 95 % confidence interval: by Student's t with G - 1 degrees."""
    from scipy.special import stdtrit  # noqa: PLC0415 - takes longer to import than to use

    return float(stdtrit(len(left_out) - 1, (1 + LEVEL) / 2)) * standard_error(left_out)
