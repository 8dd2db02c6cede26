"""*Compare*, and every page in the states a project can be in."""

from base64 import b64encode
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from atelier.core.baselines import BASELINES
from atelier.engine import validate
from parts import components, mistakes, pictures, sheet
from support.projects import (
    METRICS,
    alts,
    component,
    finished_project,
    fresh_project,
    heads,
    put,
    show,
    words,
)

PAGES = ("compare", "leaderboard", "runs", "experiments", "try_it")


@pytest.fixture
def fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return fresh_project(tmp_path)


@pytest.fixture
def done(fresh: Path) -> Path:
    return finished_project(fresh)


@pytest.mark.parametrize("page", PAGES)
def test_a_fresh_project_is_told_what_to_run(fresh: Path, page: str) -> None:
    app = show(page)
    assert "Nothing has been trained yet" in app.info[0].value
    assert app.code[0].value.split("\n")[0].startswith("make demo")
    assert "dvc repro" in app.code[0].value
    assert not app.dataframe or page == "runs"
    assert not app.get("image")


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("text", ["scale: [", "methods: {a: {}}", ""])
def test_broken_settings_are_explained(fresh: Path, text: str, page: str) -> None:
    (fresh / "params.yaml").write_text(text)
    app = show(page)
    assert "settings cannot be read" in app.error[0].value
    assert "params.yaml" in app.code[0].value


def test_the_page_says_what_atelier_check_says(fresh: Path, checked: None) -> None:
    """Below it, as soon as the check is done; also of blocks that no page needs."""
    text = (fresh / "params.yaml").read_text().replace("lr: 0.5", "lr: fast")
    for broken, count in ((text, 1), (text.replace("seed: 42", "seed: x"), 2)):
        (fresh / "params.yaml").write_text(broken)
        show()
        path = fresh / "params.yaml"
        stat = path.stat()
        mistakes.started(path, (stat.st_mtime_ns, stat.st_size)).join()
        app = show()
        found = validate.file_problems(path)
        assert sum("lr: has to be" in line or "seed: has" in line for line in found) == count
        assert "atelier check" in app.warning[0].value
        assert app.code[-1].value == "\n".join(found)
        assert not show("vote").warning


@pytest.mark.parametrize("page", PAGES)
def test_broken_files_stop_no_page(done: Path, page: str) -> None:
    for where in ("metrics/gatys.json", "prepared/pairing.json", "prepared/manifest.json"):
        put(done, where, "{")
    for name in ("card", "training", "run"):
        put(done, f"models/cut_x/{name}.json", "[]")
    put(done, "curves/cut_x.csv", "step,total\n1,much\n")
    put(done, "stylized/cut_x/images/alps.png", "no picture at all")
    put(done, "snapshots/cut_x/alps/step 000010.png", "")
    show(page)


def test_methods_stand_beside_content_and_style(done: Path) -> None:
    app = show()
    assert alts(app)[:4] == [
        "the photograph alps", "the painting iris", "alps by cut_x", "alps by gatys",
    ]  # fmt: skip
    text = words(app)
    assert text.index("cut_x") < text.index("gatys")
    assert "ok · Fréchet 9.2" in text
    assert "Scale `demo` · data set `0123456789ab` · 2 test photographs" in text
    assert not app.info
    assert not app.warning


def test_pictures_are_served_as_they_are(done: Path) -> None:
    images = [image for block in show().get("image") for image in block.proto.imgs]
    assert all(image.url.endswith(".png") for image in images)


def test_the_photograph_is_turned_and_is_part_of_the_address(done: Path) -> None:
    app = show()
    film = component(app, "filmstrip")
    assert [cell["name"] for cell in film["pictures"]] == ["alps", "beach"]
    assert all(cell["src"].startswith("data:image/webp;base64,") for cell in film["pictures"])
    assert film["chosen"] == "alps"
    assert app.button[1].label == "Next"
    app.button[1].click().run()
    assert app.query_params["photo"] == "beach"
    assert alts(app)[0] == "the photograph beach"
    assert component(app, "filmstrip")["chosen"] == "beach"
    app.button[1].click().run()
    assert alts(app)[0] == "the photograph alps"
    assert alts(show(photo="beach"))[3] == "beach by gatys"


