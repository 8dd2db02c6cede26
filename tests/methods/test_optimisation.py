"""What all systems that optimise pictures keep: full batches, sizes, refusals, finite losses."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from atelier.core.config import UserError
from atelier.methods.gatys import Gatys
from atelier.methods.nnst import Nnst
from atelier.methods.optimisation import Optimisation, activations
from atelier.methods.strotss import Strotss
from support.nets import random_features
from support.optimisation import LAYERS, run, small, total
from support.steps import pair, smooth

SYSTEMS: dict[str, tuple[type[Optimisation[Any]], dict[str, Any]]] = {
    "gatys_adam": (Gatys, {"optimizer": "adam", "lr": 0.02, "variable": "pixel", "steps": 6}),
    "gatys_lbfgs": (Gatys, {"optimizer": "lbfgs", "style_weight": 1e3, "steps": 6}),
    "strotss": (Strotss, {"steps": 4}),
    "nnst": (Nnst, {"palette": True, "content_weight": 1.0, "content_loss": "luminance"}),
}
every_system = pytest.mark.parametrize("name", SYSTEMS)


def system(name: str, seed: int = 0, **settings: Any) -> Optimisation[Any]:
    kind, own = SYSTEMS[name]
    return small(kind, seed, **{**own, **settings})


@every_system
def test_the_card_names_features_and_hash(name: str) -> None:
    method = system(name, batch=3)
    network = random_features(*LAYERS, unit_activations=True)
    expected = {"kind": "optimisation", "features": "random", "features_hash": network.hash}
    assert method.card() == method.training_card() == expected
    assert method.batch == 3


@every_system
def test_a_result_is_the_same_bit_for_bit_whatever_its_neighbours(name: str) -> None:
    """Only because a batch is filled up: for another number of pictures convolutions sum in another
    order, and after 8 steps of Gatys' method single pixels were seen to differ by 0.4 (Adam) or
    0.05 (L-BFGS)."""
    content, style = smooth(4, 32, 32), smooth(4, 32, 32, seed=1)
    method = system(name, batch=3, fill_batch=True)
    together = method.stylize(content[:3], style[:3])
    for order in ([0], [1, 0], [3, 2, 1]):
        found = method.stylize(content[order], style[order])
        assert len(found) == len(order)
        for place, n in enumerate(order):
            if n < 3:
                assert torch.equal(found[place], together[n])


@every_system
def test_pictures_that_fill_a_batch_are_not_shown(name: str) -> None:
    method = system(name, steps=1, batch=3, fill_batch=True)
    for found in run(method, smooth(2, 32, 32), smooth(2, 32, 32, seed=1)):
        assert len(found.image) == 2
        assert {len(losses) for losses in found.losses.values()} == {2}


@pytest.mark.parametrize("size", [(33, 50), (67, 32), (71, 90)])
@every_system
def test_odd_sizes_over_several_levels(name: str, size: tuple[int, int]) -> None:
    levels = "smallest_size" if name.startswith("gatys") else "coarsest"
    method = system(name, steps=1, **{levels: 32})
    found = run(method, smooth(1, *size), smooth(1, 45, 39, seed=1))
    assert len(found) == method.steps(*size)
    assert (len({it.image.shape for it in found}) > 1) == (min(size) >= 64)
    assert found[-1].image.shape == (1, 3, *size)
    assert found[-1].image.isfinite().all()


@pytest.mark.parametrize("which", ["content", "style", "both"])
@every_system
def test_losses_of_pictures_of_one_colour_stay_finite(name: str, which: str) -> None:
    for found in run(system(name), *pair(which, side=32, count=1)):
        assert found.image.isfinite().all()
        assert total(found).isfinite().all()


@pytest.mark.parametrize("which", ["content", "style"])
@every_system
def test_too_small_pictures_are_refused(name: str, which: str) -> None:
    pictures = {"content": smooth(1), "style": smooth(1), which: smooth(1, 31, 40)}
    own = name.partition("_")[0]
    with pytest.raises(UserError, match=f"{own} needs pictures of at least 32 px, got 40×31"):
        next(system(name).iterates(**pictures))


def test_the_network_alone_computes_in_low_precision() -> None:
    network, image = random_features(*LAYERS), smooth(1)
    exact, rough = (activations(network, image, p) for p in ("float32", "bfloat16"))
    assert {value.dtype for value in exact.values()} == {torch.float32}
    assert {value.dtype for value in rough.values()} == {torch.bfloat16}
    assert not torch.is_autocast_enabled("cpu")
