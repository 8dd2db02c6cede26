"""NNST: style transfer by nearest neighbours among the painting's features.

After Kolkin et al., "Neural Neighbor Style Transfer", 2022 (arXiv 2203.13215), the variant by
optimisation (NNST-Opt) as in its authors' code. Every feature of the photograph is replaced by the
painting's nearest; the picture that has these features is found from coarse to fine over a
Laplacian pyramid. Nothing is trained. `precision` is also that of the search.

Shapes: B pictures of H×W, styles h×w.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count
from typing import Literal, Self

import torch
from pydantic import Field
from torch import Generator, Tensor
from torch.optim import Adam

from atelier.core.precision import lowered
from atelier.methods.optimisation import Optimisation, OptimisationSettings, Steps, activations
from atelier.nn.colour_transfer import LUMA
from atelier.nn.laplacian_pyramid import (
    coarse_to_fine,
    detail,
    optimise,
    pictures_by_size,
    resize,
)
from atelier.nn.nearest_neighbours import (
    cosine_loss_in_parts,
    flatten,
    neighbour_loss,
    replace_features,
    resized_layers,
    rotations,
    stacked_layers,
)
from atelier.nn.palette import match_palette, mix_channels
from atelier.nn.pooling import average_cells
from atelier.nn.pretrained.features import load_features

PUBLISHED_LAYERS = (
    *("relu1_1", "relu1_2", "relu2_1", "relu2_2", "relu3_1", "relu3_2", "relu3_3"),
    *("relu4_1", "relu4_2", "relu4_3"),
)
"""Of VGG16. The paper also takes block 5; its authors' code leaves it out, as no better."""
LONGEST = 64
"""Positions a side has at most where the layers are matched one by one."""
LEVELS = 8
"""Of the pyramid whose entries are optimised; it ends before at 1×1."""
CELLS = 32
"""Cells along the longer side, whose means the content loss compares."""
SPLIT_CONTENT = 101
"""Number of steps with split layers, from the first, that have the content loss: the authors' code
turns it off after them, for the best results."""
ContentLoss = Literal["colours", "luminance"]
Objective = Callable[[Tensor], dict[str, Tensor]]
"""Function of the picture (B, 3, H, W) that returns losses, (B,) each; ``total`` is minimised."""


class NnstSettings(OptimisationSettings):
    """Settings of one ``nnst`` entry in ``params.yaml``; defaults are the published ones."""

    layers: tuple[str, ...] = Field(PUBLISHED_LAYERS, min_length=1)
    alpha: float = Field(0.75, ge=0, le=1)
    """Share of the photograph, against the output so far, in what is looked for at every size but
    the smallest: 1 keeps most of it."""
    rotate: bool = True
    """Take features of the painting turned by 90, 180 and 270 degrees, too."""
    stride: int = Field(4, ge=1, le=16)
    """In pixels: the grid on which hypercolumns are matched; 4 in the authors' code. A coarser one
    than the shallow layers' own leaves the pixels between free, which may show as a weave."""
    coarsest: int = Field(64, ge=32)
    """Long side in pixels where the optimisation begins."""
    steps: int = Field(200, ge=1)
    """Steps at every size."""
    split_steps: int | None = Field(None, ge=0)
    """Steps at the full size with the layers matched one by one, anew in each; None: as many."""
    lr: float = Field(2e-3, gt=0)
    content_weight: float = Field(0.0, ge=0)
    """Weight of a loss that keeps the distances between the photograph's cells; 0, as published:
    none. Experimental in the authors' code (`--content_loss`, weight 1)."""
    content_loss: ContentLoss = "colours"
    """Distances in colour, as in the authors' code, or in luminance, which leaves hues to the
    painting."""
    palette: bool = True
    """Move the photograph's colours to the painting's palette at the end (post-processing)."""
    unit_activations: bool = False
    """Scale every layer to a mean activation of one; False, as published: as they are. Cosines see
    what the layers count among each other alone."""
    batch: int = Field(4, ge=1)


