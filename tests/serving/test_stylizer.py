"""Any trained method on any picture: sizes, strengths, what is missing, what does not fit."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from atelier.core import images
from atelier.core.config import Params, UserError
from atelier.methods.base import Iterate
from atelier.methods.fast import Fast
from atelier.methods.strotss import Strotss
from atelier.methods.trained import Trained
from atelier.nn.colour_transfer import COLOURS, RECOLOUR, keep_chroma, recolour
from atelier.nn.hypercolumns import Regions
from atelier.nn.pretrained import diffusion
from atelier.serving import saved_method, stylizer
from atelier.serving.look import Look, Style
from atelier.serving.stylizer import Applied, applicable, load_applied
from support import settings
from support.models import GUIDED, HEATED, METHODS, keep, project, train
from support.pictures import ramp

PHOTO, STYLE = ramp(75, 50), ramp(90, 64, seed=3)
EVEN = ramp(72, 48)
"""A photograph that needs no padding, so that exact statements hold."""
TRAINED = ("fast_night", "adain", "cut")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return project(tmp_path_factory.mktemp("apply"), *TRAINED)


def load(root: Path, name: str) -> stylizer.Applied:
    return load_applied(root, Params.load(root / "params.yaml"), name)


def grey(picture: object) -> np.ndarray:
    return np.asarray(picture).astype(int)


@pytest.mark.parametrize("name", METHODS)
def test_every_kind_keeps_size_and_aspect_and_says_what_it_takes(root: Path, name: str) -> None:
    applied = load(root, name)
    made = applied.stylize(PHOTO, STYLE if applied.needs_style else None)
    assert made.size == PHOTO.size
    assert np.abs(grey(made) - grey(PHOTO)).mean() > 1
    assert applied.stylize(PHOTO, STYLE, max_side=48).size == (48, 32)
    assert (applied.name, applied.note) == (name, "")
    assert applied.needs_style is (name in {"adain", "gatys"})
    assert applied.has_strength is (name == "adain")


def test_no_network_is_ever_in_training_mode(root: Path) -> None:
    """As a server's threads share it: dropout and batch norm would see the others' mode."""
    for name in TRAINED:
        method = load(root, name).method
        assert isinstance(method, Trained)
        with method.inference_mode():
            assert not any(part.training for part in method.networks.modules())
        assert not any(part.training for part in method.networks.modules())


def test_it_is_the_method_itself(root: Path) -> None:
    applied = load(root, "adain")
    made = applied.stylize(PHOTO, ramp(70, 60, seed=3))
    content, style = (images.to_tensor(p)[None] for p in (PHOTO, ramp(70, 60, seed=3)))
    assert made.tobytes() == images.to_image(applied.method.stylize(content, style)).tobytes()


@pytest.mark.parametrize("name", METHODS)
def test_a_precision_replaces_that_of_the_settings(root: Path, name: str) -> None:
    params = Params.load(root / "params.yaml")
    exact, rough, auto = (
        load_applied(root, params, name, precision=p) for p in ("float32", "bfloat16", "auto")
    )
    made = [one.stylize(PHOTO, STYLE if one.needs_style else None) for one in (exact, rough)]
    assert 0 < np.abs(grey(made[0]) - grey(made[1])).mean() < 8
    assert exact.method.card() == load(root, name).method.card()
    assert auto.method.card() != exact.method.card(), "it says what auto stood for"


def test_strength_goes_from_the_photograph_to_the_style(root: Path) -> None:
    applied = load(root, "adain")
    whole, half, none = (
        grey(applied.stylize(EVEN, STYLE, Look(share))) for share in (1.0, 0.5, 0.0)
    )
    own = grey(applied.stylize(EVEN, EVEN))
    assert (whole == grey(applied.stylize(EVEN, STYLE))).all()
    assert np.abs(none - own).max() <= 1, "the photograph in its own style"
    assert 0 < np.abs(half - none).mean() < np.abs(whole - none).mean()


def test_colours_are_preserved_at_every_strength(tmp_path: Path) -> None:
    project(tmp_path, "adain")
    path = tmp_path / "params.yaml"
    text = path.read_text().replace("    adain: null", "    adain: {preserve_colour: true}")
    path.write_text(text)
    applied = load(tmp_path, "adain")
    assert applied.method.settings.preserve_colour, "no setting of the training"
    assert applied.note == ""
    with_strength = applied.stylize(EVEN, STYLE, Look(1.0))
    assert with_strength.tobytes() == applied.stylize(EVEN, STYLE).tobytes()


def test_a_mixture_is_the_methods_own_and_weights_are_shares(root: Path) -> None:
    applied = load(root, "adain")

    def made(*parts: tuple[Style, float]) -> bytes:
        return applied.stylize(EVEN, parts).tobytes()

    one, other = ramp(70, 60, seed=3), ramp(60, 60, seed=9)
    half = made((one, 2.0), (other, 2.0))
    assert half == made((one, 0.5), (other, 0.5)) == made((other, 1.0), (one, 1.0))
    assert made((one, 1.0), (other, 0.0)) == applied.stylize(EVEN, one).tobytes() != half
    content, *styles = (images.to_tensor(picture)[None] for picture in (EVEN, one, other))
    wanted = applied.method.interpolate(content, styles, [0.75, 0.25], 1.0)
    assert made((one, 3.0), (other, 1.0)) == images.to_image(wanted).tobytes()
    mixed = applied.stylize(EVEN, [(one, 1.0), (other, 1.0)], Look(0.0))
    assert np.abs(grey(mixed) - grey(applied.stylize(EVEN, EVEN))).max() <= 1


def test_a_stroke_is_the_size_of_the_painting(root: Path, monkeypatch) -> None:
    applied, sizes = load(root, "adain"), []
    blend = applied.method.blend
    monkeypatch.setattr(
        applied.method,
        "blend",
        lambda c, s, *rest: sizes.append(s[0].shape[2:]) or blend(c, s, *rest),
    )
    plain = applied.stylize(PHOTO, STYLE)
    larger = applied.stylize(PHOTO, STYLE, Look(stroke=2.0))
    applied.stylize(PHOTO, STYLE, Look(stroke=0.25))
    assert max(sizes[1]) == 2 * max(PHOTO.size)
    assert min(sizes[2]) >= 32, "no smaller than a system can take"
    assert plain.size == larger.size
    assert plain.tobytes() != larger.tobytes()


@pytest.mark.parametrize("name", ["adain", "gatys"])
def test_a_mask_gives_every_region_its_painting(root: Path, name: str) -> None:
    applied, (width, height) = load(root, name), EVEN.size
    one, other = ramp(70, 60, seed=3), ramp(60, 60, seed=9)
    mask = Image.new("L", (width, height))
    mask.paste(255, (width // 2, 0, width, height))
    both = [(one, 1.0), (other, 1.0)]
    made = images.to_tensor(applied.stylize(EVEN, both, Look(mask=mask)))
    left, right = (images.to_tensor(applied.stylize(EVEN, style)) for style in (one, other))
    torch.testing.assert_close(made[..., : width // 2], left[..., : width // 2])
    torch.testing.assert_close(made[..., width // 2 :], right[..., width // 2 :])
    even = images.to_tensor(applied.stylize(EVEN, both, Look(mask=Image.new("L", (3, 3), 51))))
    torch.testing.assert_close(even, 0.8 * left + 0.2 * right, atol=2 / 255, rtol=0)
    seen = [(i.step, i.total) for i in applied.iterates(EVEN, both, Look(mask=mask))]
    assert [step for step, _ in seen] == list(range(1, len(seen) + 1))
    assert {total for _, total in seen} == {seen[-1][0]}


def split(size: tuple[int, int], left: int = 0, right: int = 255, parts: int = 2) -> Image.Image:
    """A mask whose left side is a half or less."""
    mask = Image.new("L", size, left)
    mask.paste(right, (size[0] // parts, 0, *size))
    return mask


HALVES = split((72, 48))


@pytest.fixture
def guided(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Applied:
    """STROTSS, small."""
    monkeypatch.setitem(METHODS, "guided", GUIDED)
    return load(project(tmp_path), "guided")


def test_two_masks_guide_by_regions(guided: Applied) -> None:
    """Black pairs with black, wherever it is; a mask has any size."""
    method, painting = guided.method, ramp(70, 60, seed=3)
    assert isinstance(method, Strotss)
    assert guided.guides
    own, others = torch.zeros(1, 2, 48, 72), torch.zeros(1, 2, 60, 70)
    own[:, 0, :, :18], own[:, 1, :, 18:] = 1, 1
    others[:, 1, :, :35], others[:, 0, :, 35:] = 1, 1
    content, style = (images.to_tensor(picture)[None] for picture in (EVEN, painting))
    *_, wanted = method.guided(content, style, Regions(own, others))
    look = Look(mask=split((36, 48), parts=4), style_mask=split((140, 7), 250, 5))
    made = guided.stylize(EVEN, painting, look)
    assert made.tobytes() == images.to_image(wanted.image).tobytes()
    straight = guided.stylize(EVEN, painting, Look(mask=HALVES, style_mask=HALVES))
    plain = guided.stylize(EVEN, painting)
    assert len({made.tobytes(), straight.tobytes(), plain.tobytes()}) == 3
    alone = guided.stylize(EVEN, [(painting, 1.0)], look)
    assert alone.tobytes() == made.tobytes(), "a list of one, as on the command line"


def test_regions_go_with_other_options(guided: Applied) -> None:
    look = Look(mask=HALVES, style_mask=split((90, 64)), stroke=2.0, colour="luminance")
    made = guided.stylize(EVEN, STYLE, look)
    assert made.size == EVEN.size
    assert made.tobytes() != guided.stylize(EVEN, STYLE, Look(None, None, "luminance", 2)).tobytes()


TWO = [(STYLE, 1.0), (EVEN, 1.0)]


@pytest.mark.parametrize(
    ("style", "look", "message"),
    [
        (STYLE, Look(style_mask=HALVES), "a style mask needs a mask of the photograph beside it"),
        (TWO, Look(mask=HALVES, style_mask=HALVES), "a style mask needs one painting, without a"),
        ([(STYLE, 0.5)], Look(mask=HALVES, style_mask=HALVES), "one painting, without a weight"),
        (STYLE, Look(mask=HALVES), "two paintings or more, without weights; or one and a style ma"),
        (
            STYLE,
            Look(mask=HALVES, style_mask=split((9, 9), 0, 128)),
            "the painting's mask lacks grey 255 and the photograph's mask lacks grey 128",
        ),
    ],
)
def test_what_does_not_guide_is_a_sentence(
    guided: Applied, style: Style, look: Look, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        guided.check(style, look)
    if style is TWO:  # each painting in its part of one mask, as with any other system
        assert guided.stylize(EVEN, style, Look(mask=HALVES)).size == EVEN.size


def test_both_directions_of_a_system_that_has_them(tmp_path: Path) -> None:
    path = project(tmp_path) / "params.yaml"
    path.write_text(path.read_text().replace("class: cut", "class: cyclegan"))
    train(tmp_path, "cut", **{"class": "cyclegan"})
    applied = load(tmp_path, "cut")
    assert applied.directions == ("to_art", "to_photo")
    found = {way: applied.stylize(PHOTO, look=Look(direction=way)) for way in applied.directions}
    assert found["to_art"].tobytes() == applied.stylize(PHOTO).tobytes()
    wanted = applied.method.apply(images.to_tensor(PHOTO)[None], "to_photo")
    assert found["to_photo"].tobytes() == images.to_image(wanted).tobytes()
    assert found["to_photo"].tobytes() != found["to_art"].tobytes()


def small_ugatit(root: Path) -> Applied:
    """An entry of U-GAT-IT with drawn weights."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(METHODS, "heated", HEATED)
        return load(project(root, "heated"), "heated")


