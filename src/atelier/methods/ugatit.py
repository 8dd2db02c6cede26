"""U-GAT-IT: translation between photographs and paintings, guided by class activation maps.

Kim, Kim, Kang & Lee, "U-GAT-IT: unsupervised generative attentional networks with adaptive
layer-instance normalization for image-to-image translation" (ICLR 2020). The networks are in
``nn/ugatit.py``, their norms in ``nn/adalin.py``.

Shapes: B photographs and as many paintings of H×W, sides multiples of 4; in [-1, 1] inside.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Self

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from atelier.core.batches import Batch
from atelier.methods.base import Extra
from atelier.methods.trained import Losses, seeded
from atelier.methods.unpaired import (
    BACK,
    Unpaired,
    UnpairedSettings,
    frozen,
    to_signed,
    to_unit,
    weighed,
)
from atelier.nn.adalin import clamp_rho
from atelier.nn.cam import CamWeight, jet, spread
from atelier.nn.memory import to_device
from atelier.nn.ugatit import Discriminator, Generator, Verdict, check_side, distance


class UgatitSettings(UnpairedSettings):
    """Settings of one ``ugatit`` entry in ``params.yaml``.

    The defaults are those of the authors' code, except ``light`` and ``cam_weight``.
    """

    lr: float = Field(1e-4, gt=0)
    weight_decay: float = Field(1e-4, ge=0)
    """L2 penalty through Adam on all weights, including ρ, γ and β of the norms."""
    light: bool = True
    """False: the generators flatten their features instead of averaging them. They then have 26
    times the parameters at 256×256, and accept pictures of the size ``crop`` only."""
    width: int = Field(64, ge=4)
    """Channels of the generators' first layer."""
    n_res: int = Field(4, ge=1)
    """Residual blocks before the attention, and as many after it; 4 and 4 in the paper."""
    discriminator_width: int = Field(64, ge=4)
    global_layers: int = Field(7, ge=3)
    """4×4 convolutions of the global discriminators. Crops must have 3·2^(n-2) pixels: 96 for 7."""
    local_layers: int = Field(5, ge=3)
    cam_weight: CamWeight = "effective"
    """Weights of the class activation map by which the discriminators multiply features:
    ``original``, before spectral norm, is what the authors' code uses, likely by mistake."""
    gan_weight: float = Field(1.0, ge=0)
    """Weight of the adversarial losses, in both steps."""
    cycle_weight: float = Field(10.0, ge=0)
    identity_weight: float = Field(10.0, ge=0)
    cam_loss_weight: float = Field(1000.0, ge=0)


INPUTS = {"to_art": "photo", "to_photo": "art"}
TARGETS = {"to_art": "art", "to_photo": "photo"}
SCALES = ("global", "local")
"""Kinds of discriminators, one of each per domain."""