@pytest.mark.parametrize("asked", ["nonsense", "../../params", ""])
def test_an_address_with_no_such_photograph_shows_another(done: Path, asked: str) -> None:
    app = show(photo=asked)
    assert "does not exist" in app.warning[0].value
    assert alts(app)[0] == "the photograph alps"


def test_many_photographs_come_a_window_of_thumbnails_at_a_time(done: Path) -> None:
    (done / "results/prepared/pairing.json").unlink()
    for n in range(60):
        put(done, f"prepared/photos/test/p{n:02}.png", Image, n)
    first = component(show(), "filmstrip")
    assert (len(first["pictures"]), first["before"], first["after"]) == (48, "", "p46")
    last = component(show(photo="p59"), "filmstrip")
    assert (len(last["pictures"]), last["before"], last["after"]) == (14, "alps", "")


def test_only_the_chosen_methods_are_shown(done: Path) -> None:
    app = show(methods=["gatys"])
    assert alts(app)[:3] == ["the photograph alps", "the painting iris", "alps by gatys"]
    assert "alps by cut_x" not in alts(app)
    app = show()
    app.button_group(key="methods").set_value(["cut_x"]).run()
    assert "alps by gatys" not in alts(app)
    app.button_group(key="methods").set_value([]).run()
    assert alts(app)[:2] == ["the photograph alps", "the painting iris"]
    assert not app.exception


def test_the_link_reproduces_the_view(done: Path) -> None:
    asked = {"photo": "beach", "methods": ["gatys"], "size": "3", "left": "style", "zoom": "2,3,4"}
    app = show(**asked)
    link = next(code.value for code in app.code if "?" in code.value)
    for part in ("photo=beach", "methods=gatys", "size=3", "left=style", "zoom=2%2C3%2C4"):
        assert part in link.split("?")[1].split("&")
    assert component(app, "loupe") == {"view": "2,3,4"}
    assert component(app, "slider")["left"]["name"] == "style"


def test_two_pictures_lie_on_each_other_pixel_by_pixel(done: Path) -> None:
    app = show()
    given = component(app, "slider")
    made = (done / "results/stylized/cut_x/images/alps.png").read_bytes()
    assert given["right"]["src"] == f"data:image/png;base64,{b64encode(made).decode()}"
    assert (given["left"]["name"], given["right"]["name"]) == ("content", "cut_x")
    assert (given["width"], given["height"], given["enlarged"]) == (640, 640, True)


def test_denoised_pictures_can_be_shown_and_compared(done: Path) -> None:
    assert not show().toggle
    clean = put(done, "denoised/gatys/images/alps.png", Image, 9).read_bytes()
    put(done, "metrics/gatys.json", {**METRICS, "denoised": {"frechet": 11}})
    app = show(left="gatys", right="gatys denoised")
    assert component(app, "slider")["right"]["src"].endswith(b64encode(clean).decode())
    app.toggle[0].set_value(True).run()
    assert "alps by gatys, denoised" in alts(app)
    assert "alps by cut_x" in alts(app)
    assert "ok · Fréchet 11.0" in words(app)
    fewer = {"frechet": 11, "n_generated": 1}
    put(done, "metrics/gatys.json", {**METRICS, "n_generated": 2, "denoised": fewer})
    app = show()
    app.toggle[0].set_value(True).run()
    assert "ok" in [caption.value for caption in app.caption], "no figure, and no dash for it"


def test_a_failed_method_says_why_in_its_place(done: Path) -> None:
    record = {"stage": "train", "state": "failed", "error": "out of *memory*"}
    put(done, "status/gatys.json", record)
    app = show()
    assert "alps by gatys" not in alts(app)
    assert "alps by cut_x" in alts(app)
    assert any(m.value == r"train\: out of \*memory\*" for m in app.markdown)
    assert "out of *memory*" in words(show("runs", run="gatys"))


def test_a_running_method_says_since_when(done: Path) -> None:
    put(done, "status/gatys.json", {"stage": "train", "state": "running", "since": "noon"})
    assert "train, since noon" in words(show())


def test_methods_that_have_not_been_run_are_named(done: Path) -> None:
    for where in ("metrics/gatys.json", *(f"stylized/gatys/images/{p}.png" for p in ("alps",))):
        (done / "results" / where).unlink()
    app = show()
    assert "Not run yet: `gatys`" in words(app)
    assert "dvc repro evaluate@gatys" in words(app)
    assert "alps by cut_x" in alts(app)


