"""Time of a training step of each system, compared with a plain implementation.

    python benchmarks/training_step.py OUT --features vgg19 --crop 256 --batch 8

*Ours* runs through the engine, as in a training. *Plain* starts with the same weights and has the
same loss, written like public code: torch's default layout and Adam, float32, a loop over the
pictures for Gram matrices, the full attention map. Like that code it encodes no picture twice for
several terms of the loss; what it does compute twice is documented in each function. They alternate
step by step (forward, losses, backward, optimiser) on pictures held in memory; the first step is a
warm-up. In float32 the losses of the first two steps must agree; later rounding errors grow.
``adversarial_step.py`` does the same for the systems with discriminators.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Generator, Mapping
from contextlib import ExitStack, closing, suppress
from copy import deepcopy
from functools import partial
from itertools import count, product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Adam

from atelier.core.batches import Batch, Batches
from atelier.core.files import write_json
from atelier.engine.loop import Trainer
from atelier.methods.base import make
from atelier.nn.attention import STD_EPS, subset
from atelier.nn.identity_losses import DEEPEST
from atelier.nn.instancenorm import InstanceNorm
from atelier.nn.losses import STD_EPS as MOMENT_EPS
from atelier.nn.pretrained.features import LossFeatures
from atelier.nn.products import Pointwise
from atelier.nn.reflection import Reflection, ReflectionConv
from atelier.nn.transformer import Attention

Maps = Mapping[str, Tensor]
Knobs = dict[str, Any]
Run = Generator[Mapping[str, float], None, None]
TAPS = ["relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1"]
LIMITS = (1e-3, 1e-2)  # relative tolerances of the losses in the first and the second step


class Plain:
    """A copy of a system's networks in torch's default layout, and the formula of its loss."""

    def __init__(self, method: Any, name: str) -> None:
        self.settings, self.formula = method.settings, FORMULAS[name]
        judge = method.loss_features
        features = judge.network if isinstance(judge, LossFeatures) else judge
        self.networks, self.features = contiguous(method.networks), contiguous(features)
        self.predictor = contiguous(getattr(method, "predictor", features))
        rate = self.settings.lr * method.lr_factor(0)  # the first steps of a schedule
        self.optimizer = Adam(self.networks.parameters(), lr=rate)
        self.kept: dict[str, Tensor] = {}  # from step to step

    def run(self, batches: Batches) -> Run:
        """Train, one step for every requested loss."""
        for step in count():
            loss = self.formula(self, batches[step])
            self.optimizer.zero_grad()
            torch.autograd.backward(loss)
            self.optimizer.step()
            yield {"total": loss.item()}


def contiguous(module: Any) -> Any:
    copy = deepcopy(module).to(memory_format=torch.contiguous_format)
    for layer in [part for part in copy.modules() if isinstance(part, nn.ReLU | nn.LeakyReLU)]:
        layer.inplace = True  # as in public code
    for part in copy.modules():
        for own, published in TORCHS.items():
            if isinstance(part, own):
                part.forward = partial(published, part)
    return copy


def flat_norm(layer: Any, value: Tensor) -> Tensor:
    """Return torch's instance norm of flattened pixels: others have a wrong gradient."""
    rows = F.instance_norm(value.flatten(2), weight=layer.weight, bias=layer.bias, eps=layer.eps)
    return rows.view(value.shape)


def with_weights(layer: Any, x: Tensor, *parts: Tensor) -> Any:
    """Return what ``Attention`` does, by the full map, which public code asks for and drops."""
    return layer.norm(x + layer.dropout(layer.heads(*parts)[0]))


TORCHS: dict[Any, Any] = {
    ReflectionConv: nn.Conv2d.forward,
    Reflection: nn.ReflectionPad2d.forward,
    Pointwise: nn.Conv2d.forward,
    InstanceNorm: flat_norm,
    Attention: with_weights,
}
"""Layers of ours that compute the same as torch's in less time."""


def fast(own: Plain, batch: Batch) -> Any:
    """Step as pytorch/examples; the painting's Gram matrices are computed once."""
    own.kept = own.kept or {k: grams(v) for k, v in own.features(batch.style).items()}
    return perceptual(own, own.networks["transformer"](batch.content), batch, own.kept)


