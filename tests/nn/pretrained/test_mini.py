"""`mini`: shapes, the shipped file, golden values, where its weights come from."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from atelier.core.config import UserError
from atelier.nn.pretrained import weights
from atelier.nn.pretrained.features import load_features
from atelier.nn.pretrained.mini import LAYERS, LENGTH, WIDTHS, Mini, initialise, mini_network
from atelier.nn.pretrained.weights import SHIPPED, digest, resolve
from support.golden_mini import scene

FILE = SHIPPED["mini"]
CARD = json.loads(FILE.with_suffix(".json").read_text())
STRIDES = {"relu1_1": 1, "relu2_1": 2, "relu3_1": 4, "relu4_1": 8, "relu5_1": 16}


@pytest.fixture(autouse=True)
def nothing_of_the_users(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ATELIER_WEIGHTS", raising=False)


def test_the_shipped_file_is_small_whole_and_described_by_its_card() -> None:
    state = load_file(FILE)
    assert FILE.stat().st_size <= 3_000_000
    assert {value.dtype for value in state.values()} == {torch.float16}
    assert sum(value.numel() for value in state.values()) == 1_498_240 == CARD["parameters"]
    assert digest(state) == CARD["hash"] == load_features("mini", ["relu1_1"]).hash
    assert CARD["taps"] == WIDTHS
    assert CARD["teacher"]["name"] == "vgg19"
    assert CARD["steps"] == CARD["settings"]["steps"]
    assert {"gatys", "probe", "distances", "systems", "time"} <= set(CARD["figures"])
    assert all(value.isfinite().all() for value in state.values())
    assert state["vector.scale"].min() > 1e-3


def test_the_vector_is_an_affine_map_of_every_channels_mean_and_spread() -> None:
    network, taps = load_features("mini", ["vector"]).network, load_features("mini", WIDTHS)
    values = [value.double() for value in taps(scene(48, 64)).values()]
    known = torch.cat([part(v) for v in values for part in (mean, spread)], 1)
    head = network.vector.double()
    expected = ((known - head.shift) / head.scale) @ head.weight.mT + head.bias
    found = load_features("mini", ["vector"])(scene(48, 64))["vector"]
    assert found.shape == (1, LENGTH, 1, 1)
    torch.testing.assert_close(found[..., 0, 0], expected.float(), rtol=1e-3, atol=1e-3)
    assert expected.abs().mean() > 0.01


def mean(value: Tensor) -> Tensor:
    return value.mean((2, 3))


def spread(value: Tensor) -> Tensor:
    return (value - value.mean((2, 3), keepdim=True)).square().mean((2, 3)).sqrt()


@pytest.mark.parametrize(("height", "width"), [(64, 64), (48, 80), (37, 51), (16, 16)])
def test_taps_have_the_widths_and_strides_of_the_table(height: int, width: int) -> None:
    found = load_features("mini", STRIDES)(scene(height, width))
    assert list(found) == list(STRIDES)
    for tap, stride in STRIDES.items():
        assert found[tap].shape == (1, WIDTHS[tap], height // stride, width // stride), tap
        assert found[tap].isfinite().all()


def test_it_is_frozen_and_cut_after_the_deepest_tap() -> None:
    features = load_features("mini", ["relu2_1", "relu1_1"])
    assert not any(p.requires_grad for p in features.parameters())
    assert list(features(scene())) == ["relu2_1", "relu1_1"]
    assert sum(p.numel() for p in features.parameters()) == 896 + 18_496 + 36_928
    assert not list(features.buffers())[2:], "mean and std, no vector"
    assert len(load_features("mini", ["vector"]).network.stages) == 4


def test_golden_values() -> None:
    """The values of the shipped weights; a change of the network or its input scale shows here."""
    golden = json.loads((Path(__file__).parents[2] / "support/golden_mini.json").read_text())
    assert golden["hash"] == CARD["hash"], "tests/golden_mini.py writes the values anew"
    found = {**load_features("mini", WIDTHS)(scene()), **load_features("mini", ["vector"])(scene())}
    assert list(golden["values"]) == list(found) == list(LAYERS)
    for tap, values in golden["values"].items():
        torch.testing.assert_close(
            found[tap][0].mean((1, 2))[:8], torch.tensor(values), rtol=1e-3, atol=1e-4
        )


def test_the_same_picture_gives_the_same_values_bit_for_bit() -> None:
    first, second = (load_features("mini", ["vector"]).embed(scene()) for _ in range(2))
    assert first.shape == (1, LENGTH)
    assert torch.equal(first, second)


def test_activations_are_about_one_as_those_of_its_teacher() -> None:
    noise = torch.rand(2, 3, 128, 128, generator=torch.Generator().manual_seed(0))
    smooth = torch.nn.functional.avg_pool2d(noise, 9, 1, 4)
    for tap, value in load_features("mini", WIDTHS)(smooth).items():
        assert 0.05 < value.abs().mean() < 20, tap


def test_unit_activations_change_nothing() -> None:
    plain, unit = (
        load_features("mini", ["relu3_1"], unit_activations=on)(scene())["relu3_1"]
        for on in (False, True)
    )
    assert torch.equal(plain, unit)


def test_every_pixel_gets_a_gradient_and_a_checkerboard_is_seen() -> None:
    image = scene().requires_grad_()
    features = load_features("mini", ["relu4_1"])
    (gradient,) = torch.autograd.grad(features(image)["relu4_1"].square().mean(), image)
    assert (gradient.abs().sum(1) > 0).all()
    board = 1 - 2.0 * (torch.arange(64).view(-1, 1) + torch.arange(64)).remainder(2)
    with torch.no_grad():
        plain, marked = (features(value)["relu4_1"] for value in (scene(), scene() + 0.1 * board))
    assert (plain - marked).abs().mean() > 0.05 * plain.abs().mean()


def test_a_users_file_comes_before_the_shipped_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ATELIER_WEIGHTS", str(tmp_path))
    assert digest(resolve("mini")) == CARD["hash"], "an empty folder leaves the shipped one"
    state = {key: value + 1 for key, value in load_file(FILE).items()}
    save_file(state, tmp_path / "mini.safetensors")
    assert load_features("mini", ["relu1_1"]).hash == digest(state) != CARD["hash"]


def test_a_missing_or_foreign_file_gives_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights, "SHIPPED", {"mini": tmp_path / "mini.safetensors"})
    with pytest.raises(UserError, match=r"mini.safetensors is missing from the package; install"):
        resolve("mini")
    with pytest.raises(UserError, match="the weight file found for mini does not fit it: "):
        mini_network({"stem.weight": torch.zeros(1)}, ["relu1_1"])


def test_layers_and_switches_it_does_not_have_are_named() -> None:
    with pytest.raises(UserError, match=r"mini has no layer 'relu4_2'; it has relu1_1, relu2_1"):
        load_features("mini", ["relu4_2"])
    with pytest.raises(UserError, match="mini: vector cannot be combined with other layers"):
        load_features("mini", ["relu4_1", "vector"])
    with pytest.raises(UserError, match="mini: pooling and first_padding are options of the VGGs"):
        load_features("mini", ["relu4_1"], pooling="average")


def test_initial_weights_depend_on_the_seed_alone() -> None:
    networks = [Mini() for _ in range(3)]
    for network, seed in zip(networks, (0, 0, 1), strict=True):
        initialise(network, seed)
    one, two, other = (digest(network.state_dict()) for network in networks)
    assert one == two != other
    spread = networks[0].stages["relu5_1"].second.weight.std().item()
    assert spread == pytest.approx((2 / (9 * 208)) ** 0.5, rel=0.01)
