"""Style injection by self-attention, and DDIM inversion: the formulas of StyleID.

Chung, Hyun & Heo, "Style Injection in Diffusion", CVPR 2024 (arXiv 2312.09008).

Shapes: B pictures; a layer has N positions, a head d channels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch.nn.functional as F
from torch import Tensor

from atelier.nn.pretrained.diffusion import LatentDiffusion

STD_EPS = 1e-4
"""Added to the standard deviation of the latents that are normalised, as in the authors' second
code; their first adds nothing."""


class Projections(NamedTuple):
    """Query, key and value of a self-attention, (B, heads, N, d) each."""

    query: Tensor
    key: Tensor
    value: Tensor


Kept = dict[tuple[int, int], tuple[Tensor, ...]]
"""(layer, timestep) → what of its projections is kept."""


def attend(found: Projections, temperature: float = 1.0) -> Tensor:
    """Return softmax(τ·Q·Kᵀ/√d)·V, (B, heads, N, d): attention with a temperature τ.

    τ above 1 sharpens the weights (paper: attention temperature scaling). Keys and values may have
    another number of positions than queries.
    """
    scale = temperature * found.query.shape[-1] ** -0.5
    return F.scaled_dot_product_attention(*found, scale=scale)


def adain_latents(content: Tensor, style: Tensor) -> Tensor:
    """Return ``content`` (B, C, h, w) with the channel means and deviations of ``style`` (B, C, …).

    The paper's initial latent AdaIN: without it the painting's colours are not transferred.
    """
    (mean, std), (style_mean, style_std) = _statistics(content), _statistics(style)
    return (content - mean) / (std + STD_EPS) * style_std + style_mean


def _statistics(latents: Tensor) -> tuple[Tensor, Tensor]:
    """Return channel means and unbiased standard deviations, (B, C, 1, 1) each."""
    over = (2, 3)
    return latents.mean(over, keepdim=True), latents.std(over, keepdim=True)


@dataclass(frozen=True)
class Processor:
    """A self-attention's processor (``diffusers``) that follows a plan."""

    layer: int
    plan: Recording | Injection

    def __call__(self, attn: Any, hidden_states: Tensor, *_: Any, **__: Any) -> Tensor:
        """Return the output of the self-attention ``attn`` for (B, N, D), also (B, N, D)."""
        project = (attn.to_q, attn.to_k, attn.to_v)
        heads = (part(hidden_states).unflatten(-1, (attn.heads, -1)) for part in project)
        found = Projections(*(one.transpose(1, 2) for one in heads))
        joined = attend(*self.plan(self.layer, found)).transpose(1, 2).flatten(2)
        result: Tensor = attn.to_out[1](attn.to_out[0](joined))  # projection, then dropout
        return result


@dataclass
class Recording:
    """Keeps some of the projections of every layer at every timestep, and changes none."""

    parts: tuple[str, ...]
    """Names of ``Projections``."""
    kept: Kept = field(default_factory=dict)
    timestep: int = -1

    def __call__(self, layer: int, found: Projections) -> tuple[Projections, float]:
        """Keep them; return them as they are, and a temperature of 1."""
        self.kept[layer, self.timestep] = tuple(getattr(found, name) for name in self.parts)
        return found, 1.0


@dataclass
class Injection:
    """Replaces keys and values by the painting's, and mixes the photograph's queries in."""

    content: Kept
    """(query,) of the photograph's inversion."""
    style: Kept
    """(key, value) of the painting's."""
    gamma: float
    """γ: share of the photograph's query (paper: query preservation)."""
    temperature: float
    """τ."""
    timestep: int = -1

    def __call__(self, layer: int, found: Projections) -> tuple[Projections, float]:
        """Return γ·Qᶜ + (1 - γ)·Q with the painting's K and V, and τ."""
        (preserved,) = self.content[layer, self.timestep]
        query = self.gamma * preserved + (1 - self.gamma) * found.query
        return Projections(query, *self.style[layer, self.timestep]), self.temperature


@contextmanager
def attending(layers: Sequence[Any], plan: Recording | Injection) -> Iterator[None]:
    """Let the self-attentions ``layers`` of a U-Net follow ``plan``; afterwards as before."""
    before = [layer.processor for layer in layers]
    try:
        for number, layer in enumerate(layers):
            layer.set_processor(Processor(number, plan))
        yield
    finally:
        for layer, processor in zip(layers, before, strict=True):
            layer.set_processor(processor)


@dataclass(frozen=True)
class Sampler:
    """DDIM without noise (Song et al. 2021) in both directions, along the same timesteps."""

    model: LatentDiffusion
    layers: Sequence[Any]
    """Self-attentions of the U-Net that follow a plan."""
    steps: int
    rounds: int = 1
    """Predictions per step of the inversion; see ``invert``."""

    @property
    def timesteps(self) -> list[int]:
        """Return the timesteps from the least noise to the most."""
        self.model.inverse.set_timesteps(self.steps)
        return [int(timestep) for timestep in self.model.inverse.timesteps]

    def invert(self, latents: Tensor, plan: Recording | None = None) -> Tensor:
        """Return the noise (B, C, h, w) from which ``generate`` leads to ``latents``.

        A step needs the prediction for latents that it is about to find. The paper takes the one
        for those before it, an approximation; ``rounds`` above 1 repeat the step with the
        prediction for those just found, up to a fixed point (Pan et al., ICCV 2023, without their
        acceleration). What ``plan`` keeps is of the last round.
        """
        for timestep in self.timesteps:
            found = latents
            for _ in range(self.rounds):
                predicted = self._predict(found, timestep, plan)
                found = self.model.inverse.step(predicted, timestep, latents).prev_sample
            latents = found
        return latents

    def generate(self, noise: Tensor, plan: Injection | None = None) -> Tensor:
        """Return the latents (B, C, h, w) to which noise of the same shape leads."""
        latents = noise
        timesteps = reversed(self.timesteps)
        self.model.schedule.set_timesteps(self.steps)
        for timestep in timesteps:
            predicted = self._predict(latents, timestep, plan)
            latents = self.model.schedule.step(predicted, timestep, latents).prev_sample
        return latents

    def _predict(
        self, latents: Tensor, timestep: int, plan: Recording | Injection | None
    ) -> Tensor:
        if plan is None:
            return self.model.predict(latents, timestep)
        plan.timestep = timestep
        with attending(self.layers, plan):
            return self.model.predict(latents, timestep)
