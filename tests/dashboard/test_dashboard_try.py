"""*Try it*: one's own photograph, through methods whose weights are there."""

from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

from atelier.core import images, zoo_files
from support.models import GUIDED, HEATED, METHODS, keep, project, train
from support.pictures import ramp, save
from support.projects import alts, component, put, show, words
from support.zoo import entry


@pytest.fixture
def ready(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    put(tmp_path, "prepared/paintings/night.png", Image)
    ramp(48, 48, 3).save(tmp_path / "results/prepared/paintings/night.png")
    return project(tmp_path, "adain", "cut")


def encoded(picture: Image.Image, kind: str = "JPEG", **options: object) -> bytes:
    kept = BytesIO()
    picture.save(kept, kind, **options)
    return kept.getvalue()


def bring(app: AppTest, content: bytes, name: str = "mine.jpg") -> AppTest:
    app.file_uploader[0].upload(name, content, "image/jpeg").run()
    assert not app.exception
    return app


def stylise(app: AppTest, methods: list[str]) -> AppTest:
    app.button_group(key="apply").set_value(methods).run()
    next(b for b in app.button if b.label == "Stylise").click().run()
    assert not app.exception
    return app


def test_methods_that_cannot_be_applied_say_why(ready: Path) -> None:
    app = show("try_it")
    assert app.button_group(key="apply").options == ["adain", "cut", "gatys"]
    assert app.button_group(key="apply").value == ["adain"]
    assert "fast_night is not trained" in words(app)
    assert not [b for b in app.button if b.label == "Stylise"]


def test_results_stand_beside_the_photograph_and_can_be_taken_away(ready: Path) -> None:
    app = stylise(bring(show("try_it"), encoded(ramp(64, 40))), ["adain", "cut"])
    assert alts(app) == ["your photograph", "adain", "cut"]
    assert [b.label for b in app.get("download_button")] == ["Download PNG"] * 3
    line = component(app, "slider")
    assert (line["left"]["name"], line["right"]["name"]) == ("your photograph", "adain")
    assert (line["width"], line["height"]) == (640, 400)
    assert not app.error


def test_a_kept_checkpoint_is_offered_beside_its_method(ready: Path) -> None:
    keep(ready / "results/models/cut", "cut", 5, seed=9)
    app = bring(show("try_it"), encoded(ramp(64, 40)))
    assert app.button_group(key="apply").options == ["adain", "cut", "cut@5", "gatys"]
    app = stylise(app, ["cut", "cut@5"])
    assert alts(app) == ["your photograph", "cut", "cut@5"]
    assert "kept after step 5" in words(app)
    made = [app.session_state["made"][3][name] for name in ("cut", "cut@5")]
    assert made[0] != made[1]


def test_results_of_another_photograph_are_not_shown_as_this_ones(ready: Path) -> None:
    app = stylise(bring(show("try_it"), encoded(ramp(64, 40))), ["cut"])
    assert alts(app) == ["your photograph", "cut"]
    assert alts(bring(app, encoded(ramp(64, 40, seed=5)), "other.jpg")) == []
    assert alts(stylise(app, ["cut"])) == ["your photograph", "cut"]


def test_a_photograph_is_upright_and_shrunk_with_a_notice(ready: Path) -> None:
    turned = Image.Exif()
    turned[0x0112] = 6  # a quarter to the right
    app = bring(show("try_it"), encoded(ramp(600, 300), exif=turned))
    assert app.select_slider[0].value == 512
    assert app.info[0].value == "The photograph has 300 × 600 pixels and is shrunk to 256 × 512."
    app.select_slider[0].set_value(600).run()
    assert not app.info


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"no picture", "holiday.jpg is not a picture of a known kind"),
        (encoded(ramp(64, 40))[:300], "holiday.jpg is broken or truncated"),
        (b"", "holiday.jpg is empty"),
    ],
)
def test_what_is_wrong_with_a_photograph_is_said_in_a_sentence(
    ready: Path, content: bytes, said: str
) -> None:
    app = bring(show("try_it"), content, "holiday.jpg")
    assert said in app.error[0].value.replace("\\", "")
    assert not [b for b in app.button if b.label == "Stylise"]


