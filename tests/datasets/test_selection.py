"""Which pictures are prepared: a held-out split of paintings that nothing which trains can see."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from atelier.core.config import UserError
from atelier.core.pairing import list_jobs
from atelier.core.paths import TEST_PAINTINGS, Prepared
from atelier.datasets.prepare import prepare
from atelier.datasets.prepare_settings import PrepareSettings
from support.pictures import data_folder, save


def settings(**overrides: Any) -> PrepareSettings:
    return PrepareSettings.build({"size": 32, "workers": 1, **overrides}, "prepare")


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.glob("*.png")}


def test_held_out_paintings_are_a_seeded_split_of_their_own(tmp_path: Path) -> None:
    data, out = data_folder(tmp_path / "data", paintings=9), Prepared(tmp_path / "out")

    def held_out(count: int | None, seed: int = 0) -> frozenset[str]:
        manifest = prepare(data, out.folder, settings(test_paintings=count), seed)
        held, rest = names(out.test_paintings), names(out.paintings)
        assert not held & rest
        assert len(held | rest) == manifest["counts"]["paintings"]["found"] == 9
        assert manifest["counts"]["paintings"]["used"] == len(rest)
        listed = [one for one in manifest["pictures"] if one["split"] == TEST_PAINTINGS]
        assert {Path(one["file"]).name for one in listed} == held
        assert all(one["source"].startswith("paintings/") for one in listed)
        return frozenset(held)

    assert len(held_out(3)) == 3
    assert held_out(3) < held_out(5)
    assert held_out(None) == frozenset()
    assert len({held_out(3, seed) for seed in range(4)}) > 1


def test_without_the_setting_nothing_tells_that_there_is_one(tmp_path: Path) -> None:
    data, out = data_folder(tmp_path / "data", paintings=6), tmp_path / "out"
    manifest = prepare(data, out, settings(), 0)
    assert not {"test_paintings", "pair_with"} & set(manifest["settings"])
    assert TEST_PAINTINGS not in json.dumps(manifest)
    assert not (out / TEST_PAINTINGS).exists()
    same = prepare(data, tmp_path / "same", settings(test_paintings=None, pair_with="paintings"), 0)
    assert same == manifest
    other = prepare(data, tmp_path / "other", settings(test_paintings=2), 0)
    assert other["digest"] != manifest["digest"]


@pytest.mark.parametrize("duplicates", ["keep", "skip"])
def test_no_copy_of_a_held_out_painting_is_left_to_train_on(
    tmp_path: Path, duplicates: str
) -> None:
    data, out = data_folder(tmp_path / "data", paintings=4), Prepared(tmp_path / "out")
    for n in range(4):
        original = data / "paintings" / f"paintings_{n}.png"
        shutil.copy(original, data / "paintings" / f"twin_{n}.png")
        (data / "styles").mkdir(exist_ok=True)
        shutil.copy(original, data / "styles" / f"other_{n}.png")
    chosen = settings(test_paintings=2, duplicates=duplicates, training_size=40)
    manifest = prepare(data, out.folder, chosen, 0)
    digests = {
        split: {one["sha256"] for one in manifest["pictures"] if one["split"] == split}
        for split in (TEST_PAINTINGS, "paintings", "styles")
    }
    assert len(digests[TEST_PAINTINGS]) == 2, "two of the same would be one painting"
    assert digests["paintings"] == digests["styles"]
    assert not digests[TEST_PAINTINGS] & digests["paintings"]
    assert len(names(out.paintings)) == (4 if duplicates == "keep" else 2)
    assert not out.larger.test_paintings.exists()
    dropped = 4 if duplicates == "keep" else 2
    assert f"{dropped} paintings are copies of held-out ones and were dropped" in str(
        manifest["warnings"]
    )
    assert all("leak: the same file as the held-out" in o["reason"] for o in manifest["skipped"])


def test_pairs_take_their_paintings_from_the_split_they_are_told(tmp_path: Path) -> None:
    data, out = data_folder(tmp_path / "data", paintings=6), Prepared(tmp_path / "out")
    for where in ("paintings", TEST_PAINTINGS):
        prepare(data, out.folder, settings(test_paintings=3, pair_with=where), 0)
        jobs = list_jobs(out.folder)
        assert len(jobs) == 3
        assert {job.style.parent for job in jobs} == {out.folder / where}
        assert all(job.style.is_file() for job in jobs)


def test_general_photographs_are_prepared_as_those_to_train_on(tmp_path: Path) -> None:
    data, out = data_folder(tmp_path / "data"), Prepared(tmp_path / "out")
    save(data / "everyday" / "cup.png", seed=500, size=(90, 80))
    shutil.copy(data / "photos/test/test_0.png", data / "everyday" / "leak.png")
    manifest = prepare(data, out.folder, settings(training_size=64), 0)
    assert names(out.folder / "everyday") == {"cup.png"}
    assert names(out.larger.folder / "everyday") == {"cup.png"}
    (skipped,) = manifest["skipped"]
    assert skipped["source"] == "everyday/leak.png"
    assert "the same file as the test photograph photos/test/test_0.png" in skipped["reason"]


def test_what_cannot_be_held_out_is_said(tmp_path: Path) -> None:
    data, out = data_folder(tmp_path / "data", paintings=4), tmp_path / "out"
    with pytest.raises(UserError, match=r"4 different pictures, of which 3 .* at least 2 have to"):
        prepare(data, out, settings(test_paintings=3, min_pictures=2), 0)
    with pytest.raises(UserError, match="pair_with: there is no such split without test_paintings"):
        settings(pair_with="test_paintings")
    with pytest.raises(UserError, match=r"prepare\.test_paintings"):
        settings(test_paintings=1)
    for n in range(4):
        (data / "paintings" / f"paintings_{n}.png").write_bytes(b"broken %d" % n)
    save(data / "paintings" / "sound.png")
    with pytest.raises(UserError, match=r"paintings: only \d of 3 held-out paintings are usable"):
        prepare(data, out, settings(test_paintings=3), 0)
