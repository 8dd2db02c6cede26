"""Every study runs, and counts what it should; the pictures are not worth looking at."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from filelock import FileLock
from PIL import Image, ImageColor

from atelier.core import images
from atelier.core.config import Params, UserError
from atelier.core.files import read_json
from atelier.core.paths import Results
from atelier.reports.image_grid import GREY
from atelier.studies import catalogue, metanet, tables, translation
from atelier.studies.bench import Bench
from atelier.studies.catalogue import FIGURE, NUMBERS, STUDIES, TABLE
from atelier.studies.findings import Findings, write
from support.bench import edit
from support.cli import atelier

ROWS = {
    "overfitting": 11, "metanet": 4, "ablation": 5, "gatys": 2 * 2 * 20, "transnet": 15,
    "interpolation": 6, "adaptation": 2, "denoising": 6, "one_painting": 2, "translation": 6,
    "fid": 6, "warm_start": 11,
}  # fmt: skip


def params(project: Path) -> Params:
    return Params.load(project / "params.yaml")


def ran(name: str, project: Path) -> pd.DataFrame:
    """The table of a study, once it has been run."""
    folder = catalogue.folder_of(name, project, "smoke")
    if not (folder / TABLE).is_file():
        catalogue.run(name, project, params(project))
    return pd.read_csv(folder / NUMBERS)


@pytest.mark.slow
@pytest.mark.parametrize("name", STUDIES)
def test_a_study_makes_its_figure_and_its_table(name: str, project: Path, here: list[str]) -> None:
    table = ran(name, project)
    folder = catalogue.folder_of(name, project, "smoke")
    assert len(table) == ROWS[name]
    assert np.isfinite(table.select_dtypes("number").drop(columns=_optional(table))).all().all()
    with Image.open(folder / FIGURE) as figure:
        assert min(figure.size) > 128
        assert len(set(figure.convert("L").resize((64, 64)).tobytes())) > 20
    text = (folder / TABLE).read_text()
    assert STUDIES[name].title in text
    assert text.count("\n| ") == len(table) + 2
    assert {path.name for path in Results(project).folder.iterdir()} == {"studies"}


def _optional(table: pd.DataFrame) -> list[str]:
    """Columns that need not have a value everywhere."""
    known = {"adaptation_seconds", "seconds_per_picture", "kid", "style"}
    known |= {"steps", "steps_in_all", "training_seconds"}
    return [name for name in table if name in known and not table[name].isna().all()]


@pytest.mark.slow
def test_what_is_done_is_not_done_again(project: Path, here: list[str]) -> None:
    """Times are measured, so that equal ones were not measured twice."""
    ran("metanet", project)
    files = [catalogue.folder_of("metanet", project, "smoke") / f for f in (NUMBERS, FIGURE)]
    before, here[:] = [file.read_bytes() for file in files], []
    assert catalogue.run("metanet", project, params(project))
    assert here == []
    assert [file.read_bytes() for file in files] == before


@pytest.mark.slow
def test_checkpoints_are_the_tenths_of_the_training(project: Path, here: list[str]) -> None:
    table = ran("overfitting", project)
    assert table["step"].tolist() == list(range(11))
    assert table["content"].iloc[0] == 0
    assert table["frechet"].nunique() == 11


@pytest.mark.slow
def test_a_warm_start_goes_on_from_the_weights_of_epoch_19(project: Path, here: list[str]) -> None:
    table = ran("warm_start", project)
    assert list(table["network"]) == ["photographs", *["cyclegan_scratch"] * 5,
                                      *["cyclegan_warm"] * 5]  # fmt: skip
    assert list(table["steps"][1:6]) == list(table["steps"][6:]) == [1, 2, 3, 4, 5]
    assert list(table["steps_in_all"][6:]) == [3, 4, 5, 6, 7]
    model = Results(Results(project).studies("smoke")).model
    block = read_json(model("cyclegan_warm").card)["parameters"]
    begun = Results(project).studies("smoke") / block["warm_start"]
    assert begun == model("cyclegan_scratch").checkpoint(2).weights
    assert begun.is_file()
    scores = table.set_index(["network", "steps"])["content"]
    assert scores["cyclegan_warm", 1] != scores["cyclegan_scratch", 1]


@pytest.mark.slow
def test_both_sizes_and_what_is_unseen(project: Path, here: list[str]) -> None:
    table = ran("metanet", project)
    assert table["photos"].tolist() == [3, 6, 3, 6]
    assert table["styles"].tolist() == [2, 2, 2, 2]  # of four, two are kept from all trainings
    assert table["steps"].tolist() == [2, 4, 2, 4]
    assert table["file_mb"].gt(0).all()


@pytest.mark.slow
def test_the_optimisation_gets_nearer(project: Path, here: list[str]) -> None:
    table = ran("gatys", project)
    for _, one in table.groupby(["style_weight", "photo"]):
        assert one["step"].tolist() == list(range(1, 21))
        assert one["total"].min() < 0.8 * one["total"].iloc[0]
    assert sorted(table["style_weight"].unique()) == [1e4, 1e6]


@pytest.mark.slow
def test_stronger_noise_has_a_lower_psnr(project: Path, here: list[str]) -> None:
    table = ran("denoising", project)
    for _, one in table.groupby("noise", sort=False):
        assert one["psnr_before"].is_monotonic_decreasing
    expected = 20 * math.log10(255 / 10)
    assert table["psnr_before"].iloc[0] == pytest.approx(expected, abs=0.6)


@pytest.mark.slow
def test_the_ends_of_a_mixture_are_its_paintings(project: Path, here: list[str]) -> None:
    """Of which each is what the system makes of that painting alone."""
    ran("one_painting", project)
    table = ran("interpolation", project)
    assert table["style_to_first"].ne(table["style_to_second"]).all()
    work = Results(project).studies("smoke") / "work"
    (first,) = work.glob("mixtures-*/0.0/test_0.png")
    alone = [path.read_bytes() for path in work.glob("arbitrary-*/test_0.png")]
    assert first.read_bytes() in alone


@pytest.mark.slow
def test_a_changed_setting_trains_anew_and_that_entry_alone(project: Path, here: list[str]) -> None:
    ran("transnet", project)
    here.clear()
    edit(project, "scales", "smoke", "fast_blossom", "style", value=3)
    try:
        catalogue.run("transnet", project, params(project))
    finally:
        edit(project, "scales", "smoke", "fast_blossom", "style", value=1)
    assert here == ["fast_blossom_kept"]


@pytest.mark.slow
def test_a_training_runs_as_the_stage_of_the_project(project: Path) -> None:
    """In a process of its own, in the studies' project."""
    bench = Bench(project, params(project))
    bench.entry("arbitrary_alone", "arbitrary", {"steps": 1})
    assert bench.train("arbitrary_alone")["steps"] == 1
    assert bench.results.model("arbitrary_alone").weights.is_file()
    assert (bench.root / "mlflow.db").is_file()
    assert not (project / "mlflow.db").exists()


