"""StyleID on a tiny model with random weights: inversion, injection, and what γ and τ do."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from atelier.core.config import UserError
from atelier.methods.base import make
from atelier.methods.styleid import StyleId, StyleIdSettings
from atelier.nn.style_injection import Recording, Sampler, adain_latents, attending
from support.diffusion import TOKENS, WIDTH, published, saved, tiny
from support.steps import smooth
from support.tensors import count

EXACT = 12
"""Rounds after which the inversion has reached its fixed point."""


def system(seed: int = 0, **settings: Any) -> StyleId:
    small = {"model": "tiny", "layers": [2, 3], "steps": 4, "size": None}
    return StyleId(StyleIdSettings.build({**small, **settings}, "methods.styleid"), tiny(seed))


def latents(count: int = 1, side: int = 8, seed: int = 0) -> Tensor:
    return torch.randn(count, 4, side, side, generator=torch.Generator().manual_seed(seed))


def deviation(one: Tensor, other: Tensor) -> float:
    return float((one - other).abs().max())


def sampler(steps: int, rounds: int = 1) -> Sampler:
    return Sampler(tiny(), [], steps, rounds)


def test_the_timesteps_are_the_published_ones() -> None:
    assert sampler(50).timesteps == list(range(1, 1000, 20))


def test_with_constant_noise_the_inversion_is_its_closed_form(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """z = √ᾱ·z₀ + √(1 - ᾱ)·ε at both ends, and back without any error."""
    one, noise, picture = sampler(50), latents(seed=1), latents()
    monkeypatch.setattr(type(one.model), "predict", lambda *_: noise)
    found = one.invert(picture)
    first, last = (one.model.schedule.alphas_cumprod[t] for t in (0, 981))
    clean = (picture - (1 - first).sqrt() * noise) / first.sqrt()
    assert torch.allclose(found, last.sqrt() * clean + (1 - last).sqrt() * noise, atol=1e-5)
    assert torch.allclose(one.generate(found), picture, atol=1e-4)


def test_inversion_and_reconstruction_agree() -> None:
    """Approximately in the paper's way; exactly at the fixed point, however few the steps."""
    picture = latents()

    def error(rounds: int) -> float:
        one = sampler(5, rounds)
        return deviation(one.generate(one.invert(picture)), picture)

    paper, two, fixed = (error(rounds) for rounds in (1, 2, EXACT))
    assert fixed < 1e-5 < two < paper < 0.6, "the latents' deviation is 1"


def test_recording_leaves_the_model_as_it_is() -> None:
    method, noise = system(), latents()
    plain, plan = method.model.predict(noise, 21), Recording(("query", "key", "value"))
    with attending(method.sampler.layers, plan):
        watched = method.model.predict(noise, 21)
    assert len(plan.kept) == 2
    assert deviation(watched, plain) < 1e-6
    assert torch.equal(method.model.predict(noise, 21), plain), "and afterwards"


@pytest.mark.slow
@pytest.mark.parametrize("gamma", [0.0, 0.75, 1.0])
def test_injecting_a_picture_into_itself_changes_nothing(gamma: float) -> None:
    exact = {"inversion_rounds": EXACT, "initial_adain": False, "temperature": 1.0}
    method, picture = system(gamma=gamma, **exact), latents()
    assert deviation(method.inject(picture, picture), picture) < 1e-5
    assert deviation(method.inject(picture, latents(seed=1)), picture) > 1e-3


def test_without_injection_and_adain_the_photograph_is_reconstructed() -> None:
    method, picture = system(layers=[], initial_adain=False), latents()
    one = method.sampler
    assert torch.equal(method.inject(picture, latents(seed=1)), one.generate(one.invert(picture)))


def test_the_initial_noise_has_the_paintings_statistics(monkeypatch: pytest.MonkeyPatch) -> None:
    method, seen = system(), []
    monkeypatch.setattr(Sampler, "generate", lambda _, noise, __: seen.append(noise) or noise)
    content, style = latents(), 2 * latents(seed=1) + 1
    method.inject(content, style)
    one = method.sampler
    assert torch.equal(seen[0], adain_latents(one.invert(content), one.invert(style)))


