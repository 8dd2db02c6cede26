"""The formulas of style injection in closed form; they need no diffusion model."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from atelier.nn.style_injection import (
    Injection,
    Projections,
    Recording,
    adain_latents,
    attend,
)


def projections(queries: int = 5, keys: int = 7, seed: int = 0) -> Projections:
    generator = torch.Generator().manual_seed(seed)
    sizes = (queries, keys, keys)
    return Projections(*(torch.randn(2, 3, n, 4, generator=generator) for n in sizes))


def weights(found: Projections, temperature: float) -> Tensor:
    """softmax(τ·Q·Kᵀ/√d), read from the outputs for unit vectors as values."""
    keys = found.key.shape[2]
    return attend(found._replace(value=torch.eye(keys).expand(2, 3, -1, -1)), temperature)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 1.5])
def test_attention_is_its_formula(temperature: float) -> None:
    q, k, v = projections()
    expected = torch.softmax(temperature * q @ k.mT / 2, dim=-1) @ v
    assert torch.allclose(attend(Projections(q, k, v), temperature), expected, atol=1e-6)


def test_a_higher_temperature_sharpens_attention() -> None:
    found = projections()
    entropies = []
    for temperature in (0.0, 0.5, 1.0, 1.5, 3.0, 1000.0):
        p = weights(found, temperature)
        entropies.append(torch.special.entr(p).sum(-1).mean())
    assert entropies == sorted(entropies, reverse=True)
    assert torch.allclose(entropies[0], torch.tensor(7.0).log()), "0: the mean of all values"
    assert entropies[-1] < 0.01, "very high: the value of the nearest key"


def test_the_latents_get_the_paintings_statistics() -> None:
    content = torch.randn(2, 4, 6, 5, generator=torch.Generator().manual_seed(0))
    style = 3 * torch.randn(2, 4, 9, 8, generator=torch.Generator().manual_seed(1)) - 2
    found = adain_latents(content, style)
    assert torch.allclose(found.mean((2, 3)), style.mean((2, 3)), atol=1e-4)
    assert torch.allclose(found.std((2, 3)), style.std((2, 3)), rtol=1e-3)
    assert torch.allclose(adain_latents(content, content), content, atol=1e-3)


def test_a_recording_keeps_its_parts_and_changes_nothing() -> None:
    found, plan = projections(), Recording(("key", "value"), timestep=21)
    assert plan(3, found) == (found, 1.0)
    assert plan.kept == {(3, 21): (found.key, found.value)}


@pytest.mark.parametrize("gamma", [0.0, 0.75, 1.0])
def test_gamma_is_the_share_of_the_photographs_query(gamma: float) -> None:
    own, content, style = (projections(seed=n) for n in range(3))
    kept = {(0, 1): (content.query,)}, {(0, 1): (style.key, style.value)}
    used, temperature = Injection(*kept, gamma, temperature=1.5, timestep=1)(0, own)
    assert torch.equal(used.query, gamma * content.query + (1 - gamma) * own.query)
    assert torch.equal(used.key, style.key)
    assert torch.equal(used.value, style.value)
    assert temperature == 1.5


def test_injecting_a_layer_into_itself_changes_nothing() -> None:
    own = projections()
    plan = Injection({(0, 1): (own.query,)}, {(0, 1): (own.key, own.value)}, 0.75, 1.0, 1)
    assert torch.allclose(attend(*plan(0, own)), attend(own), atol=1e-6)
