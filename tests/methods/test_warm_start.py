"""A training that begins from an entry of the zoo: all of it, as float32, or not at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from atelier.core.config import UserError
from atelier.methods.base import make
from atelier.methods.trained import Trained
from atelier.methods.warm_start import probe, warm_up
from support.models import METHODS, project
from support.zoo import entry

TRAINED = ("fast_night", "adain", "cut")
"""One of each kind that is trained."""


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(project(tmp_path))
    return tmp_path


def begun(name: str, **overrides: Any) -> Trained:
    method = make({**METHODS[name], **overrides}, name, seed=1, device="cpu")
    assert isinstance(method, Trained)
    warm_up(method)
    return method


@pytest.mark.parametrize("name", TRAINED)
def test_every_kind_begins_with_the_entrys_weights(root: Path, name: str) -> None:
    folder = entry(root / "zoo", name)
    method = begun(name, warm_start=f"zoo:{name}")
    for value in method.inference_networks.state_dict().values():
        assert value.dtype in {torch.float32, torch.int64}
    known = json.loads((folder / "card.json").read_text())["probe"]
    assert probe(method) == pytest.approx(known, abs=0.01)
    assert probe(begun(name)) != pytest.approx(known, abs=0.01)


def test_only_final_weights_are_in_the_zoo(root: Path) -> None:
    """The discriminators begin anew."""
    entry(root / "zoo", "cut")
    cold, warm = begun("cut"), begun("cut", warm_start="zoo:cut")
    parts = {
        part: all(
            torch.equal(a, b)
            for a, b in zip(net.state_dict().values(), other.state_dict().values(), strict=True)
        )
        for (part, net), other in zip(cold.networks.items(), warm.networks.values(), strict=True)
    }
    assert not parts.pop("generator")
    assert all(parts.values())


@pytest.mark.parametrize(
    ("name", "overrides", "said"),
    [
        ("cut", {"width": 8}, "was trained with other settings"),
        ("cut", {"blocks": 3}, "was trained with other settings"),
        ("adain", {"features": "random"}, "was trained with mini"),
        ("fast_night", {"padding": "reflect"}, r"makes other pictures .*what differs: padding;"),
    ],
)
def test_an_entry_for_other_settings_is_refused(
    root: Path, name: str, overrides: dict[str, Any], said: str
) -> None:
    entry(root / "zoo", name)
    with pytest.raises(UserError, match=rf"zoo/{name}/model\.safetensors.*{said}"):
        begun(name, warm_start=f"zoo:{name}", **overrides)


@pytest.mark.parametrize(
    "overrides", [{"strength": 0.2}, {"preserve_colour": True}, {"matching": "efdm"}]
)
def test_settings_that_any_weights_can_be_applied_with_may_differ(
    root: Path, overrides: dict[str, Any]
) -> None:
    known = json.loads((entry(root / "zoo", "adain") / "card.json").read_text())["probe"]
    method = begun("adain", warm_start="zoo:adain", **overrides)
    assert method.settings.model_dump().items() >= overrides.items()
    assert probe(method) != pytest.approx(known, abs=0.01)


def test_weights_that_fit_another_network_are_refused(root: Path) -> None:
    """Same names and shapes, but no such pictures."""
    one, other = entry(root / "zoo", "adain", seed=5), entry(root / "b", "adain", seed=6)
    card = json.loads((one / "card.json").read_text())
    theirs = json.loads((other / "card.json").read_text())
    (one / "card.json").write_text(json.dumps({**card, "probe": theirs["probe"]}))
    with pytest.raises(UserError, match=r"makes other pictures .*what differs: the code;"):
        begun("adain", warm_start="zoo:adain")


SANET = {"class": "sanet", "features": "mini", "steps": 1, "init": "he"}


def test_another_systems_entry_gives_the_networks_both_have(root: Path, monkeypatch) -> None:
    """SANet takes AdaIN's decoder; what fits nothing is refused."""
    monkeypatch.setitem(METHODS, "sanet", SANET)
    path = entry(root / "zoo", "adain") / "model.safetensors"
    cold, warm = (
        begun("sanet", **more).networks.state_dict() for more in ({}, {"warm_start": "zoo:adain"})
    )
    given = load_file(path)
    assert given
    for name, value in warm.items():
        assert torch.equal(value, given[name].float() if name in given else cold[name])
    entry(root / "zoo", "cut")
    with pytest.raises(UserError, match=r"zoo/cut/model\.safetensors: does not fit these settings"):
        begun("sanet", warm_start="zoo:cut")
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(UserError, match=r"zoo/adain/model\.safetensors: is truncated"):
        begun("sanet", warm_start="zoo:adain")


def test_a_broken_entry_is_no_start(root: Path) -> None:
    path = entry(root / "zoo", "cut") / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(UserError, match=r"zoo/cut/model\.safetensors: is truncated"):
        begun("cut", warm_start="zoo:cut")
    with pytest.raises(UserError, match="say zoo:NAME"):
        begun("cut", warm_start="zoo")
