"""STROTSS: style transfer by relaxed optimal transport and self-similarity.

After Kolkin, Salavon & Shakhnarovich, CVPR 2019 (arXiv 1904.12785). The output's features are
transported to the painting's; the photograph is kept by how its positions resemble each other, not
by its features. Optimised from coarse to fine over a Laplacian pyramid; nothing is trained.

Shapes: B pictures of H×W, styles h×w.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Self

import torch
from pydantic import Field
from torch import Generator, Tensor
from torch.optim import RMSprop

from atelier.core.config import UserError
from atelier.methods.base import Iterate
from atelier.methods.optimisation import Optimisation, OptimisationSettings, Steps, activations
from atelier.nn.earth_mover import (
    GUIDANCE,
    colour_loss,
    cosine_distance,
    guided,
    moment_loss,
    relaxed_emd,
    self_similarity,
    self_similarity_loss,
)
from atelier.nn.hypercolumns import Regions, hypercolumns, random_positions, region_labels
from atelier.nn.laplacian_pyramid import (
    coarse_to_fine,
    detail,
    optimise,
    pictures_by_size,
    resize,
)
from atelier.nn.pretrained.features import Features, load_features

PUBLISHED_LAYERS = (
    *("relu1_1", "relu1_2", "relu2_1", "relu2_2", "relu3_1", "relu3_2", "relu3_3"),
    *("relu4_3", "relu5_3"),
)
"""Of VGG16, as in the authors' code; with RGB 2,179 features a position."""
LEVELS = 5
"""Of the pyramid whose entries are optimised (§2.5)."""


class StrotssSettings(OptimisationSettings):
    """Settings of one ``strotss`` entry in ``params.yaml``; defaults are the paper's (§2.5)."""

    layers: tuple[str, ...] = Field(PUBLISHED_LAYERS, min_length=1)
    content_weight: float = Field(16.0, gt=0)
    """α at the smallest size; it is halved from size to size."""
    colour_weight: float | None = Field(None, ge=0)
    """Weight of the colours' transport; None: 1/α, as published. At a large α, which keeps more of
    the photograph, 1/α is too little to hold the result to the painting's colours."""
    samples: int = Field(1024, ge=16)
    """Positions of every picture that take part in a step."""
    coarsest: int = Field(64, ge=32)
    """Long side in pixels where the optimisation begins."""
    steps: int = Field(200, ge=1)
    """Steps at the smallest size; 250 at every size in the authors' code."""
    refine_steps: int | None = Field(None, ge=1)
    """Steps at each of the other sizes; None: as many."""
    lr: float = Field(2e-3, gt=0)
    last_lr: float = Field(1e-3, gt=0)
    """Learning rate at the full size."""
    guidance: float = Field(GUIDANCE, gt=0)
    """β: how much more a match within a pair of regions costs, and so counts."""
    unit_activations: bool = False
    """Scale every layer to a mean activation of one. It is not what was published: relu5_3 then
    outweighs the others and whole objects of the painting are copied."""


class Objective:
    """The four terms of eq. 1 for a batch at one size, at new positions every time."""

    def __init__(
        self,
        settings: StrotssSettings,
        features: Features,
        pair: tuple[Tensor, Tensor],
        alpha: float,
        generator: Generator,
        regions: Regions | None = None,
    ) -> None:
        self.settings, self.features, self.alpha = settings, features, alpha
        self.generator, self.regions = generator, regions
        self.sizes = [(int(image.shape[2]), int(image.shape[3])) for image in pair]
        with torch.no_grad():
            self.content, self.style = (self._maps(image) for image in pair)
        self.unit = self._unit()

    def _maps(self, image: Tensor) -> list[Tensor]:
        layers = activations(self.features, image, self.settings.precision)
        # RGB within the hypercolumn is not told by the paper, but by its authors' code
        return [image, *(layers[layer] for layer in self.settings.layers)]

    def _unit(self) -> Tensor:
        """Return what RGB and each feature are divided by, (B, 1, D).

        Unlike the paper, features count in the painting's mean activation: published weights of one
        network differ by two orders of magnitude, and with them what moments and RGB would count.
        """
        layers = self.style[1:]
        sums = [layer.float().abs().mean((2, 3)).sum(1) for layer in layers]
        width = sum(layer.shape[1] for layer in layers)
        mean = torch.stack(sums).sum(0) / width
        rest = mean.clamp_min(1e-6)[:, None, None].expand(-1, 1, width)
        return torch.cat([torch.ones_like(rest[..., :3]), rest], 2)

    def _columns(self, maps: list[Tensor], places: Tensor, size: tuple[int, int]) -> Tensor:
        return hypercolumns(maps, places, size) / self.unit

    def __call__(self, image: Tensor) -> dict[str, Tensor]:
        """Return the losses of (B, 3, H, W), each (B,); ``total`` weighs them (eq. 1)."""
        s, (size, style_size) = self.settings, self.sizes
        places = random_positions(*size, s.samples, self.generator)
        style_places = random_positions(*style_size, s.samples, self.generator)
        output = self._columns(self._maps(image), places, size)
        content = self_similarity(self._columns(self.content, places, size))
        style = self._columns(self.style, style_places, style_size)
        costs = cosine_distance(output, style)
        if self.regions:
            labels = region_labels(self.regions.content, places, size)
            style_labels = region_labels(self.regions.style, style_places, style_size)
            costs = guided(costs, labels, style_labels, s.guidance)
        losses = {
            "content": self_similarity_loss(output, content),
            "transport": relaxed_emd(costs),
            "moments": moment_loss(output, style),
            "colour": colour_loss(output[..., :3], style[..., :3]),
        }
        colour = 1 / self.alpha if s.colour_weight is None else s.colour_weight
        weights = (self.alpha, 1.0, 1.0, colour)
        terms = zip(weights, losses.values(), strict=True)
        total = torch.stack([weight * loss for weight, loss in terms]).sum(0) / sum(weights)
        return {"total": total, **losses}


