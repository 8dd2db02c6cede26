"""StyTr²: arbitrary style transfer with transformers (Deng et al., CVPR 2022).

"StyTr²: Image Style Transfer with Transformers". Both pictures become sequences of patches; a
transformer repaints the content's with the style's, convolutions make a picture of them. Settings
as in the paper, §4.1, and where it gives none as in the authors' code (diyiiyiii/StyTR-2).

Shapes: B pictures of H×W, sides multiples of 8.
"""

from __future__ import annotations

from functools import partial
from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator
from torch import Tensor, nn

from atelier.methods.repainting import Repainting, RepaintingSettings
from atelier.methods.trained import seeded
from atelier.nn.decoder import Decoder, Init, init_he
from atelier.nn.identity_losses import LAYERS
from atelier.nn.memory import to_device
from atelier.nn.pretrained.features import LossFeatures, load_features
from atelier.nn.transformer import StyleTransformer

WARM_UP = 10_000
"""Steps over which the code's learning rate rises, from a tenth of ``lr`` to four tenths."""


class StyTr2Settings(RepaintingSettings):
    """Settings of one ``stytr2`` entry in ``params.yaml``."""

    loss_features: str
    """Loss network, needed in training only: the system looks at pixels."""
    patch: Literal[4, 8] = 8
    """Side of a patch in pixels."""
    width: int = Field(512, ge=4, le=2048)
    """Channels of a patch; a multiple of ``heads``."""
    heads: int = Field(8, ge=1)
    layers: int = Field(3, ge=1, le=24)
    """Layers of each of the two encoders and of the decoder."""
    hidden: int = Field(2048, ge=8, le=8192)
    """Units of the feed-forward layers."""
    dropout: float = Field(0.1, ge=0, lt=1)
    last_widths: tuple[int, int] = (64, 128)
    """Channels of the convolutions at full and at half size."""
    content_weight: float = Field(10.0, ge=0)
    style_weight: float = Field(7.0, ge=0)
    """Unlike the code, where these two are exchanged: as printed."""
    identity_weight: float = Field(50.0, ge=0)
    """Weight of the identity loss in pixels; 70 in the code."""
    lr: float = Field(5e-4, gt=0)
    """The highest rate of the schedule is four tenths of it, as in the code."""
    lr_decay: float = Field(1e-5, ge=0)
    """After ``warm_up`` the rate is divided by 1 + lr_decay · (steps since), as in the code."""
    warm_up: int = Field(WARM_UP, ge=0)
    """Steps over which the rate rises (Xiong et al. 2020)."""
    init: Init = "published"
    """Initialisation of the convolutions; ``he`` for short trainings."""

    @model_validator(mode="after")
    def _divisible(self) -> Self:
        if self.width % self.heads:
            raise ValueError(f"width: {self.width} is not a multiple of heads, {self.heads}")
        return self


class StyTr2(Repainting[StyTr2Settings]):
    """Patch embedding, transformer and convolutional decoder."""

    Settings = StyTr2Settings
    multiple: ClassVar[int] = 8

    def __init__(
        self, settings: StyTr2Settings, loss_features: LossFeatures, seed: int, device: str
    ) -> None:
        self.settings, self.seed, self.device = settings, seed, device
        self.loss_features = loss_features
        width, patch = settings.width, settings.patch
        one, two = settings.last_widths
        # published: 512 channels at stride 8, halved by the first convolution
        three = width // 2 if patch == 8 else width
        widths = {"relu1_1": one, "relu2_1": two, "relu3_1": three, "relu4_1": width}
        with seeded(seed):
            embedding = nn.Conv2d(3, width, patch, patch)
            transformer = StyleTransformer(
                width,
                heads=settings.heads,
                layers=settings.layers,
                hidden=settings.hidden,
                dropout=settings.dropout,
            )
            decoder = Decoder(widths, layer="relu4_1" if patch == 8 else "relu3_1")
            if settings.init == "he":
                init_he(decoder)
        parts = {"embedding": embedding, "transformer": transformer, "decoder": decoder}
        self.networks = to_device(nn.ModuleDict(parts), device)

    @classmethod
    def build(cls, settings: StyTr2Settings, *, seed: int, device: str) -> Self:
        """Initialise the weights; the loss network is loaded when a training needs it."""
        # see ``SANet.build``
        load = partial(load_features, padding="reflect", unit_activations=True, device=device)
        judge = LossFeatures(partial(load, settings.loss_features, LAYERS))
        return cls(settings, judge, seed, device)

    def lr_factor(self, step: int) -> float:
        """Return a factor that rises from 0.1 to 0.4, then decays with 1/step (the code's)."""
        s = self.settings
        if step < s.warm_up:
            return 0.1 * (1 + 3 * step / s.warm_up)
        return 0.4 / (1 + s.lr_decay * (step - s.warm_up))

    def see(self, image: Tensor) -> Tensor:
        """Return patches (B, C, H/patch, W/patch)."""
        patches: Tensor = self.networks["embedding"](image)
        return patches

    def repaint(self, content: Tensor, style: Tensor) -> Tensor:
        """Return the content's patches, repainted with the style's."""
        repainted: Tensor = self.networks["transformer"](content, style)
        return repainted

    def paint(self, repainted: Tensor) -> Tensor:
        """See ``Repainting``."""
        image: Tensor = self.networks["decoder"](repainted)
        return image


METHOD = StyTr2
