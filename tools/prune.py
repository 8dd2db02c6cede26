"""Leave out the hidden units of a MetaNet's hyper-network that change its filters least.

    python -m tools.prune FOLDER HIDDEN OUT [results/prepared/paintings]

ReLU lets units die: of the 32 per head of ``metanet_original`` four to eleven are 0 for every
painting, and take their share of the file. FOLDER has ``model.safetensors`` and ``card.json``, of a
training or of an entry of the zoo; OUT gets both, without the scores. A unit counts as much as what
it adds to the head varies over the paintings; the mean of what is left out goes into the head's
bias.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from atelier.core import images
from atelier.core.checkpoints import load_weights, save_weights
from atelier.core.config import UserError
from atelier.core.files import read_json, write_json
from atelier.core.paths import Model
from atelier.core.records import WEIGHTS
from atelier.methods.metanet import MetaNet
from atelier.methods.trained import weights_digest
from atelier.nn.hypernet import HyperNet
from atelier.serving.zoo import build

PAINTINGS = Path("results/prepared/paintings")
OF_THE_OTHER = ("scores", "sha256", "probe")
"""Facts of an entry's card that hold for its weights alone."""


@torch.no_grad()
def pruned(found: HyperNet, statistics: Tensor, hidden: int) -> HyperNet:
    """Return one with ``hidden`` units per head, given the statistics (N, D) of paintings."""
    heads = [cast("nn.Linear", head) for head in found.heads]
    less = HyperNet(statistics.shape[1], [head.out_features for head in heads], hidden)
    rows: list[Tensor] = []
    for n, (units, head) in enumerate(zip(found.units(statistics), heads, strict=True)):
        smaller = cast("nn.Linear", less.heads[n])
        order = (units.std(0) * head.weight.norm(dim=0)).argsort(descending=True)
        stay, leave = order[:hidden].sort().values, order[hidden:]
        smaller.weight.copy_(head.weight[:, stay])
        smaller.bias.copy_(head.bias + head.weight[:, leave] @ units[:, leave].mean(0))
        rows.append(stay + n * len(order))
    kept = torch.cat(rows)
    less.hidden.weight.copy_(found.hidden.weight[kept])
    less.hidden.bias.copy_(found.hidden.bias[kept])
    less.centre.copy_(found.centre)
    less.spread.copy_(found.spread)
    return less


def main(folder: Path, hidden: int, out: Path, paintings: Path = PAINTINGS) -> None:
    """Write the smaller network; see the top of this file.

    Raises:
        UserError: the folder has no MetaNet, or fewer hidden units, or there are no paintings.
    """
    card: dict[str, Any] = read_json(Model(folder).card)
    method = build(card["parameters"], folder.name)
    if not isinstance(method, MetaNet) or method.settings.hidden < hidden:
        raise UserError(f"{folder}: is no MetaNet with {hidden} hidden units or more")
    load_weights(method.networks, Model(folder).weights)
    with torch.no_grad():
        loaded = [method.statistics(images.load_batch([path])) for path in images.find(paintings)]
    if not loaded:
        raise UserError(f"{paintings}: has no pictures")
    method.networks["hyper"] = pruned(method.network(HyperNet, "hyper"), torch.cat(loaded), hidden)
    out.mkdir(parents=True)
    save_weights(method.networks.state_dict(), Model(out).weights)
    kept = {key: value for key, value in card.items() if key not in OF_THE_OTHER}
    kept["parameters"] = {**card["parameters"], "hidden": hidden}
    kept["parameters_trained"] = sum(p.numel() for p in method.networks.parameters())
    write_json(Model(out).card, {**kept, WEIGHTS: weights_digest(out)})


if __name__ == "__main__":
    source, count, target, *rest = sys.argv[1:]
    try:
        main(Path(source), int(count), Path(target), *map(Path, rest))
    except UserError as error:
        sys.exit(str(error))
