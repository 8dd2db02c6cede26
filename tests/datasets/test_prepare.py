"""From the user's folder to results/prepared: names, skips, leaks, determinism, pairing."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from atelier.core import images
from atelier.core.config import UserError
from atelier.core.pairing import Pairing
from atelier.datasets import prepare as step
from atelier.datasets.prepare import prepare
from atelier.datasets.prepare_settings import PrepareSettings
from support.pictures import bomb_png, data_folder, save


def settings(**overrides: Any) -> PrepareSettings:
    return PrepareSettings.build({"size": 32, "workers": 1, **overrides}, "prepare")


def tree(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def sources(manifest: dict[str, Any], key: str) -> list[str]:
    return [entry["source"] for entry in manifest[key]]


def test_preparing_loads_no_torch(tmp_path: Path) -> None:
    """It would be most of the start of the stage, and of every process it works with."""
    script = (
        "import sys; from pathlib import Path;"
        "from atelier.datasets.prepare import prepare;"
        "from atelier.datasets.prepare_settings import PrepareSettings;"
        "settings = PrepareSettings(size=32, workers=1);"
        f"prepare(Path({str(data_folder(tmp_path / 'data'))!r}), Path('out'), settings, 0);"
        "sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], check=False, cwd=tmp_path)
    assert done.returncode == 0
    assert (tmp_path / "out/manifest.json").is_file()


def test_what_comes_out(tmp_path: Path) -> None:
    data = data_folder(tmp_path / "data")
    save(data / "styles" / "monet" / "a.png", size=(20, 40))
    manifest = prepare(data, tmp_path / "out", settings(), 0)
    assert manifest == json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["counts"] == {
        "photos/train": {"found": 4, "used": 4},
        "photos/test": {"found": 3, "used": 3},
        "paintings": {"found": 2, "used": 2},
        "styles": {"found": 1, "used": 1},
    }
    last = manifest["pictures"][-1]
    assert last["file"] == "styles/monet__a.png"
    assert (last["split"], last["source"]) == ("styles", "styles/monet/a.png")
    assert (last["width"], last["height"], last["size"]) == (20, 40, [32, 32])
    written = [path for path in images.find(tmp_path / "out") if images.read(path).size == (32, 32)]
    assert len(written) == len(manifest["pictures"]) == 10
    assert str(tmp_path) not in (tmp_path / "out" / "manifest.json").read_text()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "out"]


def test_pairing_file(tmp_path: Path) -> None:
    prepare(data_folder(tmp_path / "data"), tmp_path / "out", settings(test_photos=2), 0)
    pairing = Pairing.read(tmp_path / "out" / "pairing.json").styles
    assert len(pairing) == 2
    for photo, painting in pairing.items():
        assert (tmp_path / "out" / "photos" / "test" / f"{photo}.png").is_file()
        assert (tmp_path / "out" / "paintings" / painting).is_file()


def test_a_seeded_part_of_the_training_photographs(tmp_path: Path) -> None:
    data = data_folder(tmp_path / "data", train=6)

    def taken(count: int | None, seed: int = 0) -> set[str]:
        manifest = prepare(data, tmp_path / "out", settings(train_photos=count), seed)
        assert manifest["counts"]["photos/test"]["used"] == 3
        found = {path.name for path in (tmp_path / "out/photos/train").iterdir()}
        assert manifest["counts"]["photos/train"] == {"found": 6, "used": len(found)}
        return found

    assert len(taken(2)) == 2
    assert taken(2) < taken(4) < taken(None), "a smaller choice is a part of a larger one"
    assert len({frozenset(taken(3, seed)) for seed in range(4)}) > 1
    warnings = prepare(data, tmp_path / "out", settings(train_photos=9), 0)["warnings"]
    assert "train_photos asks for 9, there are 6" in warnings


@pytest.mark.slow
def test_twice_with_other_workers_is_the_same_to_the_byte(tmp_path: Path) -> None:
    data = data_folder(tmp_path / "data", train=60, test=3, paintings=2)
    (data / "paintings" / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0")
    copy = Path(shutil.copytree(data, tmp_path / "elsewhere" / "copied"))
    one = prepare(data, tmp_path / "one", settings(workers=2), 3)
    two = prepare(copy, tmp_path / "two", settings(workers=1), 3)
    assert one == two
    assert tree(tmp_path / "one") == tree(tmp_path / "two")


def test_digest_follows_pictures_and_settings_only(tmp_path: Path) -> None:
    data = data_folder(tmp_path / "data")

    def digest(**overrides: Any) -> str:
        return str(prepare(data, tmp_path / "out", settings(**overrides), 0)["digest"])

    first = digest()
    assert digest(workers=2) == first
    assert digest(size=48) != first
    (data / "paintings" / "paintings_0.png").rename(data / "paintings" / "renamed.png")
    assert digest() == first
    save(data / "paintings" / "renamed.png", seed=999)
    assert digest() != first


def test_pictures_to_train_on_have_a_larger_copy_that_enlarges_none(tmp_path: Path) -> None:
    data, out = data_folder(tmp_path / "data"), tmp_path / "out"
    sides = {"small": (20, 30), "middle": (48, 50), "large": (90, 80)}
    for name, size in sides.items():
        save(data / "styles" / f"{name}.png", size=size)
    manifest = prepare(data, out, settings(training_size=64), 0)
    plain = prepare(data, tmp_path / "plain", settings(), 0)
    assert manifest["digest"] != plain["digest"]
    copies = {path.stem: images.read(path).size for path in images.find(out / "training/styles")}
    assert copies == {"small": (32, 32), "middle": (48, 48), "large": (64, 64)}
    middle, source = out / "training/styles/middle.png", data / "styles/middle.png"
    assert images.read(middle).tobytes() == images.read(source).crop((0, 1, 48, 49)).tobytes()
    kept = {name for name in tree(out) if not name.startswith(("training/", "manifest"))}
    assert kept == {name for name in tree(tmp_path / "plain") if not name.startswith("manifest")}
    assert not (out / "training/photos/test").exists()
    assert "training_size" not in plain["settings"], "unset, it leaves manifest and digest alone"


def test_names_stay_apart_when_only_suffix_or_case_differ(tmp_path: Path) -> None:
    data = data_folder(tmp_path / "data", train=1)
    train = data / "photos" / "train"
    for n, name in enumerate(["trip/img 01.png", "trip/img 01.jpg", "trip/IMG 01.png", "é.v2.png"]):
        save(train / name, seed=50 + n)
    manifest = prepare(data, tmp_path / "out", settings(), 0)
    names = [Path(e["file"]).stem for e in manifest["pictures"] if e["split"] == "photos/train"]
    assert len({name.casefold() for name in names}) == 5
    assert {"train_0", "é_v2"} < set(names)
    assert sum(name.lower().startswith("trip__img_01-") for name in names) == 3


def broken_pictures(folder: Path) -> None:
    (folder / "empty.jpg").touch()
    (folder / "notes.jpg").write_text("not a picture")
    (folder / "cut.png").write_bytes(save(folder / "cut.png").read_bytes()[:100])
    bomb_png(folder / "huge.png")
    (folder / "gone.png").symlink_to(folder / "nowhere.png")
    (folder / "readme.txt").write_text("not counted at all")


def test_broken_pictures_are_skipped_and_named(tmp_path: Path) -> None:
    data = data_folder(tmp_path / "data")
    broken_pictures(data / "photos" / "train")
    manifest = prepare(data, tmp_path / "out", settings(), 0)
    names = ("cut.png", "empty.jpg", "gone.png", "huge.png", "notes.jpg")
    assert sources(manifest, "skipped") == [f"photos/train/{name}" for name in names]
    reasons = [entry["reason"] for entry in manifest["skipped"]]
    for reason, word in zip(reasons, ["trunc", "empty", "missing", "large", "kind"], strict=True):
        assert word in reason
        assert str(tmp_path) not in reason
    assert manifest["counts"]["photos/train"] == {"found": 9, "used": 4}
    assert manifest["warnings"] == [
        "5 pictures could not be read and were skipped",
        "photos/train: left out, not called like pictures: 1 .txt",
    ]


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_broken_pictures_can_be_an_error(tmp_path: Path, workers: int) -> None:
    data = data_folder(tmp_path / "data", train=40)
    (data / "paintings" / "empty.jpg").touch()
    with pytest.raises(images.ImageError, match=r"empty\.jpg: is empty"):
        prepare(data, tmp_path / "out", settings(on_broken="fail", workers=workers), 0)
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_megapixel_limit(tmp_path: Path) -> None:
    data = data_folder(tmp_path / "data")
    save(data / "paintings" / "wide.png", size=(200, 100))
    manifest = prepare(data, tmp_path / "out", settings(max_megapixels=0.01), 0)
    assert sources(manifest, "skipped") == ["paintings/wide.png"]


@pytest.mark.parametrize(("duplicates", "used"), [("keep", 5), ("skip", 4)])
def test_duplicates(tmp_path: Path, duplicates: str, used: int) -> None:
    data = data_folder(tmp_path / "data")
    shutil.copy(data / "photos/train/train_1.png", data / "photos/train/z.png")
    shutil.copy(data / "photos/train/train_1.png", data / "paintings/z.png")  # another split
    manifest = prepare(data, tmp_path / "out", settings(duplicates=duplicates), 0)
    same = {"source": "photos/train/z.png", "same_as": "photos/train/train_1.png"}
    assert manifest["duplicates"] == [same]
    assert manifest["counts"]["photos/train"]["used"] == used


@pytest.mark.slow
def test_a_test_photo_among_the_training_photos_is_dropped_there(tmp_path: Path) -> None:
    data = data_folder(tmp_path / "data")
    shutil.copy(data / "photos/test/test_1.png", data / "photos/train/leak.png")
    manifest = prepare(data, tmp_path / "out", settings(), 0)
    (skipped,) = manifest["skipped"]
    assert skipped["source"] == "photos/train/leak.png"
    assert "photos/test/test_1.png" in skipped["reason"]
    assert manifest["counts"]["photos/train"] == {"found": 5, "used": 4}
    assert manifest["counts"]["photos/test"] == {"found": 3, "used": 3}
    assert "1 training photographs are test photographs too" in manifest["warnings"][0]


def test_too_few_usable_pictures(tmp_path: Path) -> None:
    data = data_folder(tmp_path / "data", test=1)
    (data / "photos" / "test" / "empty.jpg").touch()
    with pytest.raises(UserError, match=r"photos/test: only 1 of 2 .* at least 2 are needed"):
        prepare(data, tmp_path / "out", settings(min_pictures=2), 0)
    assert not (tmp_path / "out").exists()


def test_wrong_layouts(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such folder; expected photos/train, photos/test and"):
        prepare(tmp_path / "nowhere", tmp_path / "out", settings(), 0)
    data = data_folder(tmp_path / "data")
    shutil.rmtree(data / "paintings")
    (data / "photos" / "test").rename(tmp_path / "moved")
    (data / "photos" / "test").mkdir()
    wrong = "photos/test holds no picture and paintings is missing; expected"
    with pytest.raises(UserError, match=wrong):
        prepare(data, tmp_path / "out", settings(), 0)


def test_only_prepared_pictures_are_replaced(tmp_path: Path) -> None:
    data = data_folder(tmp_path / "data")
    prepare(data, tmp_path / "out", settings(), 0)
    (tmp_path / "out" / "paintings" / "stale.png").touch()
    prepare(data, tmp_path / "out", settings(), 0)
    assert not (tmp_path / "out" / "paintings" / "stale.png").exists()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "precious.png").touch()
    with pytest.raises(UserError, match="holds something other"):
        prepare(data, tmp_path / "mine", settings(), 0)
    for out in (data, data / "out", tmp_path):
        with pytest.raises(UserError, match="must lie outside"):
            prepare(data, out, settings(), 0)


def test_an_interrupted_run_leaves_the_former_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = data_folder(tmp_path / "data")
    prepare(data, tmp_path / "out", settings(), 0)
    before = tree(tmp_path / "out")

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(step, "write_json", interrupt)
    with pytest.raises(KeyboardInterrupt):
        prepare(data, tmp_path / "out", settings(size=48), 0)
    assert tree(tmp_path / "out") == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "out"]


def test_a_larger_copy_has_to_be_larger() -> None:
    for size in (32, [32, 64]):
        with pytest.raises(UserError, match="training_size: has to be larger than size"):
            settings(size=size, training_size=32)


def test_a_size_of_two_sides_is_height_and_width(tmp_path: Path) -> None:
    """The order of torch's shapes and of torchvision's ``Resize((256, 512))``."""
    data, out = data_folder(tmp_path / "data"), tmp_path / "out"
    sides = {"small": (20, 30), "middle": (90, 100), "large": (300, 200)}
    for name, size in sides.items():
        save(data / "styles" / f"{name}.png", size=size)
    manifest = prepare(data, out, settings(size=[32, 64], training_size=64), 0)
    assert manifest["settings"]["size"] == [32, 64]
    assert {tuple(picture["size"]) for picture in manifest["pictures"]} == {(64, 32)}
    assert images.load(out / "styles/small.png").shape == (3, 32, 64)
    copies = {path.stem: images.read(path).size for path in images.find(out / "training/styles")}
    assert copies == {"small": (64, 32), "middle": (90, 45), "large": (128, 64)}
    fitted = prepare(data, out, settings(size=[32, 64], resize="fit"), 0)
    found = {p["file"]: p["size"] for p in fitted["pictures"] if p["split"] == "styles"}
    assert found["styles/small.png"] == [21, 32]
    assert found["styles/large.png"] == [48, 32]


@pytest.mark.parametrize("size", [[32], [32, 64, 3], [8, 64], [32, 5000], [32, 64.0], [True, 64]])
def test_a_list_that_is_no_size_is_told_in_one_sentence(size: list[object]) -> None:
    with pytest.raises(UserError) as told:
        settings(size=size)
    assert str(told.value) == (
        "params.yaml: prepare.size: has to be a whole number or [height, width], two whole numbers "
        f"from 16 to 4096 (found {size})"
    )


def test_misspelt_settings_are_named() -> None:
    with pytest.raises(UserError, match=r"prepare\.sise: no such setting"):
        PrepareSettings.build({"size": 32, "sise": 1}, "prepare")
    with pytest.raises(UserError, match=r"prepare\.max_megapixels"):
        settings(max_megapixels=500)


REAL = Path(__file__).parents[2] / ".." / "shared" / "data"


@pytest.mark.real
@pytest.mark.skipif(not REAL.is_dir(), reason="the real pictures (../shared/data) are not here")
def test_real_pictures(tmp_path: Path) -> None:
    for split in ("photos/train", "photos/test", "paintings", "everyday"):
        (tmp_path / "data" / split).mkdir(parents=True)
        for path in images.find(REAL / split)[:20]:
            (tmp_path / "data" / split / path.name).symlink_to(path.resolve())
    manifest = prepare(tmp_path / "data", tmp_path / "out", settings(size=256), 0)
    assert all(count == {"found": 20, "used": 20} for count in manifest["counts"].values())
    photo = manifest["pictures"][0]
    assert photo["size"] == [256, 256]
    exact = Image.open(tmp_path / "data" / photo["source"]).convert("RGB")
    assert images.read(tmp_path / "out" / photo["file"]).tobytes() == exact.tobytes()


def test_names_that_are_not_utf8_are_all_kept(tmp_path: Path) -> None:
    data = data_folder(tmp_path / "data")
    for seed, name in enumerate((b"caf\xe8.png", b"caf\xe9.png")):
        (data / "paintings" / os.fsdecode(name)).write_bytes(
            save(tmp_path / f"{seed}.png", seed=900 + seed).read_bytes()
        )
    manifest = prepare(data, tmp_path / "out", settings(), 0)
    assert {"paintings/cafè.png", "paintings/café.png"} <= set(sources(manifest, "pictures"))
    assert manifest["counts"]["paintings"] == {"found": 4, "used": 4}
    assert len(images.find(tmp_path / "out/paintings")) == 4


def test_what_is_left_out_is_told(tmp_path: Path) -> None:
    data = data_folder(tmp_path / "data")
    os.mkfifo(data / "paintings/pipe.jpg")
    (data / "paintings/loop.jpg").symlink_to("loop.jpg")
    (data / "paintings/more").symlink_to(data / "photos")
    (data / "paintings/notes.txt").touch()
    manifest = prepare(data, tmp_path / "out", settings(), 0)
    assert manifest["warnings"] == [
        "2 pictures could not be read and were skipped",
        "paintings/more: left out, a linked folder",
        "paintings: left out, not called like pictures: 1 .txt",
    ]
    assert manifest["counts"]["paintings"] == {"found": 4, "used": 2}
    reasons = {entry["source"]: entry["reason"] for entry in manifest["skipped"]}
    assert "not a regular file" in reasons["paintings/pipe.jpg"]
    assert "cannot be read" in reasons["paintings/loop.jpg"]
