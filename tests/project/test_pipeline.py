"""The whole DAG with real DVC and MLflow on a tiny data set: what runs, what not, what fails.

It is run once (``done``, which nobody changes); each test that changes something has a copy. DVC
and the stages begin with the libraries imported (``support/warm.py``), but where a test kills them.
"""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pandas as pd
import pytest
import yaml
from PIL import Image

from atelier.core.baselines import BASELINES
from atelier.reports.parameters import STAGES
from support import bench
from support.bench import edit, environment, fake_picture, kill, run, small_project, wait_for
from support.warm import interpreters

METHODS = ["gatys", "gatys_lbfgs", "adain"]
"""Two variants of one that optimises, and one that is trained."""
DENOISED = ["gatys", "adain"]
pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("warm")]


def repro(project: Path, *options: str, check: bool = True) -> set[str]:
    """Reproduce; the stages that were really run, but for the one that reads params.yaml."""
    done = run(project, "dvc", "repro", *options, check=check)
    return set(re.findall(r"Running stage '(.+)'", done.stdout + done.stderr)) - {"settings"}


def changed(project: Path) -> dict[str, list[object]]:
    """Stage that DVC would run, as far as it can tell before others have run → why."""
    found: dict[str, list[object]] = json.loads(run(project, "dvc", "status", "--json").stdout)
    return found


def table(project: Path) -> pd.DataFrame:
    return pd.read_csv(project / "results/comparison/table.csv").set_index("method")


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory, warm: None) -> Path:
    """A project in which everything has been run; to be looked at only."""
    folder = small_project(tmp_path_factory.mktemp("bench") / "project", METHODS)
    edit(folder, "scales", "smoke", "denoise", "on", value=DENOISED)
    repro(folder)
    return folder


@pytest.fixture
def project(done: Path, tmp_path: Path) -> Path:
    """The same, to be changed."""
    return shutil.copytree(done, tmp_path / "project", symlinks=True)


def test_one_repro_leaves_pictures_numbers_a_grid_and_runs(done: Path) -> None:
    frame = table(done)
    assert set(frame.index) == {*METHODS, *BASELINES}
    assert (frame["status"] == "ok").all()
    assert frame.loc["noise_floor", ["n_generated", "n_reference"]].tolist() == [2, 2], (
        "halves of five"
    )
    frame = frame.drop("noise_floor")
    assert (frame["n_generated"] == 4).all()
    assert (frame["n_reference"] == 5).all()
    assert (frame["features"] == "mini").all()
    assert frame["content"]["identity"] == 0 < frame["content"]["gatys"]
    assert 0 < frame["content"]["colour_transfer"] < frame["content"]["paintings_pasted"]
    assert set(frame.index[frame["denoised_frechet"] > 0]) == set(DENOISED)
    for step, methods in (("stylized", METHODS), ("denoised", DENOISED)):
        for method in METHODS:
            found = list((done / f"results/{step}/{method}/images").glob("*.png"))
            assert len(found) == (4 if method in methods else 0)
    with Image.open(done / "results/comparison/grid.png") as grid:
        assert grid.width > 4 * 40
    assert {path.name.rpartition("-")[0] for path in (done / ".checkpoints").iterdir()} == {
        "train-adain"
    }, "the state that more steps go on from"
    assert (done / "results/models/adain/model.safetensors").is_file()
    assert len(pd.read_csv(done / "results/curves/adain.csv")) == 3
    sheets = {path.stem for path in (done / "results/comparison/sheets").iterdir()}
    assert sheets == {
        *("variants_gatys", "gatys_snapshots", "gatys_lbfgs_snapshots"),
        *("adain_snapshots", "adain_strength", "adain_mixture"),
    }


def test_metrics_show_prints_the_comparison(done: Path) -> None:
    shown = json.loads(run(done, "dvc", "metrics", "show", "--json").stdout)
    found = shown[""]["data"]["results/comparison/comparison.json"]["data"]
    assert found["gatys"]["frechet"] == pytest.approx(table(done).loc["gatys", "frechet"])
    assert found["identity"]["n_generated"] == 4


