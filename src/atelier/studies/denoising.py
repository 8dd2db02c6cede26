"""Zero-Shot Noise2Noise on Gaussian and Poisson noise: PSNR before and after."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
from torch import Generator

from atelier.core import images
from atelier.datasets.noise import NOISES, Noise
from atelier.methods.zsn2n import DenoiseSettings, denoise, picture_seed
from atelier.metrics.ssim import psnr, ssim
from atelier.nn.zsn2n import pair_view
from atelier.studies.bench import Bench
from atelier.studies.findings import Findings, sheet
from atelier.tracking.progress import progress

LEVELS: tuple[tuple[Noise, float], ...] = (
    ("gaussian", 10), ("gaussian", 25), ("gaussian", 50),
    ("poisson", 50), ("poisson", 25), ("poisson", 10),
)  # fmt: skip
"""σ in levels of 255, and events at white: those of the method's paper."""
PICTURES, EVERY = 4, 50


def study(bench: Bench) -> Findings:
    """Add noise to a few test photographs, and denoise them."""
    block = {**bench.source.scaled("denoise"), "on": "all"}
    settings = DenoiseSettings.build(block, "denoise")
    rows, pictures, names = [], [], []
    for kind, level in LEVELS:
        known = [settings.model_dump(), bench.code("denoise")]
        key = [*known, kind, level, [job.photo for job in bench.jobs[:PICTURES]]]
        label = f"noise-{kind}-{level:g}"
        run = partial(_run, bench, settings, (kind, level))
        folder, row = bench.once(label, key, run)
        rows.append(row)
        pictures.append([bench.jobs[0].content, *sorted(folder.glob("*.png"))])
        names.append(f"{kind} {level:g}")
    columns = ["photograph", *(path.stem[2:] for path in sorted(folder.glob("*.png")))]
    note = "psnr and ssim: means over the pictures, clipped to [0, 1]; the figure shows the first."
    return Findings(pd.DataFrame(rows), sheet(pictures, columns, names), [note])


def _run(
    bench: Bench, settings: DenoiseSettings, noise: tuple[Noise, float], folder: Path
) -> dict[str, Any]:
    """Denoise all pictures of a noise; write the views of the first, and return the scores."""
    (kind, level), jobs = noise, bench.jobs[:PICTURES]
    clean = images.load_batch([job.content for job in jobs])
    seeds = [picture_seed(job.photo, bench.source.seed) for job in jobs]
    noisy = clean.clone()
    for n, seed in enumerate(seeds):
        noisy[n] = NOISES[kind](clean[n], level, Generator().manual_seed(seed))
    steps = denoise(noisy.to(bench.device), settings, seeds, EVERY)
    for it in progress(steps, -(-settings.steps // EVERY) + 1, f"denoise {kind} {level:g}"):
        made = it.image.cpu()
    for n, (name, view) in enumerate(pair_view(noisy[0], made[0]).items()):
        images.save_png(view, folder / f"{n} {name}.png")
    scores: dict[str, float] = {"pictures": len(jobs)}
    for measure in (psnr, ssim):
        for when, one in (("before", noisy.clamp(0, 1)), ("after", made)):
            scores[f"{measure.__name__}_{when}"] = measure(one, clean).mean().item()
    return {"noise": kind, "level": level, **scores}
