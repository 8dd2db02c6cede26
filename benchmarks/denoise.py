"""PSNR and SSIM of denoised photographs with known noise, compared with classic filters.

    python benchmarks/denoise.py OUT data/photos/test --count 24 --size 256

Gaussian noise is clipped to [0, 1], Poisson noise is not, as in the code of Zero-Shot Noise2Noise's
authors. Median and Wiener filter are SciPy's, channel by channel, non-local means scikit-image's.
The last two are given the mean variance of the noise that was actually added, which no user knows.
SSIM is that of the luminance. Seconds per step are measured for one picture, and for a batch in one
grouped network, with nothing else running.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from scipy.ndimage import median_filter
from scipy.signal import wiener
from skimage.restoration import denoise_nl_means
from torch import Generator, Tensor

from atelier.core import images
from atelier.core.config import UserError
from atelier.core.files import write_json
from atelier.datasets.noise import NOISES, Noise
from atelier.methods.zsn2n import Denoised, DenoiseSettings, denoise, picture_seed
from atelier.metrics.ssim import psnr, ssim
from atelier.nn.zsn2n import pair_view
from atelier.reports.image_grid import contact_sheet

Array = NDArray[np.float32]
LEVELS: tuple[tuple[Noise, float], ...] = (
    ("gaussian", 10),
    ("gaussian", 25),
    ("gaussian", 50),
    ("poisson", 50),
    ("poisson", 25),
    ("poisson", 10),
)
FILTERS: dict[str, Callable[[Array, float], Array]] = {
    "median 3": lambda picture, _: median_filter(picture, (1, 3, 3)),
    "median 5": lambda picture, _: median_filter(picture, (1, 5, 5)),
    "wiener 3": lambda picture, variance: wiener(picture, (1, 3, 3), variance),
    "wiener 5": lambda picture, variance: wiener(picture, (1, 5, 5), variance),
    "non-local means": lambda picture, variance: non_local_means(picture, variance**0.5),
}
"""Name → filter of (3, H, W) given the noise variance; the number is the side of the window."""
OURS, TIMED_STEPS = "zero-shot", 5


def non_local_means(picture: Array, sigma: float) -> Array:
    """Filter with the strength scikit-image's documentation recommends for its fast mode."""
    found: Array = denoise_nl_means(
        picture, 5, 6, 0.8 * sigma, fast_mode=True, sigma=sigma, channel_axis=0
    )
    return found


def load(photos: Path, count: int, size: int) -> tuple[list[str], Tensor]:
    """Return names and pictures (N, 3, size, size) of a folder, cropped to squares."""
    paths = images.find(photos)[:count]
    if not paths:
        raise UserError(f"{photos}: holds no pictures; `dvc pull` fetches the sample")
    pictures = [images.to_tensor(images.resize(images.read(path), size)) for path in paths]
    return [path.stem for path in paths], torch.stack(pictures)


def noised(names: Sequence[str], clean: Tensor, kind: Noise, level: float, seed: int) -> Tensor:
    """Add noise from a generator per picture."""
    parts = []
    for name, picture in zip(names, clean, strict=True):
        generator = Generator().manual_seed(picture_seed(f"{kind} {level} {name}", seed))
        parts.append(NOISES[kind](picture, level, generator))
    return torch.stack(parts)


def filtered(way: str, noisy: Tensor, clean: Tensor) -> Tensor:
    """Filter all pictures by one of ``FILTERS``."""
    variances = (noisy - clean).square().flatten(1).mean(1).tolist()
    pairs = zip(noisy.numpy(), variances, strict=True)
    parts = [torch.from_numpy(FILTERS[way](picture, variance)) for picture, variance in pairs]
    return torch.stack(parts).float().clamp(0, 1)


def denoised(noisy: Tensor, settings: DenoiseSettings, seeds: Sequence[int], device: str) -> Tensor:
    """Denoise all pictures by the networks, ``settings.batch`` at once."""
    parts = []
    for first in range(0, len(noisy), settings.batch):
        some = slice(first, first + settings.batch)
        last = result(noisy[some].to(device), settings, seeds[some])
        parts.append(last.image.cpu())
    return torch.cat(parts)