def ghiasi(own: Plain, batch: Batch) -> Any:
    """Step as magenta, except for a frozen predictor and one linear layer for all its heads."""
    side = max(75, batch.style.shape[3])  # smaller inputs have no output
    (seen,) = own.predictor(F.interpolate(batch.style, side, mode="bilinear")).values()
    codes = own.networks["heads"](own.networks["bottleneck"](seen.mean((2, 3)))).chunk(2, 1)
    targets = {k: grams(v) for k, v in own.features(batch.style).items()}
    return perceptual(own, own.networks["transformer"](batch.content, *codes), batch, targets)


def perceptual(own: Plain, image: Tensor, batch: Batch, targets: Maps) -> Any:
    """Return content loss against the photographs, style loss against Gram matrices."""
    s, found, wanted = own.settings, own.features(image), own.features(batch.content)
    content = sum(F.mse_loss(found[k], wanted[k]) for k in s.content_layers)
    made = {k: grams(found[k]) for k in s.style_layers}
    style = sum(F.mse_loss(made[k], targets[k].expand_as(made[k])) for k in made)
    return s.content_weight * content + s.style_weight * style


def grams(features: Tensor) -> Tensor:
    """Return Gram matrices (B, C, C) divided by H·W, picture by picture."""
    flats = [picture.flatten(1) for picture in features]
    return torch.stack([flat @ flat.T / flat.shape[1] for flat in flats])


def adain(own: Plain, batch: Batch) -> Any:
    """Step as naoto0804/pytorch-AdaIN; the painting's moments at relu4_1 are computed twice."""
    s, style, content = own.settings, own.features(batch.style), own.features(batch.content)
    mean, std = moments(style["relu4_1"])
    target = normal(content["relu4_1"]) * std + mean
    found = own.features(own.networks["decoder"](target))
    loss = F.mse_loss(found["relu4_1"], target)
    return s.content_weight * loss + s.style_weight * moments_loss(found, style, TAPS[:4])


def efdm(own: Plain, batch: Batch) -> Any:
    """Step as YBZh/EFDM, by an index into sorted values."""
    s, style, content = own.settings, own.features(batch.style), own.features(batch.content)
    target = ordered(content["relu4_1"], style["relu4_1"])
    found = own.features(own.networks["decoder"](target))
    loss = F.mse_loss(found["relu4_1"], target)
    moved = sum(F.mse_loss(found[k], ordered(found[k], style[k]).detach()) for k in TAPS[:4])
    return s.content_weight * loss + s.style_weight * moved


def ordered(content: Tensor, style: Tensor) -> Tensor:
    """Return the style's values in the order of the content's, channel by channel."""
    (_, order), (values, _) = (torch.sort(part.flatten(2), 2) for part in (content, style))
    return values.gather(2, order.argsort(2)).view_as(content)


def wct(own: Plain, batch: Batch) -> Any:
    """Step of a decoder that learns to reconstruct; in sums, as in the paper."""
    wanted = own.features(batch.content)["relu4_1"]
    itself = own.networks["decoder"](wanted)
    features = (own.features(itself)["relu4_1"] - wanted).pow(2).sum()
    return (features + (itself - batch.content).pow(2).sum()) / wanted.numel()


def moments_loss(found: Maps, style: Maps, layers: list[str]) -> Any:
    """Return squared differences of channel means and stds, summed over the layers."""
    pairs = (zip(moments(found[k]), moments(style[k]), strict=True) for k in layers)
    return sum(F.mse_loss(*pair) for both in pairs for pair in both)


def moments(value: Tensor) -> tuple[Tensor, Tensor]:
    """Return channel means and standard deviations, (B, C, 1, 1) each."""
    rows, size = value.flatten(2), (*value.shape[:2], 1, 1)
    return rows.mean(2).view(size), (rows.var(2) + MOMENT_EPS).sqrt().view(size)


def normal(value: Tensor) -> Tensor:
    mean, std = moments(value)
    return (value - mean) / std


