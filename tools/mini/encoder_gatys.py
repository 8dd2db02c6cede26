"""Gatys' method with several encoders on held-out pairs, evaluated by VGG19's losses.

    python -m tools.mini.encoder_gatys DATA OUT vgg19 random mini

Pairs, layers, weights and steps are the same for every encoder. Some iterates are saved as
pictures: ``encoder_distances.py`` uses them as stylised sets of different strength.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import torch
from tools.mini.corpus import split
from torch import Tensor

from atelier.core import images
from atelier.core.files import write_json
from atelier.core.pairing import pair
from atelier.methods.base import make
from atelier.nn.losses import content_loss, gram, gram_loss
from atelier.nn.pretrained.features import Features, load_features
from atelier.tracking.progress import progress

STYLE = ["relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1"]
CONTENT = "relu4_1"
PAIRS, SIZE, BATCH, SEED = 16, 256, 8, 42
KEPT = (5, 10, 20, 40, 70, 100)
STEPS = KEPT[-1]
BLOCK = {
    "class": "gatys",
    "content_layers": (CONTENT,),
    "style_layers": STYLE,
    "style_weight": 2e5,
    "tv_weight": 1e-5,
    "optimizer": "adam",
    "lr": 0.2,
    "lr_decay": True,
    "steps": STEPS,
    "precision": "bfloat16",
    "batch": BATCH,
}


def pairs(data: Path) -> tuple[Tensor, Tensor]:
    """Return held-out photographs paired with held-out paintings, (16, 3, 256, 256) each."""
    photos = {str(path): path for path in split(data / "photos/test")[1]}
    paintings = {str(path): path for path in split(data / "paintings")[1]}
    chosen = pair(list(photos), list(paintings), SEED)[:: max(1, len(photos) // PAIRS)][:PAIRS]
    return _stack([photos[p] for p, _ in chosen]), _stack([paintings[s] for _, s in chosen])


def _stack(paths: list[Path]) -> Tensor:
    return torch.stack([images.to_tensor(images.resize(images.read(p), SIZE)) for p in paths])


def stylise(name: str, content: Tensor, style: Tensor, out: Path) -> float:
    """Run the method and save the iterates of ``KEPT``; return seconds per picture and step."""
    method = make({**BLOCK, "features": name}, "benchmark", seed=SEED, device="cpu")
    began = time.perf_counter()
    for start in range(0, len(content), BATCH):
        parts = content[start : start + BATCH], style[start : start + BATCH]
        for iterate in progress(method.iterates(*parts), STEPS, f"{name} from {start}"):
            if iterate.step in KEPT:
                for row, picture in enumerate(iterate.image, start):
                    images.save_png(picture, out / f"{name}_{iterate.step}" / f"{row:02d}.png")
    return (time.perf_counter() - began) / len(content) / STEPS


@torch.no_grad()
def evaluator(vgg: Features, content: Tensor, style: Tensor, folder: Path) -> dict[str, float]:
    """Return mean VGG19 losses of the pictures in ``folder``; none was optimised on relu4_2."""
    totals = dict.fromkeys(("style", "content", "content_relu4_2"), 0.0)
    for row, path in enumerate(images.find(folder)):
        made, kept, wanted = (
            vgg(part) for part in (images.load(path)[None], content[row, None], style[row, None])
        )
        totals["style"] += sum(gram_loss(made[k], gram(wanted[k])).item() for k in STYLE)
        totals["content"] += content_loss(made[CONTENT], kept[CONTENT]).item()
        totals["content_relu4_2"] += content_loss(made["relu4_2"], kept["relu4_2"]).item()
    return {key: value / len(content) for key, value in totals.items()}


def main(data: Path, out: Path, names: list[str]) -> None:
    content, style = pairs(data)
    vgg = load_features("vgg19", [*STYLE, "relu4_2"], unit_activations=True)
    for row, (photo, painting) in enumerate(zip(content, style, strict=True)):
        images.save_png(photo, out / "content" / f"{row:02d}.png")
        images.save_png(painting, out / "style" / f"{row:02d}.png")
    for name in names:
        seconds = stylise(name, content, style, out)
        found = {f"{name}_{n}": evaluator(vgg, content, style, out / f"{name}_{n}") for n in KEPT}
        found["seconds_per_step"] = {"all": seconds}
        write_json(out / f"{name}.json", found)
        print(name, f"{seconds:.3f} s", found[f"{name}_{STEPS}"])
    write_json(out / "untouched.json", evaluator(vgg, content, style, out / "content"))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])
