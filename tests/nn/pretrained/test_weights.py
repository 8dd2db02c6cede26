"""Where weights come from, what is refused, what convert writes."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.error import URLError

import pytest
import torch
import torchvision
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from atelier.core.config import UserError
from atelier.nn.pretrained import weights
from atelier.nn.pretrained.features import require_fit
from atelier.nn.pretrained.weights import (
    CAFFE_MEAN,
    IMAGENET_MEAN,
    IMAGENET_STD,
    convert,
    digest,
    published_url,
    read_weights,
    resolve,
)
from support.nets import vgg_state

REAL = Path(__file__).parents[3] / ".." / "shared" / "weights"
VGG19_FILE = Path(published_url("vgg19")).name
Download = Callable[..., dict[str, Tensor]]


def marked(value: float) -> dict[str, Tensor]:
    return {"features.0.weight": torch.full((2, 2), value)}


def mark(state: dict[str, Tensor]) -> float:
    return state["features.0.weight"][0, 0].item()


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of torch's, no folder of the user's, and no network."""
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    monkeypatch.delenv("ATELIER_WEIGHTS", raising=False)
    refuse_downloads(monkeypatch, URLError("no route to host"))
    (tmp_path / "hub/checkpoints").mkdir(parents=True)
    return tmp_path / "hub/checkpoints"


def refuse_downloads(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def refuse(*_: Any, **__: Any) -> dict[str, Tensor]:
        raise error

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", refuse)


def test_the_users_folder_comes_before_the_cache_and_the_cache_before_the_network(
    hub: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, dict[str, Any]]] = []

    def download(url: str, **overrides: Any) -> dict[str, Tensor]:
        asked.append((url, overrides))
        return marked(4)

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", download)
    mine = tmp_path / "mine"
    mine.mkdir()
    monkeypatch.setenv("ATELIER_WEIGHTS", str(mine))
    save_file(marked(1), mine / "vgg19.safetensors")
    torch.save(marked(2), mine / VGG19_FILE)
    torch.save(marked(3), hub / VGG19_FILE)
    assert mark(resolve("vgg19")) == 1
    (mine / "vgg19.safetensors").unlink()
    assert mark(resolve("vgg19")) == 2
    (mine / VGG19_FILE).unlink()
    assert mark(resolve("vgg19")) == 3
    assert not asked
    (hub / VGG19_FILE).unlink()
    assert mark(resolve("vgg19")) == 4
    ((url, overrides),) = asked
    assert url == published_url("vgg19")
    assert overrides["check_hash"] is True
    assert overrides["weights_only"] is True


@pytest.mark.parametrize(
    "error", [URLError("no route to host"), TimeoutError("timed out"), RuntimeError("invalid hash")]
)
def test_missing_weights_say_what_to_do(
    hub: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    refuse_downloads(monkeypatch, error)
    with pytest.raises(UserError) as got:
        resolve("vgg16")
    message = str(got.value)
    assert "\n" not in message
    for part in ("vgg16.safetensors", "vgg16-397923af.pth", "ATELIER_WEIGHTS", "features: mini"):
        assert part in message
    assert str(error) in message


def test_a_download_leaves_the_socket_timeout_as_it_was(hub: Path) -> None:
    before = weights.socket.getdefaulttimeout()
    with pytest.raises(UserError):
        resolve("vgg16")
    assert weights.socket.getdefaulttimeout() == before


def test_the_users_folder_must_be_one(
    hub: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ATELIER_WEIGHTS", str(tmp_path / "nowhere"))
    with pytest.raises(UserError, match=r"ATELIER_WEIGHTS names .*nowhere, which is not a folder"):
        resolve("vgg16")


def test_unknown_names_list_the_known() -> None:
    with pytest.raises(UserError, match="no weights of a network named 'vgg11'; there are vgg16, "):
        resolve("vgg11")


class Harmful:
    """Runs a command when unpickled without care."""

    def __init__(self, proof: Path) -> None:
        self.proof = proof

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.proof),)


