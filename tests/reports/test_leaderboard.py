"""What the table says of results that are there, missing, stale or broken."""

import io
import json
from pathlib import Path

import pandas as pd
import pytest

from atelier.core.baselines import BASELINES
from atelier.core.config import Params, UserError
from atelier.core.files import read_json, write_json
from atelier.core.paths import Results
from atelier.core.process import identity
from atelier.reports import leaderboard
from atelier.reports.comparison import as_metrics
from atelier.reports.tables import WRITERS, shown, to_text
from support.settings import tree

GOOD = {
    "method": "gatys", "frechet": 12.5, "features": "mini", "features_hash": "abcdef0123456789",
    "layer": "relu3", "n_reference": 20, "n_generated": 24, "size": [64, 64],
    "seconds_per_picture": 0.25, "peak_memory_mib": 512.4, "device": "cpu", "run_id": "r1",
}  # fmt: skip
AFTER = {"frechet": 11.0, "kid": 0.02, "content": 0.3, "features": "mini"}
COST = ("seconds_per_picture", "peak_memory_mib", "device", "run_id")
METHODS = Params(tree({key: {} for key in ["slow", "gatys", "cut", "cyclegan", "adain"]}))
ONE = Params(tree({"gatys": {"steps": 5}}))


def put(root: Path, where: str, content: object) -> None:
    path = root / "results" / where
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))


@pytest.fixture
def project(tmp_path: Path) -> Path:
    put(tmp_path, "metrics/slow.json", {**GOOD, "frechet": 20, "kid": 0.01, "ssim": 0.7})
    put(
        tmp_path,
        "metrics/gatys.json",
        {**GOOD, "kid": 0.0123, "kid_sd": 0.001, "ssim": 0.5},
    )
    put(tmp_path, "metrics/denoised/gatys.json", {"method": "gatys", **AFTER})
    put(tmp_path, "metrics/denoised/slow.json", {"method": "slow"})
    put(tmp_path, "metrics/identity.json", {**GOOD, "frechet": 16.0, **dict.fromkeys(COST)})
    put(tmp_path, "metrics/noise_floor.json", {**GOOD, "frechet": 1.5, **dict.fromkeys(COST)})
    put(tmp_path, "metrics/cut.json", GOOD)
    put(tmp_path, "status/cut.json", {"stage": "train", "state": "failed", "error": "no\nmemory"})
    put(
        tmp_path,
        "status/cyclegan.json",
        {"stage": "train", "state": "running", "since": "2026-01-02T03:04:05"},
    )
    return tmp_path


def test_a_failure_with_other_settings_is_no_failure_of_these(tmp_path: Path) -> None:
    put(tmp_path, "metrics/gatys.json", GOOD)
    failed = {"stage": "train", "state": "failed", "error": "no weights", "key": ONE.key("gatys")}
    put(tmp_path, "status/gatys.json", failed)
    assert leaderboard.comparison(tmp_path, ONE).iloc[0]["status"] != "ok"
    other = Params(tree({"gatys": {"steps": 6}}))
    assert leaderboard.comparison(tmp_path, other).iloc[0]["status"] == "ok"


def test_finished_methods_come_first_then_the_baselines_then_the_rest(project: Path) -> None:
    frame = leaderboard.comparison(project, METHODS)
    found = list(zip(frame["method"], frame["status"], strict=True))
    assert found == [
        ("gatys", "ok"), ("slow", "ok"), ("identity", "ok"), ("colour_transfer", "not run"),
        ("paintings_pasted", "not run"), ("noise_floor", "ok"),
        ("cut", "failed"), ("cyclegan", "running"), ("adain", "not run"),
    ]  # fmt: skip
    assert list(frame.columns) == list(leaderboard.TYPES)
    assert frame.dtypes.astype(str).to_dict() == leaderboard.TYPES


def test_a_finished_row_holds_what_the_file_holds(project: Path) -> None:
    row = leaderboard.comparison(project, METHODS).iloc[0]
    assert row["frechet"] == 12.5
    assert (row["features"], row["features_hash"]) == ("mini", "abcdef0123456789")
    assert (row["n_reference"], row["n_generated"]) == (20, 24)
    assert (row["seconds_per_picture"], row["peak_memory_mib"]) == (0.25, 512.4)
    assert (row["device"], row["error"]) == ("cpu", "")


def test_the_denoised_pictures_have_columns_of_their_own(project: Path) -> None:
    frame = leaderboard.comparison(project, METHODS).set_index("method")
    assert frame.loc["gatys", ["denoised_frechet", "denoised_content"]].tolist() == [11.0, 0.3]
    assert frame.loc["gatys", "frechet"] == 12.5
    assert pd.isna(frame.loc["slow", "denoised_frechet"])