def adaattn(own: Plain, batch: Batch) -> Any:
    """Step as Huage001/AdaAttN; keys are computed for the networks and for the local loss."""
    s, parts, generator = own.settings, own.networks, batch.generator("style positions")
    content, style = own.features(batch.content), own.features(batch.style)
    for picture in (content, style):  # ours draws for the content, too, before the style
        counts = {k: picture[k][0, 0].numel() for k in ("relu2_1", "relu3_1")}
        positions = {k: subset(count, s.max_sample, generator) for k, count in counts.items()}

    def seen(layer: str, block: Any = None) -> Tensor:
        return attended(content, style, layer, positions.get(layer), block)

    both = parts["transformer"]
    deep = F.interpolate(both.fit(seen("relu5_1", both.relu5)), scale_factor=2)
    merged = both.merge(seen("relu4_1", both.relu4) + deep)
    found = own.features(parts["decoder"](merged, seen("relu3_1", parts["relu3"])))
    local = sum(F.mse_loss(found[layer], seen(layer)) for layer in TAPS[1:])
    return s.global_weight * moments_loss(found, style, TAPS[1:]) + s.local_weight * local


def attended(content: Maps, style: Maps, layer: str, positions: Any, block: Any) -> Tensor:
    """Return std ⊙ normal(content) + mean, by the full N×M map; ``block`` projects its inputs."""
    query, key, value = keys(content, layer), keys(style, layer), style[layer]
    if block is not None:
        query, key, value = block.query(query), block.key(key), block.value(value)
    key, value = key.flatten(2), value.flatten(2).mT
    if positions is not None:
        key, value = key[..., positions], value[:, positions]
    share = torch.softmax(torch.bmm(query.flatten(2).mT, key), 2)
    mean = torch.bmm(share, value)
    std = (torch.relu(torch.bmm(share, value**2) - mean**2) + STD_EPS).sqrt()
    mean, std = (part.mT.reshape(content[layer].shape) for part in (mean, std))
    return std * normal(content[layer]) + mean


def keys(seen: Maps, layer: str) -> Tensor:
    """Return the layers up to ``layer``, on its grid."""
    size, used = seen[layer].shape[2:], list(seen)[: list(seen).index(layer) + 1]
    return torch.cat([normal(F.interpolate(seen[name], size)) for name in used], 1)


def metanet(own: Plain, batch: Batch) -> Any:
    """Step as CortexFoundation/StyleTransferTrilogy; a painting is encoded once for its steps."""

    def statistics(seen: Maps) -> Tensor:
        return torch.cat([torch.cat(moments(seen[k]), 2).flatten(1) for k in s.style_layers], 1)

    s = own.settings
    if batch.step % s.style_every == 0:
        own.kept = {"style": statistics(own.features(batch.style))}
    image, _ = own.networks(batch.content, own.kept["style"])
    found, wanted = own.features(image), own.features(batch.content)
    content = sum(F.mse_loss(found[k], wanted[k]) for k in s.content_layers)
    style = F.mse_loss(statistics(found), own.kept["style"].expand(len(image), -1))
    roughness = (image.diff(dim=3).abs().sum() + image.diff(dim=2).abs().sum()) / len(image)
    return s.content_weight * content + s.style_weight * style + s.tv_weight * roughness


def sanet(own: Plain, batch: Batch) -> Any:
    """Step as GlebSBrykin/SANET; both pictures are encoded once."""
    pair = batch.content, batch.style
    seen, both = [own.features(image) for image in pair], own.networks["transformer"]

    def painted(content: Maps, style: Maps) -> Tensor:
        four, five = (added(part, content, style) for part in (both.relu4, both.relu5))
        merged = both.merge(four + F.interpolate(both.fit(five), scale_factor=2))
        return own.networks["decoder"](merged)  # type: ignore[no-any-return]

    return repainted(own, painted, pair, seen, seen)


def added(block: Any, content: Maps, style: Maps) -> Tensor:
    """Return the content's features plus what attention finds in the style, by the full map."""
    image, painting = content[block.layer], style[block.layer]
    query, key = block.query(normal(image)).flatten(2), block.key(normal(painting)).flatten(2)
    share = torch.softmax(torch.bmm(query.mT, key), 2)
    carried = torch.bmm(block.value(painting).flatten(2), share.mT)
    return image + block.out(carried.view(image.shape))  # type: ignore[no-any-return]