def test_a_heat_map_is_that_of_the_sheets_in_the_pictures_size(tmp_path: Path) -> None:
    applied, photo = small_ugatit(tmp_path), images.to_tensor(PHOTO)[None]
    assert applied.has_heatmap
    for way in applied.directions:
        _, heat = applied.method.explained(photo, way)
        look = Look(direction=way, heatmap=True, colour="luminance")
        assert applied.stylize(PHOTO, look=look).tobytes() == images.to_image(heat).tobytes()
    to_art = applied.stylize(PHOTO, look=Look(heatmap=True))
    assert to_art.size == PHOTO.size
    assert to_art.tobytes() != applied.stylize(PHOTO).tobytes()


@pytest.mark.parametrize("name", ["adain", "cut"])
def test_colours_of_the_photograph(root: Path, name: str) -> None:
    """CORAL and histograms change the painting; of a system without one, the result."""
    applied = load(root, name)
    painting = ramp(70, 60, seed=3)
    style = painting if applied.needs_style else None
    found = {
        colour: images.to_tensor(applied.stylize(EVEN, style, Look(colour=colour)))
        for colour in COLOURS
    }
    photo, plain = images.to_tensor(EVEN), images.to_tensor(applied.stylize(EVEN, style))
    assert torch.equal(found["keep"], plain)
    wanted = keep_chroma(plain[None], photo[None])[0]
    torch.testing.assert_close(found["luminance"], wanted, atol=1.5 / 255, rtol=0)
    if name == "cut":
        own, theirs = (one.flatten(1).sort(1).values for one in (found["histogram"], photo))
        torch.testing.assert_close(own, theirs, atol=1.01 / 255, rtol=0)
        whole = applied.method.stylize(photo[None], photo[None])  # not rounded to levels
        wanted = recolour(whole, photo[None])[0]
        torch.testing.assert_close(found["coral"], wanted, atol=1.5 / 255, rtol=0)
    else:
        for colour, change in RECOLOUR.items():
            recoloured = change(images.to_tensor(painting)[None], photo[None])
            made = applied.method.stylize(photo[None], recoloured)[0]
            torch.testing.assert_close(found[colour], made, atol=1.5 / 255, rtol=0)


