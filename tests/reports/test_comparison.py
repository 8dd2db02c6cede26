"""The comparison's files: table, JSON for DVC, grid; with a method that has no results."""

import json
from pathlib import Path

import pytest
from PIL import Image

from atelier.core.config import Params, UserError
from atelier.core.files import write_json
from atelier.core.paths import Results
from atelier.core.records import PICTURES
from atelier.reports import votes
from atelier.reports.comparison import as_metrics, comparison_grid, write_comparison
from atelier.reports.leaderboard import comparison
from atelier.reports.outputs import columns, strips
from atelier.reports.preferences import NEEDED
from support.projects import DATA, digest
from support.settings import tree
from support.voters import say

PARAMS = Params(tree({"gatys": {}, "cut": {}}))
SCORED = {
    "method": "gatys",
    "frechet": 7.25,
    "features": "random",
    "features_hash": "ab",
    "n_reference": 5,
    "n_generated": 2,
    "seconds_per_picture": 1.5,
}


def picture(path: Path, colour: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (32, 32), colour).save(path)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    results = tmp_path / "results"
    for stem in ("a", "b"):
        picture(results / f"prepared/photos/test/{stem}.png", "blue")
        picture(results / f"stylized/gatys/images/{stem}.png", "red")
    picture(results / "prepared/paintings/sun.png", "yellow")
    (results / "prepared/pairing.json").write_text(json.dumps({"a": "sun.png", "b": "sun.png"}))
    (results / "metrics").mkdir()
    (results / "metrics/gatys.json").write_text(json.dumps(SCORED))
    return tmp_path


def test_a_method_without_results_has_its_row_everywhere(project: Path) -> None:
    out = project / "results/comparison"
    write_comparison(project, PARAMS, out)
    numbers = json.loads((out / "comparison.json").read_text())
    assert numbers["gatys"] == {
        "status": "ok",
        "frechet": 7.25,
        "n_generated": 2,
        "n_reference": 5,
        "features": "random",
    }
    assert numbers["cut"] == {"status": "not run"}
    assert "cut,not run" in (out / "table.csv").read_text()


def test_what_dvc_keeps_does_not_depend_on_seconds(project: Path) -> None:
    def written() -> dict[str, bytes]:
        shown.append(write_comparison(project, PARAMS, project / "out"))
        return {p.name: p.read_bytes() for p in (project / "out").rglob("*") if p.is_file()}

    shown: list[str] = []
    before, path = written(), project / "results/metrics/gatys.json"
    assert "1.500" in shown[0], "the table that is printed has them"
    found = json.loads(path.read_text())
    other = {"seconds_per_picture": 77.0, "peak_memory_mib": 9.0, "device": "another"}
    path.write_text(json.dumps({**found, **other}))
    assert written() == before


@pytest.mark.slow
def test_votes_change_the_comparison_and_their_absence_nothing(project: Path) -> None:
    def written() -> dict[str, str]:
        write_comparison(project, PARAMS, project / "out")
        return {path.name: path.read_text() for path in (project / "out").glob("[ct]*.*")}

    (project / "results/metrics/cut.json").write_text(json.dumps({**SCORED, "method": "cut"}))
    for name in ("gatys", "cut"):
        write_json(project / f"results/stylized/{name}/record.json", {PICTURES: digest(name)})
    write_json(project / "results/prepared/manifest.json", {"digest": DATA})
    before = written()
    assert "preference" not in before["comparison.json"] + before["table.md"]
    Results(project).votes.parent.mkdir()
    (Results(project).votes.parent / ".gitkeep").touch()
    assert written() == before
    for n in range(NEEDED):
        votes.add(project, say("gatys", "cut", "left", f"voter {n}"))
    after = written()
    numbers = json.loads(after["comparison.json"])
    assert numbers["gatys"]["preference_overall"] == -numbers["cut"]["preference_overall"] > 0
    assert numbers["gatys"]["votes_overall"] == NEEDED
    assert "preference_style" not in numbers["gatys"]
    assert f"overall: votes: {NEEDED}, people: {NEEDED}" in after["table.md"]
    votes.withdraw(project, votes.stored(project)[0])
    assert "too few votes" in written()["table.md"]
    for vote in votes.stored(project):
        votes.withdraw(project, vote)
    assert written() == before


def test_the_order_of_the_json_does_not_depend_on_the_ranking(project: Path) -> None:
    assert list(as_metrics(comparison(project, PARAMS))) == [
        "colour_transfer",
        "cut",
        "gatys",
        "identity",
        "noise_floor",
        "paintings_pasted",
    ]


def test_the_grid_shows_content_style_and_every_method(project: Path) -> None:
    grid = comparison_grid(project, ["gatys", "cut"])
    colours = {colour for _, colour in grid.getcolors(2**20) or []}
    assert {(0, 0, 255), (255, 255, 0), (255, 0, 0)} <= colours
    one = comparison_grid(project, ["gatys"])
    assert grid.width > one.width
    assert grid.height == one.height


def test_a_broken_picture_is_a_missing_one(project: Path) -> None:
    whole = comparison_grid(project, ["gatys"])
    (project / "results/stylized/gatys/images/a.png").write_bytes(b"broken")
    assert comparison_grid(project, ["gatys"]).tobytes() != whole.tobytes()


def test_without_prepared_pictures_it_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="dvc repro"):
        comparison_grid(tmp_path, ["gatys"])


def test_a_sheet_per_system_with_variants_and_per_strip(project: Path) -> None:
    extras = project / "results/stylized/gatys/extras/strength/a"
    picture(extras / "0.0.png", "green")
    picture(extras / "1.0.png", "red")
    picture(project / "results/snapshots/gatys/b/step 000005.png", "white")
    params = Params(tree({"gatys": {"class": "x"}, "other": {"class": "x"}, "cut": {}}))
    write_comparison(project, params, project / "results/comparison")
    sheets = project / "results/comparison/sheets"
    names = sorted(path.name for path in sheets.iterdir())
    assert names == ["gatys_snapshots.png", "gatys_strength.png", "variants_x.png"]
    with Image.open(sheets / "gatys_strength.png") as sheet:
        colours = {colour for _, colour in sheet.getcolors(2**20) or []}
    assert {(0, 0, 255), (0, 128, 0), (255, 0, 0)} <= colours, "the photograph, then the strip"


def test_a_strip_that_begins_with_its_input_needs_no_photograph_in_front(project: Path) -> None:
    way = project / "results/stylized/gatys/extras/to_photo/a"
    for name in ("1 input", "2 translated"):
        picture(way / f"{name}.png", "green")
    out = project / "results/comparison"
    write_comparison(project, PARAMS, out)
    plain = picture_width(out / "sheets/gatys_to_photo.png")
    picture(project / "results/stylized/gatys/extras/strength/a/0.0.png", "green")
    picture(project / "results/stylized/gatys/extras/strength/a/1.0.png", "green")
    write_comparison(project, PARAMS, out)
    assert plain < picture_width(out / "sheets/gatys_strength.png")


def picture_width(path: Path) -> int:
    with Image.open(path) as found:
        return found.width


def test_strips_list_what_is_there(project: Path) -> None:
    assert strips(project, "gatys") == {}
    one = project / "results/stylized/gatys/extras/mixture/a/0.2.png"
    picture(one, "red")
    (project / "results/snapshots/gatys").mkdir(parents=True)
    assert strips(project, "gatys") == {"mixture": {"a": {"0.2": one}}}
    assert columns({"a": {"2": one}, "b": {"1": one}}) == ["1", "2"]
