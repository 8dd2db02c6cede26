"""CUT and FastCUT: unpaired translation by one generator and a contrastive loss on patches.

After Park, Efros, Zhang & Zhu, "Contrastive learning for unpaired image-to-image translation"
(ECCV 2020), and its code, taesungp/contrastive-unpaired-translation.

Shapes: B photos and B paintings (art) of H×W; pixels are in [-1, 1] except in ``generate``. A tap
is one of the five layers of the generator whose features are compared, with P patches (positions).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import ClassVar, Self

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn
from torch.optim import Optimizer

from atelier.core.batches import Batch
from atelier.methods.trained import Losses, seeded
from atelier.methods.unpaired import Unpaired, UnpairedSettings, frozen, to_signed
from atelier.nn.memory import to_device
from atelier.nn.patchgan import Gan, PatchGAN, adversarial, discriminator_loss
from atelier.nn.resnet import Init, ResNetGenerator, Upsample, draw_weights


class CUTSettings(UnpairedSettings):
    """Settings of one ``cut`` entry in ``params.yaml``; the defaults are CUT's.

    FastCUT has ``nce_weight`` 10, ``identity_nce`` false, ``flip_equivariance`` true and
    ``constant`` 0.75.
    """

    width: int = Field(64, ge=4)
    """Channels of the first layer of generator and discriminator."""
    blocks: int = Field(9, ge=2)
    """Residual blocks."""
    antialias: bool = True
    """Blur before resampling, in both networks; false: as in CycleGAN."""
    upsample: Upsample = "transposed"
    """Upsampling if ``antialias`` is false; ``resize`` avoids checkerboard artefacts."""
    gan: Gan = "lsgan"
    gan_weight: float = Field(1.0, ge=0)
    nce_weight: float = Field(1.0, ge=0)
    identity_nce: bool = True
    """Pass paintings through the generator as well, with a PatchNCE loss against themselves."""
    flip_equivariance: bool = False
    """Mirror the generator's inputs in half of the steps, compared with unmirrored ones."""
    patches: int = Field(256, ge=2)
    """Positions compared at each tap."""
    temperature: float = Field(0.07, gt=0)
    projection: int = Field(256, ge=8)
    """Dimensions of a patch's projected features."""
    init: Init = "xavier"
    init_gain: float = Field(0.02, gt=0)
    """Scale of the initial weights: standard deviation if ``init`` is ``normal``, else a gain."""


class Projector(nn.ModuleList):
    """The projection head F: a two-layer MLP per tap, then L2 normalisation.

    For the generator of width 64 it has 560,384 parameters. Unlike the published code, which
    creates it in the first step, it exists from the start.
    """

    def __init__(self, widths: Sequence[int], projection: int = 256) -> None:
        super().__init__(
            nn.Sequential(
                nn.Linear(width, projection), nn.ReLU(), nn.Linear(projection, projection)
            )
            for width in widths
        )

    def forward(self, taps: Sequence[Tensor], places: Sequence[Tensor]) -> list[Tensor]:
        """Map features (B, C, h, w) and positions (P,) in [0, h·w) per tap to (B, P, D) per tap.

        Computed in float32 even under autocast: a temperature of 0.07 amplifies small errors.
        """
        with torch.autocast(taps[0].device.type, enabled=False):
            return [
                _unit(layer(_at(tap.float(), place)))
                for layer, tap, place in zip(self, taps, places, strict=True)
            ]


def _unit(value: Tensor) -> Tensor:
    """Normalise along dim 2. Initial projections are so short that the 1e-7 matters."""
    length: Tensor = torch.linalg.vector_norm(value, dim=2, keepdim=True)
    return value / (length + 1e-7)


def _at(tap: Tensor, place: Tensor) -> Tensor:
    """Return (B, C, h, w) at positions (P,): (B, P, C)."""
    return tap.permute(0, 2, 3, 1).flatten(1, 2).index_select(1, place)


def patch_nce(query: Tensor, key: Tensor, temperature: float) -> Tensor:
    """Return the PatchNCE loss: each patch classified among those of its picture (eq. 3).

    Args:
        query: (B, P, D), of unit length, from the generated picture.
        key: the same from the input; no gradient flows there.
        temperature: divisor of the similarities.

    Returns:
        (B,): cross-entropy, mean over the patches. Unlike in the published code the batch may have
        any size.
    """
    with torch.autocast(query.device.type, enabled=False):
        similar = query @ key.detach().mT / temperature
    own = torch.arange(query.shape[1], device=query.device).expand(len(query), -1)
    return F.cross_entropy(similar.mT, own, reduction="none").mean(1)


