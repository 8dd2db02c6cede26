"""The page in every state a project can be in."""

import json
from pathlib import Path

import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

APP = Path(__file__).parents[1] / "dashboard" / "app.py"
METRICS = {
    "frechet": 12.5, "features": "mini", "features_hash": "abcd", "n_reference": 4,
    "n_generated": 2, "seconds_per_picture": 0.5, "peak_memory_mib": 100, "device": "cpu",
}  # fmt: skip


def put(root: Path, where: str, content: object) -> Path:
    path = root / "results" / where
    path.parent.mkdir(parents=True, exist_ok=True)
    if content is Image:
        Image.new("RGB", (8, 8), "teal").save(path)
    else:
        path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


@pytest.fixture
def fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    text = "scale: demo\nscales: {demo: {}}\nmethods: {gatys: {}, cut_x: {}}\n"
    (tmp_path / "params.yaml").write_text(text)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def done(fresh: Path) -> Path:
    for photo in ("alps", "beach"):
        put(fresh, f"prepared/photos/test/{photo}.png", Image)
        put(fresh, f"stylized/gatys/images/{photo}.png", Image)
        put(fresh, f"stylized/cut_x/images/{photo}.png", Image)
    put(fresh, "prepared/paintings/iris.png", Image)
    put(fresh, "prepared/pairing.json", {"alps": "iris.png", "beach": "iris.png"})
    put(fresh, "prepared/manifest.json", {"digest": "0123456789abcdef"})
    put(fresh, "metrics/gatys.json", METRICS)
    put(fresh, "metrics/cut_x.json", {**METRICS, "frechet": 9.25})
    put(fresh, "metrics/do_nothing.json", {**METRICS, "frechet": 30})
    put(fresh, "metrics/floor.json", {**METRICS, "frechet": 2})
    return fresh


def show(**query: str) -> AppTest:
    app = AppTest.from_file(str(APP), default_timeout=20)
    for key, value in query.items():
        app.query_params[key] = value
    app.run()
    assert not app.exception
    return app


def words(app: AppTest) -> str:
    kinds = (app.markdown, app.caption, app.info, app.warning, app.error, app.code)
    return "\n".join(element.value for kind in kinds for element in kind).replace("\\", "")


def alts(app: AppTest) -> list[str]:
    return [image.alt for block in app.get("image") for image in block.proto.imgs]


def test_a_fresh_project_is_told_what_to_run(fresh: Path) -> None:
    app = show()
    assert "Nothing has been trained yet" in app.info[0].value
    assert app.code[0].value.split("\n")[0].startswith("make demo")
    assert "dvc repro" in app.code[0].value
    assert not app.dataframe
    assert not app.selectbox


def test_two_methods_stand_beside_content_and_style(done: Path) -> None:
    app = show()
    assert alts(app) == [
        "the photograph alps", "the painting iris", "alps by cut_x", "alps by gatys",
    ]  # fmt: skip
    text = words(app)
    assert text.index("cut_x") < text.index("gatys")
    assert "ok · Fréchet 9.25" in text
    assert "Scale `demo` · data set `0123456789ab` · 2 test photographs" in text
    assert "lower is better" in text
    assert not app.info
    assert not app.warning
    table = app.dataframe[0].value
    assert table["method"].tolist() == ["cut_x", "gatys", "do nothing", "floor"]
    assert table["frechet"].tolist() == [9.25, 12.5, 30.0, 2.0]
    assert app.get("download_button")


def test_pictures_are_served_as_they_are(done: Path) -> None:
    images = [image for block in show().get("image") for image in block.proto.imgs]
    assert all(image.url.endswith(".png") for image in images)


def test_the_photograph_is_turned_and_is_part_of_the_address(done: Path) -> None:
    app = show()
    assert app.button[1].label == "Next"
    app.button[1].click().run()
    assert app.query_params["photo"] == "beach"
    assert alts(app)[0] == "the photograph beach"
    app.button[1].click().run()
    assert alts(app)[0] == "the photograph alps"
    again = show(photo="beach")
    assert again.selectbox[0].value == "beach"
    assert alts(again)[3] == "beach by gatys"


