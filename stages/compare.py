"""Compare all methods: tables, grid, JSON; publish scores and models in MLflow."""

from pathlib import Path

from atelier.core.config import Params
from atelier.core.paths import Results
from atelier.reports.comparison import write_comparison
from atelier.serving.registry import publish
from atelier.tracking.stage import stage, tune_process

if __name__ == "__main__":
    tune_process()
    with stage("compare"):
        params = Params.load()
        print(write_comparison(Path(), params, Results().comparison))
        for line in publish(Path(), params):
            print(line)
