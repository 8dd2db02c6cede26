"""Training losses of the student: activations and distances of the teacher.

Style transfer uses an encoder for distances: of Gram matrices (style), of activations (content), of
pooled vectors (Fréchet; ``mini``'s own is fitted afterwards, in ``head``). So besides the
activations themselves (through temporary 1×1 adapters, after FitNets, Romero et al. 2015) the
distances between the pictures of a batch are matched (relational distillation, Park et al. 2019),
as logarithms, so that near and far pairs count equally. They are matched in absolute value, so that
loss weights for VGG19 apply to the student.

Shapes: features are tap → (B, C, h, w); the student's and the teacher's differ in C only.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from atelier.nn.losses import content_loss, gram

Activations = Mapping[str, Tensor]
THINNED = {"relu1_1": 4, "relu2_1": 2}
"""Stride of the rows and columns used to learn an adapter; all of them cost too much."""
FLOOR = 1e-3
"""Distances below this fraction of the mean are noise (the teacher runs in bfloat16)."""
WEIGHTS = {"activations": 1.0, "vectors": 0.5, "style": 1.0, "content": 0.5, "distance": 0.5}


class Adapters(nn.Module):
    """1×1 convolutions from the student's taps to the teacher's; discarded after training."""

    def __init__(self, student: Activations, teacher: Activations) -> None:
        super().__init__()
        self.maps = nn.ModuleDict()
        for tap, target in teacher.items():
            self.maps[tap] = _constant(student[tap].shape[1], target.float().mean((0, 2, 3)))
            spread = target.float().std((0, 2, 3))
            vectors = target.float().mean((2, 3)).std(0)
            self.register_buffer(f"spread_{tap}", spread.clamp_min(0.1 * spread.mean()))
            self.register_buffer(f"vectors_{tap}", vectors.clamp_min(0.1 * vectors.mean()))

    def forward(self, student: Activations, teacher: Activations) -> dict[str, Tensor]:
        """Return mean squared errors of activations and of their means, in channel deviations."""
        places, vectors = [], []
        for tap, layer in self.maps.items():
            n = THINNED.get(tap, 1)
            error = layer(student[tap][..., ::n, ::n]).float() - teacher[tap][..., ::n, ::n].float()
            places.append(_in_units(error, getattr(self, f"spread_{tap}")))
            mean = error.mean((2, 3), keepdim=True)
            vectors.append(_in_units(mean, getattr(self, f"vectors_{tap}")))
        return {"activations": torch.stack(places).mean(), "vectors": torch.stack(vectors).mean()}


def _constant(inputs: int, means: Tensor) -> nn.Conv2d:
    """Return a 1×1 convolution that initially predicts ``means`` for every input."""
    layer = nn.Conv2d(inputs, len(means), 1)
    with torch.no_grad():
        layer.weight.zero_()
        layer.bias.copy_(means)  # type: ignore[union-attr]
    return layer


def _in_units(error: Tensor, spread: Tensor) -> Tensor:
    return (error / spread.view(1, -1, 1, 1)).square().mean()


def style_distances(features: Tensor) -> Tensor:
    """Return ``gram_loss`` between all pairs of pictures, (B, B)."""
    flat = gram(features).flatten(1)
    return _squared_distances(flat) / flat.shape[1]


def vector_distances(features: Tensor) -> Tensor:
    """Return squared distances between pooled vectors, over their length: (B, B)."""
    flat = features.float().mean((2, 3))
    return _squared_distances(flat) / flat.shape[1]


def _squared_distances(flat: Tensor) -> Tensor:
    flat = flat - flat.mean(0).detach()  # centred: the same distances from smaller numbers
    product = flat @ flat.mT
    square = product.diagonal()
    return (square[:, None] + square - 2 * product).clamp_min(0)


def log_ratio(ours: Tensor, theirs: Tensor) -> Tensor:
    """Return the mean Huber loss of log(ours / theirs), of equal shape and not negative."""
    floor = FLOOR * theirs.mean()
    return F.smooth_l1_loss((ours + floor).log(), (theirs + floor).log())


def relations(student: Activations, teacher: Activations, mates: Tensor) -> dict[str, Tensor]:
    """Return the losses of the student's distances against the teacher's, averaged over taps.

    Args:
        student: activations of the student.
        teacher: activations of the same pictures.
        mates: (P, 2) rows of pictures that show the same scene; the content distance is only
            meaningful between those.
    """
    count = len(next(iter(teacher.values())))
    upper = torch.triu_indices(count, count, offset=1).unbind()
    found: dict[str, list[Tensor]] = {"style": [], "content": [], "distance": []}
    for tap, theirs in teacher.items():
        ours, (a, b) = student[tap], mates.unbind(1)
        for name, measure in (("style", style_distances), ("distance", vector_distances)):
            found[name].append(log_ratio(measure(ours)[upper], measure(theirs)[upper]))
        of_mates = [content_loss(value[a], value[b]) for value in (ours, theirs)]
        found["content"].append(log_ratio(*of_mates))
    return {name: torch.stack(values).mean() for name, values in found.items()}
