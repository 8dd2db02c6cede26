"""Pictures and names found below results/, and nothing outside."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from atelier.core.config import UserError
from atelier.reports import leaderboard, outputs


def put(root: Path, where: str, content: object) -> None:
    path = root / "results" / where
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))


def picture(root: Path, where: str) -> Path:
    path = root / "results" / where
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (4, 4)).save(path)
    return path


def test_photographs_paintings_and_results_find_each_other(tmp_path: Path) -> None:
    photos = [picture(tmp_path, f"prepared/photos/test/{name}.png") for name in "bac"]
    painting = picture(tmp_path, "prepared/paintings/sun.png")
    made = picture(tmp_path, "stylized/gatys/images/a.png")
    assert outputs.test_photos(tmp_path) == sorted(photos)
    assert outputs.painting_for(tmp_path, "a") is None
    put(tmp_path, "prepared/pairing.json", {"a": "sun.png", "b": "lost.png"})
    assert [path.stem for path in outputs.test_photos(tmp_path)] == ["a", "b"]
    assert outputs.painting_for(tmp_path, "a") == painting
    assert outputs.painting_for(tmp_path, "b") is None
    assert outputs.painting_for(tmp_path, "unknown") is None
    assert outputs.stylised(tmp_path, "gatys", "a") == made
    assert outputs.stylised(tmp_path, "gatys", "b") is None
    assert outputs.stylised(tmp_path, "cut", "a") is None


def test_denoised_pictures_and_every_painting_are_found(tmp_path: Path) -> None:
    clean = picture(tmp_path, "denoised/gatys/images/a.png")
    assert outputs.denoised(tmp_path, "gatys", "a") == clean
    assert outputs.denoised(tmp_path, "gatys", "b") is None
    other, own = (picture(tmp_path, f"prepared/{f}.png") for f in ("styles/a", "paintings/z"))
    assert outputs.paintings(tmp_path) == [own, other]


@pytest.mark.slow
def test_looking_at_results_loads_no_torch() -> None:
    """It would take longer than the dashboard has for its first view."""
    names = (
        *("outputs", "parameters", "protocol", "leaderboard", "curves", "literature"),
        *("experiments", "repeats"),
    )
    modules = ", ".join([*(f"atelier.reports.{name}" for name in names), "atelier.tracking.links"])
    script = f"import sys, {modules}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


@pytest.mark.parametrize("pairing", ["{", "[1]", '{"pairs": 3}', '{"a": 3}'])
def test_a_broken_pairing_hides_no_photograph(tmp_path: Path, pairing: str) -> None:
    photo = picture(tmp_path, "prepared/photos/test/a.png")
    put(tmp_path, "prepared/pairing.json", pairing)
    assert outputs.test_photos(tmp_path) == [photo]
    assert outputs.painting_for(tmp_path, "a") is None


EVIL = ["../secret", "..", ".", "", "/etc/passwd", "a/../../secret", "a\\b", "a\0b", "x" * 5000]


@pytest.mark.parametrize("name", EVIL)
def test_no_path_leads_out_of_the_results(tmp_path: Path, name: str) -> None:
    picture(tmp_path, "stylized/gatys/secret.png")
    picture(tmp_path, "prepared/secret.png")
    picture(tmp_path, "stylized/secret/images/a.png")
    put(tmp_path, "prepared/pairing.json", {"a": name})
    assert outputs.stylised(tmp_path, "gatys", name) is None
    assert outputs.stylised(tmp_path, name, "a") is None
    assert outputs.denoised(tmp_path, "gatys", name) is None
    assert outputs.painting_for(tmp_path, "a") is None
    with pytest.raises(UserError):
        leaderboard.metrics(tmp_path, name)


def test_a_picture_linked_from_dvcs_cache_is_shown(tmp_path: Path) -> None:
    cached = tmp_path / "cache.png"
    Image.new("RGB", (4, 4)).save(cached)
    folder = tmp_path / "results/stylized/gatys/images"
    folder.mkdir(parents=True)
    (folder / "a.png").symlink_to(cached)
    assert outputs.stylised(tmp_path, "gatys", "a") == folder / "a.png"


def test_the_data_set_has_the_name_of_its_manifest(tmp_path: Path) -> None:
    assert outputs.digest(tmp_path) is None
    put(tmp_path, "prepared/manifest.json", "[]")
    assert outputs.digest(tmp_path) is None
    put(tmp_path, "prepared/manifest.json", {"digest": "d1"})
    assert outputs.digest(tmp_path) == "d1"