def test_the_photographs_of_a_training_stand_beside_its_time(project: Path) -> None:
    put(project, "models/gatys/training.json", {"steps": 9, "photos": 1500, "styles": 3})
    put(project, "models/slow/training.json", {"steps": 9, "photos": "many"})
    frame = leaderboard.comparison(project, METHODS).assign(training_seconds=61.0)
    cells = shown(frame).set_index("method")
    assert cells["photos"][["gatys", "slow", "cut"]].tolist() == ["1,500", "-", "-"]
    assert list(cells).index("photos") == list(cells).index("training s") + 1
    assert "photos: number of photographs in the training" in to_text(frame)
    again = pd.read_csv(io.StringIO(leaderboard.to_csv(frame))).set_index("method")
    assert again["training_photos"]["gatys"] == 1500
    # weights of the zoo as they are: this data trained nothing
    put(project, "models/gatys/training.json", {"steps": 0, "photos": 1500, "styles": 3})
    frame = leaderboard.comparison(project, METHODS)
    assert "photos" not in leaderboard.to_csv(frame) + to_text(frame)


def test_where_nothing_was_denoised_no_table_has_a_column_of_it(project: Path) -> None:
    frame = leaderboard.comparison(project, METHODS)
    for form, write in WRITERS.items():
        assert "denoised" in write(frame, "", None), form
    assert "denoised_frechet" in as_metrics(frame)["gatys"]
    assert "denoised" not in str(as_metrics(frame)["slow"])
    (project / "results/metrics/denoised/gatys.json").unlink()
    frame = leaderboard.comparison(project, METHODS)
    for form, write in WRITERS.items():
        assert "denoised" not in write(frame, "", None), form
    assert "denoised" not in str(as_metrics(frame))


def test_the_distances_to_held_out_paintings_have_columns_where_there_are_any(
    project: Path,
) -> None:
    frame = leaderboard.comparison(project, METHODS)
    assert "held_out" not in leaderboard.to_csv(frame) + to_text(frame) + str(as_metrics(frame))
    assert "held-out" not in to_text(frame)
    unseen = {"frechet": 17.5, "kid": 0.03, "n_reference": 7, "n_generated": 24}
    put(project, "metrics/gatys.json", {**GOOD, "held_out": unseen})
    frame = leaderboard.comparison(project, METHODS)
    gatys = frame.set_index("method").loc["gatys"]
    assert (gatys["frechet"], gatys["n_reference"], gatys["n_generated"]) == (12.5, 20, 24)
    keys = ["held_out_frechet", "held_out_kid", "held_out_n_reference"]
    assert gatys[keys].tolist() == [17.5, 0.03, 7]
    assert set(keys) < set(as_metrics(frame)["gatys"])
    assert not set(keys) & set(as_metrics(frame)["slow"])
    assert set(keys) < set(leaderboard.to_csv(frame).splitlines()[0].split(","))
    text = to_text(frame)
    assert "frechet held-out" in text
    assert "kid held-out ×1000" in text
    assert "17.5" in text
    assert "held-out: to 7 paintings no training has seen" in text
    assert leaderboard.comparison(project, METHODS, keys[0])["method"].iloc[0] == "gatys"


def test_the_distance_of_fewer_denoised_pictures_is_not_compared(project: Path) -> None:
    """A Fréchet distance grows as pictures become fewer; means and the kernel distance do not."""
    for count, kept in ((24, True), (23, False)):
        put(project, "metrics/denoised/gatys.json", {**AFTER, "n_generated": count})
        row = leaderboard.comparison(project, METHODS).set_index("method").loc["gatys"]
        assert row["denoised_kid"] == 0.02
        assert pd.notna(row["denoised_frechet"]) == kept


@pytest.mark.parametrize(
    ("column", "expected"),
    [("frechet", ["gatys", "slow"]), ("kid", ["slow", "gatys"]), ("ssim", ["slow", "gatys"]),
     ("denoised_frechet", ["gatys", "slow"]), ("lpips", ["slow", "gatys"])],
)  # fmt: skip
def test_the_chosen_column_sorts(project: Path, column: str, expected: list[str]) -> None:
    """The best on top, most for SSIM; without values in the order of the settings."""
    frame = leaderboard.comparison(project, METHODS, column)
    assert frame["method"].tolist()[:2] == expected
    asked = Params(tree({"slow": {}, "gatys": {}}, compare={"sort": column}))
    assert leaderboard.comparison(project, asked)["method"].tolist()[:2] == expected


def test_only_numbers_sort(project: Path) -> None:
    with pytest.raises(UserError, match="'device' is not a column to sort by: frechet"):
        leaderboard.comparison(project, METHODS, "device")


