"""SANet: arbitrary style transfer by style attention (Park & Lee, CVPR 2019).

"Arbitrary Style Transfer with Style-Attentional Networks". The encoder is frozen; two attention
layers and a decoder are trained. Settings as in the paper, §4.1, and where it gives none as in the
public reimplementation (GlebSBrykin/SANET); the authors have published no code.

Shapes: B pictures of H×W, sides multiples of 16; relu3_1, relu4_1, relu5_1 at strides 4, 8, 16.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, Self

from pydantic import Field
from torch import Tensor, nn

from atelier.core.purpose import ApplySetting
from atelier.methods.repainting import Repainting, RepaintingSettings
from atelier.methods.trained import seeded
from atelier.nn.attention import MergedAttention, StyleAttention
from atelier.nn.decoder import Decoder, Init, Layer, init_he
from atelier.nn.identity_losses import LAYERS
from atelier.nn.memory import to_device
from atelier.nn.pretrained.features import Features, LossFeatures, load_features
from atelier.nn.tiling import decode, encode


class SANetSettings(RepaintingSettings):
    """Settings of one ``sanet`` entry in ``params.yaml``."""

    features: str
    """Encoder of content and style, also needed when the system is applied."""
    layer: Layer = "relu4_1"
    """Encoder layer that is decoded: the shallower of the two with attention; the other is the next
    one. Unlike the paper, relu3_1 for ``mini``, as for AdaIN."""
    loss_features: str | None = None
    """Loss network, needed in training only; None: ``features``."""
    content_weight: float = Field(1.0, ge=0)
    style_weight: float = Field(3.0, ge=0)
    identity_weight: float = Field(50.0, ge=0)
    """Weight of the identity loss in pixels. Unlike the paper, which prints 1 here and 50 for the
    features: as in the reimplementation."""
    identity_features_weight: float = Field(1.0, ge=0)
    """Weight of the identity loss in features; unlike the paper, see ``identity_weight``."""
    lr_decay: float = Field(5e-5, ge=0)
    """The learning rate at step i is lr / (1 + lr_decay · i), as in the reimplementation."""
    init: Init = "published"
    """Initialisation. ``he``, for short trainings: see ``init_he`` for the decoder, and
    ``StyleAttention.init_identity`` for the attention."""
    tile: ApplySetting[int | None] = Field(None, ge=64, multiple_of=16)
    """Side in pixels of the tiles in which encoder and decoder process larger pictures, with the
    same result; None: no tiling."""


class SANet(Repainting[SANetSettings]):
    """Decoder of content features to which attention adds the style's features."""

    Settings = SANetSettings
    multiple: ClassVar[int] = 16

    features: Features

    def __init__(
        self,
        settings: SANetSettings,
        features: Features,
        loss_features: Features | LossFeatures,
        seed: int,
        device: str,
    ) -> None:
        self.settings, self.seed, self.device = settings, seed, device
        self.features, self.loss_features = features, loss_features
        place = LAYERS.index(settings.layer)
        self.layers = LAYERS[place : place + 2]
        widths = features.channels
        with seeded(seed):
            first, second = (StyleAttention(layer, widths[layer]) for layer in self.layers)
            wide = [widths[layer] for layer in self.layers]
            transformer = MergedAttention(first, second, wide)
            decoder = Decoder(widths, layer=settings.layer)
            if settings.init == "he":
                init_he(decoder)
                nn.init.dirac_(transformer.merge.weight)
                first.init_identity()
                second.init_identity()
        networks = nn.ModuleDict({"transformer": transformer, "decoder": decoder})
        self.networks = to_device(networks, device)

    @classmethod
    def build(cls, settings: SANetSettings, *, seed: int, device: str) -> Self:
        """Load the encoder named in the settings; initialise the weights."""
        # Unlike the reimplementation, no "vgg_normalised" (a Caffe VGG19 rescaled to mean
        # activation 1) but torchvision's VGG19, rescaled in the same way layer by layer.
        load = partial(load_features, padding="reflect", unit_activations=True, device=device)
        judge = settings.loss_features
        features = load(settings.features, LAYERS)  # the decoder mirrors the widths of all
        losses = LossFeatures(partial(load, judge, LAYERS)) if judge else features
        return cls(settings, features, losses, seed, device)

    def lr_factor(self, step: int) -> float:
        """Return a factor that decays with 1/step."""
        return 1 / (1 + float(self.settings.lr_decay) * step)

    def judged(self, pair: Sequence[Tensor], seen: Sequence[Any]) -> Sequence[Mapping[str, Tensor]]:
        """See ``Repainting``; the encoder's features serve where it judges, too."""
        return seen if self.loss_features is self.features else super().judged(pair, seen)

    def see(self, image: Tensor) -> Mapping[str, Tensor]:
        """Return the encoder's features, by layer; when applied, of two layers and in tiles."""
        if self.networks.training:
            features: Mapping[str, Tensor] = self.features(image)
            return features
        return encode(self.features, image, self.layers, self.settings.tile)

    def repaint(self, content: Mapping[str, Tensor], style: Mapping[str, Tensor]) -> Tensor:
        """Return the decoder's input: (B, C, H/8, W/8), or at stride 4 with relu3_1."""
        attended: Tensor = self.networks["transformer"](content, style)
        return attended

    def paint(self, repainted: Tensor) -> Tensor:
        """See ``Repainting``; when applied in tiles."""
        tile = None if self.networks.training else self.settings.tile
        return decode(self.network(Decoder, "decoder"), [repainted], tile)


METHOD = SANet
