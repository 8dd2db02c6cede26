"""`atelier zoo`, and what the other commands do with the zoo, as somebody new would type it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from atelier.core import zoo_files
from atelier.core.files import write_json
from atelier.serving.stylizer import Applied
from support.cli import atelier
from support.models import project, train
from support.pictures import save
from support.zoo import entry


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with a zoo; the working directory is outside any project and has a picture."""
    monkeypatch.delenv("ATELIER_ZOO")
    root = tmp_path / "checkout"
    for name in ("adain", "cut"):
        entry(root / "zoo", name)
    (root / "zoo.dvc").touch()
    monkeypatch.setattr(zoo_files, "CHECKOUT", root)
    monkeypatch.chdir(tmp_path)
    save(tmp_path / "me.png", seed=1)
    return root


def test_stylize_works_in_any_folder_and_says_with_what(checkout, monkeypatch, capsys) -> None:
    assert atelier(monkeypatch, "stylize", "me.png", "-m", "cut", "-o", "out") == 0
    assert Path("out/me-cut.png").is_file()
    assert "note: cut: pretrained weights of the zoo (12,000 steps on" in capsys.readouterr().err
    given = ["me.png", "-m", "adain", "-s", "me.png", "-o", "out"]
    assert atelier(monkeypatch, "stylize", *given) == 0
    assert Path("out/me-adain.png").is_file()


def test_methods_lists_the_zoo_outside_a_project(checkout, monkeypatch, capsys) -> None:
    assert atelier(monkeypatch, "methods") == 0
    rows = capsys.readouterr().out.splitlines()[2:]
    assert [row.split()[0] for row in rows] == ["adain", "cut"]
    assert all("pretrained, 12,000 steps" in row for row in rows)


def test_methods_tells_ones_own_from_the_zoos(checkout, monkeypatch, capsys) -> None:
    monkeypatch.chdir(project(checkout, "cut"))
    assert atelier(monkeypatch, "methods") == 0
    lines = capsys.readouterr().out.splitlines()
    rows = {line.split()[0]: " ".join(line.split()) for line in lines[2:6]}
    assert "arbitrary pretrained, 12,000 steps" in rows["adain"]
    assert "unpaired ready" in rows["cut"]
    assert "per_style no" in rows["fast_night"]
    assert "optimisation ready" in rows["gatys"]


def test_ones_own_training_is_used_and_said(checkout, monkeypatch, capsys) -> None:
    save(project(checkout, "cut") / "me.png", seed=1)
    monkeypatch.chdir(checkout)
    assert atelier(monkeypatch, "stylize", "me.png", "-m", "cut", "-o", "out") == 0
    assert "note: cut: weights of your own training (steps: 1)" in capsys.readouterr().err


def test_a_zoo_that_was_not_pulled_says_what_to_do(checkout, monkeypatch, capsys) -> None:
    (checkout / "zoo").rename(checkout / "away")
    for command in (["stylize", "me.png", "-m", "cut", "-o", "out"], ["methods"], ["zoo"]):
        assert atelier(monkeypatch, *command) == 1
        assert f"`dvc pull zoo.dvc` in {checkout}" in capsys.readouterr().err


def test_zoo_lists_shows_and_checks(checkout, monkeypatch, capsys) -> None:
    assert atelier(monkeypatch, "zoo") == 0
    rows = capsys.readouterr().out.splitlines()
    assert rows[2].split()[:4] == ["adain", "adain", "12,000", "1.5"]
    assert rows[3].endswith("82.3     1.26  vgg19     photographs and Van Gogh")
    assert atelier(monkeypatch, "zoo", "show", "cut") == 0
    assert json.loads(capsys.readouterr().out)["licence"] == "MIT"
    assert atelier(monkeypatch, "zoo", "check", "--apply") == 0
    assert "2 entries, " in capsys.readouterr().out
    (checkout / "zoo/cut/model.safetensors").write_bytes(b"x")
    assert atelier(monkeypatch, "zoo", "check") == 1
    told = capsys.readouterr()
    assert "adain: ok" in told.out
    assert "cut: " in told.err
    assert "error: 1 of 2 are invalid" in told.err


def test_zoo_show_knows_what_there_is(checkout, monkeypatch, capsys) -> None:
    assert atelier(monkeypatch, "zoo", "show", "cyclegan") == 1
    assert "the zoo has no 'cyclegan'; it holds adain, cut" in capsys.readouterr().err


def test_zoo_add_tells_what_to_commit(checkout, monkeypatch, capsys) -> None:
    root = project(checkout, "fast_night")
    monkeypatch.chdir(root)
    assert atelier(monkeypatch, "zoo", "add", "fast_night", "--data", "one painting") == 1
    assert "fast_night has no scores; run `dvc repro evaluate@fast_night`" in (
        capsys.readouterr().err
    )
    write_json(root / "results/metrics/fast_night.json", {"frechet": 1.5, "features": "mini"})
    write_json(train(root, "fast_night") / "training.json", {"steps": 1, "training_seconds": 9})
    assert atelier(monkeypatch, "zoo", "add", "fast_night", "--data", "one painting") == 0
    told = capsys.readouterr().out
    assert "zoo/fast_night: " in told
    assert "Next: dvc add zoo && dvc push zoo.dvc && git add zoo.dvc .sample" in told
    assert zoo_files.names(root) == ["adain", "cut", "fast_night"]


def test_export_takes_the_zoos_weights(checkout, monkeypatch, capsys) -> None:
    """How they are written: tests/serving/test_onnx.py."""

    def written(applied: Applied, path: Path, _: object) -> Iterator[str]:
        kept = load_file(checkout / "zoo/cut/model.safetensors")
        networks = applied.method.inference_networks.state_dict()
        assert all(torch.equal(networks[key], value.float()) for key, value in kept.items())
        yield f"wrote {path}"

    monkeypatch.setattr("atelier.serving.onnx.export_onnx", written)
    assert atelier(monkeypatch, "export", "cut", "--onnx", "cut.onnx") == 0
    told = capsys.readouterr()
    assert "note: cut: pretrained weights of the zoo" in told.err
    assert told.out == "wrote cut.onnx\n"
