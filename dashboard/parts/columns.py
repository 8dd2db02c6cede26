"""Names, explanations and formats of the table's columns; one that is not listed shows as it is."""

from __future__ import annotations

from typing import Any

import pandas as pd
from streamlit.column_config import ImageColumn, NumberColumn, TextColumn

NOT_FID = (
    "Not comparable with a published FID unless the features are inception_fid, "
    "and only between rows with the same features and the same numbers of pictures."
)
PICTURE = "picture"
THOUSAND = ("kid", "kid_sd", "denoised_kid")
"""Small numbers, shown times 1,000 as everywhere in the field."""


def _number(label: str, help_: str, digits: int = 3) -> Any:
    return NumberColumn(label, help=help_, format=f"%.{digits}f")


COLUMNS: dict[str, Any] = {
    "method": TextColumn(
        "Method", help="Entry of `methods` in params.yaml.", pinned=True, width=140
    ),
    PICTURE: ImageColumn("Picture", help="What it made of the photograph chosen above."),
    "status": TextColumn("Status", help="ok, failed, running or not run."),
    "kind": TextColumn("Kind", help="optimise, per_style, arbitrary or domain; see the README."),
    "frechet": _number(
        "Fréchet ↓",
        "Distance of the stylised photographs to the paintings, in the features named beside it. "
        f"Lower is better. {NOT_FID}",
        2,
    ),
    "frechet_low": _number("Fréchet, low", "Where it may lie for other pictures: 95 of 100.", 2),
    "frechet_high": _number("Fréchet, high", "The same, upwards.", 2),
    "frechet_inf": _number("Fréchet, n → ∞", "Extrapolated to endlessly many pictures.", 2),
    "kid": _number("KID ×1000 ↓", "Kernel distance: the same by kernels, unbiased in n.", 1),
    "kid_sd": _number("± sd", "Of the kernel distance, over random subsets; ×1000.", 1),
    "content": _number("Content ↓", "Perceptual distance of each picture to its photograph."),
    "style": _number("Style ↓", "Distance of each picture's style statistics to its painting's."),
    "style_set": _number("Style of all ↓", "The same to the average of all paintings."),
    "lpips": _number("LPIPS ↓", "Learned perceptual distance to the photograph."),
    "ssim": _number("SSIM ↑", "Structural similarity to the photograph; 1: the same."),
    "artfid": _number("ArtFID ↓", "(1 + LPIPS) · (1 + Fréchet distance): both in one.", 2),
    "denoised_frechet": _number("Denoised: Fréchet ↓", "The same after denoising.", 2),
    "denoised_kid": _number("Denoised: KID ×1000 ↓", "The same after denoising.", 1),
    "denoised_content": _number("Denoised: content ↓", "The same after denoising."),
    "denoised_style": _number("Denoised: style ↓", "The same after denoising."),
    "denoised_ssim": _number("Denoised: SSIM ↑", "The same after denoising."),
    "seconds_per_picture": _number("s / picture", "Time to stylise one photograph."),
    "training_seconds": _number("Training (s)", "Time the whole training took.", 0),
    "parameters_trained": NumberColumn("Parameters", help="Numbers trained.", format="localized"),
    "peak_memory_mib": _number("Memory (MiB)", "Peak of the GPU if one was used, else RAM.", 0),
    "pretrained": TextColumn(
        "Pretrained", help="Weights of the zoo its training began from, and its own steps after."
    ),
    "device": TextColumn("Device", help="Where the pictures were made."),
    "features": TextColumn("Features", help="The network whose activations are compared."),
    "features_hash": TextColumn("Their hash", help="Of the weights: which ones exactly."),
    "layer": TextColumn("Layer", help="Of the features."),
    "perceptual": TextColumn("Perceptual", help="The network of the content and style distances."),
    "perceptual_hash": TextColumn("Its hash", help="Of the weights: which ones exactly."),
    "lpips_network": TextColumn("LPIPS network", help="And the hash of its weights."),
    "n_generated": NumberColumn("Pictures", help="How many stylised photographs were compared."),
    "n_reference": NumberColumn("Paintings", help="How many paintings were compared with."),
    "error": TextColumn("Note", help="Why there are no figures.", width="large"),
}


def arranged(frame: pd.DataFrame) -> pd.DataFrame:
    """The known columns in this order, then the others; those without any value are left out."""
    names = [*(name for name in COLUMNS if name in frame), *(c for c in frame if c not in COLUMNS)]
    kept = [name for name in names if not frame[name].isin(["", None]).all()]
    shown = frame[[name for name in kept if frame[name].notna().any()]].copy()
    for name in THOUSAND:
        if name in shown:
            shown[name] *= 1000
    return shown