def test_with_gamma_1_the_layers_read_the_photographs_queries_alone() -> None:
    """The generated latents then no longer decide where the painting is looked up."""
    found = {}
    for gamma in (0.0, 0.5, 1.0):
        method = system(gamma=gamma, layers=[3])
        found[gamma] = method.inject(latents(), latents(seed=1))
    steps = [deviation(found[0.0], found[g]) for g in (0.5, 1.0)]
    assert 0 < steps[0] < steps[1]


def test_temperature_and_layers_change_the_result() -> None:
    pair = latents(), latents(seed=1)
    plain = system(temperature=1.0).inject(*pair)
    assert deviation(plain, system(temperature=1.5).inject(*pair)) > 1e-4
    assert deviation(plain, system(temperature=1.0, layers=[2]).inject(*pair)) > 1e-4


def test_pictures_of_any_sizes_keep_the_photographs_and_their_neighbours_do_not_matter() -> None:
    content, style = smooth(2, 30, 45), smooth(2, 40, 24, seed=1)
    method = system(batch=2)
    assert method.batch == 2
    both = method.stylize(content, style)
    assert both.shape == content.shape
    assert both.min() >= 0
    assert both.max() <= 1
    assert deviation(both[1:], method.stylize(content[1:], style[1:])) < 1e-4


def test_the_model_works_at_the_size_it_was_trained_for() -> None:
    seen: list[tuple[int, ...]] = []
    method = system(size=64, layers=[3], steps=1)
    encode = method.model.encode
    object.__setattr__(method, "model", _Watched(method.model, seen, encode))
    method.stylize(smooth(1, 32, 50), smooth(1, 48, 32))
    assert seen == [(64, 100), (96, 64)]


class _Watched:
    """The model; it notes the sizes of what it encodes."""

    def __init__(self, model: Any, seen: list[tuple[int, ...]], encode: Any) -> None:
        self.model, self.seen, self.inner = model, seen, encode

    def encode(self, image: Tensor) -> Tensor:
        self.seen.append(tuple(image.shape[2:]))
        return self.inner(image)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.model, name)


def test_lower_precision_gives_nearly_the_same_picture() -> None:
    content, style = smooth(1, 32, 32), smooth(1, 32, 32, seed=1)
    method, lower = system(), system()
    object.__setattr__(lower.model, "precision", "bfloat16")
    difference = lower.stylize(content, style) - method.stylize(content, style)
    assert 0 < difference.abs().mean() < 0.02


def test_the_published_model_has_the_layers_and_the_memory_that_are_documented() -> None:
    model, s = published(), StyleIdSettings()
    assert count(model.unet) == 859_520_964
    assert count(model.vae) == 83_653_863
    assert model.multiple == 64
    layers = model.self_attention(s.layers)
    assert [layer.inner_dim for layer in layers] == [640] * 3 + [320] * 3
    positions = [32 * 32] * 3 + [64 * 64] * 3
    kept = sum(3 * n * layer.inner_dim for n, layer in zip(positions, layers, strict=True))
    assert round(4 * kept * s.steps / 1e9, 1) == 3.5
    with pytest.raises(UserError, match=r"sd has self-attention in 3, 4, 5, 6, 7, 8, 9, 10, 11$"):
        model.self_attention([2])


def test_layers_without_attention_are_named() -> None:
    message = "layers: 0, 7: the decoder of tiny has self-attention in 2, 3"
    with pytest.raises(UserError, match=message):
        system(layers=[0, 2, 7])


def test_an_entry_is_built_from_a_folder(tmp_path: Any) -> None:
    block = {"class": "styleid", "model": str(saved(tmp_path)), "layers": [2, 3], "steps": 2}
    method = make({**block, "size": 64}, "methods.styleid", seed=0, device="cpu")
    card = method.card()
    assert (card["kind"], card["model"]) == ("diffusion", str(tmp_path))
    assert len(card["model_hash"]) == 12
    assert method.model.prompt.shape == (1, TOKENS, WIDTH)
    assert method.stylize(smooth(1, 32, 40), smooth(1, 32, 32, seed=1)).shape == (1, 3, 32, 40)