def stytr2(own: Plain, batch: Batch) -> Any:
    """Step as diyiiyiii/StyTR-2; patches are made once of each picture."""
    pair, parts = (batch.content, batch.style), own.networks

    def painted(content: Tensor, style: Tensor) -> Tensor:
        return parts["decoder"](parts["transformer"](content, style))  # type: ignore[no-any-return]

    with torch.no_grad():
        wanted = [own.features(image) for image in pair]
    return repainted(own, painted, pair, [parts["embedding"](image) for image in pair], wanted)


def repainted(own: Plain, painted: Any, pair: Any, seen: Any, wanted: Any) -> Any:
    """Return the losses of pictures painted in the other's and in their own style."""
    s, found = own.settings, own.features(painted(*seen))
    content = sum(F.mse_loss(normal(found[k]), normal(wanted[0][k])) for k in DEEPEST)
    style, pixels, features = moments_loss(found, wanted[1], TAPS), torch.zeros(()), torch.zeros(())
    for image, encoded, target in zip(pair, seen, wanted, strict=True):
        itself = painted(encoded, encoded)
        judged = own.features(itself)
        pixels = pixels + F.mse_loss(itself, image)
        features = features + sum(F.mse_loss(judged[k], target[k]) for k in TAPS)
    identity = s.identity_weight * pixels + s.identity_features_weight * features
    return s.content_weight * content + s.style_weight * style + identity


FORMULAS = {
    f.__name__: f for f in (fast, ghiasi, adain, efdm, wct, adaattn, metanet, sanet, stytr2)
}


def block(name: str, features: str, width: int) -> dict[str, Any]:
    """Return the settings of a system; all but the learning rate are as published."""
    perceptual: dict[str, Any] = {"width": width}
    if features == "mini":  # its nearest layers
        perceptual |= {"content_layers": TAPS[2:3], "style_layers": TAPS[:4]}
    predictor = {"predictor_features": features, "predictor_layer": TAPS[4]}
    own = {
        "fast": {"style": 0, "optimizer": "adam", "style_loss": "gram_positions", **perceptual},
        # a scale near 0 starts with grey pictures, on which different formulas may agree
        "ghiasi": {"encoder_norm": "in", "initial_scale": 1.0, **predictor, **perceptual},
        "adain": {"lr_decay": 0.0},
        "efdm": {"class": "adain", "matching": "efdm", "lr_decay": 0.0},
        "wct": {"class": "adain", "matching": "wct", "lr_decay": 0.0},
        "adaattn": {},
        "metanet": perceptual,
        "sanet": {"lr_decay": 0.0} | ({"layer": TAPS[2]} if features == "mini" else {}),
        # a width of 32 is the published one; dropout would draw from torch's own generator
        "stytr2": {"loss_features": features, "dropout": 0.0, "warm_up": 0, "lr_decay": 0.0}
        | {"width": 16 * width, "hidden": 64 * width},
    }
    encoder = {} if name == "stytr2" else {"features": features}
    endless = {"steps": 10**6, "save_minutes": 1e6, "log_every": 1, "lr": 1e-4}
    return {"class": name, **encoder, **endless, **own[name]}


class Held(Batches):
    """Batches of the same pictures in every step, from memory."""

    def __init__(self, method: Any) -> None:
        plan, generator = method.plan(), torch.Generator().manual_seed(0)
        coarse = torch.rand(plan.batch + plan.style_batch, 3, 8, 8, generator=generator)
        pictures = F.interpolate(coarse, plan.crop, mode="bilinear")
        self.parts = pictures[: plan.batch], pictures[plan.batch :]

    def __getitem__(self, step: int) -> Batch:
        return Batch(step, 0, *self.parts, names=("held in memory",))


def ours(method: Any, held: Held) -> Run:
    """Train through the engine, one step for every requested dictionary of losses."""
    with TemporaryDirectory() as folder:
        for result in Trainer(method, held, Path(folder)).run():
            yield result.losses


