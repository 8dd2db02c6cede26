"""Linear probes on pooled vectors of several encoders.

    python -m tools.mini.encoder_probe DATA OUT vgg19 random mini

Painting or photograph; Van Gogh or another painter. A logistic regression is fitted to the pictures
``mini`` was trained on (without labels) and evaluated on the held-out tenth; its regularisation is
chosen by cross-validation within the former. Balanced accuracy, in percent.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from sklearn.linear_model import LogisticRegressionCV
from sklearn.metrics import balanced_accuracy_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tools.mini.corpus import held_out
from torch import Tensor

from atelier.core import images
from atelier.core.files import write_json
from atelier.metrics.evaluator import EvaluateSettings, evaluation_features
from atelier.tracking.progress import progress

SIZE, EVERY = 160, 6
"""Side of the pictures; stride over the landscape photographs."""


def labelled(data: Path) -> list[tuple[Path, str]]:
    """Return pictures with the folder they are from."""
    photos = images.find(data / "photos")[::EVERY]
    sets = {name: images.find(data / name) for name in ("everyday", "paintings", "styles")}
    return [(p, "photo") for p in [*photos, *sets["everyday"]]] + [
        (p, name) for name in ("paintings", "styles") for p in sets[name]
    ]


def vectors(name: str, paths: list[Path]) -> Tensor:
    """Return pooled vectors (n, d) of the pictures' centre crops."""
    features = evaluation_features(EvaluateSettings(features=name), "cpu")
    load = (images.to_tensor(images.resize(images.read(p), SIZE)) for p in paths)
    return torch.cat([features.embed(one[None]) for one in progress(load, len(paths), name)])


def probe(found: Tensor, labels: list[bool], held: list[bool]) -> tuple[float, int]:
    """Return balanced accuracy on the held-out rows, in percent, and their number."""
    out, truth = torch.tensor(held), torch.tensor(labels)
    # The last three are the current defaults, which are about to change.
    regression = LogisticRegressionCV(
        Cs=8,
        cv=5,
        max_iter=2000,
        class_weight="balanced",
        l1_ratios=(0,),
        use_legacy_attributes=False,
        scoring="accuracy",
    )
    model = make_pipeline(StandardScaler(), regression)
    model.fit(found[~out].numpy(), truth[~out].numpy())
    score = balanced_accuracy_score(truth[out].numpy(), model.predict(found[out].numpy()))
    return 100 * float(score), int(out.sum())


def main(data: Path, out: Path, names: list[str]) -> None:
    rows = labelled(data)
    results = {}
    for name in names:
        found = vectors(name, [path for path, _ in rows])
        kinds, held = [kind for _, kind in rows], [held_out(path.name) for path, _ in rows]
        painted = [n for n, kind in enumerate(kinds) if kind != "photo"]
        tasks = {
            "painting or photograph": (range(len(rows)), "photo"),
            "Van Gogh or another": (painted, "styles"),
        }
        results[name] = {
            task: probe(found[list(use)], [kinds[n] == label for n in use], [held[n] for n in use])
            for task, (use, label) in tasks.items()
        }
        print(name, results[name], flush=True)
    write_json(out / "probe.json", results)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])