def test_a_method_that_fails_leaves_the_others(ready: Path) -> None:
    (ready / "results/models/cut/model.safetensors").write_bytes(b"broken")
    app = stylise(bring(show("try_it"), encoded(ramp(64, 40))), ["adain", "cut"])
    assert alts(app) == ["your photograph", "adain"]
    assert "cut" in app.error[0].value


def test_the_style_and_the_strength_are_asked_for_where_they_matter(ready: Path) -> None:
    app = show("try_it")
    assert app.selectbox(key="style").options[0] == "night"
    assert [one.key for one in app.selectbox] == ["style", "colour"]
    assert [one.key for one in app.slider] == ["strength", "stroke"]
    app.multiselect(key="others").set_value(["night"]).run()
    assert [one.key for one in app.slider] == ["share-night", "strength", "stroke"]
    app.button_group(key="apply").set_value(["cut"]).run()
    assert not app.slider
    assert [one.key for one in app.selectbox] == ["colour"]


def test_a_mixture_and_colours_are_those_of_the_command_line(ready: Path) -> None:
    for n, name in enumerate(("roots", "wheat")):
        ramp(40, 40, 8 + n).save(ready / f"results/prepared/paintings/{name}.png")
    app = bring(show("try_it"), encoded(ramp(64, 40), "PNG"))
    app.selectbox(key="style").set_value("night").run()
    sources = [component(stylise(app, ["adain"]), "slider")["right"]["src"]]
    for others in (["roots"], ["roots", "wheat"]):
        app.multiselect(key="others").set_value(others).run()
        sources.append(component(stylise(app, ["adain"]), "slider")["right"]["src"])
    app.selectbox(key="colour").set_value("luminance").run()
    sources.append(component(stylise(app, ["adain"]), "slider")["right"]["src"])
    app.slider(key="stroke").set_value(2.0).run()
    sources.append(component(stylise(app, ["adain"]), "slider")["right"]["src"])
    send(app, "mask", ramp(64, 40, 2))
    sources.append(component(stylise(app, ["adain"]), "slider")["right"]["src"])
    assert len(set(sources)) == 6


def test_regions_of_one_painting_guide_what_takes_them(ready: Path, monkeypatch) -> None:
    monkeypatch.setitem(METHODS, "guided", GUIDED)
    project(ready)
    app = bring(show("try_it"), encoded(ramp(64, 40), "PNG"))
    uploads = {"photo mask", "style mask"}
    assert not uploads & {one.key for one in app.file_uploader}, "AdaIN takes none"
    plain = made_by(app, "adain", "guided")
    assert uploads < {one.key for one in app.file_uploader}
    mask = Image.new("L", (64, 40))
    mask.paste(255, (32, 0, 64, 40))
    send(app, "photo mask", mask)
    assert "The other mask is missing" in app.info[0].value
    assert made_by(app, "adain", "guided") == plain
    send(app, "style mask", mask.transpose(Image.Transpose.FLIP_LEFT_RIGHT))
    assert not app.info
    regions = made_by(app, "adain", "guided")
    assert regions["adain"] == plain["adain"], "left out"
    assert regions["guided"] != plain["guided"]
    send(app, "style mask", Image.new("L", (9, 9), 90))
    app = stylise(app, ["adain", "guided"])
    assert alts(app) == ["your photograph", "adain"]
    assert "lacks grey 0, 255" in app.error[0].value.replace("\\", "")
    app.multiselect(key="others").set_value(["night"]).run()
    assert not uploads & {one.key for one in app.file_uploader}, "of one painting"


def made_by(app: AppTest, *names: str) -> dict[str, bytes]:
    """Results of the methods, all of which made one."""
    stylise(app, list(names))
    assert not app.error
    made: dict[str, bytes] = app.session_state["made"][3]
    assert set(made) == set(names)
    return dict(made)