class Strotss(Optimisation[StrotssSettings]):
    """Optimisation by transport of features; nothing is trained."""

    Settings = StrotssSettings

    @classmethod
    def build(cls, settings: StrotssSettings, *, seed: int, device: str) -> Self:
        """Load the perceptual network the settings name."""
        features = load_features(
            settings.features,
            settings.layers,
            unit_activations=settings.unit_activations,
            device=device,
        )
        return cls(settings, features, seed, device)

    def steps(self, height: int, width: int) -> int:
        """Return the steps over all sizes."""
        return sum(self._plan(len(coarse_to_fine(height, width, self.settings.coarsest))))

    def _plan(self, sizes: int) -> list[int]:
        s = self.settings
        return [s.steps] + [s.refine_steps or s.steps] * (sizes - 1)

    def guided(self, content: Tensor, style: Tensor, regions: Regions | None) -> Iterator[Iterate]:
        """Yield every step of ``iterates`` under guidance by regions (§2.4).

        Args:
            content: (B, 3, H, W) in [0, 1].
            style: (B, 3, h, w) in [0, 1].
            regions: None: without guidance.

        Raises:
            UserError: pictures below 32 px, or masks that do not pair.
        """
        guide = partial(self.optimise, regions=self._checked(regions, len(content)))
        yield from self.run(guide, content, style)

    def optimise(self, content: Tensor, style: Tensor, regions: Regions | None = None) -> Steps:
        """Yield every step; ``regions``, of the filled batch, guide it."""
        s = self.settings
        sizes = coarse_to_fine(int(content.shape[2]), int(content.shape[3]), s.coarsest)
        pairs = zip(*(pictures_by_size(p, len(sizes)) for p in (content, style)), strict=True)
        generator = Generator().manual_seed(self.seed)
        # the highest frequencies of the photograph on the painting's mean colour (§2.5)
        image = style.mean((2, 3), keepdim=True)
        for level, (pair, steps) in enumerate(zip(pairs, self._plan(len(sizes)), strict=True)):
            last = level == len(sizes) - 1
            image = self._start(image, pair[0], level, last=last)
            alpha = s.content_weight / 2**level
            objective = Objective(s, self.features, pair, alpha, generator, regions)
            lr = s.last_lr if last else s.lr
            run = optimise(image, LEVELS, objective, lambda p, lr=lr: RMSprop(p, lr=lr), steps)  # type: ignore[misc]
            for image, losses in run:
                yield image.clamp(0, 1), losses

    def _start(self, image: Tensor, content: Tensor, level: int, *, last: bool) -> Tensor:
        """First picture of a size: the one before, with the photograph's detail as published.

        The full size gets none, as in the authors' code, unless it is the only one.
        """
        image = resize(image, (content.shape[2], content.shape[3]))
        return image if last and level else image + detail(content)

    def _checked(self, regions: Regions | None, count: int) -> Regions | None:
        """Masks on the device, for the filled batch; refuse those that do not pair."""
        if regions is None:
            return None
        shapes = [tuple(part.shape[:2]) for part in (regions.content, regions.style)]
        if shapes[0] != shapes[1] or shapes[0][0] != count:
            raise UserError(
                f"strotss: {count} pictures need masks of as many regions in photograph and "
                f"painting, got {shapes[0]} and {shapes[1]} (pictures, regions)"
            )
        return Regions(self.prepare(regions.content), self.prepare(regions.style))


METHOD = Strotss
