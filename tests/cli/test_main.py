"""The commands that read results and bring weights; those for data have a file of their own."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from atelier.cli import main
from atelier.reports import document
from support.nets import vgg_state
from support.settings import tree


def atelier(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """Run the command line as a shell would; its exit code."""
    monkeypatch.setattr("sys.argv", ["atelier", *arguments])
    with pytest.raises(SystemExit) as ended:
        main.main()
    return int(ended.value.code or 0)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    settings = tree({"gatys": {"class": "gatys"}, "cut": {"class": "cut"}})
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(settings))
    (tmp_path / "results/metrics").mkdir(parents=True)
    scored = {"frechet": 7.25, "features": "random", "n_reference": 5, "n_generated": 2}
    (tmp_path / "results/metrics/gatys.json").write_text(json.dumps(scored))
    (tmp_path / "results/status").mkdir()
    failed = {"stage": "train", "state": "failed", "error": "no weights"}
    (tmp_path / "results/status/cut.json").write_text(json.dumps(failed))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_table_prints_every_method_and_why_one_failed(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert atelier(monkeypatch, "table") == 0
    shown = capsys.readouterr().out
    assert "7.2" in shown
    assert "cut: train: no weights" in shown


def test_a_full_disk_is_a_sentence_for_commands_too(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("no /dev/full here")
    monkeypatch.setattr(document, "write_report", lambda *_: full.write_text("x"))
    assert atelier(monkeypatch, "report") == 1
    assert capsys.readouterr().err.startswith("error: the disk is full; make room")


def test_table_is_sorted_as_asked(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert atelier(monkeypatch, "table", "--sort", "kid") == 0
    assert atelier(monkeypatch, "table", "--sort", "beauty") == 1
    assert "'beauty' is not a column to sort by" in capsys.readouterr().err


def test_table_outside_a_project_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert atelier(monkeypatch, "table") == 1
    assert capsys.readouterr().err.startswith("error: no params.yaml")


@pytest.mark.parametrize(
    ("words", "absent"),
    [
        (["--help"], ("torch", "pandas", "PIL", "numpy")),
        (["table"], ("torch", "mlflow")),
        (["stylize", "--help"], ("torch", "pandas", "PIL", "numpy")),
    ],
)
def test_what_needs_no_torch_does_not_wait_for_it(
    project: Path, words: list[str], absent: tuple[str, ...]
) -> None:
    code = (
        "import sys\nfrom atelier.cli.main import app\n"
        f"sys.argv = ['atelier', *{words}]\n"
        "try:\n    app()\nexcept SystemExit:\n    pass\n"
        f"print([name for name in {absent} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_register_tells_each_model(project: Path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(
        "atelier.serving.registry.publish", lambda *_, **__: iter(["cut: version 1", "adain: 2"])
    )
    assert atelier(monkeypatch, "register") == 0
    assert capsys.readouterr().out == "cut: version 1\nadain: 2\n"


def test_register_with_a_store_that_takes_nothing_fails(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{project}/params.yaml/mlflow.db")
    assert atelier(monkeypatch, "register") == 1
    error = capsys.readouterr().err.splitlines()
    assert error[-1].startswith("error: the tracking store took nothing, see above")
    assert len(error) == 2


def test_weights_convert_writes_the_file_the_resolver_looks_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source, state = tmp_path / "squeezenet1_1-mine.safetensors", vgg_state("squeezenet1_1")
    save_file(state, source)
    assert atelier(monkeypatch, "weights", "convert", str(source), "--out", str(tmp_path)) == 0
    found = load_file(tmp_path / "squeezenet1_1.safetensors")
    assert all(torch.equal(found[name], weight) for name, weight in state.items())
    assert f"ATELIER_WEIGHTS={tmp_path}" in capsys.readouterr().out.replace("\n", "")


def test_weights_of_an_unknown_network_are_refused_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "thing.safetensors"
    save_file({"a": torch.zeros(1)}, source)
    assert atelier(monkeypatch, "weights", "convert", str(source)) == 1
    assert "give --name" in capsys.readouterr().err


def test_table_in_other_formats(project: Path, monkeypatch, capsys) -> None:
    assert atelier(monkeypatch, "table", "--format", "latex") == 0
    assert r"\begin{tabular}" in capsys.readouterr().out
    assert atelier(monkeypatch, "table", "--format", "word") == 1
    assert "--format word: is none of text, markdown, latex, csv" in capsys.readouterr().err
    assert atelier(monkeypatch, "table", "--against", "gatys") == 1
    assert "gatys: no paired differences of frechet" in capsys.readouterr().err


def test_table_with_several_seeds(project: Path, monkeypatch, capsys) -> None:
    settings = yaml.safe_load((project / "params.yaml").read_text())
    settings["methods"]["gatys_2"] = {"class": "gatys", "extends": "gatys", "seed": 2}
    (project / "params.yaml").write_text(yaml.safe_dump(settings))
    scored = json.loads((project / "results/metrics/gatys.json").read_text())
    again = {**scored, "frechet": scored["frechet"] + 2}
    (project / "results/metrics/gatys_2.json").write_text(json.dumps(again))
    assert atelier(monkeypatch, "table") == 0
    shown = capsys.readouterr().out
    assert "gatys (2 seeds)" in shown
    assert "8.2 ± 1.4" in shown
    for options in (["--each"], ["--format", "csv"]):
        assert atelier(monkeypatch, "table", *options) == 0
        shown = capsys.readouterr().out
        assert "gatys_2" in shown
        assert "seeds" not in shown


def test_report_writes_one_file(project: Path, monkeypatch, capsys) -> None:
    assert atelier(monkeypatch, "report", "--out", "r.html") == 0
    assert "wrote r.html" in capsys.readouterr().out
    assert "gatys" in (project / "r.html").read_text(encoding="utf-8")