class Ugatit(Unpaired[UgatitSettings]):
    """Two generators and four discriminators, all with class activation maps."""

    Settings = UgatitSettings
    has_heatmap: ClassVar[bool] = True

    def __init__(self, settings: UgatitSettings, seed: int, device: str) -> None:
        self.settings, self.seed, self.device = settings, seed, device
        s = settings
        crop = None if s.light else s.crop
        layers = {"global": s.global_layers, "local": s.local_layers}
        with seeded(seed):
            generators = {way: Generator(s.width, s.n_res, crop) for way in INPUTS}
            discriminators = {
                f"{scale}_{domain}": Discriminator(s.discriminator_width, depth, s.cam_weight)
                for domain in INPUTS.values()
                for scale, depth in layers.items()
            }
        networks = nn.ModuleDict()
        networks["generator"] = nn.ModuleDict(generators)
        networks["discriminator"] = nn.ModuleDict(discriminators)
        self.networks = to_device(networks, device)
        self.load_guide()

    @classmethod
    def build(cls, settings: UgatitSettings, *, seed: int, device: str) -> Self:
        """Build the networks with initial weights.

        Raises:
            UserError: the crop is too small for the number of layers; names the largest possible.
        """
        check_side(max(settings.global_layers, settings.local_layers), settings.crop)
        return cls(settings, seed, device)

    def check(self, height: int, width: int) -> None:
        """Refuse other sizes than ``crop`` for a full generator."""
        self.network(Generator, "generator", "to_art").check(height, width)

    def training_losses(self, batch: Batch) -> Iterator[tuple[str, Losses]]:
        """Yield the losses of the discriminators, then of the generators."""
        real = {"photo": to_signed(batch.content), "art": to_signed(batch.style)}
        with torch.no_grad():
            fakes = {TARGETS[way]: self.translate(real[k], way) for way, k in INPUTS.items()}
        yield "discriminator", self._discriminator_losses(real, fakes)
        yield "generator", self._generator_losses(real, batch.step)
        clamp_rho(self.networks["generator"])

    def _discriminator_losses(self, real: dict[str, Tensor], fakes: dict[str, Tensor]) -> Losses:
        """Return least-squares losses of patches and CAM logits, summed without ½."""
        losses = {}
        for domain, image in real.items():
            # unlike the authors' code, in one batch: one power iteration for both, instead of two
            both = torch.cat([image, fakes[domain]])
            parts = [self._told_apart(self._judged(f"{s}_{domain}", both)) for s in SCALES]
            losses[f"discriminator_{domain}"] = torch.stack(parts).sum()
        total = self.settings.gan_weight * torch.stack(list(losses.values())).sum()
        return {"total": total, **losses}

    def _judged(self, name: str, image: Tensor) -> Verdict:
        judged: Verdict = self.network(Discriminator, "discriminator", name)(image)
        return judged

    @staticmethod
    def _told_apart(judged: Verdict) -> Tensor:
        """Return the loss of a batch of real pictures followed by as many generated ones."""
        real, fake = zip(*(part.chunk(2) for part in judged), strict=True)
        return distance(Verdict(*real), 1.0) + distance(Verdict(*fake), 0.0)

    def _generator_losses(self, real: dict[str, Tensor], step: int) -> Losses:
        """Return adversarial, cycle, identity and CAM losses of both directions."""
        losses: Losses = {}
        for way, domain in INPUTS.items():
            fake, found = self._there(real, way)
            back = self.translate(fake, BACK[way])
            losses[f"gan_{way}"] = self._fools(TARGETS[way], fake)
            losses[f"cycle_{way}"] = F.l1_loss(back, real[domain])
            losses |= found
            if way == "to_art":
                losses |= self.guide(fake, real["photo"], real["art"], step)
        return {"total": weighed(losses, self._weights()), **losses}

    def _there(self, real: dict[str, Tensor], way: str) -> tuple[Tensor, Losses]:
        """Return translations, and a generator's identity and CAM losses.

        Inputs and targets form one batch, as each picture is normalised separately.
        """
        aim = real[TARGETS[way]]
        both = torch.cat([real[INPUTS[way]], aim])
        image, logits, _ = self.network(Generator, "generator", way)(both)
        fake, same = image.chunk(2)
        losses = {
            f"identity_{way}": F.l1_loss(same, aim),
            f"cam_{way}": cam_loss(*logits.chunk(2)),
        }
        return fake, losses

    def _fools(self, domain: str, fake: Tensor) -> Tensor:
        """Return the adversarial loss of a generator against both discriminators."""
        with frozen(self.networks["discriminator"]):
            parts = [distance(self._judged(f"{s}_{domain}", fake), 1.0) for s in SCALES]
        return torch.stack(parts).sum()

    def _weights(self) -> dict[str, float]:
        s = self.settings
        return {
            "gan": s.gan_weight,
            "cycle": s.cycle_weight,
            "identity": s.identity_weight,
            "cam": s.cam_loss_weight,
            "guide": 1.0,
        }

    def translate(self, image: Tensor, direction: str) -> Tensor:
        """Translate (B, 3, H, W) in [-1, 1] to the other domain, in [-1, 1]."""
        found: Tensor = self.network(Generator, "generator", direction)(image).image
        return found

    def round_trip(self, row: str, direction: str, image: Tensor) -> Iterator[Extra]:
        """Yield the authors' sample sheet: translation, back-translation, identity, and their CAMs.

        The identity of a picture (1, 3, H, W) is the output of the generator into its own domain.
        """
        yield Extra(direction, row, "1 input", image[0])
        translated = self.explained(image, direction)
        shown = {
            "identity": self.explained(image, BACK[direction]),
            "translation": translated,
            "cycle": self.explained(translated[0], BACK[direction]),
        }
        for n, (name, (made, heat)) in enumerate(shown.items(), 1):
            yield Extra(direction, row, f"{2 * n} CAM of {name}", heat[0])
            yield Extra(direction, row, f"{2 * n + 1} {name}", made[0])

    def heatmap(self, image: Tensor, direction: str) -> Tensor:
        """Return the generator's class activation map, in colour; see ``Unpaired.heatmap``."""
        return jet(self._with_heat(to_signed(image), direction)[:, 3])

    def explained(self, image: Tensor, direction: str) -> tuple[Tensor, Tensor]:
        """Return translations of pictures (B, 3, H, W) in [0, 1], and their heat maps in colour."""
        both = self.apply_network(image, lambda x: self._with_heat(to_signed(x), direction))
        return both[:, :3], jet(both[:, 3])

    def _with_heat(self, image: Tensor, direction: str) -> Tensor:
        """Map (B, 3, H, W) in [-1, 1] to (B, 4, H, W): translation and heat map, in [0, 1]."""
        made, _, heat = self.network(Generator, "generator", direction)(image)
        heat = F.interpolate(spread(heat), image.shape[2:], mode="bilinear")
        return torch.cat([to_unit(made), heat], 1)


def cam_loss(translated: Tensor, identity: Tensor) -> Tensor:
    """Return the cross-entropy: inputs to be translated are 1, inputs of the target domain 0.

    Both arguments are logits (B, 2); average and max pooling count equally.
    """
    entropy = F.binary_cross_entropy_with_logits
    ones, zeros = torch.ones_like(translated), torch.zeros_like(identity)
    return entropy(translated, ones) + entropy(identity, zeros)


METHOD = Ugatit
