"""Fast style transfer: one feed-forward network per painting (Johnson, Alahi & Fei-Fei, ECCV 2016).

Three layouts of the same network: ``transnet`` (a course report's), ``examples`` (pytorch/examples)
and ``johnson`` (the paper's).

Shapes: B pictures of H×W, sides multiples of 4 inside the network.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.optim import Adam, AdamW, Optimizer

from atelier.core.batches import Batch, BatchPlan
from atelier.core.config import UserError
from atelier.methods.base import Kind
from atelier.methods.train_settings import TrainSettings
from atelier.methods.trained import Losses, Trained, seeded
from atelier.nn.instancenorm import InstanceNorm
from atelier.nn.losses import StyleLoss, Target
from atelier.nn.memory import to_device
from atelier.nn.perceptual_loss import PerceptualLoss, PerceptualSettings
from atelier.nn.picture_conv import PictureConv
from atelier.nn.pretrained.features import LossFeatures, Padding, load_features
from atelier.nn.temporal import temporal_loss

Layout = Literal["transnet", "examples", "johnson"]


class FastSettings(PerceptualSettings, TrainSettings):
    """Settings of one ``fast`` entry in ``params.yaml``."""

    style: str | Annotated[int, Field(ge=0)]
    """The painting: its file name without the suffix, or its index (from 0) among the paintings
    sorted by name."""
    layout: Layout = "transnet"
    padding: Padding | None = None
    """Padding of all convolutions; None: that of the layout. Zero padding leaves a frame in the
    pictures."""
    width: int = Field(32, ge=4)
    """Channels of the first layer; 32 in the published networks."""
    features: str
    """Loss network, needed in training only."""
    content_layers: tuple[str, ...] = Field(("relu2_2",), min_length=1)
    style_loss: StyleLoss = "gram"
    """``gram``: mean square of G/(C·H·W), where relu1_2 outweighs relu4_3 a thousand times;
    ``gram_positions``: of G/(H·W), Johnson's squared Frobenius norm."""
    style_weight: float = Field(1e5, ge=0)
    optimizer: Literal["adam", "adamw"] = "adamw"
    temporal_weight: float = Field(0.0, ge=0)
    """Weight of a loss against flicker in videos, see ``temporal.temporal_loss``; one more pass of
    the network per step."""
    batch_gram: bool = False
    """Compute one Gram matrix over the entire batch, as the report's code does. It mixes the
    pictures; only for comparison with the report."""


def conv(
    inputs: int, outputs: int, side: int, stride: int, mode: Padding, *, bias: bool
) -> nn.Conv2d:
    """Return a convolution that preserves the size at stride 1."""
    rim = side // 2
    return PictureConv(inputs, outputs, side, stride, rim, bias=bias, padding_mode=mode)


class Residual(nn.Module):
    """Residual block: conv, norm, ReLU, conv, norm, sum; in ``transnet`` a final ReLU."""

    def __init__(self, width: int, mode: Padding, norm: type[nn.Module], *, transnet: bool) -> None:
        super().__init__()
        bias = not transnet
        self.body = nn.Sequential(
            conv(width, width, 3, 1, mode, bias=bias),
            norm(width),
            nn.ReLU(),
            conv(width, width, 3, 1, mode, bias=bias),
            norm(width),
        )
        self.last = nn.ReLU() if transnet else nn.Identity()

    def forward(self, value: Tensor) -> Tensor:
        """Map (B, C, h, w) to the same shape."""
        summed: Tensor = self.last(value + self.body(value))
        return summed


class AffineNorm(InstanceNorm):
    """Instance norm with learnt scale and shift."""

    def __init__(self, width: int) -> None:
        super().__init__(width, affine=True)


class TransNet(nn.Module):
    """Transformation network of Johnson et al. 2016 (supplement, table 1), at stride 4 inside.

    ``transnet``: zero padding, plain instance norm, sigmoid; 1,674,435 parameters.
    ``examples``: reflection, affine norm, biases, linear output; 1,679,235 parameters.
    ``johnson``: as ``examples``, with the paper's scaled tanh as output. Unlike the paper:
    instance norm (Ulyanov et al. 2016) and nearest ×2 upsampling instead of batch norm and
    transposed convolutions, as in all later implementations.
    """

    def __init__(self, layout: Layout, width: int, padding: Padding | None = None) -> None:
        super().__init__()
        plain = layout == "transnet"
        mode: Padding = padding or ("zeros" if plain else "reflect")
        norm: type[nn.Module] = InstanceNorm if plain else AffineNorm
        one, two, four = width, 2 * width, 4 * width

        def block(inputs: int, outputs: int, side: int, stride: int = 1) -> list[nn.Module]:
            return [conv(inputs, outputs, side, stride, mode, bias=not plain), norm(outputs),
                    nn.ReLU()]  # fmt: skip

        self.layers = nn.Sequential(
            *block(3, one, 9),
            *block(one, two, 3, 2),
            *block(two, four, 3, 2),
            *(Residual(four, mode, norm, transnet=plain) for _ in range(5)),
            nn.Upsample(scale_factor=2),
            *block(four, two, 3),
            nn.Upsample(scale_factor=2),
            *block(two, one, 3),
            conv(one, 3, 9, 1, mode, bias=True),
        )
        self.layout = layout

    def forward(self, image: Tensor) -> Tensor:
        """Map (B, 3, H, W) in [0, 1] to (B, 3, H, W); only ``examples`` can leave [0, 1]."""
        value: Tensor = self.layers(image)
        if self.layout == "transnet":
            return value.sigmoid()
        # pytorch/examples works in 0-255: its untrained output is nearly black.
        return value / 255 if self.layout == "examples" else 0.5 + 0.5 * value.tanh()


