"""Speed of every system beside a plain implementation, in one table.

    python benchmarks/speed.py OUT --features vgg19

One command for the training steps of ``training_step.py`` and ``adversarial_step.py``, a step of
the optimisations of Gatys, STROTSS and NNST, and applying CycleGAN's generator. *Ours* and *plain*
do the same with the same weights and pictures, in turn, so that the ratio of their medians (above
1: ours is faster) also holds on a shared machine; seconds do not. Freed memory stays with the
process, as in the stages and the command line: both are faster with it. Writes ``speed.json`` and
``speed.md``.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Generator, Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.optim import Adam

from atelier.core.allocator import keep_memory
from atelier.core.files import atomic, write_json
from atelier.methods.base import make

if TYPE_CHECKING:  # mypy treats this folder as a package; its files are scripts
    from benchmarks.training_step import contiguous, race

    from benchmarks import adversarial_step as adversarial
    from benchmarks import pyramid_step as pyramid
    from benchmarks import training_step as perceptual
else:
    import adversarial_step as adversarial
    import pyramid_step as pyramid
    import training_step as perceptual
    from training_step import contiguous, race

PRECISIONS = ("float32", "bfloat16")
TAPS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1")
Run = Generator[Any, None, None]
Row = dict[str, Any]


def picture(side: int, seed: int) -> Tensor:
    """Return a smooth picture (1, 3, side, side)."""
    coarse = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(seed))
    return F.interpolate(coarse, side, mode="bilinear")


def rows(system: str, size: str, found: dict[str, Any]) -> Iterator[Row]:
    """Yield a row per precision from medians in seconds and peaks in MiB above what was held."""
    for precision in PRECISIONS:
        yield {
            "system": system,
            "size": size,
            "dtype": precision,
            "ours, s": found[precision],
            "plain, s": found["plain"],
            "ratio": found["plain"] / found[precision],
            "a step's memory, MiB": found[f"{precision} peak MiB"],
            "plain, MiB": found["plain peak MiB"],
            "threads": torch.get_num_threads(),
            "load": os.getloadavg()[0],
        }


def raced(plain: Run, ours: Callable[[str], Run], repeats: int) -> dict[str, Any]:
    """Return medians and peaks of ``plain`` and of ours in each precision.

    Raises:
        ValueError: in float32 the first results, numbers, differ by more than a thousandth.
    """
    seconds, peaks, told = race({"plain": plain, **{p: ours(p) for p in PRECISIONS}}, repeats)
    if not abs(told["float32"][0] / told["plain"][0] - 1) < 1e-3:
        raise ValueError(f"plain is not the same formula: {told['float32'][0]}, {told['plain'][0]}")
    medians = {key: float(seconds[key][1:].median()) for key in peaks}
    return {**medians, **{f"{key} peak MiB": peak for key, peak in peaks.items()}}


def gatys(features: str, side: int, repeats: int) -> dict[str, Any]:
    """Time a step of Adam on a picture; plain as in the PyTorch tutorial, which has L-BFGS."""
    content, style, steps = picture(side, 0), picture(side, 1), repeats + 2
    block = {"class": "gatys", "features": features, "content_layers": ["relu3_1"], "batch": 1}
    block |= {"style_layers": TAPS, "optimizer": "adam", "lr": 0.1, "steps": steps}

    def build(precision: str) -> Any:
        return make({**block, "precision": precision}, "speed", seed=0, device="cpu")

    def ours(precision: str) -> Run:
        for iterate in build(precision).iterates(content, style):
            yield iterate.losses["total"].item()

    def plain(method: Any) -> Run:
        network, s = contiguous(method.features), method.settings
        mean, std = (torch.tensor(part).view(3, 1, 1) for part in NORMALISED)
        image = ((content - mean) / std).requires_grad_()
        with torch.no_grad():
            wanted = network(content)["relu3_1"]
            targets = {k: grams(v) for k, v in network(style).items() if k in TAPS}
        adam = Adam([image], lr=s.lr)
        while True:
            adam.zero_grad()
            shown = image * std + mean
            found = network(shown)
            loss = F.mse_loss(found["relu3_1"], wanted)
            loss = loss + s.style_weight * sum(
                F.mse_loss(grams(found[k]), targets[k]) for k in TAPS
            )
            if s.tv_weight:
                down, across = shown.diff(dim=2).abs().sum(), shown.diff(dim=3).abs().sum()
                loss = loss + s.tv_weight * (down + across)
            torch.autograd.backward(loss)
            adam.step()
            with torch.no_grad():
                image.copy_(((image * std + mean).clamp(0, 1) - mean) / std)
            yield loss.item()

    return raced(plain(build("float32")), ours, repeats)


NORMALISED = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def grams(value: Tensor) -> Tensor:
    """Return the Gram matrix of (1, C, H, W), divided by the number of values."""
    flat = value.flatten(1) if value.ndim == 3 else value[0].flatten(1)
    return flat @ flat.T / flat.numel()


def transported(features: str, side: int, repeats: int) -> dict[str, Any]:
    """Time a step of STROTSS at one size."""
    return on_pyramid("strotss", features, side, repeats, {"steps": repeats + 2}, pyramid.strotss)


def replaced(features: str, side: int, repeats: int, *, split: bool) -> dict[str, Any]:
    """Time a step of NNST at one size: towards fixed features, or ``split`` layer by layer.

    With the content loss at a small weight: the optimisation begins at the photograph, where the
    loss is 0 and rounding decides the sign of its gradient.
    """
    steps = {"steps": 1, "split_steps": repeats + 2} if split else {"steps": repeats + 2}
    knobs = {"content_weight": 0.3, **steps}
    return on_pyramid("nnst", features, side, repeats, knobs, partial(pyramid.nnst, split=split))


def on_pyramid(
    name: str, features: str, side: int, repeats: int, knobs: dict[str, Any], plain: Any
) -> dict[str, Any]:
    """Time a step of a system that optimises a pyramid, on pictures of one size.

    With ``split_steps`` those are timed, and the steps before them left out.
    """
    content, style = picture(side, 0), picture(side, 1)
    block = {"class": name, "features": features, "coarsest": side, "batch": 1, **knobs}
    block |= {"layers": TAPS} if features == "mini" else {}

    def build(precision: str) -> Any:
        return make({**block, "precision": precision}, "speed", seed=0, device="cpu")

    def ours(precision: str) -> Run:
        left_out = knobs["steps"] if "split_steps" in knobs else 0
        for iterate in islice(build(precision).iterates(content, style), left_out, None):
            yield iterate.losses["total"].item()

    return raced(plain(build("float32"), content, style), ours, repeats)


def applied(side: int, repeats: int) -> dict[str, Any]:
    """Time applying a trained generator of CycleGAN (width 64, nine blocks) to a picture."""
    content = picture(side, 0)
    block = {"class": "cyclegan", "steps": 1}

    def build(precision: str) -> Any:
        return make({**block, "apply_precision": precision}, "speed", seed=0, device="cpu")

    def ours(precision: str) -> Run:
        method = build(precision)
        while True:
            yield method.stylize(content, content).mean().item()

    def plain(method: Any) -> Run:
        network = contiguous(method.networks["generator"]["to_art"]).eval()
        while True:
            with torch.no_grad():
                yield ((network(2 * content - 1) + 1) / 2).clamp(0, 1).mean().item()

    return raced(plain(build("float32")), ours, repeats)


def every(features: str, crop: int, side: int, width: int, repeats: int) -> Iterator[Row]:
    """Yield the rows of all systems."""
    precisions = list(PRECISIONS)
    for name in perceptual.FORMULAS:
        knobs = {**perceptual.block(name, features, width), "crop": crop, "batch": 4}
        yield from rows(name, f"4 × {crop}²", perceptual.compare(knobs, precisions, repeats))
    for name in adversarial.FORMULAS:
        knobs = {**adversarial.block(name, width, crop), "batch": 1}
        found = perceptual.compare(knobs, precisions, repeats, adversarial.Plain)
        yield from rows(name, f"1 × {crop}²", found)
    for large in (side, 2 * side):
        yield from rows("gatys", f"{large}²", gatys(features, large, repeats))
    yield from rows("strotss", f"{crop}²", transported(features, crop, repeats))
    for name, split in {"nnst": False, "nnst, split": True}.items():
        yield from rows(name, f"{crop}²", replaced(features, crop, repeats, split=split))
    yield from rows("cyclegan, applied", f"{2 * side}²", applied(2 * side, repeats))


def main(out: Path, features: str, **size: int) -> None:
    keep_memory()
    found = []
    for row in every(features, **size):
        found.append(row)
        print(row, flush=True)
    write_json(out / "speed.json", {"setting": {"features": features, **size}, "rows": found})
    with atomic(out / "speed.md") as part:
        part.write_text(table(found), encoding="utf-8")
    print(table(found))


def table(found: list[Row]) -> str:
    """Return the rows as a table in Markdown."""
    frame = pd.DataFrame(found)
    digits = {"ours, s": 3, "plain, s": 3, "ratio": 2, "load": 1}
    texts = frame.round(digits).round({"a step's memory, MiB": 0, "plain, MiB": 0}).astype(str)
    lines = [[*frame.columns], ["---"] * len(frame.columns), *texts.to_numpy().tolist()]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--features", default="mini")
    for option, value in {"crop": 128, "side": 256, "width": 32, "repeats": 5}.items():
        parser.add_argument(f"--{option}", type=int, default=value)
    main(**vars(parser.parse_args()))