class CUT(Unpaired[CUTSettings]):
    """One generator, ``to_art``; one discriminator; the projection head, ``projector``."""

    Settings = CUTSettings
    directions: ClassVar[tuple[str, ...]] = ("to_art",)

    def __init__(self, settings: CUTSettings, seed: int, device: str) -> None:
        self.settings, self.seed, self.device = settings, seed, device
        s = settings
        with seeded(seed):
            generator = ResNetGenerator(
                s.width, s.blocks, upsample=s.upsample, antialias=s.antialias
            )
            networks = nn.ModuleDict(
                {
                    "generator": nn.ModuleDict({"to_art": generator}),
                    "discriminator": PatchGAN(s.width, antialias=s.antialias),
                    "projector": Projector(generator.tap_widths, s.projection),
                }
            )
            draw_weights(networks, s.init, s.init_gain)
        self.networks = to_device(networks, device)
        self.load_guide()

    @classmethod
    def build(cls, settings: CUTSettings, *, seed: int, device: str) -> Self:
        """Build the networks with initial weights."""
        return cls(settings, seed, device)

    @property
    def generator(self) -> ResNetGenerator:
        """Generator from photo to art."""
        return self.network(ResNetGenerator, "generator", "to_art")

    def optimizers(self) -> Mapping[str, Optimizer]:
        """Return an Adam for the discriminator, and one for generator and projection head."""
        both = (self.networks[name].parameters() for name in ("generator", "projector"))
        discriminator = self.adam(self.networks["discriminator"].parameters())
        return {"discriminator": discriminator, "generator": self.adam(chain(*both))}

    def translate(self, image: Tensor, direction: str) -> Tensor:  # noqa: ARG002 - only one
        """Translate (B, 3, H, W) to art; the other direction does not exist."""
        made: Tensor = self.generator(image)
        return made

    def training_losses(self, batch: Batch) -> Iterator[tuple[str, Losses]]:
        """Yield the losses of the discriminator, then of generator and head, on the same fakes."""
        photo, art = to_signed(batch.content), to_signed(batch.style)
        pictures = torch.cat([photo, art]) if self.settings.identity_nce else photo
        flipped = self._flipped(batch)
        made, taps = self.generator.tapped(pictures.flip(3) if flipped else pictures)
        yield "discriminator", self._discriminator(art, made[: len(photo)].detach())
        keys = self._keys(pictures) if flipped else [tap.detach() for tap in taps]
        nce = self._nce(made, keys, batch, flipped=flipped)
        fake = made[: len(photo)]
        seen = photo.flip(3) if flipped else photo
        guide = self.guide(fake, seen, art, batch.step)
        yield "generator", self._total(fake, nce.view(-1, len(photo)), guide)

    def _flipped(self, batch: Batch) -> bool:
        drawn = torch.rand((), generator=batch.generator("flip", joint=True))
        return bool(self.settings.flip_equivariance and drawn < 0.5)

    @torch.no_grad()
    def _keys(self, pictures: Tensor) -> list[Tensor]:
        return self.generator.encode(pictures)

    def _nce(self, made: Tensor, keys: list[Tensor], batch: Batch, *, flipped: bool) -> Tensor:
        """Return the PatchNCE loss (N,) of generated pictures (N, 3, H, W), averaged over taps.

        Unlike the published code, which draws again for the paintings, all pictures of a step are
        compared at the same positions.
        """
        queries = self.generator.encode(made)
        if flipped:
            queries = [query.flip(3) for query in queries]
        places = self._places(keys, batch)
        project = self.networks["projector"]
        with torch.no_grad():
            known = project(keys, places)
        found = zip(project(queries, places), known, strict=True)
        losses = [patch_nce(*pair, self.settings.temperature) for pair in found]
        return torch.stack(losses).mean(0)

    def _places(self, taps: Sequence[Tensor], batch: Batch) -> list[Tensor]:
        """Draw distinct positions (P,) for every tap; all positions if there are fewer."""
        generator, most = batch.generator("patches", joint=True), self.settings.patches
        sizes = [tap.shape[2] * tap.shape[3] for tap in taps]
        drawn = [torch.randperm(size, generator=generator)[:most] for size in sizes]
        return [place.to(taps[0].device) for place in drawn]

    def _total(self, fake: Tensor, nce: Tensor, guide: Losses) -> Losses:
        """Return the weighted sum; ``nce`` is (1, B) of photos, or (2, B) with rows weighted ½.

        The logged losses are unweighted.
        """
        s, discriminator = self.settings, self.networks["discriminator"]
        with frozen(discriminator):
            gan = adversarial(discriminator(fake), s.gan, real=True)
        names = ("nce_to_art", "nce_identity")
        losses = {name: part.mean() for name, part in zip(names, nce, strict=False)}
        total = s.gan_weight * gan + s.nce_weight * torch.stack(list(losses.values())).mean()
        total = total + sum(guide.values())
        return {"total": total, "gan_to_art": gan, **losses, **guide}

    def _discriminator(self, art: Tensor, fake: Tensor) -> Losses:
        """Return the discriminator's losses; unlike CycleGAN's, without an image pool."""
        discriminator = self.networks["discriminator"]
        loss = discriminator_loss(discriminator, art, fake, self.settings.gan)
        return {"total": loss, "discriminator_art": loss.detach()}


METHOD = CUT