def test_a_missing_and_a_broken_picture_leave_the_rest(done: Path) -> None:
    (done / "results/stylized/gatys/images/alps.png").unlink()
    put(done, "stylized/cut_x/images/alps.png", "no picture at all")
    (done / "results/prepared/paintings/iris.png").unlink()
    (done / "results/snapshots/cut_x/alps/step 000010.png").unlink()
    app = show()
    assert alts(app) == ["the photograph alps"]
    text = words(app)
    assert "no picture" in text
    assert "alps.png is not a picture of a known kind" in text
    assert "no painting is paired with it" in text


def test_pictures_without_scores_are_shown(done: Path) -> None:
    for name in ("gatys", "cut_x", *BASELINES):
        (done / f"results/metrics/{name}.json").unlink()
    app = show()
    assert "alps by gatys" in alts(app)
    assert "not scored yet" in words(app)
    assert not app.info


def test_prepared_pictures_alone_are_shown_with_what_to_run(fresh: Path) -> None:
    put(fresh, "prepared/photos/test/alps.png", Image)
    app = show()
    assert app.info
    assert alts(app) == ["the photograph alps"]
    assert app.button[1].disabled


def test_strips_are_shown_for_the_methods_that_have_some(done: Path) -> None:
    put(done, "stylized/gatys/extras/strength/beach/0.4.png", Image)
    app = show(method="gatys")
    assert "Snapshots and interpolations" in heads(app)
    assert "beach by gatys, strength 0.4" in alts(app)
    app = show(method="cut_x")
    assert "alps by cut_x, snapshots step 000010" in alts(app)


def test_a_file_that_changes_is_looked_at_again(done: Path) -> None:
    before = component(show(), "filmstrip")["pictures"][0]["src"]
    put(done, "prepared/photos/test/alps.png", Image, 99)
    assert component(show(), "filmstrip")["pictures"][0]["src"] != before


def test_methods_are_chosen_by_kind(done: Path) -> None:
    for name, kind in (("gatys", "optimisation"), ("cut_x", "unpaired")):
        put(done, f"metrics/{name}.json", {**METRICS, "kind": kind})
    app = show()
    app.button(key="group Unpaired").click().run()
    assert "alps by cut_x" in alts(app)
    assert "alps by gatys" not in alts(app)
    app.button(key="group Best of each kind").click().run()
    assert {"alps by cut_x", "alps by gatys"} <= set(alts(app))


def test_the_sheet_has_what_one_sees_in_rows_that_fit_a_slide(done: Path) -> None:
    photo = done / "results/prepared/photos/test/alps.png"
    one, many = (
        Image.open(BytesIO(sheet.png([("photograph", photo), *[("missing", None)] * count])))
        for count in (sheet.ACROSS - 1, 3 * sheet.ACROSS - 1)
    )
    assert one.size == (many.width, many.height / 3)
    assert one.width > sheet.ACROSS * sheet.CELL
    empty = Image.open(BytesIO(sheet.png([("photograph", None)] + [("missing", None)] * 5)))
    assert one.tobytes() != empty.tobytes(), "the photograph is there"
    download = show().get("download_button")
    assert [block.proto.label for block in download] == ["Download as PNG"]


def test_a_picture_that_vanishes_leaves_its_cell_of_the_sheet_empty(
    done: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photo = done / "results/prepared/photos/test/alps.png"
    seen = pictures.look(photo)
    photo.unlink()
    monkeypatch.setattr(sheet, "look", lambda _: seen)
    assert sheet.png([("photograph", photo)]) == sheet.png([("photograph", None)])


@pytest.mark.parametrize(
    ("page", "query", "told"),
    [
        ("compare", {}, ["alps.png is missing"]),
        ("runs", {"run": "cut_x"}, ["alps.png is missing", "step 000010.png is missing"]),
        ("leaderboard", {}, []),  # its thumbnails are left out
    ],
)
def test_a_picture_that_vanishes_once_it_was_looked_at_is_a_sentence(
    done: Path, page: str, query: dict[str, str], told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def looked(path: Path) -> pictures.Look:
        found = look(path)
        path.unlink(missing_ok=True)
        return found

    app, look = show(page, **query), pictures.look
    monkeypatch.setattr(pictures, "look", looked)
    monkeypatch.setattr(components, "look", looked)
    app.run()
    assert not app.exception
    assert [sentence for sentence in told if sentence not in words(app)] == []
