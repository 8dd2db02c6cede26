"""Time of a training step of each adversarial system, compared with its authors' implementation.

    python benchmarks/adversarial_step.py OUT --width 32 --crop 96 --batch 1

*Ours* and *plain* alternate as in ``training_step.py``. *Plain* starts with copies of the same
networks in torch's default layout and follows the published code, in float32: separate forward
passes, norms and class activation as in their formulas, torch's Adam. Departures from the published
code are documented in the functions. All losses of the first two steps, including the totals of
generator and discriminator, must agree in float32.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from copy import deepcopy
from functools import partial
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.optim import Adam

from atelier.core.batches import Batch, Batches
from atelier.nn.adalin import EPS, ILN, AdaILN
from atelier.nn.cam import ClassActivation
from atelier.nn.ugatit import smallest_side

if TYPE_CHECKING:  # mypy treats this folder as a package; its files are scripts
    from benchmarks.training_step import Knobs, Run, compare_all, contiguous
else:
    from training_step import Knobs, Run, compare_all, contiguous

Losses = dict[str, Tensor]
"""``total`` and its parts, under the same names as ours."""
Step = Iterator[tuple[str, Losses]]
WAYS = {"to_art": ("photo", "art", "to_photo"), "to_photo": ("art", "photo", "to_art")}
"""Source domain, target domain, and the direction back."""


class Plain:
    """A copy of a system's networks, trained as by its authors."""

    def __init__(self, method: Any, name: str) -> None:
        self.settings, self.formula = method.settings, FORMULAS[name]
        self.networks = published(contiguous(method.networks))
        self.pools = deepcopy(getattr(method, "pools", {}))
        s, groups = self.settings, {"generator": list[Any](), "discriminator": list[Any]()}
        for key, part in self.networks.items():  # CUT's head is trained with the generator
            groups.get(key, groups["generator"]).extend(part.parameters())
        adam = partial(Adam, lr=s.lr, betas=(s.beta1, 0.999))
        adam = partial(adam, weight_decay=s.weight_decay)
        self.optimizers = {name: adam(weights) for name, weights in groups.items()}

    def run(self, batches: Batches) -> Run:
        """Train, one step for every requested dictionary of losses."""
        for step in count():
            told: dict[str, float] = {}
            for name, losses in self.formula(self, batches[step]):
                self.optimizers[name].zero_grad()
                torch.autograd.backward(losses["total"])
                self.optimizers[name].step()
                told |= {name if k == "total" else k: v.item() for k, v in losses.items()}
            yield told


def published(networks: Any) -> Any:
    """Return the network with U-GAT-IT's norms and class activation computed as by the authors."""
    for layer in networks.modules():
        if isinstance(layer, ClassActivation):
            layer.forward = partial(activation, layer)  # type: ignore[method-assign]
        elif isinstance(layer, AdaILN | ILN):
            layer.forward = partial(layer_instance_norm, layer)  # type: ignore[method-assign]
    return networks


def activation(layer: ClassActivation, value: Tensor) -> tuple[Tensor, Tensor]:
    """Return the features times the weights of each classifier, after the 1×1 convolution."""
    heads = layer.average, layer.maximum
    pools = F.adaptive_avg_pool2d(value, 1), F.adaptive_max_pool2d(value, 1)
    logits = [head(pool.flatten(1)) for head, pool in zip(heads, pools, strict=True)]
    # with spectral norm the first of a layer's parameters is the weight before it
    weighed = [value * next(head.parameters())[..., None, None] for head in heads]
    return layer.fuse(torch.cat(weighed, 1)), torch.cat(logits, 1)


def layer_instance_norm(layer: Any, value: Tensor, *code: Tensor) -> Tensor:
    """Return γ·(ρ·instance norm + (1 - ρ)·layer norm) + β; γ and β are (B, C) or the layer's."""
    gamma, beta = [part[..., None, None] for part in code] or (layer.gamma, layer.beta)
    both = layer.rho * normed(value, (2, 3)) + (1 - layer.rho) * normed(value, (1, 2, 3))
    return both * gamma + beta  # type: ignore[no-any-return]


def normed(value: Tensor, dims: tuple[int, ...]) -> Tensor:
    mean, variance = value.mean(dims, keepdim=True), value.var(dims, keepdim=True)
    return (value - mean) / (variance + EPS).sqrt()