def test_each_method_has_one_run_that_its_results_name(done: Path) -> None:
    script = (
        "import json, mlflow; c = mlflow.MlflowClient('sqlite:///mlflow.db');"
        "e = c.get_experiment_by_name('atelier').experiment_id;"
        "print(json.dumps({r.info.run_id: [r.data.tags['method'], r.info.status,"
        " sorted(r.data.metrics), len(c.get_metric_history(r.info.run_id, 'loss/total'))]"
        " for r in c.search_runs([e])}))"
    )
    runs = json.loads(run(done, "python", "-c", script).stdout)
    assert sorted(value[0] for value in runs.values()) == sorted([*METHODS, "comparison"])
    for method in ("gatys", "gatys_lbfgs"):
        name, status, metrics, points = runs[records(done, method)["stylize"]["run_id"]]
        assert (name, status, points) == (method, "FINISHED", 2)
        assert {"frechet_mini", "seconds_per_picture", "stylize.peak_memory_mib"} <= set(metrics)
        assert ("denoised.frechet_mini" in metrics) == (method in DENOISED)
    _, status, metrics, _ = runs[records(done, "adain")["run"]["run_id"]]
    assert status == "FINISHED"
    assert {"frechet_mini", "denoised.frechet_mini", "seconds_per_picture"} <= set(metrics)
    seconds = {name for name in metrics if name.endswith(".seconds")}
    assert seconds == {"train.seconds"}, "no other stage of a trained method loads MLflow"


def records(project: Path, method: str) -> dict[str, dict[str, object]]:
    found: dict[str, dict[str, object]] = json.loads(
        (project / f"results/records/{method}.json").read_text()
    )
    return found


def test_what_is_done_again_changes_no_tracked_file(project: Path) -> None:
    """The proof of reproduction: a clean `git status` after results are made anew by each stage.

    In other processes, in which the seed of hashes is another.
    """
    run(project, "git", "add", "-A")
    before = records(project, "adain")
    with interpreters() as others, pytest.MonkeyPatch.context() as patch:
        patch.setattr(bench, "programs", others)
        again = repro(project, "--force", "evaluate_denoised@adain")
        again |= repro(project, "--force", "--single-item", "evaluate@adain", "compare")
    every = set(yaml.safe_load((project / "dvc.yaml").read_text())["stages"])
    assert {name.partition("@")[0] for name in again} == every - {"settings"}
    assert records(project, "adain")["training"] != before["training"], "it was really done again"
    assert run(project, "git", "diff", "--stat").stdout == ""
    run(project, "git", "reset", "-q")


def test_nothing_changed_runs_nothing(done: Path) -> None:
    assert repro(done) == set()


def test_a_comment_in_a_picture_sheet_retrains_nothing(project: Path) -> None:
    sheet = project / "src/atelier/reports/image_grid.py"
    sheet.write_text(sheet.read_text() + "# a remark\n")
    assert set(changed(project)) == {"settings", "compare"}


def test_a_new_entry_of_the_zoo_retrains_what_begins_from_it(project: Path) -> None:
    kept = shutil.copytree(project / "results/models/adain", project / "kept")
    edit(project, "scales", "smoke", "adain", "warm_start", value="zoo")
    failed = run(project, "dvc", "repro", "train@gatys", "train@adain", check=False)
    assert json.loads((project / "results/pretrained/gatys.json").read_text()) == {}
    assert "zoo/adain is missing; `dvc pull zoo.dvc` brings the zoo" in failed.stderr
    add_to_zoo(project, "adain", "--from", kept.name, "--data", "noise")
    ran = repro(project, "evaluate@adain")
    assert {"pretrained", "train@adain", "evaluate@adain"} <= ran
    assert not {"prepare", "reference"} & ran
    found = json.loads((project / "results/metrics/adain.json").read_text())
    assert found["pretrained"] == "30 steps on noise, then 30"
    add_to_zoo(project, "other", "--from", "zoo/adain")
    assert repro(project, "train@adain") == {"pretrained"}, "nobody begins from that entry"
    add_to_zoo(project, "adain", "--data", "noise")
    assert repro(project, "pretrained") == {"pretrained"}
    assert "train@adain" in changed(project), "the entry is another"


def add_to_zoo(project: Path, *arguments: str) -> None:
    run(project, "atelier", "zoo", "add", *arguments)
    run(project, "dvc", "add", "-q", "zoo")