def test_a_colour_asked_for_replaces_the_setting(tmp_path: Path) -> None:
    project(tmp_path, "adain")
    plain = load(tmp_path, "adain")
    path = tmp_path / "params.yaml"
    text = path.read_text().replace("    adain: null", "    adain: {preserve_colour: true}")
    path.write_text(text)
    applied = load(tmp_path, "adain")
    kept = applied.stylize(EVEN, STYLE, Look(colour="keep"))
    assert kept.tobytes() == plain.stylize(EVEN, STYLE).tobytes()
    coral = applied.stylize(EVEN, STYLE, Look(colour="coral"))
    assert coral.tobytes() == applied.stylize(EVEN, STYLE).tobytes() != kept.tobytes()
    assert applied.method.settings.preserve_colour, "the method itself stays as it was"


def test_a_system_without_a_training_needs_no_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UserError, match="adain is not trained"):
        load(project(tmp_path), "adain")
    monkeypatch.setattr(saved_method, "Trained", Fast)  # as if AdaIN were none
    assert load(tmp_path, "adain").stylize(PHOTO, STYLE).size == PHOTO.size


def test_a_system_that_optimises_shows_its_iterates(root: Path) -> None:
    seen: list[Iterate] = []
    made = load(root, "gatys").stylize(PHOTO, STYLE, watch=seen.append)
    assert [(it.step, it.total) for it in seen] == [(1, 3), (2, 3), (3, 3)]
    assert seen[0].image.shape == (1, 3, 50, 75), "one picture, not a batch filled with copies"
    assert images.to_image(seen[-1].image).tobytes() == made.tobytes()