def test_code_in_a_file_is_refused_and_not_run(tmp_path: Path) -> None:
    proof = tmp_path / "it_ran"
    torch.save({"features.0.weight": Harmful(proof)}, tmp_path / "vgg16.pth")
    with pytest.raises(
        UserError, match=r"vgg16\.pth: refused, it holds more than weights: "
    ) as got:
        read_weights(tmp_path / "vgg16.pth")
    assert "\n" not in str(got.value)
    assert not proof.exists()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("page.pth", b"<html>404</html>", "not a readable weight file: .*error page"),
        ("empty.pth", b"", "not a readable weight file: it is truncated"),
        ("cut.pth", None, "not a readable weight file: PytorchStreamReader"),
        ("page.safetensors", b"<html>404</html>", "not a readable weight file: "),
    ],
)
def test_broken_files_are_named(
    tmp_path: Path, name: str, content: bytes | None, message: str
) -> None:
    path = tmp_path / name
    if content is None:
        torch.save(marked(1), path)
        content = path.read_bytes()[:-200]
    path.write_bytes(content)
    with pytest.raises(UserError, match=rf"{name}: {message}") as got:
        read_weights(path)
    assert "\n" not in str(got.value)


def test_a_tensor_alone_is_no_state_dict(tmp_path: Path) -> None:
    torch.save(torch.zeros(3), tmp_path / "vgg16.pth")
    with pytest.raises(UserError, match="holds no tensors by name, so it is not a state dict"):
        read_weights(tmp_path / "vgg16.pth")


def test_the_digest_sees_values_names_and_shapes_but_not_order() -> None:
    state = {"a": torch.arange(6.0), "b": torch.zeros(2)}
    same = {"b": torch.zeros(2), "a": torch.arange(12.0)[:6].clone()}
    others = [
        {**state, "a": torch.arange(6.0) + 1e-6},
        {"c": state["a"], "b": state["b"]},
        {**state, "a": torch.arange(6.0).view(2, 3)},
        {**state, "b": torch.zeros(2, dtype=torch.int32)},
    ]
    assert digest(state) == digest(same)
    assert len({digest(state), *map(digest, others)}) == 5
    assert len(digest(state)) == 12