def pictures(batch: Batch) -> dict[str, Tensor]:
    """Return the pictures of a batch, in [-1, 1]."""
    return {"photo": 2 * batch.content - 1, "art": 2 * batch.style - 1}


def aimed(verdict: Tensor, aim: float, measure: Any = F.mse_loss) -> Any:
    return measure(verdict, torch.full_like(verdict, aim))


def weighed(losses: Losses, **weights: float) -> Losses:
    """Return the losses with their total; the first word of a loss's name names its weight."""
    parts = [weights[name.partition("_")[0]] * loss for name, loss in losses.items()]
    return {"total": torch.stack(parts).sum(), **losses}


def cyclegan(own: Plain, batch: Batch) -> Step:
    """Step as junyanz/pytorch-CycleGAN-and-pix2pix; one backward pass for both discriminators."""
    s, make, judges = own.settings, own.networks["generator"], own.networks["discriminator"]
    real = pictures(batch)
    fakes = {aim: make[way](real[source]) for way, (source, aim, _) in WAYS.items()}
    backs = {source: make[back](fakes[aim]) for source, aim, back in WAYS.values()}
    judges.requires_grad_(False)
    losses = {}
    for way, (source, aim, _) in WAYS.items():
        losses[f"identity_{way}"] = F.l1_loss(make[way](real[aim]), real[aim])
        losses[f"gan_{way}"] = aimed(judges[aim](fakes[aim]), 1)
        losses[f"cycle_{way}"] = F.l1_loss(backs[source], real[source])
    identity = s.cycle_weight * s.identity_weight
    yield "generator", weighed(losses, gan=1, cycle=s.cycle_weight, identity=identity)
    judges.requires_grad_(True)
    losses = {}
    for name, fake in fakes.items():
        shown = own.pools[name].query(fake, batch.generator(f"pool {name}"))
        losses[f"discriminator_{name}"] = halved(judges[name], real[name], shown)
    yield "discriminator", weighed(losses, discriminator=1)


def halved(evaluator: Any, real: Tensor, fake: Tensor) -> Any:
    """Return the discriminator's loss, with separate passes of real pictures and fakes."""
    return (aimed(evaluator(real), 1) + aimed(evaluator(fake.detach()), 0)) / 2


def ugatit(own: Plain, batch: Batch) -> Step:
    """Step as znxlwm/UGATIT-pytorch: fakes with their graph for the discriminators, then again.

    Unlike there, the discriminators' backward pass ends at the fakes (the authors' continues
    through the generators, for gradients that are then zeroed), and real pictures and fakes form
    one batch, as each pass is an iteration of the spectral norms.
    """
    s, make, real = own.settings, own.networks["generator"], pictures(batch)
    entropy = F.binary_cross_entropy_with_logits
    fakes = {aim: make[way](real[source]).image for way, (source, aim, _) in WAYS.items()}
    losses = {f"discriminator_{k}": told_apart(own, k, real[k], fakes[k]) for k in real}
    yield "discriminator", weighed(losses, discriminator=s.gan_weight)
    losses = {}
    for way, (source, aim, back) in WAYS.items():
        fakes[aim], logits, _ = make[way](real[source])
        same, others, _ = make[way](real[aim])
        losses[f"gan_{way}"] = sum(aimed(v, 1) for v in judged(own, aim, fakes[aim]))
        losses[f"cycle_{way}"] = F.l1_loss(make[back](fakes[aim]).image, real[source])
        losses[f"identity_{way}"] = F.l1_loss(same, real[aim])
        losses[f"cam_{way}"] = aimed(logits, 1, entropy) + aimed(others, 0, entropy)
    parts = {"cycle": s.cycle_weight, "identity": s.identity_weight, "cam": s.cam_loss_weight}
    yield "generator", weighed(losses, gan=s.gan_weight, **parts)
    for layer in make.modules():
        if hasattr(layer, "rho"):
            layer.rho.data = layer.rho.data.clamp(0, 1)


def judged(own: Plain, domain: str, image: Tensor) -> list[Tensor]:
    """Return patches and logits of both discriminators."""
    judges = own.networks["discriminator"]
    return [part for scale in ("global", "local") for part in judges[f"{scale}_{domain}"](image)]