@pytest.mark.parametrize("asked", ["nonsense", "../../params", ""])
def test_an_address_with_no_such_photograph_shows_another(done: Path, asked: str) -> None:
    app = show(photo=asked)
    assert "does not exist" in app.warning[0].value
    assert alts(app)[0] == "the photograph alps"


def test_a_failed_method_says_why_in_its_place(done: Path) -> None:
    record = {"stage": "train", "state": "failed", "error": "out of *memory*"}
    put(done, "status/gatys.json", record)
    app = show()
    assert "alps by gatys" not in alts(app)
    assert "alps by cut_x" in alts(app)
    assert any(m.value == r"train\: out of \*memory\*" for m in app.markdown)
    table = app.dataframe[0].value.set_index("method")
    assert table.loc["gatys", "status"] == "failed"
    assert table["frechet"].isna()["gatys"]


def test_a_running_method_says_since_when(done: Path) -> None:
    put(done, "status/gatys.json", {"stage": "train", "state": "running", "since": "noon"})
    assert "train, since noon" in words(show())


def test_a_missing_and_a_broken_picture_leave_the_rest(done: Path) -> None:
    (done / "results/stylized/gatys/images/alps.png").unlink()
    put(done, "stylized/cut_x/images/alps.png", "no picture at all")
    (done / "results/prepared/paintings/iris.png").unlink()
    app = show()
    assert alts(app) == ["the photograph alps"]
    text = words(app)
    assert "no picture" in text
    assert "alps.png is not a picture of a known kind" in text
    assert "no painting is paired with it" in text


def test_broken_json_is_reported_where_it_matters(done: Path) -> None:
    put(done, "metrics/gatys.json", "{")
    put(done, "prepared/pairing.json", "{")
    put(done, "prepared/manifest.json", "{")
    app = show()
    assert app.dataframe[0].value.set_index("method").loc["gatys", "status"] == "failed"
    text = words(app)
    assert "results/metrics/gatys.json: cannot be read as JSON" in text
    assert "ok · Fréchet 9.25" in text


def test_pictures_without_scores_are_shown(done: Path) -> None:
    for name in ("gatys", "cut_x", "do_nothing", "floor"):
        (done / f"results/metrics/{name}.json").unlink()
    app = show()
    assert "alps by gatys" in alts(app)
    assert "not scored yet" in words(app)
    assert not app.info
    assert not app.dataframe


def test_scores_of_different_features_come_with_a_warning(done: Path) -> None:
    put(done, "metrics/gatys.json", {**METRICS, "features_hash": "other"})
    assert "different features" in show().warning[0].value


def test_prepared_pictures_alone_are_shown_with_what_to_run(fresh: Path) -> None:
    put(fresh, "prepared/photos/test/alps.png", Image)
    app = show()
    assert app.info
    assert alts(app) == ["the photograph alps"]
    assert app.button[1].disabled


@pytest.mark.parametrize("text", ["scale: [", "methods: {a: {}}", ""])
def test_broken_settings_are_explained(fresh: Path, text: str) -> None:
    (fresh / "params.yaml").write_text(text)
    app = show()
    assert "settings cannot be read" in app.error[0].value
    assert "params.yaml" in app.code[0].value


def test_strips_are_shown_for_the_methods_that_have_some(done: Path) -> None:
    assert "In the making and in between" not in [header.value for header in show().header]
    put(done, "snapshots/gatys/alps/step 000010.png", Image)
    put(done, "stylized/gatys/extras/strength/beach/0.4.png", Image)
    app = show()
    assert "In the making and in between" in [header.value for header in app.header]
    assert "step 000010" in words(app)
    app.selectbox[2].select("strength").run()
    assert not app.exception
    assert "0.4" in words(app)
    assert "step 000010" not in words(app)