def test_a_changed_method_is_run_alone_and_a_failing_one_stops_it_not(project: Path) -> None:
    edit(project, "scales", "smoke", "adain", "warm_start", value="nowhere.pt")
    edit(project, "methods", "gatys_lbfgs", "content_weight", value=3.0)
    ran = repro(project, "--keep-going", check=False)
    assert ran == {"pretrained", "train@adain", *(f"{step}@gatys_lbfgs" for step in STAGES)}
    assert "'results/metrics': 'modified'" in str(changed(project)["compare"])
    # DVC has skipped it, as it depends on a failed stage; `make repro` does this:
    repro(project, "--single-item", "compare")
    frame = table(project)
    assert frame.loc["adain", "status"] == "failed"
    assert "nowhere.pt" in frame.loc["adain", "error"]
    assert frame.loc["gatys_lbfgs", "status"] == "ok"
    edit(project, "scales", "smoke", "adain", "warm_start", value=None)
    edit(project, "methods", "gatys_lbfgs", "content_weight", value=1.0)
    assert repro(project) <= {"compare"}  # the rest comes back from the cache
    assert (table(project)["status"] == "ok").all()


def test_a_mistake_in_params_stops_everything_before_it_begins(project: Path) -> None:
    edit(project, "scales", "full", "gatys", "features", value="nonsense")
    edit(project, "methods", "gatys", "content_weight", value="2")
    done = run(project, "dvc", "repro", "--keep-going", check=False)
    said = done.stdout + done.stderr
    assert "scales.full.gatys.features: 'nonsense' is not a network" in said
    assert "methods.gatys.content_weight: has to be a number (found '2')" in said
    assert set(re.findall(r"Running stage '(.+)'", said)) <= {"settings"}
    edit(project, "scales", "full", "gatys", "features", value="vgg16")
    edit(project, "methods", "gatys", "content_weight", value=1.0)
    assert repro(project) == set()


def test_killed_in_stylize_it_continues_and_gives_the_same_pictures(project: Path) -> None:
    edit(project, "scales", "smoke", "gatys", "batch", value=1)
    edit(project, "scales", "smoke", "gatys", "steps", value=40)
    killed = start(project, "stylize@gatys")
    wait_for(lambda: list((project / ".checkpoints").glob("stylize-gatys-*/batch-*.json")), killed)
    kill(killed)
    assert not list((project / "results/stylized/gatys").glob("images/*.png"))
    again = run(project, "dvc", "repro", "stylize@gatys")
    assert re.search(r"[1-3] of 4 batches are finished", again.stdout + again.stderr)
    resumed = pictures(project)
    repro(project, "--force", "--single-item", "stylize@gatys")
    assert pictures(project) == resumed
    assert len(resumed) == 4


def test_killed_in_train_it_continues_and_gives_the_same_weights(project: Path) -> None:
    edit(project, "scales", "smoke", "adain", "lr", value=9e-4)
    killed = start(project, "train@adain")
    wait_for(lambda: list((project / ".checkpoints").glob("train-adain-*/step-*.pt")), killed)
    kill(killed)
    assert not (project / "results/models/adain/model.safetensors").exists()
    (begun,) = (project / ".checkpoints").glob("train-adain-*/run.json")
    begun_as = json.loads(begun.read_text())
    again = run(project, "dvc", "repro", "train@adain")
    assert re.search(r"resumes after step \d+ of 30", again.stdout + again.stderr)
    assert records(project, "adain")["run"]["run_id"] == begun_as["run_id"]
    weights = project / "results/models/adain/model.safetensors"
    resumed = weights.read_bytes()
    repro(project, "--force", "--single-item", "train@adain")
    assert weights.read_bytes() == resumed


def test_killed_in_prepare_it_leaves_nothing_half_written(project: Path) -> None:
    for n in range(3):  # large enough that there is time to strike
        large = fake_picture(n).resize((7000, 7000))
        large.save(project / "data/photos/train" / f"large_{n}.jpg")
    run(project, "dvc", "add", "-q", "data")
    killed = start(project, "prepare")
    wait_for(lambda: list((project / "results/.prepared.part").rglob("*.png")), killed)
    kill(killed)
    assert not (project / "results/prepared").exists()
    repro(project, "prepare")
    manifest = json.loads((project / "results/prepared/manifest.json").read_text())
    assert manifest["counts"]["photos/train"]["used"] == 7
    assert not (project / "results/.prepared.part").exists()


def start(project: Path, stage: str) -> subprocess.Popen[bytes]:
    """`dvc repro` in the background, in a process group of its own."""
    command = ["dvc", "repro", stage]
    return subprocess.Popen(
        command,
        cwd=project,
        env=environment(cold=True),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def pictures(project: Path) -> dict[str, bytes]:
    folder = project / "results/stylized/gatys/images"
    return {path.name: path.read_bytes() for path in folder.glob("*.png")}
