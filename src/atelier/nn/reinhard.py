"""Colour transfer between pictures: means and standard deviations in lαβ.

Reinhard, Ashikhmin, Gooch & Shirley, "Color Transfer between Images", IEEE CG&A 21(5), 2001. Their
space, not CIE L*a*b*: in the logarithms of cone responses l, α and β hardly correlate over natural
scenes (Ruderman, Cronin & Chiao 1998), so that each channel can be moved by itself.

Shapes: pictures (B, 3, H, W).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from atelier.nn.palette import mix_channels

TO_LMS = ((0.3811, 0.5783, 0.0402), (0.1967, 0.7244, 0.0782), (0.0241, 0.1288, 0.8444))
"""RGB to cone responses, eq. 4."""
LEAST = 1 / 255
"""Unlike the paper, which is silent on it, levels are at least this: black has no logarithm."""


def to_lab(image: Tensor) -> Tensor:
    """RGB in [0, 1] to lαβ; as in the paper, the grey levels are taken as they are (eq. 4-6)."""
    cones = mix_channels(TO_LMS, image.clamp_min(LEAST))
    return mix_channels(_to_opponents(image), cones.log10())


def from_lab(lab: Tensor) -> Tensor:
    """lαβ to RGB, not clipped: the exact inverse of ``to_lab`` (eq. 8-9 are rounded)."""
    cones = mix_channels(torch.linalg.inv(_to_opponents(lab)), lab)
    to_lms = torch.tensor(TO_LMS, dtype=lab.dtype, device=lab.device)
    return mix_channels(torch.linalg.inv(to_lms), torch.pow(10, cones))


def _to_opponents(like: Tensor) -> Tensor:
    """Log LMS to l (achromatic), α (yellow-blue) and β (red-green), eq. 6."""
    signs = [[1.0, 1, 1], [1, 1, -2], [1, -1, 0]]
    return F.normalize(torch.tensor(signs, dtype=like.dtype, device=like.device))


def transfer_colour(content: Tensor, style: Tensor) -> Tensor:
    """Return the content with the style's mean and standard deviation of l, α and β (eq. 10-11).

    Args:
        content: (B, 3, H, W) in [0, 1].
        style: (B, 3, h, w) in [0, 1].

    Returns:
        (B, 3, H, W), not clipped: the moments are exact, a value may lie outside [0, 1].
    """
    lab, target = to_lab(content), to_lab(style)
    spread, mean = torch.std_mean(lab, (2, 3), correction=0, keepdim=True)
    wanted_spread, wanted_mean = torch.std_mean(target, (2, 3), correction=0, keepdim=True)
    ratio = wanted_spread / spread.clamp_min(torch.finfo(lab.dtype).eps)  # one colour stays one
    return from_lab((lab - mean) * ratio + wanted_mean)
