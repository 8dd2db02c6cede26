"""`atelier methods | stylize | denoise | noise | export`, on methods whose weights were drawn."""

from __future__ import annotations

import os
from pathlib import Path
from typing import get_args, get_type_hints

import numpy as np
import pytest
import yaml
from PIL import Image

from atelier.cli import apply
from atelier.core import images
from atelier.nn.colour_transfer import COLOURS
from atelier.serving import folders
from atelier.serving.look import DIRECTIONS
from support.cli import atelier
from support.models import GUIDED, HEATED, METHODS, project, train
from support.pictures import ramp, save


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with two trained methods, the working directory; a folder ``in`` of pictures."""
    project(tmp_path, "cut", "adain")
    tree = yaml.safe_load((tmp_path / "params.yaml").read_text())
    tree["scales"]["demo"]["denoise"] = {"steps": 3, "decay_every": 2}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(tree, sort_keys=False))
    monkeypatch.chdir(tmp_path)
    save(tmp_path / "in/one.png", seed=1)
    save(tmp_path / "in/nested/two.png", seed=2, size=(40, 64))
    return tmp_path


def sizes(folder: Path) -> dict[str, tuple[int, int]]:
    found = {}
    for path in sorted(folder.iterdir()):
        with Image.open(path) as image:
            found[path.name] = image.size
    return found


def test_methods_lists_kind_status_and_what_to_do(root: Path, monkeypatch, capsys) -> None:
    assert atelier(monkeypatch, "methods") == 0
    lines = capsys.readouterr().out.splitlines()
    rows = {line.split()[0]: line for line in lines[2:6]}
    assert list(rows) == ["fast_night", "adain", "cut", "gatys"]
    assert rows["adain"].split()[1:3] == ["arbitrary", "ready"]
    assert rows["fast_night"].split()[1:3] == ["per_style", "no"]
    assert rows["gatys"].split()[1] == "optimisation"
    assert rows["adain"].endswith("(Huang & Belongie, ICCV 2017).")
    assert lines[6:] == ["fast_night is not trained; run `dvc repro train@fast_night`"]


def test_stylize_takes_files_and_folders_and_keeps_sizes(root: Path, monkeypatch, capsys) -> None:
    style = str(save(root / "night.png", seed=9))
    save(root / "more/one.png", seed=3, size=(50, 50))
    given = ["in", "in/one.png", "more/one.png", "-m", "cut", "--method", "adain"]
    assert atelier(monkeypatch, "stylize", *given, "--style", style, "-o", "out") == 0
    expected = {"in__one": (64, 48), "more__one": (50, 50), "nested__two": (40, 64)}
    assert sizes(root / "out") == {
        f"{name}-{method}.png": size
        for name, size in expected.items()
        for method in ("adain", "cut")
    }
    told = capsys.readouterr()
    assert "the results are in out" in told.out
    assert "stylize: 6/6" in told.err, "a picture that is given twice is done once"


@pytest.mark.slow
def test_mixtures_colours_and_directions_by_the_names_of_try_it(
    root: Path, monkeypatch, capsys
) -> None:
    for seed, name in enumerate(("a.png", "b:2.png", "c.png"), 5):
        save(root / name, seed=seed)

    def made(out: str, *options: str) -> bytes:
        assert (
            atelier(monkeypatch, "stylize", "in/one.png", "-m", "adain", "-o", out, *options) == 0
        )
        return (root / out / "one-adain.png").read_bytes()

    mixed = made("1", "--style", "a.png:0.75", "--style", "c.png:0.25")
    assert mixed == made("2", "-s", "a.png:3", "-s", "c.png")
    assert mixed != made("3", "-s", "a.png") == made("4", "-s", "a.png:0.1", "-s", "b:2.png:0")
    assert len({made(n, "-s", "a.png", "--colour", n) for n in COLOURS}) == 4
    assert made("5", "-s", "a.png", "--colour", "keep") == made("3", "-s", "a.png")
    assert made("7", "-s", "a.png", "--stroke", "2") != made("3", "-s", "a.png")
    two = ("-s", "a.png", "-s", "c.png")
    save(root / "mask.png")
    assert made("8", *two, "--mask", "mask.png") != made("9", *two)
    given = ["in", "-o", "6", "-m", "cut", "--direction"]
    assert atelier(monkeypatch, "stylize", *given, "to_art") == 0
    assert atelier(monkeypatch, "stylize", *given, "to_photo") == 1
    assert "cut has no direction to_photo" in capsys.readouterr().err


def test_strips_beside_the_results(root: Path, monkeypatch, capsys) -> None:
    save(root / "a.png", seed=5)
    given = ["stylize", "in/one.png", "-o", "out", "--strip", "-m"]
    assert atelier(monkeypatch, *given, "adain", "-m", "cut", "-s", "a.png") == 0
    made = sizes(root / "out")
    assert set(made) == {f"one-{m}{end}.png" for m in ("adain", "cut") for end in ("", "-strip")}
    assert made["one-adain-strip.png"][0] > 6 * 256
    for more, message in (
        (["gatys", "-s", "a.png"], "gatys has no strip"),
        (["cut", "--ray", "local"], "there are no strips with --ray; leave --strip out"),
    ):
        assert atelier(monkeypatch, *given, *more) == 1
        assert message in capsys.readouterr().err
    video = ["stylize", "a.mp4", "-o", "b.mp4", "--strip", "-m", "cut"]
    assert atelier(monkeypatch, *video) == 1
    assert "there are no strips of a video" in capsys.readouterr().err


def test_a_heat_map_has_a_name_of_its_own(root: Path, monkeypatch, capsys) -> None:
    monkeypatch.setitem(METHODS, "heated", HEATED)
    project(root, "heated")
    given = ["stylize", "in/one.png", "-o", "out", "-m"]
    assert atelier(monkeypatch, *given, "heated", "--heatmap") == 0
    assert atelier(monkeypatch, *given, "heated") == 0
    assert sizes(root / "out") == {f"one-heated{end}.png": (64, 48) for end in ("", "-heatmap")}
    assert atelier(monkeypatch, *given, "cut", "--heatmap") == 1
    assert "cut has no heat map" in capsys.readouterr().err


def test_two_masks_pair_regions_of_photograph_and_painting(root: Path, monkeypatch, capsys) -> None:
    monkeypatch.setitem(METHODS, "guided", GUIDED)
    project(root)
    save(root / "a.png", seed=5)
    for name, greys in (("left", (0, 255)), ("right", (255, 0)), ("other", (0, 128))):
        mask = Image.new("L", (60, 40), greys[0])
        mask.paste(greys[1], (30, 0, 60, 40))
        mask.save(root / f"{name}.png")

    def made(out: str, *options: str) -> bytes:
        given = ("in/one.png", "-m", "guided", "-s", "a.png", "-o", out, *options)
        assert atelier(monkeypatch, "stylize", *given) == 0
        return (root / out / "one-guided.png").read_bytes()

    masks = ("--mask", "left.png", "--style-mask")
    straight = made("1", *masks, "left.png")
    assert "stylize: 3/3" in capsys.readouterr().err, "one pass, as there is one painting"
    assert len({straight, made("2", *masks, "right.png"), made("3")}) == 3
    given = ["stylize", "in", "-m", "guided", "-s", "a.png", "-o", "none", *masks, "other.png"]
    assert atelier(monkeypatch, *given) == 1
    told = capsys.readouterr().err
    assert "error: the painting's mask lacks grey 255" in told, "once, not of every picture"


def test_the_command_line_offers_what_the_package_has() -> None:
    """It does not import them, as that takes seconds."""
    offered = get_type_hints(apply.stylize)
    for option, known in (("colour", COLOURS), ("direction", DIRECTIONS)):
        assert get_args(get_args(offered[option])[0]) == known


def test_stylize_reads_any_type_upright(root: Path, monkeypatch) -> None:
    exif = Image.Exif()
    exif[0x112] = 6
    ramp(90, 50).save(root / "turned.jpg", exif=exif)
    ramp(50, 40).convert("RGBA").save(root / "clear.webp")
    given = ["turned.jpg", "clear.webp", "-m", "cut", "--max-side", "45", "-o", "out"]
    assert atelier(monkeypatch, "stylize", *given) == 1, "45 × 36 will do, 25 × 45 will not"
    given[given.index("45")] = "80"
    assert atelier(monkeypatch, "stylize", *given) == 0
    assert sizes(root / "out") == {"clear-cut.png": (50, 40), "turned-cut.png": (44, 80)}


def test_a_broken_picture_is_named_and_the_others_are_done(root: Path, monkeypatch, capsys) -> None:
    (root / "in/broken.jpg").write_text("no picture")
    save(root / "in/tiny.png", size=(20, 20))
    assert atelier(monkeypatch, "stylize", "in", "-m", "cut", "-o", "out") == 1
    told = capsys.readouterr().err
    assert "skipped: in/broken.jpg: is not a picture of a known kind" in told
    assert "skipped: in/tiny.png: the photograph is 20×20 px" in told
    assert "error: 2 failed (see above)" in told
    assert set(sizes(root / "out")) == {"one-cut.png", "nested__two-cut.png"}


def test_stylize_never_writes_over_what_goes_in(root: Path, monkeypatch, capsys) -> None:
    save(root / "in/one-cut.png", seed=4)
    before = (root / "in/one-cut.png").read_bytes()
    assert atelier(monkeypatch, "stylize", "in", "-m", "cut", "-o", "in") == 1
    assert "in/one-cut.png: is an input and would be replaced" in capsys.readouterr().err
    assert (root / "in/one-cut.png").read_bytes() == before
    assert not (root / "in/nested__two-cut.png").exists()


@pytest.mark.parametrize(
    ("given", "code", "message"),
    [
        (["in", "-m", "adain", "-o", "out"], 1, "adain needs a painting"),
        (["in", "-m", "gatys", "-m", "cut", "--strength", "0.5", "-o", "o"], 1, "gatys needs"),
        (["in", "-m", "cut", "--strength", "0.5", "-o", "out"], 1, "cut has no strength"),
        (["in", "-m", "cut", "--strength", "1.5", "-o", "out"], 2, "strength"),
        (["in", "-m", "cutt", "-o", "out"], 1, "no method 'cutt'"),
        (["in", "-m", "fast_night", "-o", "out"], 1, "dvc repro train@fast_night"),
        (["gone", "-m", "cut", "-o", "out"], 1, "gone: no such file or folder"),
        (["results/models", "-m", "cut", "-o", "out"], 1, "results/models: holds no picture"),
        (["in", "-m", "adain", "--style", "gone.png", "-o", "out"], 1, "gone.png: is missing"),
        (["in", "-m", "adain", "--mask", "gone.png", "-o", "out"], 1, "gone.png: is missing"),
        (["in", "-m", "gatys", "--style-mask", "no.png", "-o", "out"], 1, "no.png: is missing"),
        (["in", "-m", "cut"], 2, "--out"),
        (["in", "-o", "out"], 2, "--method"),
    ],
)
def test_mistakes_are_one_line(
    root: Path, monkeypatch, capsys, given: list[str], code: int, message: str
) -> None:
    assert atelier(monkeypatch, "stylize", *given) == code
    told = capsys.readouterr().err
    assert message in told
    assert "Traceback" not in told
    assert not (root / "out").exists()


def test_a_method_trained_with_other_settings_says_so(root: Path, monkeypatch, capsys) -> None:
    train(root, "cut", width=8)
    assert atelier(monkeypatch, "stylize", "in/one.png", "-m", "cut", "-o", "out") == 0
    assert "note: cut is applied as it was trained; params.yaml differs in width" in (
        capsys.readouterr().err
    )


def test_gatys_tells_how_far_it_is(root: Path, monkeypatch, capsys) -> None:
    given = ["in/one.png", "-m", "gatys", "-s", "in/one.png", "-o", "out"]
    assert atelier(monkeypatch, "stylize", *given) == 0
    assert "stylize: 3/3" in capsys.readouterr().err, "its steps, not its pictures"


def test_denoise_writes_beside_and_takes_settings(root: Path, monkeypatch, capsys) -> None:
    assert atelier(monkeypatch, "denoise", "in", "-o", "out") == 0
    assert sizes(root / "out") == {
        "nested__two-denoised.png": (40, 64), "one-denoised.png": (64, 48)
    }  # fmt: skip
    given = ["in/one.png", "--strength", "0", "--steps", "1", "-o", "none"]
    assert atelier(monkeypatch, "denoise", *given) == 0
    names = ("none/one-denoised.png", "in/one.png")
    made, source = (np.asarray(images.read(name)) for name in names)
    assert (made == source).all(), "no noise is taken away at strength 0"


def test_outside_a_project_denoise_has_the_papers_settings(
    root: Path, monkeypatch, tmp_path_factory
) -> None:
    elsewhere, seen = tmp_path_factory.mktemp("elsewhere"), []
    monkeypatch.chdir(elsewhere)
    monkeypatch.setattr(folders, "denoise_files", lambda *given, **_: seen.append(given) or 0)
    assert atelier(monkeypatch, "denoise", str(root / "in/one.png"), "-o", "out") == 0
    settings = seen[0][2]
    assert (settings.steps, settings.decay_every, settings.crop) == (2000, 1500, None)


def test_noise_of_a_known_strength(root: Path, monkeypatch, capsys) -> None:
    Image.new("RGB", (64, 64), (128, 128, 128)).save(root / "grey.png")
    for option, level, sd in (
        ("--gaussian", "20", 20.0),
        ("--poisson", "50", 255 * (0.5 / 50) ** 0.5),
    ):
        for out in ("a", "b"):
            assert atelier(monkeypatch, "noise", "grey.png", option, level, "-o", out) == 0
        made = root / "a/grey-noisy.png"
        found = np.asarray(Image.open(made), float)
        assert found.std() == pytest.approx(sd, rel=0.05)
        assert found.mean() == pytest.approx(128, abs=2)
        assert made.read_bytes() == (root / "b/grey-noisy.png").read_bytes()
        assert (
            atelier(monkeypatch, "noise", "grey.png", option, level, "--seed", "1", "-o", "b") == 0
        )
        assert made.read_bytes() != (root / "b/grey-noisy.png").read_bytes()
    for given in ([], ["--gaussian", "5", "--poisson", "5"]):
        assert atelier(monkeypatch, "noise", "grey.png", *given, "-o", "c") == 1
        assert "say one of --gaussian and --poisson" in capsys.readouterr().err


def test_the_pair_is_shown_beside_the_denoised_picture(root: Path, monkeypatch) -> None:
    given = ("in/one.png", "--steps", "2", "-o", "out")
    assert atelier(monkeypatch, "denoise", *given) == 0
    assert sorted(sizes(root / "out")) == ["one-denoised.png"]
    assert atelier(monkeypatch, "denoise", *given, "--show-pair") == 0
    found = sizes(root / "out")
    assert found["one-denoised.png"] == (64, 48)
    width, height = found["one-denoised-pair.png"]
    assert width > 6 * 256
    assert 192 < height < 256, "no higher than the picture and its label"


def test_export_needs_its_packages(root: Path, monkeypatch, capsys) -> None:
    monkeypatch.setattr("atelier.serving.onnx.find_spec", lambda _: None)
    assert atelier(monkeypatch, "export", "cut", "--onnx", "cut.onnx") == 1
    assert "pip install -e '.[onnx]'" in capsys.readouterr().err
    assert not (root / "cut.onnx").exists()


def test_odd_files_are_named_and_the_others_done(root: Path, monkeypatch, capsys) -> None:
    os.mkfifo(root / "in/pipe.jpg")
    (root / "in/a.jpg").symlink_to(root / "in/b.jpg")
    (root / "in/b.jpg").symlink_to(root / "in/a.jpg")
    (root / "in/linked").symlink_to(root)
    (root / "in/notes.txt").touch()
    for name in (b"caf\xe8.png", b"caf\xe9.png"):
        save(root / "in/x.png").rename(root / "in" / os.fsdecode(name))
    assert atelier(monkeypatch, "stylize", "in", "-m", "cut", "-o", "out") == 1
    told = capsys.readouterr().err
    for name in ("a.jpg", "b.jpg", "pipe.jpg", "linked", "1 .txt"):
        assert name in told
    assert sorted(sizes(root / "out")) == [
        "cafè-cut.png",
        "café-cut.png",
        "nested__two-cut.png",
        "one-cut.png",
    ]
    assert atelier(monkeypatch, "stylize", "in/a.jpg", "in/pipe.jpg", "-m", "cut", "-o", "o") == 1
    told = capsys.readouterr().err
    assert "in/a.jpg: cannot be read" in told
    assert "in/pipe.jpg: is not a regular file" in told
