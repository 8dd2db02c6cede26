"""Put all methods beside one another: a table, a grid of pictures, one JSON for DVC."""

from pathlib import Path

from atelier.compare import write_comparison
from atelier.config import Params
from atelier.stage import stage

if __name__ == "__main__":
    with stage("compare"):
        write_comparison(Path(), Params.load(), Path("results/comparison"))