def result(noisy: Tensor, settings: DenoiseSettings, seeds: Sequence[int]) -> Denoised:
    *_, last = denoise(noisy, settings, seeds, every=settings.steps)
    return last


def scores(way: str, picture: Tensor, clean: Tensor, noisy: Tensor) -> dict[str, Any]:
    """Return means over the pictures; ``gain`` is that of the PSNR, in dB."""
    found = psnr(picture, clean)
    gain = found - psnr(noisy, clean)
    values = {"psnr": found.mean(), "gain": gain.mean(), "worst_gain": gain.min()}
    values["ssim"] = ssim(picture, clean).mean()
    return {"way": way, **{name: value.item() for name, value in values.items()}}


def seconds_per_step(noisy: Tensor, settings: DenoiseSettings, repeats: int = 3) -> dict[str, Any]:
    """Time a step of a single picture and of a full batch; the first step is a warm-up."""
    few = settings.model_copy(update={"steps": TIMED_STEPS, "fill_batch": False, "patience": None})
    full = torch.cat([noisy] * (settings.batch // len(noisy) + 1))[: settings.batch]
    taken: dict[int, list[float]] = {1: [], settings.batch: []}
    for _, count in product(range(repeats + 1), taken):
        began = time.perf_counter()
        result(full[:count], few, range(count)).image.sum().item()  # synchronises a GPU
        taken[count].append((time.perf_counter() - began) / TIMED_STEPS / count)
    medians = {str(count): median(times[1:]) for count, times in taken.items()}
    return {"seconds_per_step_and_picture": medians}


def main(
    out: Path, photos: Path, count: int, size: int, seed: int, device: str, **knobs: Any
) -> None:
    settings = DenoiseSettings.build({k: v for k, v in knobs.items() if v is not None}, "denoise")
    names, clean = load(photos, count, size)
    seeds, rows, sheet = [picture_seed(name, seed) for name in names], [], []
    for kind, level in LEVELS:
        noisy = noised(names, clean, kind, level, seed)
        made = {"noisy": noisy, **{way: filtered(way, noisy, clean) for way in FILTERS}}
        made[OURS] = denoised(noisy, settings, seeds, device)
        now = [scores(way, picture, clean, noisy) for way, picture in made.items()]
        rows += [{"noise": kind, "level": level, **row} for row in now]
        print(pd.DataFrame(now).to_string(float_format="{:.4g}".format), flush=True)
        sheet.append([images.to_image(part[0]) for part in (clean, *made.values())])
        if (kind, level) == ("gaussian", 25):
            save_views(out / "denoise_pair.png", noisy[0], made[OURS][0])
    heads, sides = ["clean", *made], [f"{kind} {level:g}" for kind, level in LEVELS]
    images.save_png(contact_sheet(sheet, heads, sides), out / "denoise.png")
    speed = seconds_per_step(noisy.to(device), settings)
    setting = {**settings.model_dump(), "pictures": names, "size": size, "seed": seed}
    setting |= {"device": device, "threads": torch.get_num_threads(), **speed}
    write_json(out / "denoise.json", {"setting": setting, "rows": rows})
    columns = ["noise", "level"]
    table = pd.DataFrame(rows).pivot_table("psnr", index="way", columns=columns, sort=False)
    print(table.to_string(float_format="{:.2f}".format), speed, sep="\n")


def save_views(path: Path, noisy: Tensor, picture: Tensor) -> None:
    """Save a sheet of a picture's down-sampled pair, predicted noise and result."""
    views = pair_view(noisy, picture)
    images.save_png(contact_sheet([[*map(images.to_image, views.values())]], [*views]), path)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("photos", type=Path)
    for option, value in {"count": 24, "size": 256, "seed": 0}.items():
        parser.add_argument(f"--{option}", type=int, default=value)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--preset", choices=["a", "b"])
    parser.add_argument("--precision", choices=["float32", "bfloat16"])
    for option in ("steps", "decay_every", "crop", "batch", "patience"):
        parser.add_argument(f"--{option}", type=int, help="as in params.yaml")
    parser.add_argument("--lr", type=float, help="as in params.yaml")
    main(**vars(parser.parse_args()))