def packed(state: dict[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """The 8-bit storage ``convert`` reads."""
    found = {}
    for key, value in state.items():
        least, step = value.min(), (value.max() - value.min()) / 255
        levels = ((value - least) / step).round().to(torch.uint8)
        found[key] = {"q": levels, "scale": step, "min": least}
    return found


def test_convert_unpacks_and_folds_the_normalisation(tmp_path: Path) -> None:
    """Caffe's convolution of Caffe's input is the folded one of ImageNet's, but for the border."""
    source = tmp_path / "vgg19_8bit.pth"
    stored = packed(vgg_state("vgg19"))
    torch.save(stored, source)
    target = convert(source, tmp_path / "out")
    assert target == tmp_path / "out/vgg19.safetensors"
    assert [p.name for p in target.parent.iterdir()] == ["vgg19.safetensors"]
    found = load_file(target)
    plain = {k: v["q"].float() * v["scale"] + v["min"] for k, v in stored.items()}
    assert set(found) == set(plain)
    for key in set(plain) - {"features.0.weight", "features.0.bias"}:
        torch.testing.assert_close(found[key], plain[key], rtol=0, atol=0)
    image = torch.rand(1, 3, 12, 12, generator=torch.Generator().manual_seed(0))
    caffe = 255 * image - torch.tensor(CAFFE_MEAN).view(1, 3, 1, 1)
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (IMAGENET_MEAN, IMAGENET_STD))
    first = [
        nn.functional.conv2d(x, state["features.0.weight"], state["features.0.bias"])
        for x, state in ((caffe, plain), ((image - mean) / std, found))
    ]
    torch.testing.assert_close(first[0], first[1], rtol=1e-4, atol=1e-3)
    with safe_open(target, "pt") as file:
        assert file.metadata() == {"name": "vgg19", "source": "vgg19_8bit.pth"}


def test_convert_takes_a_plain_state_dict_as_it_is(
    hub: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = {"features.0.weight": torch.rand(3, 4).T, "features.0.bias": torch.rand(4)}
    torch.save(state, tmp_path / "mine.pth")
    convert(tmp_path / "mine.pth", tmp_path / "out", "squeezenet1_1")
    monkeypatch.setenv("ATELIER_WEIGHTS", str(tmp_path / "out"))
    found = resolve("squeezenet1_1")
    assert set(found) == set(state)
    assert all(torch.equal(found[key], state[key]) for key in state)


@pytest.mark.parametrize("before", ["module.features.", "", "module."])
def test_convert_knows_the_keys_of_dataparallel_and_of_bare_trunks(
    tmp_path: Path, before: str
) -> None:
    state = {f"{before}0.weight": torch.rand(4, 3), f"{before}0.bias": torch.rand(4)}
    torch.save(state, tmp_path / "vgg19.pth")
    assert set(load_file(convert(tmp_path / "vgg19.pth", tmp_path / "out"))) == {
        "features.0.weight",
        "features.0.bias",
    }


def test_convert_writes_no_weights_that_the_network_will_not_take(tmp_path: Path) -> None:
    with torch.device("meta"):
        shapes = torchvision.models.vgg16().features.state_dict()
    state = {f"module.features.{key}": torch.zeros(v.shape) for key, v in shapes.items()}
    torch.save(state, tmp_path / "mine.pth")
    assert convert(tmp_path / "mine.pth", tmp_path / "out", "vgg16", require_fit).is_file()
    with pytest.raises(UserError, match=r"mine.pth: the weight file found for vgg19 does not fit"):
        convert(tmp_path / "mine.pth", tmp_path / "out", "vgg19", require_fit)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["vgg16.safetensors"]


@pytest.mark.parametrize(
    ("content", "name", "message"),
    [
        (marked(1), None, "odd.pth: whose weights. give --name, one of vgg16, vgg19"),
        (marked(1), "vgg11", "odd.pth: whose weights"),
        ({}, "vgg16", "odd.pth: holds no tensors by name"),
        ({"epoch": 3}, "vgg16", "odd.pth: holds no tensors by name"),
        ({"a": {"q": torch.zeros(1)}}, "vgg16", "odd.pth: a: expected q, scale and min"),
        (packed({"a": torch.rand(3)}), "vgg16", "odd.pth: an 8-bit file has to hold a VGG"),
        (marked(1), "inception_v3", "odd.pth: is not inception_v3: it lacks Conv2d_1a_3x3"),
    ],
)
def test_convert_refuses(tmp_path: Path, content: Any, name: str | None, message: str) -> None:
    torch.save(content, tmp_path / "odd.pth")
    with pytest.raises(UserError, match=message):
        convert(tmp_path / "odd.pth", tmp_path / "out", name)
    assert not (tmp_path / "out").exists()


@pytest.mark.real
def test_convert_agrees_with_the_loader_beside_the_real_file(tmp_path: Path) -> None:
    if not REAL.is_dir():
        pytest.skip(f"no real weights in {REAL}")
    spec = importlib.util.spec_from_file_location("load_weights", REAL / "load_weights.py")
    assert spec is not None
    assert spec.loader is not None
    loader = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loader)
    for name, file in (
        ("vgg19", "vgg19_features_imagenet_uint8.pth"),
        ("squeezenet1_1", "squeezenet1_1_features_imagenet.pth"),
    ):
        found = load_file(convert(REAL / file, tmp_path))
        expected = getattr(loader, f"{name}_features")()
        assert set(found) == set(expected)
        for key in expected:
            # the means are rounded to float32 here, not there: 2e-5 of biases of about 0.1 to 10
            torch.testing.assert_close(found[key], expected[key], rtol=0, atol=1e-6)