class Fast(Trained[FastSettings]):
    """A network for one painting; the style passed to ``stylize`` is ignored."""

    kind: ClassVar[Kind] = "per_style"
    Settings = FastSettings
    encoders: ClassVar[tuple[str, ...]] = ()
    multiple: ClassVar[int] = 4

    loss_features: LossFeatures

    def __init__(
        self, settings: FastSettings, loss_features: LossFeatures, seed: int, device: str
    ) -> None:
        self.settings, self.seed, self.device = settings, seed, device
        self.loss_features = loss_features
        with seeded(seed):
            network = TransNet(settings.layout, settings.width, settings.padding)
        network = to_device(network, device)
        self.networks = nn.ModuleDict({"transformer": network})
        self.losses = PerceptualLoss(settings, settings.style_loss)
        self.targets: dict[str, Target] = {}

    @classmethod
    def build(cls, settings: FastSettings, *, seed: int, device: str) -> Self:
        """Build the network with initial weights; the loss network is loaded for training."""
        settings.layer_weights()
        s, layers = settings, (*settings.content_layers, *settings.style_layers)
        load = partial(
            load_features, unit_activations=s.unit_activations, other_scale="warn", device=device
        )
        return cls(settings, LossFeatures(partial(load, s.features, layers)), seed, device)

    def training_styles(self, paintings: Sequence[Path]) -> Sequence[Path]:
        """Return the one painting.

        Raises:
            UserError: it does not exist; names a few that do.
        """
        wanted = self.settings.style
        if isinstance(wanted, int):
            found = paintings[wanted : wanted + 1]
        else:
            found = [path for path in paintings if path.stem == wanted]
        if not found:
            known = ", ".join(path.stem for path in paintings[:5])
            raise UserError(f"style: no painting {wanted!r}; the {len(paintings)} are {known}, …")
        return found

    def plan(self) -> BatchPlan:
        """Return the plan of the batches: the painting uncropped, the photographs cropped."""
        return replace(super().plan(), style_batch=1, style_crop=None)

    def optimizers(self) -> dict[str, Optimizer]:
        """Return AdamW (the report; weight decay 0.01) or Adam (the paper)."""
        make = AdamW if self.settings.optimizer == "adamw" else Adam
        return {"main": make(self.networks.parameters(), lr=self.settings.lr, fused=True)}

    def training_losses(self, batch: Batch) -> Iterator[tuple[str, Losses]]:
        """Yield content, style, total-variation and temporal losses of the stylised photographs."""
        if not self.targets:
            with torch.no_grad():
                self.targets = self.losses.style_targets(self.loss_features(batch.style))
        with torch.no_grad():
            wanted = self.loss_features(batch.content)
        image = self.networks["transformer"](batch.content)
        found = self.loss_features(image)
        content, style = self.losses.content(found, wanted), self._style(found)
        losses = self.losses.weighted(image, content, style, mean=True)
        if weight := self.settings.temporal_weight:
            network, drawn = self.networks["transformer"], batch.generator("temporal")
            losses["temporal"] = temporal_loss(network, batch.content, image, drawn).mean()
            losses["total"] = losses["total"] + weight * losses["temporal"]
        yield "main", losses

    def _style(self, found: dict[str, Tensor]) -> Tensor:
        """Return the style loss over all layers, (B,), or (1,) for the batch as one picture."""
        if self.settings.batch_gram:  # positions of all pictures concatenated
            found = {k: v.transpose(0, 1).flatten(1)[None, :, :, None] for k, v in found.items()}
        return self.losses.style(found, self.targets)

    def generate(self, content: Tensor, style: Tensor) -> Tensor:  # noqa: ARG002 - see the class
        """Stylise (B, 3, H, W) in [0, 1]; same shape."""
        image: Tensor = self.networks["transformer"](content)
        return image

    def card(self) -> dict[str, Any]:
        """Return the card of a trained system, and the painting."""
        return {**super().card(), "style": self.settings.style}


METHOD = Fast
