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
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from atelier.core import images
from atelier.core.checkpoints import save_weights
from atelier.core.config import UserError
from atelier.core.files import read_json, write_json
from atelier.core.paths import Model
from atelier.core.records import WEIGHTS
from atelier.methods.metanet import MetaNet
from atelier.methods.trained import weights_digest
from atelier.serving.zoo import build

PAINTINGS = Path("results/prepared/paintings")
OF_THE_OTHER = ("scores", "sha256", "probe")
"""Facts of an entry's card that hold for its weights alone."""
TRAINED = "parameters_trained"
CENTRE, SPREAD, HIDDEN = "hyper.centre", "hyper.spread", "hyper.hidden"


@torch.no_grad()
def pruned(weights: Mapping[str, Tensor], statistics: Tensor, hidden: int) -> dict[str, Tensor]:
    """Return the weights with ``hidden`` units per head.

    Args:
        weights: of ``MetaNetworks``, by name.
        statistics: of N paintings, (N, D).
        hidden: at most as many as there are.
    """
    found = {name: value.float() for name, value in weights.items()}
    inputs = (statistics - found[CENTRE]) / found[SPREAD]
    heads = sum(name.startswith("hyper.heads.") for name in found) // 2
    rows = [found[f"{HIDDEN}.{part}"].chunk(heads) for part in ("weight", "bias")]
    kept: list[tuple[Tensor, Tensor]] = []
    for n, (weight, bias) in enumerate(zip(*rows, strict=True)):
        name, units = f"hyper.heads.{n}", (inputs @ weight.T + bias).relu()
        head = found[f"{name}.weight"]
        order = (units.std(0) * head.norm(dim=0)).argsort(descending=True)
        stay, leave = order[:hidden].sort().values, order[hidden:]
        found[f"{name}.weight"] = head[:, stay].contiguous()
        found[f"{name}.bias"] = found[f"{name}.bias"] + head[:, leave] @ units[:, leave].mean(0)
        kept.append((weight[stay], bias[stay]))
    for part, values in zip(("weight", "bias"), zip(*kept, strict=True), strict=True):
        found[f"{HIDDEN}.{part}"] = torch.cat(values)
    return found


def main(folder: Path, hidden: int, out: Path, paintings: Path = PAINTINGS) -> None:
    """Write the smaller network; see the top of this file.

    Raises:
        UserError: the folder has no MetaNet, or fewer hidden units, or there are no paintings.
    """
    card: dict[str, Any] = read_json(Model(folder).card)
    method = build(card["parameters"], folder.name)
    if not isinstance(method, MetaNet) or method.settings.hidden < hidden:
        raise UserError(f"{folder}: is no MetaNet with {hidden} hidden units or more")
    with torch.no_grad():
        loaded = [method.statistics(images.load_batch([path])) for path in images.find(paintings)]
    if not loaded:
        raise UserError(f"{paintings}: has no pictures")
    smaller = pruned(load_file(Model(folder).weights), torch.cat(loaded), hidden)
    out.mkdir(parents=True)
    save_weights(smaller, Model(out).weights)
    kept = {key: value for key, value in card.items() if key not in OF_THE_OTHER}
    kept["parameters"] = {**card["parameters"], "hidden": hidden}
    kept[TRAINED] = sum(v.numel() for k, v in smaller.items() if k not in {CENTRE, SPREAD})
    write_json(Model(out).card, {**kept, WEIGHTS: weights_digest(out)})


if __name__ == "__main__":
    source, count, target, *rest = sys.argv[1:]
    main(Path(source), int(count), Path(target), *map(Path, rest))
