"""Fit of ``mini``'s last layer, from statistics of its taps to VGG19's pooled vector.

Fitted after training, by ridge regression (Hoerl & Kennard 1970) in closed form. Only the first
principal components of its predictions are kept. They keep VGG19's origin and are shrunk
(``SHRINK``).

Shapes: D = 2·ΣC statistics of all taps.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from tools.mini.corpus import Corpus, damage
from torch import Generator, Tensor

from atelier.core.batches import seed_of
from atelier.nn.pretrained.features import Features
from atelier.nn.pretrained.mini import LENGTH, WIDTHS, Mini, Vector, statistics

TEACHER_LAYER = "relu5_1"
ROWS, BATCHES = 8, 1200
"""Crops per batch (plus half as many corrupted copies), and batches: 14,400 examples."""
SIDES = (128, 256)
"""Alternating sides of the crops: deviations of a deep layer depend on the size of its map."""
SHRINK = (LENGTH / 512) ** 0.5
"""Length of the vector, that of VGG19: KID's kernel divides inner products by it."""
RIDGE = 0.05
"""Ridge penalty, as fractions of an input's variance. Held-out crops hardly distinguish 0.002 from
0.05; the ranking of the systems' results decided, see docs/log.md."""


@torch.no_grad()
def examples(
    student: Mini, teacher: Features, corpus: Corpus, seed: int, device: str, batches: Iterable[int]
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the student's statistics (B, D) and the teacher's vectors (B, 512) of every batch.

    A batch is a function of the seed and its number, so that an interrupted run can resume.
    The teacher in bfloat16, for speed; the student in float32, as it is used for distances.
    """
    for n in batches:
        generator = Generator().manual_seed(seed_of(seed, n, "vector"))
        fresh = corpus.draw(ROWS, generator, SIDES[n % len(SIDES)])
        hurt = damage(fresh[: ROWS // 2], generator)
        pictures = torch.cat([fresh, hurt]).to(device, memory_format=torch.channels_last)
        with torch.autocast(torch.device(device).type, torch.bfloat16):
            said = teacher(pictures)[TEACHER_LAYER].float().mean((2, 3))
        yield statistics(student(pictures)).cpu(), said.cpu()


@dataclass(frozen=True)
class Fit:
    """Linear map back from the vector to the teacher's."""

    mean: Tensor
    """(512,)."""
    directions: Tensor
    """(512, ``LENGTH``), orthonormal columns."""

    def unexplained(self, vector: Vector, known: Tensor, said: Tensor) -> float:
        """Return the unexplained fraction of the variance of ``said`` (N, 512)."""
        answer = vector.project(known.to(vector.weight.device)).cpu().double()
        told = (answer / SHRINK - self.mean @ self.directions) @ self.directions.mT
        wanted = said.double() - self.mean
        return float((wanted - told).square().sum() / wanted.square().sum())


@torch.no_grad()
def fit(vector: Vector, known: Tensor, said: Tensor) -> Fit:
    """Fit ``vector`` to predict ``said`` (N, 512) from ``known`` (N, D), projected and shrunk.

    N has to be at least ``LENGTH``.
    """
    known, said = known.double(), said.double()
    shift, scale, mean = known.mean(0), _spread(known), said.mean(0)
    inputs = (known - shift) / scale
    ridge = RIDGE * len(inputs) * torch.eye(inputs.shape[1], dtype=inputs.dtype)
    weight = torch.linalg.solve(inputs.mT @ inputs + ridge, inputs.mT @ (said - mean))
    _, _, found = torch.linalg.svd(inputs @ weight, full_matrices=False)
    directions = found[:LENGTH].mT
    shrunk = SHRINK * directions
    vector.shift.copy_(shift)
    vector.scale.copy_(scale)
    vector.weight.copy_((weight @ shrunk).mT)
    vector.bias.copy_(mean @ shrunk)
    return Fit(mean, directions)


def _spread(known: Tensor) -> Tensor:
    """Return the deviation of every statistic, (D,), at least a tenth of its tap's average.

    Otherwise a channel that is rarely active would count a hundredfold where it is.
    """
    parts = torch.split(known.std(0), [width for width in WIDTHS.values() for _ in ("mean", "std")])
    return torch.cat([part.clamp_min(0.1 * part.mean()) for part in parts])
