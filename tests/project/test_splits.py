"""The DAG on other splits and sizes than the sample's: held-out paintings, general photographs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from atelier.core import images
from atelier.core.images import find, size_of
from atelier.core.paths import Results
from support.bench import edit, fake_picture, run, small_project

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("warm")]
HEIGHT, WIDTH = 40, 64
PREPARE = {"size": [HEIGHT, WIDTH], "test_paintings": 2, "pair_with": "test_paintings"}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, warm: None) -> Path:
    """One repro with all of it."""
    folder = small_project(tmp_path_factory.mktemp("bench") / "project", ["adain"])
    (folder / "data/everyday").mkdir()
    for n in range(3):
        fake_picture(900 + n).save(folder / "data/everyday" / f"cup_{n}.png")
    for key, value in PREPARE.items():
        edit(folder, "scales", "smoke", "prepare", key, value=value)
    edit(folder, "scales", "smoke", "adain", "photos_from", value="both")
    run(folder, "dvc", "add", "-q", "data")
    run(folder, "dvc", "repro")
    return folder


def read(path: Path) -> Any:
    return json.loads(path.read_text())


def test_paintings_are_held_out_and_measured_against(project: Path) -> None:
    results = Results(project)
    held_out = {path.name for path in find(results.prepared.test_paintings)}
    seen = {path.name for path in find(results.prepared.paintings)}
    assert (len(held_out), len(seen)) == (2, 3)
    assert not held_out & seen
    comparison = read(results.comparison / "comparison.json")
    for row in ("adain", "identity", "colour_transfer", "paintings_pasted"):
        assert (comparison[row]["n_reference"], comparison[row]["held_out_n_reference"]) == (3, 2)
        assert comparison[row]["held_out_frechet"] != comparison[row]["frechet"] > 0
    # the pictures are the held-out paintings themselves, each twice
    assert comparison["paintings_pasted"]["held_out_frechet"] < comparison["identity"]["frechet"]
    table = pd.read_csv(results.comparison / "table.csv").set_index("method")
    assert table.loc["adain", "held_out_kid"] == comparison["adain"]["held_out_kid"]
    text = (results.comparison / "table.md").read_text()
    assert "frechet held-out" in text
    assert "held-out: to 2 paintings no training has seen" in text


def test_pairs_have_held_out_paintings(project: Path) -> None:
    results = Results(project)
    held_out = {path.name for path in find(results.prepared.test_paintings)}
    assert set(read(results.stylized("adain").record)["pairs"].values()) <= held_out
    assert read(results.metrics("adain"))["style"] > 0, "its painting's style is known"


def test_training_saw_both_folders_of_photographs_and_no_held_out_painting(project: Path) -> None:
    training = read(Results(project).model("adain").training)
    assert (training["photos"], training["styles"]) == (7, 3)


def test_every_picture_has_the_height_and_the_width_asked_for(project: Path) -> None:
    results = Results(project)
    made = [results.stylized("adain").images, results.denoised("adain").images]
    for folder in (results.prepared.folder, *made, results.snapshots("adain"), results.baselines):
        pictures = find(folder)
        assert pictures
        assert {size_of(path) for path in pictures} == {(WIDTH, HEIGHT)}
    assert "40 (height) × 64 (width) pixels" in (results.comparison / "table.md").read_text()


def test_verify_tells_by_how_much_a_picture_differs(project: Path) -> None:
    run(project, "git", "add", "-A")
    run(project, "git", "-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qm", "results")
    assert "every tracked output is what" in run(project, "atelier", "verify").stdout
    path = find(Results(project).stylized("adain").images)[0]
    picture = images.load(path)
    picture[:, -1, -1] = 1 - picture[:, -1, -1].round()  # the last column of the last row
    path.unlink()  # a link into DVC's cache
    images.save_png(picture, path)
    told = run(project, "atelier", "verify", check=False).stdout
    assert told.startswith(f"results/stylized/adain/images/{path.name}: at most ")
