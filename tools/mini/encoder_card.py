"""Write the results of ``mini``'s benchmarks to its card, and print it.

    python -m tools.mini.encoder_card OUT src/atelier/nn/pretrained/mini.json

OUT is the folder of the other ``encoder_*.py``, run for vgg19, random and mini;
``encoder_distances.py`` for its own sets and for a run of the bench.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from atelier.core.files import read_json, write_json

STEPS = 100
NAMES = ("random", "mini", "vgg19")


def closed(values: dict[str, float]) -> float:
    """Return the percentage of the gap from ``random`` to ``vgg19`` that ``mini`` closes."""
    way = values["random"] - values["vgg19"]
    return round(100 * (values["random"] - values["mini"]) / way, 1)


def gatys(out: Path) -> dict[str, Any]:
    """Return VGG19's losses of the results, and the fraction of the gap closed."""
    found = {name: read_json(out / f"{name}.json")[f"{name}_{STEPS}"] for name in NAMES}
    table = {key: {name: found[name][key] for name in NAMES} for key in found["mini"]}
    return {
        "steps": STEPS,
        **{key: {**values, "closed_percent": closed(values)} for key, values in table.items()},
    }


def order(path: Path) -> dict[str, Any]:
    """Return the correlations written by ``encoder_distances.py``."""
    found = read_json(path)
    return {key: found[key] for key in ("sets", "pictures", "reference", "spearman")}


def main(out: Path, card: Path) -> None:
    figures = {
        "gatys": gatys(out),
        "probe": read_json(out / "probe.json"),
        **{name: order(out / f"{name}.json") for name in ("distances", "systems")},
        "time": read_json(out / "time.json"),
    }
    write_json(card, {**read_json(card), "figures": figures})
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
