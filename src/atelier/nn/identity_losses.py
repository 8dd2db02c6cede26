"""Losses of systems that learn to repaint a picture in its own style: SANet's and StyTr²'s.

Park & Lee, CVPR 2019, eq. 6 to 9; Deng et al., CVPR 2022, eq. 8 to 12. Unlike the papers, which
write norms, squared differences as in StyTr²'s code and the public reimplementation of SANet
(GlebSBrykin/SANET).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from atelier.nn.attention import mvn
from atelier.nn.decoder import TAPS
from atelier.nn.losses import content_loss, mean_std, mean_std_loss

DEEPEST = ("relu4_1", "relu5_1")
"""Layers of the content loss."""
LAYERS = (*TAPS, "relu5_1")
"""Layers of the style and the identity loss."""


def identity_losses(
    judge: Callable[[Tensor], Mapping[str, Tensor]],
    made: Tensor,
    themselves: Sequence[Tensor],
    pair: Sequence[Tensor],
    wanted: Sequence[Mapping[str, Tensor]],
    *,
    in_features: bool,
) -> dict[str, Tensor]:
    """Return ``content``, ``style``, ``identity`` and, if asked for, ``identity_features``.

    Args:
        judge: loss network, tapped at ``LAYERS``.
        made: content in the style of the other picture, (B, 3, H, W).
        themselves: content and style in their own styles.
        pair: content and style, (B, 3, H, W) in [0, 1].
        wanted: the loss network's features of the pair, without gradients.
        in_features: the identity loss in features, too: two more passes of the loss network.

    Returns:
        Scalars: sums over layers and pictures of the pair, means over the batch.
    """
    found, (content, style) = judge(made), wanted
    parts = {
        "content": [content_loss(mvn(found[k]), mvn(content[k])) for k in DEEPEST],
        "style": [mean_std_loss(found[k], mean_std(style[k])) for k in LAYERS],
        "identity": list(map(content_loss, themselves, pair)),
    }
    if in_features:
        parts["identity_features"] = [
            content_loss(judged[k], target[k])
            for judged, target in zip(map(judge, themselves), wanted, strict=True)
            for k in LAYERS
        ]
    return {name: torch.stack(part).sum(0).mean() for name, part in parts.items()}
