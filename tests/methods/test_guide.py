"""The guide of adversarial systems: AdaIN's losses at first, nothing in the end."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from atelier.core.batches import Batch
from atelier.core.config import UserError
from atelier.methods.base import make
from atelier.methods.unpaired import GUIDE, Unpaired, to_signed
from atelier.nn.losses import content_loss, mean_std, mean_std_loss
from atelier.nn.pretrained.features import load_features
from support import adversaries as ad
from support.steps import smooth

GUIDED = {"loss_features": "mini", "guide_steps": 4, "guide_weight": 3.0, "guide_content": 2.0}
BLOCKS: dict[str, dict[str, Any]] = {
    "cyclegan": {"width": 4, "blocks": 1},
    "cut": {"width": 4, "blocks": 2, "projection": 8, "patches": 16},
    "ugatit": {"width": 4, "n_res": 1, "discriminator_width": 4, "global_layers": 4,
               "local_layers": 3},
}  # fmt: skip


def system(name: str, **overrides: Any) -> Unpaired:
    block = {"class": name, "steps": 8, "crop": 32, "load_size": 36, **BLOCKS[name], **overrides}
    found = make(block, "methods.x", seed=0, device="cpu")
    assert isinstance(found, Unpaired)
    return found


def at(step: int) -> Batch:
    return Batch(step, 0, smooth(1, 32, 32), smooth(1, 32, 32, 1), ("a",) * 2)


@pytest.mark.parametrize("name", BLOCKS)
def test_it_is_added_to_the_generators_loss_and_fades(name: str) -> None:
    guided, plain = system(name, **GUIDED), system(name)
    found = ad.losses_of(guided, at(0))["generator"]
    without = ad.losses_of(plain, at(0))["generator"]
    assert "guide" not in without
    torch.testing.assert_close(found["total"], without["total"] + found["guide"])
    assert found["guide"] > 0
    half, gone = (ad.losses_of(guided, at(n))["generator"]["guide"] for n in (2, 4))
    torch.testing.assert_close(half, found["guide"] / 2)
    assert gone == 0


def test_it_is_adains_loss() -> None:
    method, judge = system("cyclegan", **GUIDED), load_features("mini", GUIDE)
    photo, art = smooth(1, 32, 32), smooth(1, 32, 32, 1)
    made = smooth(1, 32, 32, 2)
    found = method.guide(to_signed(made), to_signed(photo), to_signed(art), 1)["guide"]
    seen, wanted, kept = (judge(x) for x in (made, art, photo))
    style = sum(mean_std_loss(seen[k], mean_std(wanted[k])) for k in GUIDE)
    content = content_loss(seen["relu4_1"], kept["relu4_1"])
    torch.testing.assert_close(found, 3 * 0.75 * (style + 2 * content)[0], rtol=1e-4, atol=1e-5)


def test_the_card_of_the_training_names_the_guide_and_applying_needs_none() -> None:
    method = system("cyclegan", **GUIDED)
    assert "loss_features" not in method.card()
    assert method.training_card()["loss_features"] == "mini"


@pytest.mark.parametrize("overrides", [{"loss_features": "mini"}, {"guide_steps": 4}])
def test_half_a_guide_is_refused(overrides: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="a guide needs both loss_features and guide_steps"):
        system("cut", **overrides)