def told_apart(own: Plain, domain: str, real: Tensor, fake: Tensor) -> Any:
    """Return the discriminators' loss."""
    both = [part.chunk(2) for part in judged(own, domain, torch.cat([real, fake.detach()]))]
    return sum(aimed(of_real, 1) + aimed(of_fake, 0) for of_real, of_fake in both)


def cut(own: Plain, batch: Batch) -> Step:
    """Step as taesungp/contrastive-unpaired-translation; positions are ours, the same for all."""
    s, parts, real = own.settings, own.networks, pictures(batch)
    make, evaluator = parts["generator"]["to_art"], parts["discriminator"]
    fake, same = make(torch.cat([real["photo"], real["art"]])).split(len(real["photo"]))
    evaluator.requires_grad_(True)
    yield "discriminator", {"total": halved(evaluator, real["art"], fake)}
    evaluator.requires_grad_(False)
    losses = {
        "gan_to_art": aimed(evaluator(fake), 1),
        "nce_to_art": contrast(own, batch, real["photo"], fake),
        "nce_identity": contrast(own, batch, real["art"], same),
    }
    yield "generator", weighed(losses, gan=s.gan_weight, nce=s.nce_weight / 2)


def contrast(own: Plain, batch: Batch, source: Tensor, target: Tensor) -> Any:
    """Return PatchNCE, averaged over the taps; the keys have an unused graph."""
    s, encode = own.settings, own.networks["generator"]["to_art"].encode
    queries, keys, generator = encode(target), encode(source), batch.generator("patches")
    losses = []
    for project, query, key in zip(own.networks["projector"], queries, keys, strict=True):
        place = torch.randperm(query[0, 0].numel(), generator=generator)[: s.patches]
        known, asked = (projected(project, value, place) for value in (key, query))
        losses.append(patch_nce(asked, known.detach(), len(source), s.temperature))
    return sum(losses) / len(losses)


def projected(project: Any, value: Tensor, place: Tensor) -> Any:
    """Project (B, C, h, w) at P positions to (B·P, D), of unit length."""
    found = project(value.permute(0, 2, 3, 1).flatten(1, 2)[:, place].flatten(0, 1))
    return found / found.pow(2).sum(1, keepdim=True).sqrt().add(1e-7)


def patch_nce(query: Tensor, key: Tensor, pictures: int, temperature: float) -> Tensor:
    """Return the loss of each of (B·P, D) against itself, first, and the others of its picture."""
    alike = torch.bmm(query.unsqueeze(1), key.unsqueeze(2)).flatten(1)
    queries, keys = (part.view(pictures, -1, part.shape[1]) for part in (query, key))
    others = torch.bmm(queries, keys.mT)
    others.masked_fill_(torch.eye(others.shape[1], dtype=torch.bool), -10.0)
    logits = torch.cat([alike, others.flatten(0, 1)], 1) / temperature
    return F.cross_entropy(logits, torch.zeros(len(logits), dtype=torch.long))


FORMULAS = {f.__name__: f for f in (cyclegan, ugatit, cut)}


def block(name: str, width: int, crop: int) -> Knobs:
    """Return the settings of a system; all but the width are as published."""
    layers = max(n for n in range(3, 8) if smallest_side(n) <= crop)  # 7 need crops of 96 pixels
    judges = {"discriminator_width": width, "global_layers": layers, "cam_weight": "original"}
    own = judges if name == "ugatit" else {}
    endless = {"steps": 10**6, "save_minutes": 1e6, "log_every": 1}
    return {"class": name, "width": width, "crop": crop, **endless, **own}


def main(out: Path, width: int, crop: int, batch: int, repeats: int, precision: str) -> None:
    blocks = {name: {**block(name, width, crop), "batch": batch} for name in FORMULAS}
    setting, file = {"width": width, "crop": crop, "batch": batch}, out / "adversarial_step.json"
    compare_all(file, blocks, setting, list(dict.fromkeys(["float32", precision])), repeats, Plain)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--precision", choices=["float32", "bfloat16"], default="float32")
    for option, value in {"repeats": 7, "width": 32, "crop": 96, "batch": 1}.items():
        parser.add_argument(f"--{option}", type=int, default=value)
    main(**vars(parser.parse_args()))