@pytest.mark.slow
def test_a_training_that_fails_says_so(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(project, params(project))
    bench.entry("arbitrary_wrong", "arbitrary", {"steps": 3})
    monkeypatch.setattr(Bench, "_run", lambda *_: 1)
    with pytest.raises(UserError, match="arbitrary_wrong: its training failed"):
        bench.train("arbitrary_wrong")
    monkeypatch.setattr(Bench, "_run", lambda *_: 130)
    with pytest.raises(KeyboardInterrupt):
        bench.train("arbitrary_wrong")
    assert not (bench.root / "trained/arbitrary_wrong.json").exists()


def test_the_list_and_mistakes(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(project)
    assert atelier(monkeypatch, "study") == 0
    listed = capsys.readouterr().out
    assert all(name in listed for name in STUDIES)
    assert atelier(monkeypatch, "study", "overfiting") == 1
    assert "did you mean `overfitting`" in capsys.readouterr().err
    assert atelier(monkeypatch, "study", "overfitting", "--scale", "demo") == 1
    assert "at scale demo ugatit is not trained" in capsys.readouterr().err


def test_two_studies_at_one_scale_do_not_mix(project: Path) -> None:
    root = Results(project).studies("cpu")
    root.mkdir(parents=True)
    with FileLock(root / ".lock"), pytest.raises(UserError, match="another study is running"):
        catalogue.run("fid", project, params(project).at("cpu"))


@pytest.mark.parametrize(
    ("available", "expected"), [(1000, (500, 1000)), (4000, (500, 1000)), (24, (12, 24))]
)
def test_sizes(available: int, expected: tuple[int, int]) -> None:
    assert metanet.sizes(available) == expected


def test_even_steps() -> None:
    assert tables.evenly(20, 10) == list(range(2, 21, 2))
    assert tables.evenly(3, 10) == [1, 2, 3]
    assert tables.evenly(100_000, 10)[0] == 10_000


def test_the_translations_of_all_sets_are_in_line(tmp_path: Path) -> None:
    red = tmp_path / "red.png"
    Image.new("RGB", (64, 64), "red").save(red)
    figure = np.asarray(translation._sheet({"to_art": [red] * 3, "to_art outside": [red] * 2}))
    filled = (figure == (255, 0, 0)).all(axis=-1)
    above, below = filled[: len(figure) // 2].any(axis=0), filled[len(figure) // 2 :].any(axis=0)
    assert above.sum() == 3 * 128
    assert below.sum() == 2 * 128
    assert (above | ~below).all()
    assert not (figure == ImageColor.getrgb(GREY)).all(axis=-1).any(), "nothing is missing"


def test_weights_of_the_zoo_have_no_figures_of_a_training() -> None:
    record = {"steps": 9, "photos": 5, "training_seconds": 7.0, "file_mb": 3.0, "other": 1}
    whole = {"steps": 9, "photos": 5, "training_seconds": 7.0, "file_mb": 3.0, "parameters": None}
    assert tables.training_of(record) == whole
    as_they_are = {**record, "steps": 0, "parameters_trained": 8}
    assert tables.training_of(as_they_are) == {"file_mb": 3.0, "parameters": 8}


def test_the_words_of_a_table_stand_left_and_its_numbers_right(tmp_path: Path) -> None:
    table = pd.DataFrame({"entry": ["a"], "frechet": [1.25], "middle": ["resnet"], "steps": [2e4]})
    write(Findings(table, Image.new("RGB", (8, 8)), ["A note."]), tmp_path, "Title")
    lines = (tmp_path / TABLE).read_text().splitlines()
    assert lines[3:5] == ["| :-- | --: | :-- | --: |", "| a | 1.25 | resnet | 20000 |"]
    assert lines[-1] == "A note."


@pytest.mark.slow
def test_scores_are_of_held_out_paintings_where_there_are_some(with_held_out: Path) -> None:
    """A picture may still be of a painting that is none of them."""
    bench = Bench(with_held_out, params(with_held_out))
    made = bench.pictures(bench.entry("gatys", "gatys"))
    scores = bench.score(made)
    assert (scores["n_reference"], scores["n_generated"]) == (2, 4)
    seen = {path.name for path in images.find(bench.prepared.paintings)}
    assert {job.style.name for job in made.jobs} <= seen
    assert scores["style"] > 0