def send(app: AppTest, key: str, picture: Image.Image) -> None:
    """Upload a picture to one of several uploaders."""
    (place,) = (one for one in app.file_uploader if one.key == key)
    place.upload("mask.png", encoded(picture, "PNG"), "image/png").run()
    assert not app.exception


def test_a_system_trained_in_both_directions_asks_for_one(ready: Path) -> None:
    path = ready / "params.yaml"
    path.write_text(path.read_text().replace("class: cut", "class: cyclegan"))
    train(ready, "cut", **{"class": "cyclegan"})
    app = bring(show("try_it"), encoded(ramp(64, 40)))
    first = component(stylise(app, ["cut"]), "slider")["right"]["src"]
    app.selectbox(key="direction").set_value("to_photo").run()
    assert component(stylise(app, ["cut"]), "slider")["right"]["src"] != first


def test_a_heat_map_and_a_strip_stand_beside_the_picture(ready: Path, monkeypatch) -> None:
    monkeypatch.setitem(METHODS, "heated", HEATED)
    project(ready, "heated")
    app = bring(show("try_it"), encoded(ramp(64, 40)))
    app.button_group(key="apply").set_value(["cut"]).run()
    assert [one.key for one in app.toggle] == ["strip"]
    app.button_group(key="apply").set_value(["cut", "heated"]).run()
    assert [one.key for one in app.toggle] == ["heatmap", "strip"]
    for one in app.toggle:
        one.set_value(True)
    found = alts(stylise(app, ["cut", "heated"]))
    assert found == [
        *("your photograph", "cut", "heated", "heated-heatmap"),
        *("cut-strip", "heated-strip"),
    ]
    sides = component(app, "slider")
    assert sides["right"]["name"] == "cut"


def test_a_style_of_ones_own_is_taken(ready: Path) -> None:
    app = bring(show("try_it"), encoded(ramp(64, 40)))
    first = component(stylise(app, ["adain"]), "slider")["right"]["src"]
    app.selectbox(key="style").set_value("a picture of my own").run()
    stylise(app, ["adain"])
    assert "needs a painting" in app.error[0].value
    app.file_uploader[1].upload("s.png", encoded(ramp(50, 50, 9), "PNG"), "image/png").run()
    assert component(stylise(app, ["adain"]), "slider")["right"]["src"] != first


def test_in_a_fresh_clone_the_zoos_weights_work_and_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ATELIER_ZOO")
    monkeypatch.setattr(zoo_files, "CHECKOUT", tmp_path)
    monkeypatch.chdir(project(tmp_path))
    entry(tmp_path / "zoo", "adain")
    save(tmp_path / "data/paintings/night.png", seed=3)
    app = bring(show("try_it"), encoded(ramp(64, 40)))
    assert app.button_group(key="apply").options == ["adain", "gatys"]
    used = "adain: pretrained weights of the zoo (12,000 steps on photographs and Van Gogh)"
    assert used in words(app).replace("`", "")
    assert app.selectbox(key="style").options[0] == "night", "of the data: nothing is prepared"
    assert alts(stylise(app, ["adain"])) == ["your photograph", "adain"]
    own = train(tmp_path, "adain")
    assert own.is_dir()
    assert "adain: weights of your own training (steps: 1)" in words(app.run()).replace("`", "")


def test_of_a_large_jpeg_no_more_is_decoded_than_is_wanted(
    ready: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[tuple[int, int]] = []

    def seen(image: Image.Image) -> Image.Image:
        decoded.append(image.size)
        return real(image)

    real = images.normalise
    monkeypatch.setattr(images, "normalise", seen)
    app = bring(show("try_it"), encoded(ramp(4200, 600), quality=90))
    assert app.select_slider[0].value == 512
    assert (1050, 150) in decoded
    assert max(width for width, _ in decoded) == 1050
    assert app.info[0].value == "The photograph has 4200 × 600 pixels and is shrunk to 512 × 73."
    app.select_slider[0].set_value(4200).run()
    assert decoded[-1] == (4200, 600)
