"""CycleGAN: unpaired translation with cycle consistency (Zhu, Park, Isola & Efros, ICCV 2017).

Shapes: B photos and B paintings (art) of H×W; pixels are in [-1, 1] except in ``generate``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Self

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from atelier.core.batches import Batch
from atelier.methods.trained import Losses, seeded
from atelier.methods.unpaired import (
    ImagePool,
    Unpaired,
    UnpairedSettings,
    frozen,
    to_signed,
    weighed,
)
from atelier.nn.memory import to_device
from atelier.nn.patchgan import Gan, PatchGAN, adversarial, discriminator_loss
from atelier.nn.resnet import Init, ResNetGenerator, Upsample, draw_weights


class CycleGANSettings(UnpairedSettings):
    """Settings of one ``cyclegan`` entry in ``params.yaml``."""

    width: int = Field(64, ge=4)
    """Channels of the first layer of generators and discriminators."""
    blocks: int = Field(9, ge=1)
    """Residual blocks; the paper uses 9 for crops of 256 pixels, 6 for 128 and less."""
    upsample: Upsample = "transposed"
    """Upsampling; ``resize`` avoids checkerboard artefacts."""
    gan: Gan = "lsgan"
    cycle_weight: float = Field(10.0, ge=0)
    """Weight of both cycle losses, the paper's λ."""
    identity_weight: float = Field(0.5, ge=0)
    """Weight of the identity loss relative to ``cycle_weight`` (the paper's §5.2), which keeps a
    generator from changing pictures of its target domain; 0: none."""
    pool: int = Field(50, ge=0)
    """Size of each discriminator's image pool."""
    init: Init = "normal"
    init_gain: float = Field(0.02, gt=0)
    """Scale of the initial weights: standard deviation if ``init`` is ``normal``, else a gain."""


class CycleGAN(Unpaired[CycleGANSettings]):
    """Two generators, ``to_art`` and ``to_photo``; two discriminators, of ``art`` and ``photo``."""

    Settings = CycleGANSettings

    def __init__(self, settings: CycleGANSettings, seed: int, device: str) -> None:
        self.settings, self.seed, self.device = settings, seed, device
        with seeded(seed):
            networks = nn.ModuleDict(
                {
                    "generator": nn.ModuleDict({k: self._generator() for k in self.directions}),
                    "discriminator": nn.ModuleDict(
                        {k: PatchGAN(settings.width) for k in ("art", "photo")}
                    ),
                }
            )
            draw_weights(networks, settings.init, settings.init_gain)
        self.networks = to_device(networks, device)
        self.load_guide()
        self.pools = {name: ImagePool(settings.pool) for name in ("art", "photo")}

    @classmethod
    def build(cls, settings: CycleGANSettings, *, seed: int, device: str) -> Self:
        """Build the networks with initial weights."""
        return cls(settings, seed, device)

    def _generator(self) -> ResNetGenerator:
        s = self.settings
        return ResNetGenerator(s.width, s.blocks, upsample=s.upsample)

    def extra_state(self) -> dict[str, Any]:
        """Return the pictures in the pools."""
        return {name: pool.kept for name, pool in self.pools.items()}

    def load_extra_state(self, state: dict[str, Any]) -> None:
        """Restore the pools."""
        for name, pool in self.pools.items():
            pool.kept = list(state[name])

    def translate(self, image: Tensor, direction: str) -> Tensor:
        """Translate (B, 3, H, W) by the generator of ``direction``; same shape."""
        made: Tensor = self.network(ResNetGenerator, "generator", direction)(image)
        return made

    def training_losses(self, batch: Batch) -> Iterator[tuple[str, Losses]]:
        """Yield the losses of the generators, then of the discriminators on the same fakes."""
        photo, art = to_signed(batch.content), to_signed(batch.style)
        losses, fakes = self._generators(photo, art, batch.step)
        yield "generator", losses
        yield "discriminator", self._discriminators({"art": art, "photo": photo}, fakes, batch)

    def _generators(
        self, photo: Tensor, art: Tensor, step: int
    ) -> tuple[Losses, dict[str, Tensor]]:
        """Return the losses of both generators (eq. 3, §5.2), and the fakes without their graph.

        Unlike the published code, inputs of the same generator are batched; with instance norm the
        result is the same.
        """
        identity = float(self.settings.cycle_weight * self.settings.identity_weight)
        idle = not identity
        fake_art, *same_art = self._apply("to_art", photo, *[art][idle:])
        fake_photo, back_photo, *same_photo = self._apply(
            "to_photo", art, fake_art, *[photo][idle:]
        )
        (back_art,) = self._apply("to_art", fake_photo)
        losses = {
            "gan_to_art": self._fools("art", fake_art),
            "gan_to_photo": self._fools("photo", fake_photo),
            "cycle_to_art": F.l1_loss(back_photo, photo),
            "cycle_to_photo": F.l1_loss(back_art, art),
        }
        if not idle:
            losses["identity_to_art"] = F.l1_loss(same_art[0], art)
            losses["identity_to_photo"] = F.l1_loss(same_photo[0], photo)
        losses |= self.guide(fake_art, photo, art, step)
        fakes = {"art": fake_art.detach(), "photo": fake_photo.detach()}
        # logged losses are unweighted
        weights = {"gan": 1.0, "cycle": float(self.settings.cycle_weight), "identity": identity}
        weights["guide"] = 1.0
        return {"total": weighed(losses, weights), **losses}, fakes

    def _apply(self, direction: str, *images: Tensor) -> tuple[Tensor, ...]:
        """Return a function that applies ``translate`` to several batches at once."""
        made = self.translate(torch.cat(images), direction)
        return made.split_with_sizes([len(image) for image in images])

    def _fools(self, domain: str, fake: Tensor) -> Tensor:
        """Return the adversarial loss of a generator."""
        discriminator = self.network(PatchGAN, "discriminator", domain)
        with frozen(discriminator):
            return adversarial(discriminator(fake), self.settings.gan, real=True)

    def _discriminators(
        self, real: dict[str, Tensor], fakes: dict[str, Tensor], batch: Batch
    ) -> Losses:
        """Return the discriminators' losses on real pictures, and on fakes from the image pools."""
        losses = {}
        for name, pool in self.pools.items():
            shown = pool.query(fakes[name], batch.generator(f"pool {name}"))
            discriminator = self.network(PatchGAN, "discriminator", name)
            losses[f"discriminator_{name}"] = discriminator_loss(
                discriminator, real[name], shown, self.settings.gan
            )
        return {"total": torch.stack(list(losses.values())).sum(), **losses}


METHOD = CycleGAN