def race(
    runs: Mapping[str, Generator[Any, None, None]], repeats: int
) -> tuple[pd.DataFrame, dict[str, float], dict[str, list[Any]]]:
    """Take a step of each run in turn, the first as a warm-up.

    Returns:
        Seconds by step and run, on one thread of the processor's time, which other programs change
        less; the most memory that a step of each run takes for itself, in MiB (Linux only,
        elsewhere NaN); and what each step yielded.
    """
    seconds, told = pd.DataFrame(columns=[*runs], dtype=float), {key: list[Any]() for key in runs}
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    peaks = dict.fromkeys(runs, 0.0 if RESET.exists() else math.nan)
    with ExitStack() as stack:
        for run in runs.values():  # closed in reverse: each restores the former Ctrl-C
            stack.enter_context(closing(run))
        for step, key in product(range(repeats + 1), runs):
            held = forget_peak()
            began = clock()
            told[key].append(next(runs[key]))
            seconds.loc[step, key] = clock() - began
            peaks[key] = max(peaks[key], peak_mib() - held)
    return seconds, peaks, told


STATUS, RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def forget_peak() -> float:
    """Set the peak of the process to what it holds now, and return it in MiB."""
    with suppress(OSError):
        RESET.write_text("5")
    return peak_mib()


def peak_mib() -> float:
    """Return the highest resident memory since ``forget_peak``; not on Linux NaN."""
    rows = STATUS.read_text().splitlines() if STATUS.is_file() else []
    return next((int(row.split()[1]) / 2**10 for row in rows if row.startswith("VmHWM")), math.nan)


def compare(knobs: Knobs, precisions: list[str], repeats: int, kind: Any = Plain) -> dict[Any, Any]:
    """Return a system's median seconds: plain, and ours in each precision; losses must agree."""
    name = knobs.get("matching", knobs["class"])
    build = partial(make, where="training_step", seed=0, device="cpu")
    methods: dict[str, Any] = {p: build({**knobs, "precision": p}) for p in precisions}
    held, plain = Held(methods["float32"]), kind(methods["float32"], name)
    runs = {"plain": plain.run(held), **{p: ours(m, held) for p, m in methods.items()}}
    seconds, peaks, told = race(runs, repeats)
    losses, wanted = pd.DataFrame(told["float32"]), pd.DataFrame(told["plain"])
    apart = (losses[wanted.columns] / wanted - 1).abs()
    differences = apart.max(axis=1, skipna=False).to_list()
    if not all(found < most for found, most in zip(differences, LIMITS, strict=False)):
        raise ValueError(f"{name}: plain is not the same formula; they differ by\n{apart}")
    medians = seconds[1:].median()
    ratios = (medians / medians["plain"])[precisions].add_suffix("/plain")
    rest = {f"loss difference {n}": difference for n, difference in enumerate(differences[:2], 1)}
    rest |= {f"{key} peak MiB": peak for key, peak in peaks.items()}
    rest["parameters"] = sum(p.numel() for p in plain.networks.parameters())
    return {**medians.to_dict(), **ratios.to_dict(), **rest}


def compare_all(path: Path, blocks: dict[str, Knobs], setting: Knobs, *how: Any) -> None:
    """Compare all ``blocks`` with further arguments ``how`` of ``compare``; write ``path``."""
    found = {}
    for name, knobs in blocks.items():
        found[name] = compare(knobs, *how)
        print(name, found[name], flush=True)
    print(pd.DataFrame(found).T.to_string(float_format="{:.4g}".format))
    write_json(path, {"setting": setting | {"threads": torch.get_num_threads()}, "systems": found})


def main(out: Path, features: str, precision: str, repeats: int, width: int, **size: int) -> None:
    blocks = {name: {**block(name, features, width), **size} for name in FORMULAS}
    setting, file = {"features": features, "width": width, **size}, out / "training_step.json"
    compare_all(file, blocks, setting, list(dict.fromkeys(["float32", precision])), repeats)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--features", default="mini")
    parser.add_argument("--precision", choices=["float32", "bfloat16"], default="float32")
    for option, value in {"repeats": 7, "width": 32, "crop": 128, "batch": 4}.items():
        parser.add_argument(f"--{option}", type=int, default=value)
    main(**vars(parser.parse_args()))
