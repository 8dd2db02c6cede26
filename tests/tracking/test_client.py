"""The store of the runs: continued, crowded, moved, broken."""

import json
import math
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from atelier.core.layout import PhotosFrom
from atelier.tracking import client, links, provenance, store
from atelier.tracking.client import Run, open_run
from atelier.tracking.inputs import data_inputs

NAMES = {f"GIT_{who}_{what}": "a" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
IDENTITY = {**os.environ, **NAMES, "DVC_NO_ANALYTICS": "1"}
PARAMS = {"method": {"steps": 10, "layers": ["a", "b"]}, "seed": 0}


@pytest.fixture(autouse=True)
def project(tmp_path: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "a project"
    root.mkdir()
    shutil.copy(empty_store, root)
    (root / "params.yaml").write_text(
        "scale: demo\nseed: 1\nmethods: {gatys: {class: gatys}}\n"
        "scales: {demo: {gatys: {steps: 3}}, full: {gatys: {steps: 3}}}\n"
    )
    monkeypatch.chdir(root)
    for name in ("MLFLOW_TRACKING_URI", "DVC_ROOT", "DVC_STAGE", "DVC_EXP_NAME"):
        monkeypatch.delenv(name, raising=False)
    return root


def open_store():
    return client.library().MlflowClient(store.store_uri())


def stored(run_id: str | None):
    return open_store().get_run(run_id)


def in_another_process(python: Path, code: str, root: Path) -> str:
    text = f"from atelier.tracking.client import open_run\n{code}"
    done = subprocess.run(
        [python, "-c", text], cwd=root, capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    return done.stdout.strip()


def test_a_run_holds_parameters_tags_cost_and_ends_finished(project: Path, monkeypatch) -> None:
    monkeypatch.setenv("DVC_STAGE", "train@gatys")
    monkeypatch.setenv("DVC_EXP_NAME", "brave-cat")
    tags = {"scale": "demo", "features": "mini", "data": "d1", "empty": None}
    with open_run("gatys", "train", PARAMS, tags) as run:
        assert stored(run.id).info.status == "RUNNING"
        run.summary({"frechet": 12.5, "unknown": None})
    found = stored(run.id)
    assert found.info.status == "FINISHED"
    assert found.info.run_name == "gatys brave-cat"
    assert found.data.params == {
        "method.steps": "10", "method.layers": "['a', 'b']", "seed": "0"
    }  # fmt: skip
    assert found.data.metrics["frechet"] == 12.5
    assert 0 <= found.data.metrics["train.seconds"] < 60
    assert found.data.metrics["train.peak_memory_mib"] > 50
    assert "unknown" not in found.data.metrics
    expected = {"method": "gatys", "scale": "demo", "features": "mini", "data": "d1"}
    expected |= {"DVC_STAGE": "train@gatys", "DVC_EXP_NAME": "brave-cat"}
    assert expected.items() <= found.data.tags.items()
    assert "empty" not in found.data.tags


def test_a_thousand_points_arrive_in_few_batches(monkeypatch) -> None:
    calls = []
    with open_run("gatys", "train", {}) as run:
        real = run._client.log_batch
        monkeypatch.setattr(
            run._client, "log_batch", lambda *a, **k: (calls.append(k), real(*a, **k))
        )
        for step in range(1300):
            run.metrics({"loss": torch.tensor(1 / (step + 1)), "loss/style*": step}, step)
    history = open_store().get_metric_history(run.id, "loss")
    assert [point.step for point in history] == list(range(1300))
    assert history[3].value == 0.25
    assert len(open_store().get_metric_history(run.id, "loss/style_")) == 1300
    assert len(calls) <= 5
    assert max(len(call["metrics"]) for call in calls) <= 1000


def test_points_do_not_wait_for_the_end(monkeypatch) -> None:
    monkeypatch.setattr(client, "FLUSH_SECONDS", 0.0)
    with open_run("gatys", "train", {}) as run:
        run.metrics({"loss": 1.0}, 0)
        assert stored(run.id).data.metrics["loss"] == 1.0


def test_values_that_are_not_finite_do_not_flatten_the_curve() -> None:
    with open_run("gatys", "train", {}) as run:
        for step, value in enumerate([1.0, math.inf, math.nan, 2.0]):
            run.metrics({"loss": value}, step)
    values = [point.value for point in open_store().get_metric_history(run.id, "loss")]
    assert values[0] == 1.0
    assert values[3] == 2.0
    assert all(math.isnan(value) for value in values[1:3])


def test_pictures_and_files_arrive_below_the_root(project: Path) -> None:
    (project / "card.json").write_text("{}")
    with open_run("gatys", "train", {}) as run:
        run.image(torch.rand(3, 16, 16), "sample", 5)
        run.artifact("card.json", "model")
    files = [p.relative_to(project / "mlartifacts") for p in project.rglob("mlartifacts/**/*.*")]
    names = sorted(str(path) for path in files)
    assert f"{run.id}/artifacts/model/card.json" in names
    assert any("sample" in name and name.endswith(".png") for name in names)


@pytest.mark.parametrize(
    ("error", "status"), [(ValueError("boom"), "FAILED"), (KeyboardInterrupt(), "KILLED")]
)
def test_an_error_passes_through_and_is_the_status(error: BaseException, status: str) -> None:
    run = open_run("gatys", "train", {})
    run.metrics({"loss": 1.0}, 0)
    with pytest.raises(type(error)), run:
        raise error
    assert stored(run.id).info.status == status
    assert stored(run.id).data.metrics["loss"] == 1.0


@pytest.mark.slow
def test_the_next_stage_in_another_process_continues_the_run(
    project: Path, warm_programs: Path
) -> None:
    code = 'with open_run("gatys", "train", {"a": 1}) as run: print(run.id)'
    first = in_another_process(warm_programs / "python", code, project)
    with open_run("gatys", "evaluate", {"a": 1, "b": 2}, run_id=first) as run:
        assert run.id == first
        assert stored(first).info.status == "RUNNING"
    found = stored(first)
    assert found.data.params == {"a": "1", "b": "2"}
    assert {"train.seconds", "evaluate.seconds"} <= found.data.metrics.keys()
    assert "continues" not in found.data.tags


def test_other_parameters_start_a_run_that_names_the_old_one() -> None:
    with open_run("gatys", "train", {"steps": 1}) as old:
        pass
    with open_run("gatys", "stylize", {"steps": 2}, run_id=old.id) as new:
        pass
    assert new.id != old.id
    assert stored(new.id).data.tags["continues"] == old.id
    assert stored(new.id).data.params == {"steps": "2"}
    assert stored(old.id).data.params == {"steps": "1"}


@pytest.mark.parametrize("how", ["unknown", "deleted"])
def test_a_missing_run_is_replaced(how: str) -> None:
    old = "0" * 32
    if how == "deleted":
        with open_run("gatys", "train", {}) as gone:
            old = gone.id
        open_store().delete_run(old)
    with open_run("gatys", "stylize", {}, run_id=old) as new:
        pass
    assert new.id not in {old, None}
    assert stored(new.id).data.tags["continues"] == old


def test_a_deleted_experiment_is_restored() -> None:
    with open_run("gatys", "train", {}) as first:
        pass
    open_store().delete_experiment(stored(first.id).info.experiment_id)
    with open_run("gatys", "train", {}) as second:
        pass
    assert stored(second.id).info.status == "FINISHED"


@pytest.mark.slow
def test_processes_that_start_at_once_share_a_fresh_store(
    project: Path, warm_programs: Path
) -> None:
    code = (
        "from atelier.tracking.client import open_run\n"
        'with open_run("gatys", "train", {}) as run:\n'
        '    [run.metrics({"loss": i}, i) for i in range(300)]\n'
        "print(run.id)"
    )
    (project / "mlflow.db").unlink()
    command = [warm_programs / "python", "-c", code]
    jobs = [
        subprocess.Popen(
            command, cwd=project, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for _ in range(3)
    ]
    outputs = [job.communicate(timeout=600) for job in jobs]
    assert [error for _, error in outputs] == [""] * 3
    ids = {out.strip() for out, _ in outputs}
    assert len(ids) == 3
    runs = [stored(run_id) for run_id in ids]
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert len({run.info.experiment_id for run in runs}) == 1
    assert len(open_store().get_metric_history(ids.pop(), "loss")) == 300


def test_a_temporary_copy_tracks_into_the_main_root(project: Path, tmp_path: Path, monkeypatch):
    copy = tmp_path / "copy"
    copy.mkdir()
    shutil.copy("params.yaml", copy)
    monkeypatch.chdir(copy)
    monkeypatch.setenv("DVC_ROOT", str(project))
    with open_run("gatys", "train", {}) as run:
        run.image(torch.rand(3, 8, 8), "sample", 0)
    assert (project / "mlflow.db").is_file()
    assert (project / "mlartifacts" / str(run.id)).is_dir()
    assert not list(copy.glob("ml*"))


STAGES = """\
stages:
  train:
    cmd: python train.py
    deps: [train.py]
    params: [scale]
    outs: [run.json]
"""
TRAIN = """\
from pathlib import Path
from atelier.core.config import Params
from atelier.tracking.client import open_run
known = {"cwd": str(Path.cwd()), "scale": Params.load().block("scale")}
with open_run("gatys", "train", known) as run:
    Path("run.json").write_text(str(run.id))
"""


WAYS = {
    "workspace": [["exp", "run", "--name", "brave-cat", "-S", "scale=full"]],
    "temp": [["exp", "run", "--temp", "--name", "brave-cat", "-S", "scale=full"]],
    "queue": [
        ["exp", "run", "--queue", "--name", "brave-cat", "-S", "scale=full"],
        ["exp", "run", "--run-all"],
    ],
}
"""How an experiment can be run; only the first works in the project's own folder."""


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_a_dvc_experiment_tracks_into_the_main_root_wherever_it_runs(
    project: Path, way: str, warm_programs: Path
) -> None:
    (project / "dvc.yaml").write_text(STAGES)
    (project / "train.py").write_text(TRAIN)
    (project / ".gitignore").write_text("/run.json\n/mlflow.db*\n/mlartifacts\n")
    folders = [str(warm_programs), str(Path(sys.executable).parent), os.environ["PATH"]]
    path = os.pathsep.join(folders)  # DVC's queue starts its worker as ``dvc``
    for command in (
        ["git", "init"],
        ["dvc", "init", "-q"],
        ["git", "add", "."],
        ["git", "commit", "-m", "first"],
        *(["dvc", *words] for words in WAYS[way]),
    ):
        done = subprocess.run(
            command,
            cwd=project,
            capture_output=True,
            text=True,
            check=False,
            env={**IDENTITY, "PATH": path},
            timeout=300,
        )
        assert done.returncode == 0, done.stdout + done.stderr
    (run,) = open_store().search_runs(["1"])
    assert run.info.status == "FINISHED"
    assert (run.data.params["cwd"] == str(project)) is (way == "workspace")
    assert run.data.params["scale"] == "full"
    assert run.data.tags["DVC_EXP_NAME"] == "brave-cat"
    assert run.data.tags["DVC_STAGE"] == "train"
    assert run.info.run_name == "gatys brave-cat"


@pytest.mark.slow
def test_a_copied_project_leaves_the_original_alone(
    project: Path, warm_programs: Path, tmp_path: Path, monkeypatch
) -> None:
    (project / "a.txt").write_text("a")
    code = 'with open_run("gatys", "train", {}) as r: r.artifact("a.txt"), print(r.id)'
    run_id = in_another_process(warm_programs / "python", code, project)
    copy = tmp_path / "copy"
    shutil.copytree(project, copy)
    monkeypatch.chdir(copy)
    (copy / "b.txt").write_text("b")
    with open_run("gatys", "stylize", {}, run_id=run_id) as again:
        again.artifact("b.txt")
    assert again.id == run_id
    assert [file.path for file in open_store().list_artifacts(run_id)] == ["a.txt", "b.txt"]
    assert not list(project.rglob("mlartifacts/**/b.txt"))


@pytest.mark.parametrize("name", ["what?", "a#b", "p%20x/q%3Fx?a=b", "é ö", "a'b\"c;$d{e}[f]"])
def test_a_project_may_lie_in_a_folder_of_any_name(name: str, empty_store, tmp_path, monkeypatch):
    root = tmp_path / name
    root.mkdir(parents=True)
    shutil.copy(empty_store, root)
    (root / "params.yaml").write_text("methods: {}")
    monkeypatch.chdir(root)
    before = sorted(tmp_path.rglob("*"))
    with open_run("gatys", "train", {}) as run:
        run.metrics({"loss": 2.0}, 1)
        run.artifact("params.yaml")
    assert stored(run.id).data.metrics["loss"] == 2.0
    assert (root / "mlartifacts" / run.id / "artifacts" / "params.yaml").is_file()
    assert Path(open_store().download_artifacts(run.id, "params.yaml")).read_text() == "methods: {}"
    assert links.run_page(run.id)[0].endswith(f"/runs/{run.id}")
    store.drop_stray_folders(store.store_uri())  # of the two clients above
    strays = [path for path in tmp_path.rglob("*") if root not in (path, *path.parents)]
    assert set(strays) <= set(before)


def test_the_file_of_an_address_is_the_one_the_library_opens() -> None:
    path = Path("/a?b/c%20d/%/e#f/mlflow.db")
    assert store.database_of(store.sqlite_uri(path)) == path
    assert store.database_of("sqlite:///a%20b/x.db?timeout=5") == Path("a b/x.db")
    assert store.database_of("postgresql://a/b") is None


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def broken(kind: str, root: Path) -> str:
    (root / "mlflow.db").unlink()
    if kind == "corrupt":
        (root / "mlflow.db").write_bytes(b"this is no database" * 100)
    if kind == "a folder":
        (root / "mlflow.db").mkdir()
    if kind == "below a file":
        return f"sqlite:///{root}/params.yaml/mlflow.db"
    if kind == "unreachable":
        return f"http://127.0.0.1:{closed_port()}"
    return ""


@pytest.mark.parametrize("kind", ["corrupt", "a folder", "below a file", "unreachable"])
def test_a_dead_store_is_one_line_and_nothing_else(kind, project, monkeypatch, caplog) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", broken(kind, project))
    began = time.monotonic()
    for _ in range(2):
        with open_run("gatys", "train", PARAMS) as run:
            assert run.id is None
            for step in range(2000):
                run.metrics({"loss": 1.0}, step)
            run.image(torch.rand(3, 8, 8), "sample", 0)
            run.artifact("params.yaml")
            run.summary({"frechet": 1.0})
    assert time.monotonic() - began < 10
    assert len(caplog.records) == 1
    assert caplog.records[0].name == "atelier.tracking.client"
    assert "\n" not in caplog.records[0].getMessage()


@pytest.mark.slow
def test_the_line_reaches_the_terminal(project: Path) -> None:
    (project / "mlflow.db").write_bytes(b"this is no database" * 100)
    code = 'from atelier.tracking.client import open_run\nopen_run("gatys", "train", {}).close()'
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=project, capture_output=True, text=True, check=True
    )
    assert done.stderr.count("\n") == 1
    assert "not a database" in done.stderr


def test_a_store_that_dies_on_the_way_is_left_alone(project: Path, caplog) -> None:
    with open_run("gatys", "train", {}) as run:
        run.metrics({"loss": 1.0}, 0)
        run.flush()
        (project / "mlflow.db").write_bytes(b"gone" * 10_000)
        for step in range(3000):
            run.metrics({"loss": 1.0}, step)
    assert len(caplog.records) == 1
    assert run.id is not None


def test_a_store_that_hangs_costs_its_time_limit_twice_whatever_is_left(caplog) -> None:
    """Each method has two calls in `compare`: with thirty of them that was half an hour."""
    asked = []

    class Hanging:
        def __getattr__(self, name: str) -> object:
            asked.append(name)
            raise TimeoutError("Read timed out. (read timeout=10)")

    run = open_run("comparison", "compare", {})
    run._client = Hanging()
    for name in ("adain", "cut", "gatys"):
        assert run.attempt(f"scores of {name}", lambda: run.client.search_runs(["1"])) is None
        run.image(torch.rand(3, 8, 8), "sample", 0)
    run.note("text")
    run.close()
    assert asked == ["search_runs", "get_run"]
    assert run.lost == ["tracking"]
    assert open_run("adain", "compare", {}).id is None
    assert [r.getMessage().partition(" from")[0] for r in caplog.records] == ["MLflow: no tracking"]


def test_lost_pictures_do_not_end_the_curves(project: Path, caplog) -> None:
    (project / "mlartifacts").write_text("a file where the folder should be")
    with open_run("gatys", "train", {}) as run:
        run.image(torch.rand(3, 8, 8), "sample", 0)
        run.image(torch.rand(3, 8, 8), "sample", 1)
        run.metrics({"loss": 3.0}, 0)
    assert stored(run.id).data.metrics["loss"] == 3.0
    assert len(caplog.records) == 1
    assert "no pictures and files" in caplog.records[0].getMessage()


def test_a_run_can_be_described(caplog) -> None:
    with open_run("gatys", "train", {}) as run:
        run.note("**gatys** on `mini`")
    assert stored(run.id).data.tags["mlflow.note.content"] == "**gatys** on `mini`"
    assert not caplog.records


def test_what_the_process_uses_is_sampled_with_the_points(monkeypatch) -> None:
    monkeypatch.setattr(client, "FLUSH_SECONDS", 0.0)
    with open_run("gatys", "train", {}) as run:
        run.metrics({"loss": 1.0}, 0)
    found = stored(run.id).data.metrics
    assert found["system/train.cpu_percent"] >= 0
    assert found.get("system/train.memory_mib", 100) > 50


@pytest.mark.parametrize(
    "odd", ["/a", "a/", "a//b", "./a", "a/../../b", "..", "<img src='//x'>", ""]
)
def test_any_name_becomes_one_that_the_store_takes(odd: str, caplog) -> None:
    with open_run("gatys", "train", {odd: 1}, {odd: 2}) as run:
        run.metrics({odd: 3.0}, 0)
    found = stored(run.id).data
    assert found.params == {store.clean(odd): "1"}
    assert found.metrics[store.clean(odd)] == 3.0
    assert not caplog.records


def test_a_run_stops_asking_a_store_that_another_of_its_process_found_dead(caplog) -> None:
    with open_run("comparison", "compare", {}) as run:
        client._dead.add(store.store_uri())  # by a run that could not be opened
        assert run.attempt("scores", lambda: 1) is None
    assert run.lost == ["tracking"]
    assert not caplog.records


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("(raised as a result of autoflush)\n(sqlite3.OperationalError) disk is full\n[SQL: x",
         "ValueError: (sqlite3.OperationalError) disk is full"),
        ("one\ntwo", "ValueError: one"),
        ("", "ValueError: "),
    ],
)  # fmt: skip
def test_the_line_of_a_message_that_names_the_cause(text: str, line: str) -> None:
    assert store.brief(ValueError(text)) == line


def test_an_attempt_gives_what_the_store_gave_or_nothing(caplog) -> None:
    with open_run("gatys", "train", {}) as run:
        assert run.attempt("name", lambda: run.client.get_run(run.id).info.run_name)
        assert run.attempt("division", lambda: 1 / 0) is None
        assert run.attempt("division", lambda: 1) is None, "it was given up"
        assert run.attempt("other things", lambda: 2) == 2
    assert [r.getMessage().partition(" from")[0] for r in caplog.records] == ["MLflow: no division"]


def test_a_closed_run_takes_nothing_more() -> None:
    run = open_run("gatys", "train", {})
    run.close()
    run.metrics({"late": 1.0}, 0)
    run.close("FAILED")
    assert stored(run.id).info.status == "FINISHED"
    assert "late" not in stored(run.id).data.metrics


def test_git_tags_ignore_what_dvc_rewrites(project: Path) -> None:
    def git(*arguments: str) -> None:
        command = ["git", *arguments]
        subprocess.run(command, cwd=project, check=True, capture_output=True, env=IDENTITY)

    assert provenance.git_tags() == {}
    (project / "dvc.lock").write_text("a")
    git("init")
    git("add", ".")
    git("commit", "-m", "first")
    (project / "dvc.lock").write_text("b")
    assert provenance.git_tags()["git.dirty"] == "false"
    (project / "params.yaml").write_text("scale: full\n")
    tags = provenance.context("train")
    assert tags["git.dirty"] == tags["train.git.dirty"] == "true"
    assert len(tags["mlflow.source.git.commit"]) == 40


def test_an_unused_run_costs_no_import_of_mlflow() -> None:
    code = "import sys, atelier.tracking; sys.exit('mlflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_run_that_never_opened_is_inert() -> None:
    run = Run("train")
    run.metrics({"loss": 1.0}, 0)
    assert run.id is None
    assert "MLFLOW_TRACKING_URI" not in os.environ


@pytest.mark.slow
@pytest.mark.parametrize("when", ["at work", "as it opens"])
def test_a_run_whose_process_was_killed_is_closed_by_whoever_looks_next(
    project: Path, warm_programs: Path, when: str
) -> None:
    kill = "client._send = lambda *_: os._exit(9)\n" if when == "as it opens" else ""
    begin = "import os\nfrom atelier.tracking import client\nclient.open_run('cut', 'train', {})\n"
    text = begin.replace("client.open_run", f"{kill}client.open_run") + "os._exit(9)"
    done = subprocess.run([warm_programs / "python", "-c", text], cwd=project, check=False)
    assert done.returncode == 9
    (killed,) = open_store().search_runs(["1"])
    assert killed.info.status == "RUNNING"
    with open_run("comparison", "compare", {}) as living:
        assert stored(killed.info.run_id).info.status == "KILLED"
        client.close_killed(open_store(), stored(living.id).info.experiment_id)
        assert stored(living.id).info.status == "RUNNING"


def test_the_data_sets_and_the_source_stand_where_mlflow_looks_for_them(project: Path) -> None:
    manifest = project / "manifest.json"
    picture = {"file": "paintings/a.png", "split": "paintings", "sha256": "12", "size": [8, 8]}
    photo = {**picture, "file": "photos/test/b.png", "split": "photos/test"}
    manifest.write_text(json.dumps({"pictures": [picture, photo]}))
    found = data_inputs(manifest)
    with open_run("gatys", "train", PARAMS) as run:
        run.inputs(found)
        run.inputs(found)  # a resumed stage names them again
    logged = {one.dataset.name: one for one in stored(run.id).inputs.dataset_inputs}
    assert len(stored(run.id).inputs.dataset_inputs) == 2
    dataset = logged["photos/test"].dataset
    assert dataset.digest == found[1].digest
    assert json.loads(dataset.source) == {"uri": "data/photos/test"}
    assert [tag.value for tag in logged["paintings"].tags] == ["style"]
    tags = stored(run.id).data.tags
    assert (tags["mlflow.source.name"], tags["mlflow.source.type"]) == ("stages/train.py", "LOCAL")


def test_the_photographs_a_run_trains_on_are_named(tmp_path: Path) -> None:
    splits = ("photos/train", "everyday", "paintings", "test_paintings")
    pictures = [{"file": f"{split}/a.png", "split": split} for split in splits]
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps({"pictures": pictures}))

    def named(*photos_from: PhotosFrom) -> dict[str, str]:
        return {one.name: one.context for one in data_inputs(path, *photos_from)}

    rest = {"paintings": "style", "test_paintings": "testing"}
    assert named() == named("train") == {"photos/train": "training", **rest}
    assert named("everyday") == {"everyday": "training", **rest}
    assert named("both") == {"photos/train": "training", "everyday": "training", **rest}
    assert [one.source for one in data_inputs(path)][-1] == "data/paintings"


def test_a_data_sets_digest_is_that_of_its_pictures_alone(tmp_path: Path) -> None:
    def digest(*pictures: dict[str, object]) -> list[str]:
        path = tmp_path / "manifest.json"
        path.write_text(json.dumps({"pictures": pictures, "warnings": ["x"] * len(pictures)}))
        return [one.digest for one in data_inputs(path)]

    one = {"file": "paintings/a.png", "split": "paintings", "sha256": "12", "size": [8, 8]}
    two = {**one, "file": "paintings/b.png"}
    assert digest(one, two) == digest(two, one) != digest(one)
    assert digest(one) != digest({**one, "sha256": "34"})
    assert digest() == []
    assert data_inputs(tmp_path / "none.json") == []
