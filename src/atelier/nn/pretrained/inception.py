"""The two Inceptions: that of pytorch-fid, which defines FID, and torchvision's ImageNet one."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from atelier.core.config import UserError
from atelier.nn.pretrained.weights import StateDict

INCEPTION_LAYERS = ("Mixed_5d", "Mixed_6e", "Mixed_7c")


class FidNetwork(nn.Module):
    """pytorch-fid's Inception: bilinear resize to 299, range [-1, 1], patched pooling."""

    def __init__(self, state: StateDict) -> None:
        super().__init__()
        pytorch_fid: Any = importlib.import_module(
            "pytorch_fid.inception"
        )  # see weights.published_url
        before = pytorch_fid.load_state_dict_from_url
        # The library cannot be given a file: replace its loader while it is built.
        pytorch_fid.load_state_dict_from_url = lambda *_, **__: state
        try:
            self.inner = pytorch_fid.InceptionV3([pytorch_fid.InceptionV3.BLOCK_INDEX_BY_DIM[2048]])
        except RuntimeError as error:
            first = str(error).splitlines()[-1].strip()
            raise UserError(
                f"the weight file does not fit pytorch-fid's Inception: {first}"
            ) from None
        finally:
            pytorch_fid.load_state_dict_from_url = before

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Map (B, 3, H, W) in [0, 1] to ``pool3``, (B, 2048, 1, 1)."""
        (pool3,) = self.inner(image)
        return {"pool3": pool3}


def fid_network(state: StateDict, layers: Sequence[str]) -> nn.Module:
    """Return pytorch-fid's network; its one layer is ``pool3``."""
    if list(layers) != ["pool3"]:
        raise UserError(f"inception_fid has one layer, pool3; asked for {', '.join(layers)}")
    return FidNetwork(state)


class ImageNetInception(nn.Module):
    """torchvision's Inception v3 at named nodes; not a substitute for the FID network."""

    def __init__(self, state: StateDict, layers: Sequence[str]) -> None:
        super().__init__()
        models = importlib.import_module("torchvision.models")  # see weights.published_url
        extraction = importlib.import_module("torchvision.models.feature_extraction")
        model = models.inception_v3(weights=None, init_weights=False, transform_input=False)
        try:
            model.load_state_dict(state)
        except RuntimeError as error:
            first = str(error).splitlines()[1].strip()
            raise UserError(f"the weight file does not fit inception_v3: {first}") from None
        self.inner = extraction.create_feature_extractor(
            model.eval(), list(layers), suppress_diff_warning=True
        )

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Map (B, 3, H, W) in [0, 1], H and W at least 75, to the named activations."""
        # torchvision trained on (x - 0.5)/0.5; `transform_input` undoes ImageNet's normalisation,
        # so feeding (x - 0.5)/0.5 directly is equivalent.
        found: dict[str, Tensor] = self.inner((image - 0.5) / 0.5)
        return found


def inception_network(state: StateDict, layers: Sequence[str]) -> nn.Module:
    """Return torchvision's ImageNet network tapped at ``layers``."""
    for layer in layers:
        if layer not in INCEPTION_LAYERS:
            raise UserError(f"inception_v3 has {', '.join(INCEPTION_LAYERS)}, not {layer!r}")
    return ImageNetInception(state, layers)