class Nnst(Optimisation[NnstSettings]):
    """Optimisation towards replaced features; nothing is trained."""

    Settings = NnstSettings

    @classmethod
    def build(cls, settings: NnstSettings, *, seed: int, device: str) -> Self:
        """Load the perceptual network the settings name."""
        features = load_features(
            settings.features,
            settings.layers,
            unit_activations=settings.unit_activations,
            device=device,
        )
        return cls(settings, features, seed, device)

    def steps(self, height: int, width: int) -> int:
        """Return the steps over all sizes, the last ones with split layers included."""
        sizes = len(coarse_to_fine(height, width, self.settings.coarsest))
        return sizes * self.settings.steps + self._split_steps

    @property
    def _split_steps(self) -> int:
        s = self.settings
        return s.steps if s.split_steps is None else s.split_steps

    def optimise(self, content: Tensor, style: Tensor) -> Steps:
        """Yield every step; the last picture gets its colours from the palette if asked."""
        total = self.steps(int(content.shape[2]), int(content.shape[3]))
        for step, (current, losses) in enumerate(self._all_steps(content, style), start=1):
            image = current.clamp(0, 1)
            if step == total and self.settings.palette:
                image = match_palette(image, content, style)
            yield image, losses

    def _all_steps(self, content: Tensor, style: Tensor) -> Steps:
        """All sizes, then the full one with split layers."""
        s = self.settings
        sizes = len(coarse_to_fine(int(content.shape[2]), int(content.shape[3]), s.coarsest))
        contents, styles = (pictures_by_size(part, sizes) for part in (content, style))
        image = contents[0]  # the photograph at the smallest size
        for level, (photo, painting) in enumerate(zip(contents, styles, strict=True)):
            image = resize(image, (photo.shape[2], photo.shape[3]))
            target = self._target(photo, painting, image if level else None)
            objective = self._with_content(photo, partial(self._matched, target))
            for current, losses in self._optimise(image, objective, s.steps):
                image = current
                yield image, losses
        split = partial(self._split, self._painted(style), Generator().manual_seed(self.seed))
        objective = self._with_content(content, split, SPLIT_CONTENT)
        yield from self._optimise(image, objective, self._split_steps)

    def _with_content(
        self, photo: Tensor, objective: Objective, steps: float = math.inf
    ) -> Objective:
        """Add the content loss to the objective's first ``steps`` steps, if it has a weight.

        ``photo`` has the output's size, unlike in the authors' code, where it is the photograph at
        its full size: so the photograph itself has no loss at any size.
        """
        weight, of, taken = self.settings.content_weight, self.settings.content_loss, count()
        if not weight:
            return objective
        wanted = distances(photo, of)

        def with_content(image: Tensor) -> dict[str, Tensor]:
            losses = objective(image)
            if next(taken) >= steps:
                return losses
            kept = (distances(image, of) - wanted).abs().mean((1, 2))
            return {"total": losses["total"] + weight * kept, "content": kept}

        return with_content

    def _optimise(self, image: Tensor, objective: Objective, steps: int) -> Steps:
        return optimise(image, LEVELS, objective, lambda p: Adam(p, lr=self.settings.lr), steps)

    def _target(self, photo: Tensor, painting: Tensor, image: Tensor | None) -> Tensor:
        """Return the painting's hypercolumns in the photograph's places, (B, N, D).

        What is looked for is the photograph, mixed with the output so far once there is one; the
        output's finest detail, which nothing has made yet, is the photograph's.
        """
        sought = photo
        if image is not None:
            alpha = self.settings.alpha
            sought = alpha * photo + (1 - alpha) * (image + detail(photo))
        with torch.no_grad(), lowered(self.settings.precision, self.device):
            return replace_features(
                self._hypercolumns(sought),
                lambda: (self._hypercolumns(turned) for turned in self._rotations(painting)),
            )

    def _matched(self, target: Tensor, image: Tensor) -> dict[str, Tensor]:
        """Losses (B,) against hypercolumns found before."""
        maps = list(self._maps(image).values())
        widths = [layer.shape[1] for layer in maps]
        found = resized_layers(maps, self._size(image))
        return {"total": cosine_loss_in_parts(found, torch.split(target, widths, 2))}

    @torch.no_grad()
    def _painted(self, style: Tensor) -> list[dict[str, Tensor]]:
        """Return the painting's layers once per rotation; none where no step will need them."""
        turned = self._rotations(style) if self._split_steps else ()
        return [self._maps(image) for image in turned]

    def _split(
        self, painted: list[dict[str, Tensor]], generator: Generator, image: Tensor
    ) -> dict[str, Tensor]:
        """Losses (B,) of every layer against its nearest neighbours (feature splitting, §3.3)."""
        total = torch.zeros(len(image), device=image.device)
        for layer, output in self._maps(image).items():
            shift = torch.rand(2, generator=generator)
            painting = torch.cat([_thinned(maps[layer], shift) for maps in painted], 1)
            with lowered(self.settings.precision, self.device):
                total = total + neighbour_loss(_thinned(output, shift), painting)
        return {"total": total}

    def _maps(self, image: Tensor) -> dict[str, Tensor]:
        return activations(self.features, image, self.settings.precision)

    def _hypercolumns(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) to (B, N, D): one for each place of the grid."""
        return stacked_layers(list(self._maps(image).values()), self._size(image))

    def _size(self, image: Tensor) -> tuple[int, int]:
        """Return that of the grid of hypercolumns."""
        stride = self.settings.stride
        return image.shape[2] // stride, image.shape[3] // stride

    def _rotations(self, painting: Tensor) -> Iterator[Tensor]:
        return iter(rotations(painting) if self.settings.rotate else (painting,))


def distances(image: Tensor, of: ContentLoss) -> Tensor:
    """Return the distances between the means of all cells of (B, 3, H, W) in [0, 1]: (B, N, N).

    Cells are roughly square, ``CELLS`` along the longer side. Unlike the authors' code, which takes
    single points: the pixels between are then free to stray.
    """
    image = mix_channels((LUMA,), image) if of == "luminance" else image
    height, width = (max(1, side * CELLS // max(image.shape[2:])) for side in image.shape[2:])
    means = flatten(average_cells(image, (height, width)))
    # centred, as torch gets distances from squares, which cancel where cells are nearly alike
    means = means - means.mean(1, keepdim=True)
    return torch.cdist(means, means)


def _thinned(layer: Tensor, shift: Tensor) -> Tensor:
    """Every n-th position of (B, C, h, w) both ways, about ``LONGEST``² of them: (B, N, C).

    Unlike the authors' code, whose n is the output's for the painting as well, so that a painting
    of another size keeps enough positions.
    """
    step = max(1, max(layer.shape[2:]) // LONGEST)
    y, x = (int(part * min(step, side)) for part, side in zip(shift, layer.shape[2:], strict=True))
    return flatten(layer[..., y::step, x::step])


METHOD = Nnst
