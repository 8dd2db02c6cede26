"""How a method was trained, read from what the training left; and how to do it again."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from dvc.utils.hydra import apply_overrides

from atelier.core import records
from atelier.core.config import Params, UserError
from atelier.reports import curves, parameters, protocol
from atelier.tracking import links, ui
from support import settings_file
from support.projects import RUN, alone_in, put, repeat
from support.settings import differing

ROOT = Path(__file__).parents[2]
OURS = Params.load(ROOT / "params.yaml")


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return alone_in(tmp_path, monkeypatch)


def params(root: Path) -> Params:
    return Params.load(root / "params.yaml")


@pytest.mark.parametrize("content", [None, "{", "[1]", '"card"'])
def test_a_record_that_is_none_is_empty(root: Path, content: str | None) -> None:
    if content is not None:
        put(root, "models/gatys/card.json", content)
    assert records.record(root, "gatys", "card") == {}
    assert records.record(root, "../gatys", "card") == {}
    assert records.record(root, "cut_x", "card")["kind"] == "unpaired"


def test_curves_of_training_and_stylisation(root: Path) -> None:
    put(root, "stylized/cut_x/curves.csv", "step,total,never\n1,4.0,\n2,3.0,\n")
    put(root, "curves/gatys.csv", "step\n")
    put(root, "stylized/gatys/curves.csv", "")
    found = curves.curves(root, "cut_x")
    assert list(found) == [curves.TRAINING, curves.STYLISATION]
    assert found[curves.TRAINING]["gan"].to_dict() == {5.0: 1.5, 10.0: 0.5}
    assert list(found[curves.STYLISATION]) == ["total"]
    assert curves.curves(root, "gatys") == {}


@pytest.mark.parametrize("text", ["step,total\n1,much\n", "a,b\n1,2\n", 'step,"total\n1,2'])
def test_curves_that_are_none_are_named(root: Path, text: str) -> None:
    put(root, "curves/cut_x.csv", text)
    with pytest.raises(UserError, match=r"curves/cut_x.csv: is not a table of numbers by step"):
        curves.curves(root, "cut_x")


@pytest.mark.parametrize("found", [{}, {"run_id": None}, {"run_id": 3}, {"run_id": "a/../b"}])
def test_only_a_plain_id_is_an_id(root: Path, found: dict[str, object]) -> None:
    assert links.run_ids(root, "cut_x") == [RUN]
    put(root, "models/cut_x/run.json", found)
    assert links.run_ids(root, "cut_x") == []


def made(root: Path, found: dict[str, str]) -> None:
    """Pictures and scores of one stylisation, whose runs are in the records."""
    records.set_aside(root, "cut_x", "stylize", found, "d1")
    for where in ("stylized/cut_x/record.json", "metrics/cut_x.json"):
        put(root, where, {records.PICTURES: "d1"})


def test_the_run_of_the_pictures_comes_before_that_of_the_training(root: Path) -> None:
    made(root, {"run_id": "anew", links.TRAINED_BY: RUN})
    assert links.run_ids(root, "cut_x") == ["anew", RUN]
    store(root, "active")
    assert links.page_of(root, "cut_x")[0].endswith(f"/runs/{RUN}"), "the other is not there"


def test_pictures_of_an_earlier_training_name_no_run(root: Path) -> None:
    made(root, {"run_id": "old", links.TRAINED_BY: "old"})
    assert links.run_ids(root, "cut_x") == [RUN]


def store(root: Path, stage: str) -> None:
    with closing(sqlite3.connect(root / "mlflow.db")) as db, db:
        db.execute("CREATE TABLE runs (run_uuid, experiment_id, lifecycle_stage)")
        db.execute("INSERT INTO runs VALUES (?, 7, ?)", (RUN, stage))


def test_the_address_of_a_run(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store(root, "active")
    assert links.run_page(RUN) == (f"{ui.address()}/#/experiments/7/runs/{RUN}", "")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://server:8080/")
    assert links.run_page(RUN)[0] == f"http://server:8080/#/experiments/1/runs/{RUN}"


def test_why_a_run_has_no_address(root: Path) -> None:
    assert "Tracking was not available" in links.run_page(None)[1]
    assert "mlflow.db is gone" in links.run_page(RUN)[1]
    (root / "mlflow.db").write_text("no database")
    assert "does not hold it" in links.run_page(RUN)[1]
    (root / "mlflow.db").unlink()
    store(root, "deleted")
    assert "does not hold it" in links.run_page(RUN)[1]
    assert (root / "mlflow.db").stat().st_size


def test_settings_are_those_of_the_run_or_those_in_force(root: Path) -> None:
    put(root, "models/cut_x/card.json", {"parameters": {"lr": 3, "nested": {"a": 1}}})
    assert parameters.settings(root, params(root), "cut_x") == {"lr": 3, "nested.a": 1}
    assert parameters.settings(root, params(root), "gatys")["steps"] == 20


def test_settings_that_differ_come_first_and_those_all_have_before_the_others(root: Path) -> None:
    card = {"class": "gatys", "lr": 1.0, "steps": 20, "only": [1, 2]}
    put(root, "models/cut_x/card.json", {"parameters": card})
    (root / "params.yaml").write_text((root / "params.yaml").read_text().replace("20", "30"))
    found = parameters.differences(root, params(root), ["cut_x", "gatys"])
    assert list(found.index) == ["steps", "only", "features", "class", "lr"]
    assert found["differs"].tolist() == [True, True, True, False, False]
    assert found.loc["only"].tolist() == [True, "[1, 2]", parameters.UNSET]


def test_the_command_sets_back_what_has_changed(root: Path) -> None:
    """What DVC makes of it is what the run was made with."""
    before = settings_file.read(root / "params.yaml")
    shutil.copy(root / "params.yaml", root / "old.yaml")
    assert parameters.command(root, params(root), "cut_x").startswith("dvc repro train@cut_x ")
    after = settings_file.read(root / "params.yaml")
    after["scales"]["demo"]["cut_x"] = {"lr": 0.25, "layers": ["a"]}
    settings_file.write(root / "params.yaml", after)
    card = {"class": "cut", "steps": 10, "lr": 0.5}
    put(root, "models/cut_x/card.json", {"parameters": card})
    command = parameters.command(root, params(root), "cut_x")
    assert command.split("\n")[-1].strip().startswith("train@cut_x stylize@cut_x")
    lines = [line.strip(" \\") for line in command.split("\n")[1:-1]]
    apply_overrides(root / "params.yaml", [line.removeprefix("-S ").strip("'") for line in lines])
    assert parameters.changes(root, params(root), "cut_x") == {}
    assert params(root).method("gatys") == {
        **before["methods"]["gatys"],
        "steps": 20,
        "features": "mini",
    }


def test_a_repetition_is_set_back_where_it_has_its_settings(root: Path) -> None:
    again = repeat(root)
    now = params(root).method(again)
    put(root, f"models/{again}/card.json", {"parameters": {**now, "steps": 7, "seed": 9}})
    command = parameters.command(root, params(root), again)
    assert "-S scales.demo.gatys.steps=7" in command
    assert "-S methods.gatys_2.seed=9" in command


@pytest.mark.slow
@pytest.mark.parametrize("name", OURS.method_names)
def test_the_suggested_experiment_changes_its_setting_alone(tmp_path: Path, name: str) -> None:
    """What DVC makes of the lines of all scales: that setting, also of what extends the method."""
    suggested = {}
    for scale in OURS.scales:
        ours = OURS.at(scale)
        assert parameters.command(Path("nowhere"), ours, name).startswith("dvc repro train@")
        suggested[scale] = parameters.experiment(ours, name).removeprefix("dvc exp run -S ")
        if "steps" not in ours.method(name):
            assert suggested.pop(scale) == f"seed={ours.seed + 1}"
    shutil.copy(ROOT / "params.yaml", tmp_path / "params.yaml")
    apply_overrides(tmp_path / "params.yaml", sorted({*suggested.values()}))
    found = Params.load(tmp_path / "params.yaml")
    for scale in suggested:
        check_steps(OURS.at(scale), found.at(scale), name)


def check_steps(ours: Params, found: Params, name: str) -> None:
    """At one scale: the steps of ``name`` are doubled, and of what takes them from its block."""
    before, after = ({n: one.method(n) for n in ours.method_names} for one in (ours, found))
    places = {other: found.places(other).get("steps", "") for other in after}
    mine = [other for other, place in places.items() if place.endswith(f".{name}")]
    assert differing(before, after) == {f"{other}.steps" for other in mine}
    assert after[name]["steps"] == (2 * before[name]["steps"] or parameters.SOME_STEPS)


def test_what_a_block_extends_is_replaced_in_that_block_alone(root: Path) -> None:
    tree = settings_file.read(root / "params.yaml")
    tree["methods"]["cut_y"] = {"class": "cut", "extends": "cut_x", "nce_weight": 2.0}
    tree["scales"]["demo"]["cut_y"] = {"extends": "cut_x"}
    settings_file.write(root / "params.yaml", tree)
    put(root, "models/cut_y/card.json", {"parameters": {"class": "cut", "steps": 7, "lr": 0.5}})
    lines = parameters.command(root, params(root), "cut_y").splitlines()
    sets = [line.strip(" \\").removeprefix("-S ").strip("'") for line in lines[1:-1]]
    assert sorted(sets) == ["+scales.demo.cut_y.steps=7", "~methods.cut_y.nce_weight"]
    put(root, "models/cut_y/card.json", {"parameters": {"class": "cut", "steps": 10}})
    assert parameters.command(root, params(root), "cut_y").endswith("  # and, by hand, without lr")


def test_the_protocol_says_what_the_figures_were_made_with(root: Path) -> None:
    found = protocol.protocol(root, params(root), "cut_x")
    assert found["Features"] == "mini abcd relu5_1"
    assert found["Reference set"] == "4 paintings of the data set 0123456789ab"
    assert (found["Resize"], found["Seed"], found["Scale"]) == ("crop to 8 pixels", "42", "demo")
    assert "LPIPS" not in found


def test_the_setting_is_what_all_rows_share(root: Path, tmp_path: Path) -> None:
    found = protocol.setting(root, params(root))
    assert found.startswith("reference set: 4 paintings of the data set 0123456789ab · resize: ")
    assert found.endswith(" · seed: 42 · scale: demo")
    assert protocol.setting(tmp_path / "nowhere", params(root)) == ""