@pytest.mark.parametrize(
    ("name", "asked", "message"),
    [
        ("adain", {}, "adain needs a painting"),
        ("adain", {"style": STYLE, "look": Look(1.5)}, r"the strength 1\.5 is not between 0 and 1"),
        ("cut", {"look": Look(0.5)}, "cut has no strength"),
        ("gatys", {"style": STYLE, "look": Look(0.5)}, "gatys has no strength"),
        ("cut", {"max_side": 40}, "the photograph is 40×27 px; no side may be below 32 px"),
        ("adain", {"style": ramp(20, 90)}, "the painting is 20×90 px"),
        ("gatys", {"style": [(STYLE, 1), (EVEN, 1)]}, "gatys takes one painting, not a mixture"),
        ("adain", {"style": [(STYLE, 0)]}, "weights of paintings are not negative, and not all 0"),
        ("adain", {"style": [(STYLE, 2), (EVEN, -1)]}, "not negative, and not all 0; found 2, -1"),
        (
            "cut",
            {"look": Look(direction="to_photo")},
            "cut has no direction to_photo; it has to_art",
        ),
        (
            "adain",
            {"style": STYLE, "look": Look(direction="to_art")},
            "no direction to_art; .* none",
        ),
        ("cut", {"look": Look(stroke=2.0)}, "cut takes no painting"),
        ("adain", {"style": STYLE, "look": Look(stroke=9.0)}, "the stroke 9 is not between 0.25"),
        (
            "adain",
            {"style": STYLE, "look": Look(mask=EVEN)},
            "a mask needs two paintings or more, without weights$",
        ),
        ("cut", {"look": Look(style_mask=EVEN)}, "cut takes no painting, so that no mask or"),
        (
            "gatys",
            {"style": STYLE, "look": Look(mask=HALVES, style_mask=HALVES)},
            "gatys takes no style mask: it is not guided by regions",
        ),
        (
            "adain",
            {"style": [(STYLE, 1), (EVEN, 2)], "look": Look(mask=EVEN)},
            "a mask needs two paintings or more, without weights",
        ),
        ("cut", {"look": Look(heatmap=True)}, "cut has no heat map: it has no attention to show"),
        ("cut", {"look": Look(colour="sepia")}, "colour sepia is none of keep, luminance, coral"),
    ],
)
def test_what_it_cannot_do_is_a_sentence(root: Path, name: str, asked: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        load(root, name).stylize(PHOTO, **asked)


def test_a_long_painting_is_not_shrunk_to_nothing(root: Path) -> None:
    assert load(root, "adain").stylize(PHOTO, ramp(400, 40)).size == PHOTO.size


def test_the_painting_is_shrunk_to_the_photographs_size(root: Path, monkeypatch) -> None:
    applied, seen = load(root, "adain"), []
    real = applied.method.iterates
    monkeypatch.setattr(
        applied.method, "iterates", lambda c, s: (seen.append(tuple(s.shape)), real(c, s))[1]
    )
    applied.stylize(PHOTO, ramp(150, 100))
    assert seen == [(1, 3, 50, 75)]


def test_pieces_give_the_picture_of_the_whole(root: Path, monkeypatch) -> None:
    photo = ramp(150, 70)
    whole = grey(load(root, "adain").stylize(photo, STYLE))
    monkeypatch.setattr(stylizer, "TILE", 64)
    applied = load(root, "adain")
    assert applied.method.settings.tile == 64
    assert np.abs(grey(applied.stylize(photo, STYLE)) - whole).max() <= 1


MEMORY = "[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"


@pytest.mark.parametrize(
    ("raised", "kind", "told"),
    [
        (MEMORY, UserError, "too little memory for a picture of 75×50 px"),
        ("a bug", RuntimeError, "a bug"),
    ],
)
def test_too_little_memory_is_a_sentence(
    root: Path, monkeypatch, raised: str, kind: type[Exception], told: str
) -> None:
    applied = load(root, "cut")

    def fail(*_: object) -> None:
        raise RuntimeError(raised)

    monkeypatch.setattr(applied.method, "iterates", fail)
    with pytest.raises(kind, match=told):
        applied.stylize(PHOTO)


def test_a_picture_that_is_not_finite_is_refused(tmp_path: Path) -> None:
    project(tmp_path, "cut")
    applied = load(tmp_path, "cut")
    with torch.no_grad():
        for weight in applied.method.inference_networks.parameters():
            weight.fill_(float("nan"))
    with pytest.raises(UserError, match="cut: its picture holds values that are not finite"):
        applied.stylize(PHOTO)


def test_applicable_tells_what_is_missing(tmp_path: Path, monkeypatch) -> None:
    project(tmp_path, "cut", "fast_night")
    (tmp_path / "results/models/fast_night/model.safetensors").unlink()
    found = applicable(tmp_path, Params.load(tmp_path / "params.yaml"))
    assert list(found) == list(METHODS)
    assert found["cut"] == found["gatys"] == ""
    for name in ("adain", "fast_night"):
        assert found[name] == f"{name} is not trained; run `dvc repro train@{name}`"
    with pytest.raises(UserError, match="train@adain"):
        load(tmp_path, "adain")


def test_applicable_knows_of_missing_networks(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("ATELIER_WEIGHTS", str(tmp_path))
    monkeypatch.setattr("torch.hub.get_dir", lambda: str(tmp_path / "cache"))
    card = train(project(tmp_path), "adain") / "card.json"
    found = json.loads(card.read_text())
    found["parameters"]["features"] = "squeezenet1_1"
    card.write_text(json.dumps(found))
    params = Params.load(tmp_path / "params.yaml")
    assert applicable(tmp_path, params)["adain"].startswith("adain needs squeezenet1_1, which is")
    (tmp_path / "squeezenet1_1.safetensors").touch()
    assert applicable(tmp_path, params)["adain"] == ""


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"parameters": {"class": "nothing"}}'])
def test_a_card_that_is_none_is_a_sentence(tmp_path: Path, text: str) -> None:
    project(tmp_path, "cut")
    (tmp_path / "results/models/cut/card.json").write_text(text)
    reason = applicable(tmp_path, Params.load(tmp_path / "params.yaml"))["cut"]
    assert reason
    with pytest.raises(UserError):
        load(tmp_path, "cut")


def test_a_method_is_what_its_card_says(tmp_path: Path) -> None:
    train(project(tmp_path), "cut", width=8)
    applied = load(tmp_path, "cut")
    assert applied.method.settings.width == 8
    assert applied.note == "cut is applied as it was trained; params.yaml differs in width"
    assert applied.stylize(PHOTO).size == PHOTO.size


def test_one_network_per_painting_needs_no_perceptual_network(tmp_path: Path, monkeypatch) -> None:
    card = train(project(tmp_path), "fast_night") / "card.json"
    wanted = load(tmp_path, "fast_night").stylize(PHOTO)
    text = card.read_text().replace('"features": "mini"', '"features": "vgg16"')
    card.write_text(text.replace("relu3_1", "relu3_3"))
    monkeypatch.setenv("ATELIER_WEIGHTS", str(tmp_path))
    assert load(tmp_path, "fast_night").stylize(PHOTO).tobytes() == wanted.tobytes()


def test_weights_of_another_encoder_are_refused(tmp_path: Path) -> None:
    card = train(project(tmp_path), "adain") / "card.json"
    found = json.loads(card.read_text())
    card.write_text(json.dumps({**found, "features_hash": "0123456789ab"}))
    with pytest.raises(UserError, match="trained with mini 0123456789ab, here is"):
        load(tmp_path, "adain")


def test_a_kept_checkpoint_is_applied_by_its_step(tmp_path: Path) -> None:
    folder = train(project(tmp_path, "cut"), "cut")
    other, final = keep(folder, "cut", 5, seed=9), load(tmp_path, "cut")
    params = Params.load(tmp_path / "params.yaml")
    names = list(applicable(tmp_path, params))
    assert names.index("cut@5") == names.index("cut") + 1
    assert not applicable(tmp_path, params)["cut@5"]
    found = load(tmp_path, "cut@5")
    assert found.name == "cut@5"
    assert found.used == "weights of your own training, kept after step 5"
    wanted = other.stylize(images.to_tensor(EVEN)[None], images.to_tensor(EVEN)[None])
    assert found.stylize(EVEN).tobytes() == images.to_image(wanted).tobytes()
    assert found.stylize(EVEN).tobytes() != final.stylize(EVEN).tobytes()
    with pytest.raises(UserError, match="no weights were kept after step 6; kept steps: 5"):
        load(tmp_path, "cut@6")


def test_an_unknown_method_is_named(root: Path) -> None:
    with pytest.raises(UserError, match="no method 'nothing'"):
        load(root, "nothing")


def test_applicable_knows_of_a_missing_extra(tmp_path: Path, monkeypatch) -> None:
    params = Params(settings.tree({"mine": {"class": "styleid"}}))
    for found, said in ((None, "styleid needs diffusers and transformers; install"), (1, "")):
        monkeypatch.setattr(diffusion, "find_spec", lambda _, found=found: found)
        assert applicable(tmp_path, params)["mine"].startswith(said)
        assert bool(applicable(tmp_path, params)["mine"]) == bool(said)