def test_a_status_record_hides_the_figures_of_an_earlier_run(project: Path) -> None:
    frame = leaderboard.comparison(project, METHODS).set_index("method")
    numbers = frame[["frechet", "n_reference", "n_generated", "seconds_per_picture"]]
    assert numbers.loc[["cut", "cyclegan", "adain"]].isna().all(axis=None)
    assert frame.loc["cut", "error"] == "train: no\nmemory"
    assert frame.loc["cyclegan", "error"] == "train, since 2026-01-02T03:04:05"
    assert frame.loc["adain", "error"] == ""


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("{", "cannot be read as JSON"),
        ("[1]", "valid dictionary"),
        ({**GOOD, "frechet": None}, "frechet"),
        ('{"frechet": NaN, "features": "mini"}', "finite"),
        ({**GOOD, "n_reference": "many"}, "n_reference"),
        ({key: GOOD[key] for key in GOOD if key != "features"}, "features"),
    ],
)
def test_broken_figures_are_a_failure_with_a_reason(tmp_path, content, reason) -> None:
    put(tmp_path, "metrics/gatys.json", content)
    row = leaderboard.comparison(tmp_path, ONE).set_index("method").loc["gatys"]
    assert row["status"] == "failed"
    assert reason in row["error"]
    assert "results/metrics/gatys.json" in row["error"]
    assert str(tmp_path) not in row["error"]
    assert pd.isna(row["frechet"])


@pytest.mark.parametrize("content", ["", "[]", '{"state": "fine"}'])
def test_a_broken_status_record_is_a_failure(tmp_path: Path, content: str) -> None:
    put(tmp_path, "status/gatys.json", content)
    row = leaderboard.comparison(tmp_path, ONE).set_index("method").loc["gatys"]
    assert row["status"] == "failed"
    assert "status/gatys.json" in row["error"]


def test_a_method_that_ends_while_one_looks_has_not_failed(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def late(path: Path) -> object:
        if path.parent.name == "status":
            path.unlink()  # the stage, just now
        return read_json(path)

    before = leaderboard.comparison(project, METHODS).set_index("method")
    monkeypatch.setattr(leaderboard, "read_json", late)
    frame = leaderboard.comparison(project, METHODS).set_index("method")
    assert (before.loc["cut", "status"], frame.loc["cut", "status"]) == ("failed", "ok")


def test_without_a_floor_the_row_says_why(project: Path) -> None:
    put(
        project,
        "metrics/noise_floor.json",
        {"method": "noise_floor", "reason": "needs 4 paintings"},
    )
    row = leaderboard.comparison(project, METHODS).set_index("method").loc["noise_floor"]
    assert (row["status"], row["error"]) == ("not run", "needs 4 paintings")


def test_nothing_at_all_is_a_table_too(tmp_path: Path) -> None:
    frame = leaderboard.comparison(tmp_path, ONE)
    assert frame["status"].tolist() == ["not run"] * (1 + len(BASELINES))
    assert frame["method"].tolist() == [*BASELINES, "gatys"]
    assert "not run" in to_text(frame)


def test_the_csv_can_be_read_back(project: Path) -> None:
    frame = leaderboard.comparison(project, METHODS)
    again = pd.read_csv(io.StringIO(leaderboard.to_csv(frame)))
    assert again["frechet"].tolist()[:3] == [12.5, 20.0, 16.0]
    assert again["method"].tolist() == frame["method"].tolist()
    assert again.set_index("method")["error"]["cut"] == "train: no\nmemory"


def test_a_method_is_on_the_front_when_none_beats_it_in_both() -> None:
    rows = [("slow", 9, 1), ("fair", 5, 5), ("beaten", 6, 6), ("quick", 1, 9), ("equal", 9, 1)]
    frame = pd.DataFrame([*rows, ("far", 1, 10)], columns=["method", "x", "y"])
    assert leaderboard.front(frame, "x", "y")["method"].tolist() == ["quick", "fair", "slow"]


def test_a_stage_that_was_killed_is_not_running_for_ever(tmp_path: Path) -> None:
    path = tmp_path / "results/status/cut.json"
    running = {"stage": "train", "state": "running", "since": "2026-01-02T03:04:05"}
    for process, status in ((identity(), "running"), ("1 1 x " + identity().split()[3], "failed")):
        write_json(path, {**running, "process": process})
        row = leaderboard._status(tmp_path, "cut", "")
        assert row["status"] == status
    assert row["error"].startswith("train: was killed; `dvc repro` resumes")


@pytest.mark.parametrize("state", ["failed", "running"])
def test_a_failure_ends_when_the_stages_result_is_restored(project: Path, state: str) -> None:
    """``dvc repro`` restores what it knows without running the stage."""
    results = Results(project)
    gone = "1 1 x " + identity().split()[3]
    record = {"stage": "evaluate", "state": state, "process": gone}
    write_json(results.status("gatys"), record)
    status = leaderboard.comparison(project, METHODS).set_index("method")["status"]
    assert status["gatys"] == "failed", "its figures are older: of an earlier run"
    kept = results.metrics("gatys").rename(project / "kept.json")
    results.metrics("gatys").hardlink_to(kept)
    status = leaderboard.comparison(project, METHODS).set_index("method")["status"]
    assert status["gatys"] == "ok"
