"""ONNX files do what torch does, and what cannot be written says why."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from atelier.core.config import Params, UserError
from atelier.serving import onnx
from atelier.serving.look import Look
from atelier.serving.onnx import export_onnx
from atelier.serving.stylizer import Applied, load_applied
from support.models import HEATED, METHODS, project

pytest.importorskip("onnx", reason="the extra onnx is not installed")
onnxruntime = pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")
pytest.importorskip("onnxscript", reason="the extra onnx is not installed")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return project(tmp_path_factory.mktemp("export"), "cut", "adain")


def load(root: Path, name: str) -> Applied:
    return load_applied(root, Params.load(root / "params.yaml"), name)


@pytest.mark.slow
def test_a_network_without_a_style_input(root: Path, tmp_path: Path) -> None:
    applied, path = load(root, "cut"), tmp_path / "cut.onnx"
    lines = list(export_onnx(applied, path))
    assert lines[0].startswith("128×96: at most 0.0")
    assert lines[1].startswith("84×196: at most 0.0")
    assert "sides of photographs: multiples of 4 from 64 to 8192 px" in lines[2]
    session = onnxruntime.InferenceSession(str(path))
    assert [node.name for node in session.get_inputs()] == ["photo"]
    photo = torch.rand(1, 3, 100, 68)
    (made,) = session.run(None, {"photo": photo.numpy()})
    wanted = applied.method.stylize(photo, photo)
    assert torch.allclose(torch.from_numpy(made), wanted, atol=1e-4)
    about = session.get_modelmeta().custom_metadata_map
    assert about["method"] == "cut"
    assert json.loads(about["card"])["kind"] == "unpaired"


@pytest.mark.slow
def test_direction_and_heat_map_are_in_the_graph(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setitem(METHODS, "heated", HEATED)
    applied, path = load(project(tmp_path, "heated"), "heated"), tmp_path / "heat.onnx"
    list(export_onnx(applied, path, Look(direction="to_photo", heatmap=True)))
    session, photo = onnxruntime.InferenceSession(str(path)), torch.rand(1, 3, 100, 68)
    (made,) = session.run(None, {"photo": photo.numpy()})
    _, wanted = applied.method.explained(photo, "to_photo")
    assert torch.allclose(torch.from_numpy(made), wanted, atol=1e-3)
    about = session.get_modelmeta().custom_metadata_map
    assert (about["method"], about["direction"]) == ("heated-heatmap", "to_photo")


@pytest.mark.slow
def test_a_strength_is_in_the_graph(root: Path, tmp_path: Path) -> None:
    applied, path = load(root, "adain"), tmp_path / "half.onnx"
    list(export_onnx(applied, path, Look(0.25)))
    session = onnxruntime.InferenceSession(str(path))
    photo, style = torch.rand(1, 3, 64, 72), torch.rand(1, 3, 99, 131)
    (made,) = session.run(None, {"photo": photo.numpy(), "style": style.numpy()})
    fresh = load(root, "adain").method
    wanted = fresh.interpolate(photo, [style], [1.0], 0.25)
    assert torch.allclose(torch.from_numpy(made), wanted, atol=1e-4)
    assert not torch.allclose(wanted, fresh.stylize(photo, style), atol=1e-3)


def test_what_a_graph_cannot_do_is_a_sentence(root: Path, tmp_path: Path) -> None:
    for name, look, message in (
        ("cut", Look(direction="to_photo"), "cut has no direction to_photo"),
        ("cut", Look(0.5), "cut has no strength"),
        ("adain", Look(heatmap=True), "adain has no heat map"),
    ):
        with pytest.raises(UserError, match=message):
            list(export_onnx(load(root, name), tmp_path / "x.onnx", look))
    assert not list(tmp_path.iterdir())


ANY_PAINTING: dict[str, dict[str, Any]] = {
    "adain": METHODS["adain"],
    "efdm": {**METHODS["adain"], "matching": "efdm"},
    "stytr2": {
        "class": "stytr2", "loss_features": "mini", "steps": 1, "crop": 64, "width": 16, "heads": 2,
        "layers": 1, "hidden": 16, "last_widths": (8, 8),
    },
}  # fmt: skip
"""EFDM sorts, by position where values are equal, as behind a ReLU, and ONNX has no stable sort;
StyTr² pools to a grid of one size, which ONNX can for one size of pictures only."""


@pytest.mark.slow
@pytest.mark.parametrize("name", ANY_PAINTING)
def test_any_painting_is_an_input_of_any_size(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(METHODS, name, ANY_PAINTING[name])
    applied, path = load(project(tmp_path, name), name), tmp_path / "any.onnx"
    tile = getattr(applied.method.settings, "tile", None)
    assert tile or name == "stytr2", "which cannot be traced, and is taken out"
    *_, last = export_onnx(applied, path)
    assert last.endswith("of paintings: from 96 px")
    session = onnxruntime.InferenceSession(str(path))
    photo, style = torch.rand(1, 3, 64, 72), torch.rand(1, 3, 99, 131)
    photo[..., :16, :] = 0.5  # equal features
    (made,) = session.run(None, {"photo": photo.numpy(), "style": style.numpy()})
    wanted = applied.method.stylize(photo, style)
    assert torch.allclose(torch.from_numpy(made), wanted, atol=1e-4)


def test_what_has_no_network_says_so(root: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="gatys has no network to export"):
        list(export_onnx(load(root, "gatys"), tmp_path / "gatys.onnx"))


def test_an_operation_onnx_does_not_have_is_a_sentence(root: Path, tmp_path: Path, monkeypatch):
    def refuse(*_: object, **__: object) -> None:
        cause = ValueError("no ONNX function for aten.linalg_eigh\nand more")
        raise RuntimeError("a report of many lines") from cause

    monkeypatch.setattr(torch.onnx, "export", refuse)
    path = tmp_path / "adain.onnx"
    with pytest.raises(UserError, match=r"adain cannot be exported: no ONNX function .*eigh$"):
        list(export_onnx(load(root, "adain"), path))
    assert not list(tmp_path.iterdir())


def pretend(monkeypatch: pytest.MonkeyPatch, deviation: float) -> None:
    """Let the graph be a file of text that is so far off."""
    monkeypatch.setattr(onnx, "_write", lambda _, __, part: part.write_text("no graph"))
    monkeypatch.setattr(onnx, "_deviations", lambda _, __: [((96, 128), deviation)])


def test_a_graph_that_differs_is_not_handed_out(root: Path, tmp_path: Path, monkeypatch) -> None:
    path = tmp_path / "cut.onnx"
    pretend(monkeypatch, 0.7)
    with pytest.raises(UserError, match=r"0\.70 grey levels off at 128×96; not written"):
        list(export_onnx(load(root, "cut"), path))
    assert not list(tmp_path.iterdir())


def test_a_deviation_that_is_no_number_counts_as_one(
    root: Path, tmp_path: Path, monkeypatch
) -> None:
    pretend(monkeypatch, float("nan"))
    with pytest.raises(UserError, match="nan grey levels off"):
        list(export_onnx(load(root, "cut"), tmp_path / "cut.onnx"))


def test_a_network_of_one_size_is_traced_at_that_size(root: Path, monkeypatch) -> None:
    applied = load(root, "cut")

    def check(height: int, width: int) -> None:
        if (height, width) != (256, 256):
            raise UserError("256×256 only")

    monkeypatch.setattr(applied.method, "check", check)
    plan = onnx._plan(applied)
    assert plan.sizes == ((256, 256),)
    assert plan.dimensions() is None
    assert onnx._sides(plan) == "photographs of 256×256 px only"
