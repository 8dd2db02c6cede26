"""SANet: arbitrary style transfer by style attention (Park & Lee, CVPR 2019).

"Arbitrary Style Transfer with Style-Attentional Networks". The encoder is frozen; two attention
layers and a decoder are trained. Settings as in the paper, §4.1, and where it gives none as in the
public reimplementation (GlebSBrykin/SANET); the authors have published no code.

Shapes: B pictures of H×W, sides multiples of 16; relu3_1, relu4_1, relu5_1 at strides 4, 8, 16.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import ClassVar, Self

import torch
from pydantic import Field
from torch import Tensor, nn

from atelier.core.batches import Batch
from atelier.core.purpose import ApplySetting
from atelier.methods.trained import Arbitrary, ArbitrarySettings, Losses, seeded
from atelier.nn.attention import MergedAttention, StyleAttention
from atelier.nn.decoder import Decoder, Init, Layer, init_he
from atelier.nn.identity_losses import LAYERS, identity_losses
from atelier.nn.memory import to_device
from atelier.nn.padding import cropped
from atelier.nn.pretrained.features import Features, LossFeatures, load_features
from atelier.nn.tiling import decode, encode


class SANetSettings(ArbitrarySettings):
    """Settings of one ``sanet`` entry in ``params.yaml``."""

    features: str
    """Encoder of content and style, also needed when the system is applied."""
    layer: Layer = "relu4_1"
    """Encoder layer that is decoded: the shallower of the two with attention; the other is the next
    one. Unlike the paper, relu3_1 for ``mini``, as for AdaIN."""
    loss_features: str | None = None
    """Loss network, needed in training only; None: ``features``."""
    load_size: int | None = Field(512, ge=32)
    """Unlike the reimplementation, which stretches to a square of 512, the aspect ratio is kept, as
    in the paper."""
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


class SANet(Arbitrary[SANetSettings]):
    """Decoder of content features to which attention adds the style's features."""

    Settings = SANetSettings
    multiple: ClassVar[int] = 16
    instance_norm: ClassVar[bool] = False

    features: Features
    loss_features: Features | LossFeatures

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

    def training_losses(self, batch: Batch) -> Iterator[tuple[str, Losses]]:
        """Yield content, style and the two identity losses (eq. 6 to 9), on ``loss_features``."""
        s, judge = self.settings, self.loss_features
        pair = [cropped(image, self.multiple) for image in (batch.content, batch.style)]
        with torch.no_grad():
            seen = [self.features(image) for image in pair]
            wanted = seen if judge is self.features else [judge(image) for image in pair]
        made, themselves = self._decode(*seen), [self._decode(part, part) for part in seen]
        in_features = s.identity_features_weight > 0
        losses = identity_losses(judge, made, themselves, pair, wanted, in_features=in_features)
        weights = {name: getattr(s, f"{name}_weight") for name in losses}
        total = sum(weight * losses[name] for name, weight in weights.items())
        yield "main", {"total": total, **losses}

    def blend(
        self,
        content: Tensor,
        styles: Sequence[Tensor],
        weights: Sequence[float],
        strength: float = 1.0,
    ) -> Tensor:
        """Stylise with a mixture of attended features (§4.4).

        Below strength 1 the content in its own style is one of them, as in the paper.
        """
        seen, tile = self._encode(content), self.settings.tile
        shares = [*(strength * weight for weight in weights), 1 - strength]
        mixture = [
            share * self._attend(seen, seen if image is content else self._encode(image))
            for share, image in zip(shares, [*styles, content], strict=True)
            if share
        ]
        return decode(self.network(Decoder, "decoder"), [torch.stack(mixture).sum(0)], tile)

    def _encode(self, image: Tensor) -> Mapping[str, Tensor]:
        return encode(self.features, image, self.layers, self.settings.tile)

    def _attend(self, content: Mapping[str, Tensor], style: Mapping[str, Tensor]) -> Tensor:
        """Return the decoder's input: (B, C, H/8, W/8), or at stride 4 with relu3_1."""
        attended: Tensor = self.networks["transformer"](content, style)
        return attended

    def _decode(self, content: Mapping[str, Tensor], style: Mapping[str, Tensor]) -> Tensor:
        image: Tensor = self.networks["decoder"](self._attend(content, style))
        return image


METHOD = SANet
