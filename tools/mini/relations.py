"""Training losses of the pupil: the teacher's activations, and its distances.

Style transfer uses an encoder for distances: of Gram matrices (style), of activations (content), of
pooled vectors (Fréchet; ``mini``'s own is fitted afterwards, in ``head``). So beside the
activations themselves (through throw-away 1×1 adapters, after FitNets, Romero et al. 2015) the
distances between the pictures of a batch are matched (relational distillation, Park et al. 2019),
as logarithms, so that near pairs count like far ones.
They are matched in absolute value: a loss weight set for VGG19 then holds for the pupil.

Shapes: features are tap → (B, C, h, w); the pupil's and the teacher's differ in C only.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from atelier.nn.losses import content_loss, gram

Activations = Mapping[str, Tensor]
THINNED = {"relu1_1": 4, "relu2_1": 2}
"""Every n-th row and column is enough to learn an adapter on; all of them cost too much."""
FLOOR = 1e-3
"""Distances below this share of the mean one are noise (the teacher runs in bfloat16)."""
WEIGHTS = {"activations": 1.0, "vectors": 0.5, "style": 1.0, "content": 0.5, "distance": 0.5}


class Adapters(nn.Module):
    """1×1 convolutions from the pupil's taps to the teacher's; thrown away after the training."""

    def __init__(self, pupil: Activations, teacher: Activations) -> None:
        super().__init__()
        self.maps = nn.ModuleDict()
        for tap, target in teacher.items():
            self.maps[tap] = _constant(pupil[tap].shape[1], target.float().mean((0, 2, 3)))
            spread = target.float().std((0, 2, 3))
            vectors = target.float().mean((2, 3)).std(0)
            self.register_buffer(f"spread_{tap}", spread.clamp_min(0.1 * spread.mean()))
            self.register_buffer(f"vectors_{tap}", vectors.clamp_min(0.1 * vectors.mean()))

    def forward(self, pupil: Activations, teacher: Activations) -> dict[str, Tensor]:
        """Mean squared errors in units of each channel's spread: of activations, of their means."""
        places, vectors = [], []
        for tap, layer in self.maps.items():
            n = THINNED.get(tap, 1)
            error = layer(pupil[tap][..., ::n, ::n]).float() - teacher[tap][..., ::n, ::n].float()
            places.append(_in_units(error, getattr(self, f"spread_{tap}")))
            mean = error.mean((2, 3), keepdim=True)
            vectors.append(_in_units(mean, getattr(self, f"vectors_{tap}")))
        return {"activations": torch.stack(places).mean(), "vectors": torch.stack(vectors).mean()}


def _constant(inputs: int, means: Tensor) -> nn.Conv2d:
    """A 1×1 convolution that starts by answering ``means`` to everything."""
    layer = nn.Conv2d(inputs, len(means), 1)
    with torch.no_grad():
        layer.weight.zero_()
        layer.bias.copy_(means)  # type: ignore[union-attr]
    return layer


def _in_units(error: Tensor, spread: Tensor) -> Tensor:
    return (error / spread.view(1, -1, 1, 1)).square().mean()


def style_distances(features: Tensor) -> Tensor:
    """``gram_loss`` between every two pictures, (B, B)."""
    flat = gram(features).flatten(1)
    return _squared_distances(flat) / flat.shape[1]


def vector_distances(features: Tensor) -> Tensor:
    """Squared distances between the pictures' pooled vectors, over their length: (B, B)."""
    flat = features.float().mean((2, 3))
    return _squared_distances(flat) / flat.shape[1]


def _squared_distances(flat: Tensor) -> Tensor:
    flat = flat - flat.mean(0).detach()  # the same distances, from smaller numbers
    product = flat @ flat.mT
    square = product.diagonal()
    return (square[:, None] + square - 2 * product).clamp_min(0)


def log_ratio(ours: Tensor, theirs: Tensor) -> Tensor:
    """Mean Huber loss of log(ours / theirs), both of one shape and not negative."""
    floor = FLOOR * theirs.mean()
    return F.smooth_l1_loss((ours + floor).log(), (theirs + floor).log())


def relations(pupil: Activations, teacher: Activations, mates: Tensor) -> dict[str, Tensor]:
    """Return how well the pupil's distances match the teacher's, averaged over taps.

    Args:
        pupil: its activations.
        teacher: activations of the same pictures.
        mates: (P, 2) rows of pictures that show the same scene; only between those does the
            content distance mean anything.
    """
    count = len(next(iter(teacher.values())))
    upper = torch.triu_indices(count, count, offset=1).unbind()
    found: dict[str, list[Tensor]] = {"style": [], "content": [], "distance": []}
    for tap, theirs in teacher.items():
        ours, (a, b) = pupil[tap], mates.unbind(1)
        for name, measure in (("style", style_distances), ("distance", vector_distances)):
            found[name].append(log_ratio(measure(ours)[upper], measure(theirs)[upper]))
        of_mates = [content_loss(value[a], value[b]) for value in (ours, theirs)]
        found["content"].append(log_ratio(*of_mates))
    return {name: torch.stack(values).mean() for name, values in found.items()}
