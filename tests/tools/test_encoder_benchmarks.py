"""The benchmarks of `mini` run, from a folder of pictures to the card; here with tiny sizes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tools.mini.corpus import held_out

from atelier.nn.pretrained import features, weights
from atelier.nn.pretrained.weights import StateDict
from support.nets import answer_with, quick_random, vgg_state
from support.pictures import save
from support.scripts import script

ENCODERS = ["vgg19", "random", "mini"]
MADE = ["stylized copy", "stylized other", "denoised other"]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Of every kind eight pictures to fit to, and two that are held out."""
    for split in ("photos/test", "photos/train", "paintings", "styles", "everyday"):
        names = [f"{split[:5]}{n}.png" for n in range(100)]
        out, kept = ([name for name in names if held_out(name) is held] for held in (True, False))
        for n, name in enumerate([*out[:2], *kept[:8]]):
            save(tmp_path / "data" / split / name, seed=n)
    return tmp_path / "data"


@pytest.fixture
def stand_ins(monkeypatch: pytest.MonkeyPatch) -> None:
    """VGG19 with seeded weights; the random one from the session's store."""
    quick_random(monkeypatch)
    vgg = answer_with(vgg_state("vgg19"))

    def resolve(name: str) -> StateDict:
        return vgg(name) if name == "vgg19" else weights.resolve(name)

    monkeypatch.setattr(features, "resolve", resolve)


def results(folder: Path) -> Path:
    """What a run of the bench leaves of two systems; one of them returns the photographs."""
    for n in range(4):
        save(folder / "prepared/paintings" / f"painting{n}.png", seed=10 + n)
        save(folder / "prepared/photos/test" / f"photo{n}.png", seed=n)
    for row, made in enumerate(MADE):
        for n in range(2):
            name = made.replace(" ", "/")
            save(folder / name / "images" / f"photo{n}.png", seed=20 * row + n)
    return folder


@pytest.mark.slow
def test_from_pictures_to_the_card(
    data: Path, tmp_path: Path, stand_ins: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    gatys = script("tools/mini/encoder_gatys.py")
    small = {"PAIRS": 2, "SIZE": 32, "BATCH": 2, "KEPT": (1, 3), "STEPS": 3}
    for name, value in small.items():
        monkeypatch.setattr(gatys, name, value)
    monkeypatch.setattr(gatys, "BLOCK", {**gatys.BLOCK, "steps": 3, "batch": 2})
    gatys.main(data, out, ENCODERS)
    judged = json.loads((out / "mini.json").read_text())
    assert judged["mini_3"]["style"] != judged["mini_1"]["style"]

    distances = script("tools/mini/encoder_distances.py")
    monkeypatch.setattr(distances, "SIZE", 32)
    distances.main(data, out, ENCODERS)
    found = json.loads((out / "distances.json").read_text())
    assert found["sets"] == 1 + 2 * 3 + len(distances.FILTERS)
    assert found["spearman"]["vgg19"] == pytest.approx(1)

    distances.main(results(tmp_path / "results"), out, ENCODERS)
    found = json.loads((out / "systems.json").read_text())
    assert list(found["frechet"]["mini"]) == ["photographs", *MADE]
    assert found["frechet"]["mini"]["stylized copy"] == found["frechet"]["mini"]["photographs"]

    probe = script("tools/mini/encoder_probe.py")
    monkeypatch.setattr(probe, "SIZE", 32)
    probe.main(data, out, ENCODERS)

    timing = script("tools/mini/encoder_time.py")
    for name, value in {"TURNS": 2, "BATCH": 1, "SIDE": 32}.items():
        monkeypatch.setattr(timing, name, value)
    timing.main(out, ["vgg19", "mini"])

    card = script("tools/mini/encoder_card.py")
    monkeypatch.setattr(card, "STEPS", 3)
    (tmp_path / "mini.json").write_text('{"name": "mini"}')
    card.main(out, tmp_path / "mini.json")
    written = json.loads((tmp_path / "mini.json").read_text())
    assert written["name"] == "mini"
    assert set(written["figures"]) == {"gatys", "probe", "distances", "systems", "time"}


def test_the_share_of_the_distance_closed() -> None:
    closed = script("tools/mini/encoder_card.py").closed
    assert closed({"random": 10, "mini": 4, "vgg19": 2}) == 75
    assert closed({"random": 1, "mini": 1, "vgg19": 3}) == 0
    assert closed({"random": 1, "mini": 5, "vgg19": 3}) == 200
