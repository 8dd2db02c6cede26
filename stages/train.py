"""Train one method and write its card; open its run."""

import sys
from pathlib import Path

from atelier.config import Params
from atelier.files import read_json, write_json
from atelier.methods.base import make
from atelier.stage import pick_device, stage
from atelier.tracking import open_run


def main(name: str) -> None:
    params, out = Params.load(), Path("results/models") / name
    block = params.method(name)
    method = make(block, f"methods.{name}", seed=params.seed, device=pick_device(params))
    card = {"method": name, **method.card(), "parameters": block}
    data = read_json(Path("results/prepared/manifest.json"))["digest"]
    tags = {
        "scale": params.scale,
        "data": data,
        "features": card.get("features"),
        "features_hash": card.get("features_hash"),
        "kind": method.kind,
    }
    with open_run(
        name, "train", {"scale": params.scale, "seed": params.seed, **block}, tags
    ) as run:
        if method.kind == "optimise":
            print(f"{name}: optimises each picture, nothing to train; wrote its card")
        write_json(out / "card.json", card)
        run.artifact(out / "card.json")
        write_json(out / "run.json", {"run_id": run.id})


if __name__ == "__main__":
    with stage("train", sys.argv[1]):
        main(sys.argv[1])
