"""Mean and covariance of a stream of vectors, and the Fréchet distance between two streams.

For sets too large to store as vectors; shards summed separately merge to the same value. For stored
sets, above all those smaller than their dimension d, prefer ``frechet.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from atelier.core.config import UserError

KEYS = ("count", "total", "outer")


@dataclass(frozen=True)
class Statistics:
    """Sums over n vectors of d numbers; sums are float64 on the CPU.

    Attributes:
        count: n.
        total: Σx, (d,).
        outer: Σx·xᵀ, (d, d).
    """

    count: int
    total: Tensor
    outer: Tensor

    @classmethod
    def of(cls, vectors: Tensor) -> Statistics:
        """Return the sums of (n, d); ``of(torch.empty(0, d))`` starts a stream."""
        exact = vectors.detach().cpu().double()
        return cls(len(exact), exact.sum(0), exact.mT @ exact)

    def update(self, vectors: Tensor) -> Statistics:
        """Return the sums including (n, d) more; independent of batch sizes up to rounding."""
        return self.merge(Statistics.of(vectors))

    def merge(self, other: Statistics) -> Statistics:
        """Return the sums of both sets, in any order.

        Raises:
            UserError: vectors of different dimensions.
        """
        _same_dimension(self, other)
        return Statistics(
            self.count + other.count, self.total + other.total, self.outer + other.outer
        )

    @property
    def mean(self) -> Tensor:
        """Mean (d,)."""
        return self.total / self.count

    @property
    def covariance(self) -> Tensor:
        """Return the covariance (d, d), divisor n - 1.

        Raises:
            UserError: fewer than two vectors.
        """
        if self.count < 2:
            raise UserError(f"a covariance needs at least 2 pictures, there are {self.count}")
        return (self.outer - torch.outer(self.total, self.mean)) / (self.count - 1)

    def tensors(self) -> dict[str, Tensor]:
        """Return named tensors for ``safetensors.torch.save_file``."""
        return dict(zip(KEYS, (torch.tensor(self.count), self.total, self.outer), strict=True))

    @classmethod
    def read(cls, tensors: Mapping[str, Tensor]) -> Statistics:
        """Restore what ``tensors`` returned.

        Raises:
            UserError: other tensors, or inconsistent shapes.
        """
        if set(tensors) != set(KEYS):
            raise UserError(f"statistics hold {', '.join(KEYS)}; found {', '.join(tensors)}")
        count, total, outer = (tensors[key] for key in KEYS)
        if count.ndim or total.ndim != 1 or outer.shape != (len(total), len(total)):
            shapes = ", ".join(str(tuple(tensors[key].shape)) for key in KEYS)
            raise UserError(f"statistics have shapes (), (d,) and (d, d); found {shapes}")
        return cls(int(count), total.double(), outer.double())


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
    if len(a.total) != len(b.total):
        both = f"{len(a.total)} and {len(b.total)}"
        raise UserError(f"statistics of vectors of {both} dimensions do not belong together")
