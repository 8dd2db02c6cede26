"""Parts of Zero-Shot Noise2Noise: down-sampler, network, and batches of independent networks.

After Mansour & Heckel (CVPR 2023), §3.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SLOPE = 0.2
"""Slope of the leaky ReLU below zero."""


def pair_downsample(image: Tensor) -> tuple[Tensor, Tensor]:
    """Return D1, D2 of (…, H, W): means over the diagonals of 2×2 blocks, (…, H//2, W//2) each.

    The same as strided convolutions with [[0, ½], [½, 0]] and [[½, 0], [0, ½]] (§3.1 of the paper).
    The last row or column of an odd size is left out.
    """
    height, width = (side // 2 * 2 for side in image.shape[-2:])
    even = image[..., :height, :width]
    anti = (even[..., 0::2, 1::2] + even[..., 1::2, 0::2]) / 2
    main = (even[..., 0::2, 0::2] + even[..., 1::2, 1::2]) / 2
    return anti, main


def pair_view(noisy: Tensor, denoised: Tensor, gain: float = 4.0) -> dict[str, Tensor]:
    """Return views of (C, H, W) and its down-sampled pair, by title, in [0, 1].

    Differences are multiplied by ``gain`` around mid-grey. If edges or strokes are visible in what
    was removed, more than noise was removed.
    """
    first, second = pair_downsample(noisy)
    views = {
        "noisy": noisy,
        "D1": first,
        "D2": second,
        "D1 - D2": 0.5 + gain * (first - second),
        "denoised": denoised,
        "removed": 0.5 + gain * (noisy - denoised),
    }
    return {title: view.clamp(0, 1) for title, view in views.items()}


def network(channels: int, width: int) -> nn.Sequential:
    """Return one picture's f, which predicts its noise; 22,275 parameters by default."""
    return nn.Sequential(
        nn.Conv2d(channels, width, 3, padding=1),
        nn.LeakyReLU(SLOPE),
        nn.Conv2d(width, width, 3, padding=1),
        nn.LeakyReLU(SLOPE),
        nn.Conv2d(width, channels, 1),
    )


LARGE = 96 * 96
"""Pixels of a picture from which, on a CPU, a loop over the networks is faster than groups."""


class Networks(nn.Module):
    """B independent networks: every layer is one convolution with B groups.

    Of large pictures on a CPU it is B convolutions in channels-last memory: up to 1.5 times as fast
    (docs/log.md), while groups save more on a GPU and on small pictures.
    """

    def __init__(self, alone: Sequence[nn.Sequential]) -> None:
        """``alone`` are built by ``network``, with the same arguments."""
        super().__init__()
        self.count = len(alone)
        stacked, _ = torch.func.stack_module_state(list(alone))
        self.weights = nn.ParameterList(
            nn.Parameter(part.detach().flatten(0, 1)) for part in stacked.values()
        )

    def forward(self, pictures: Tensor) -> Tensor:
        """Predict the noise of (N, B, C, H, W), N pictures for each network; same shape."""
        large = pictures.shape[3:].numel() >= LARGE and pictures.device.type == "cpu"
        if large and self.count > 1:
            return self._one_by_one(pictures)
        value, layers = pictures.flatten(1, 2), list(self.weights)
        for weight, bias in zip(layers[::2], layers[1::2], strict=True):
            if weight is not layers[0]:
                value = F.leaky_relu_(value, SLOPE)
            value = F.conv2d(value, weight, bias, padding=weight.shape[3] // 2, groups=self.count)
        return value.reshape(pictures.shape)

    def _one_by_one(self, pictures: Tensor) -> Tensor:
        layers = [weight.chunk(self.count) for weight in self.weights]
        found = []
        for n, one in enumerate(pictures.unbind(1)):
            value = one.contiguous(memory_format=torch.channels_last)
            for weight, bias in zip(layers[::2], layers[1::2], strict=True):
                if weight is not layers[0]:
                    value = F.leaky_relu_(value, SLOPE)
                value = F.conv2d(value, weight[n], bias[n], padding=weight[n].shape[3] // 2)
            found.append(value)
        return torch.stack(found, 1)


def mean_where(values: Tensor, mask: Tensor) -> Tensor:
    """Return means of (B, h, w) where ``mask`` is set: (B,)."""
    return (values * mask).sum((1, 2)) / mask.sum((1, 2))


def held_out(none: Tensor, share: float, seeds: Sequence[int]) -> Tensor:
    """Return masks (B, h, w), drawn by each picture's seed, neither empty nor full."""
    count = none[0].numel()
    taken = min(max(1, round(share * count)), count - 1)
    held = none.flatten(1)
    for mask, seed in zip(held, seeds, strict=True):
        generator = torch.Generator().manual_seed(seed)
        mask[torch.randperm(count, generator=generator)[:taken]] = True
    return held.view_as(none)


class Best:
    """Early stopping: the weights of every picture at its lowest held-out loss."""

    def __init__(self, networks: Networks) -> None:
        self.networks = networks
        self.weights = [weight.detach().clone() for weight in networks.weights]
        device = self.weights[0].device
        self.loss = torch.full((networks.count,), torch.inf, device=device)
        self.steps = torch.zeros(networks.count, dtype=torch.long, device=device)
        self.ended = torch.zeros(networks.count, dtype=torch.bool, device=device)

    @torch.no_grad()
    def watch(self, loss: Tensor, step: int, patience: int) -> None:
        """Store the weights of pictures whose loss is the lowest so far.

        No copy to the CPU, for which a GPU would have to wait in every step.
        """
        better = (loss < self.loss) & ~self.ended
        self.loss = torch.where(better, loss, self.loss)
        self.steps = torch.where(better, step, self.steps)
        for kept, now in zip(self.weights, self.networks.weights, strict=True):
            mask = better.repeat_interleave(len(kept) // len(better))
            kept.copy_(torch.where(mask.view(-1, *(1,) * (kept.ndim - 1)), now, kept))
        self.ended |= step - self.steps >= patience

    @torch.no_grad()
    def restore(self) -> None:
        """Load the stored weights into the networks."""
        for kept, now in zip(self.weights, self.networks.weights, strict=True):
            now.copy_(kept)
