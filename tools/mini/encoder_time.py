"""Forward and backward time of the encoders at 256×256, side by side in one run.

    python -m tools.mini.encoder_time OUT vgg19 mini

The gradient with respect to the picture, as Gatys' method needs it, of all five taps' means; the
encoders alternate, and the median is reported.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from statistics import median

import torch

from atelier.core.files import write_json
from atelier.nn.pretrained.features import Features, load_features
from atelier.nn.pretrained.mini import WIDTHS

TURNS, BATCH, SIDE = 9, 4, 256


def seconds(features: Features, precision: torch.dtype) -> float:
    """Return the seconds of a forward and backward pass, per picture."""
    image = torch.rand(BATCH, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    image.requires_grad_()
    began = time.perf_counter()
    with torch.autocast("cpu", precision, enabled=precision != torch.float32):
        found = features(image)
    total = torch.stack([value.float().mean() for value in found.values()]).sum()
    torch.autograd.backward(total)
    return (time.perf_counter() - began) / BATCH


def main(out: Path, names: list[str]) -> None:
    encoders = {name: load_features(name, WIDTHS, unit_activations=True) for name in names}
    results = {}
    for precision in (torch.float32, torch.bfloat16):
        turns = [{n: seconds(e, precision) for n, e in encoders.items()} for _ in range(TURNS)]
        each = {name: median(turn[name] for turn in turns[1:]) for name in names}
        share = {name: each[name] / each[names[0]] for name in names}
        results[str(precision)] = {"seconds": each, "share": share}
        print(precision, results[str(precision)])
    write_json(out / "time.json", results)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
