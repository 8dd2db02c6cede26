"""Mean and covariance of a stream of vectors, and the Fréchet distance between two streams.

For sets too large to store as vectors; shards summed separately add up to the same value. For
stored sets, above all those smaller than their dimension d, prefer ``frechet.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from atelier.core.config import UserError
from atelier.metrics.tensor_file import load_with_digest, save_with_digest

KEYS = ("count", "mean", "scatter")


@dataclass(frozen=True)
class Statistics:
    """Count, mean and scatter of n vectors of d numbers, float64 on the CPU; ``+`` adds sets.

    Raw sums Σx and Σx·xᵀ would lose the covariance of a million vectors far from zero to
    cancellation, and sums around a fixed shift need one that fits every network and set and that
    all shards share. Here every part is shifted by its own mean, and addition corrects for the gap
    between two means (Chan, Golub & LeVeque 1983).

    Attributes:
        count: n.
        mean: μ, (d,); zeros for no vectors.
        scatter: Σ(x - μ)·(x - μ)ᵀ, (d, d).
    """

    count: int
    mean: Tensor
    scatter: Tensor

    @classmethod
    def of(cls, vectors: Tensor) -> Statistics:
        """Return the statistics of (n, d); those of no vectors are neutral in sums."""
        exact = vectors.detach().cpu().double()
        mean = exact.sum(0) / max(1, len(exact))
        centred = exact - mean
        return cls(len(exact), mean, centred.mT @ centred)

    def __add__(self, other: Statistics) -> Statistics:
        """Return the statistics of both sets; order and grouping matter to rounding only.

        Raises:
            UserError: vectors of different dimensions.
        """
        _same_dimension(self, other)
        count, gap = self.count + other.count, other.mean - self.mean
        share = other.count / max(1, count)
        between = torch.outer(gap, gap) * (self.count * share)
        return Statistics(count, self.mean + share * gap, self.scatter + other.scatter + between)

    @property
    def covariance(self) -> Tensor:
        """Return the covariance (d, d), divisor n - 1.

        Raises:
            UserError: fewer than two vectors.
        """
        if self.count < 2:
            raise UserError(f"a covariance needs at least 2 pictures, there are {self.count}")
        return self.scatter / (self.count - 1)

    def save(self, path: Path, about: Mapping[str, str]) -> None:
        """Write a file with a digest, atomically.

        Args:
            path: a safetensors file.
            about: what is to be known of the vectors, such as their network.
        """
        tensors = (torch.tensor(self.count), self.mean, self.scatter)
        save_with_digest(dict(zip(KEYS, tensors, strict=True)), path, about)

    @classmethod
    def load(cls, path: Path) -> tuple[Statistics, dict[str, str]]:
        """Return the statistics of a file, and what is known about them.

        Raises:
            UserError: missing, broken, changed, or with other contents.
        """
        tensors, about = load_with_digest(path, "compute it again")
        if set(tensors) != set(KEYS):
            found = ", ".join(tensors)
            raise UserError(f"{path}: statistics hold {', '.join(KEYS)}; found {found}")
        count, mean, scatter = (tensors[key] for key in KEYS)
        if count.ndim or mean.ndim != 1 or scatter.shape != (len(mean), len(mean)):
            shapes = ", ".join(str(tuple(tensors[key].shape)) for key in KEYS)
            raise UserError(f"{path}: statistics have shapes (), (d,) and (d, d); found {shapes}")
        return cls(int(count), mean.double(), scatter.double()), about


def frechet_from(a: Statistics, b: Statistics) -> float:
    """Return ‖μa - μb‖² + Tr(Σa) + Tr(Σb) - 2·Tr((ΣaΣb)^½) (Heusel et al. 2017, eq. 6).

    The last trace is the sum of the roots of the eigenvalues of Lᵀ·Σb·L with Σa = L·Lᵀ, which is
    symmetric: nothing becomes complex as with ``scipy.linalg.sqrtm``. Directions in which a set has
    no variance beyond rounding are left out, since the root of 1e-16 is 1e-8 and there may be
    thousands of them.

    Raises:
        UserError: a set of fewer than two, or vectors of different dimensions.
    """
    _same_dimension(a, b)
    first, second = a.covariance, b.covariance
    factor = _thin_factor(first)
    inner = torch.linalg.eigvalsh(factor.mT @ second @ factor)
    cross = _above_rounding(inner).sqrt().sum()
    distance = (a.mean - b.mean).square().sum() + first.trace() + second.trace() - 2 * cross
    return max(0.0, distance.item())  # rounding can leave -1e-12 for equal sets


def _thin_factor(covariance: Tensor) -> Tensor:
    """Return L, (d, rank), where L·Lᵀ is the covariance."""
    values, vectors = torch.linalg.eigh(covariance)
    kept = _above_rounding(values)
    factor: Tensor = vectors[:, kept > 0] * kept[kept > 0].sqrt()
    return factor


def _above_rounding(values: Tensor) -> Tensor:
    """Return the eigenvalues, 0 if within rounding of the largest (NumPy's rule for ranks)."""
    if not len(values):  # a set of equal pictures has rank 0
        return values
    rounding = torch.finfo(values.dtype).eps * len(values) * values.max()
    return values.where(values > rounding, 0)


def _same_dimension(a: Statistics, b: Statistics) -> None:
    if len(a.mean) != len(b.mean):
        both = f"{len(a.mean)} and {len(b.mean)}"
        raise UserError(f"statistics of vectors of {both} dimensions do not belong together")
