"""Small projects in the states the dashboard has to open in, and ways to look at its pages."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

from atelier.core.baselines import MADE
from support.pictures import ramp

APP = Path(__file__).parents[2] / "dashboard" / "app.py"
PARAMS = """\
scale: demo
seed: 42
scales:
  demo: {prepare: {size: 8, resize: crop}, evaluate: {}, compare: {},
         gatys: {steps: 20, features: mini}, cut_x: {steps: 10, lr: 0.5}}
methods: {gatys: {class: gatys, lr: 1.0}, cut_x: {class: cut}}
"""
METRICS = {
    "frechet": 12.5, "features": "mini", "features_hash": "abcd", "layer": "relu5_1",
    "n_reference": 4, "n_generated": 2, "kid": 0.25, "kid_sd": 0.125,
    "seconds_per_picture": 0.5, "peak_memory_mib": 100, "device": "cpu",
}  # fmt: skip
CARD = {
    "kind": "unpaired", "features": "mini", "features_hash": "abcd",
    "parameters": {"class": "cut", "steps": 10, "lr": 0.5},
}  # fmt: skip
TRAINING = {"steps": 10, "training_seconds": 31.4, "parameters_trained": 766499, "file_mb": 3.1}
RUN = "0123456789abcdef0123456789abcdef"
DATA = "0123456789abcdef"
"""The data set's digest in the manifest."""


def digest(method: str) -> str:
    """What tells whose pictures these are."""
    return f"digest of {method}"


def put(root: Path, where: str, content: object, seed: int = 0) -> Path:
    """A file below results/: a picture (``Image``), a text, or anything else as JSON."""
    path = root / "results" / where
    path.parent.mkdir(parents=True, exist_ok=True)
    if content is Image:
        ramp(8, 8, seed).save(path)
    else:
        path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def fresh_project(root: Path) -> Path:
    """Nothing has been run."""
    (root / "params.yaml").write_text(PARAMS)
    return root


def repeat(root: Path, name: str = "gatys", seed: int = 2, frechet: float = 14.5) -> str:
    """Add an entry that repeats ``name`` with another seed, scored; return what it is called."""
    again = f"{name}_{seed}"
    entry = f"{again}: {{class: gatys, extends: {name}, seed: {seed}}}"
    settings = root / "params.yaml"
    settings.write_text(settings.read_text().replace("methods: {", f"methods: {{{entry}, "))
    put(root, f"metrics/{again}.json", {**METRICS, "frechet": frechet})
    return again


def alone_in(root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The finished project as the working directory, without the caller's DVC and MLflow."""
    monkeypatch.chdir(root)
    for name in ("MLFLOW_TRACKING_URI", "DVC_ROOT"):
        monkeypatch.delenv(name, raising=False)
    return finished_project(root)


def finished_project(root: Path) -> Path:
    """Two methods, two photographs, one painting; all scored, one with all a training leaves."""
    fresh_project(root)
    for seed, photo in enumerate(("alps", "beach")):
        put(root, f"prepared/photos/test/{photo}.png", Image, seed)
        put(root, f"stylized/gatys/images/{photo}.png", Image, seed + 2)
        put(root, f"stylized/cut_x/images/{photo}.png", Image, seed + 4)
    for method in ("gatys", "cut_x"):
        put(root, f"stylized/{method}/record.json", {"pictures_sha256": digest(method)})
    put(root, "prepared/paintings/iris.png", Image, 6)
    put(root, "prepared/pairing.json", {"alps": "iris.png", "beach": "iris.png"})
    made = {"digest": DATA, "settings": {"size": 8, "resize": "crop"}}
    put(root, "prepared/manifest.json", made)
    put(root, "metrics/gatys.json", METRICS)
    put(root, "metrics/cut_x.json", {**METRICS, "frechet": 9.25, "seconds_per_picture": 0.1})
    put(root, "metrics/identity.json", {**METRICS, "frechet": 30})
    put(root, "metrics/colour_transfer.json", {**METRICS, "frechet": 20})
    put(root, "metrics/paintings_pasted.json", {**METRICS, "frechet": 1})
    put(root, "metrics/noise_floor.json", {**METRICS, "frechet": 2})
    for key in MADE:
        put(root, f"baselines/{key}/images/alps.png", Image, 8)
        put(root, f"baselines/{key}/images/beach.png", Image, 9)
    put(root, "models/cut_x/card.json", CARD)
    put(root, "models/cut_x/training.json", TRAINING)
    put(root, "models/cut_x/run.json", {"run_id": RUN})
    put(root, "curves/cut_x.csv", "step,total,gan\n5,2.5,1.5\n10,1.25,0.5\n")
    put(root, "snapshots/cut_x/alps/step 000010.png", Image, 7)
    return root


def show(page: str = "compare", **query: str | list[str]) -> AppTest:
    """A page of the dashboard over the project in the working directory, without an error."""
    app = AppTest.from_file(str(APP), default_timeout=300)
    if page != "compare":
        app.run()
        app.switch_page(f"views/{page}.py")
    for key, value in query.items():
        app.query_params[key] = value
    app.run()
    assert not app.exception
    return app


def words(app: AppTest) -> str:
    """All that a page says."""
    kinds = (app.markdown, app.caption, app.info, app.warning, app.error, app.code)
    return "\n".join(element.value for kind in kinds for element in kind).replace("\\", "")


def heads(app: AppTest) -> list[str]:
    """The headings of a page."""
    return [head.value for kind in (app.title, app.header) for head in kind]


def alts(app: AppTest) -> list[str]:
    """What a page says of its pictures to those who cannot see them."""
    return [image.alt for block in app.get("image") for image in block.proto.imgs]


def component(app: AppTest, name: str) -> dict[str, object]:
    """What one of our own components was given."""
    found = [block.proto for block in app.get("bidi_component")]
    mine = [proto.json for proto in found if proto.component_name == f"atelier_{name}"]
    assert len(mine) == 1
    return dict(json.loads(mine[0]))
