"""A trained method as an MLflow model: pictures in, pictures out (models from code).

MLflow keeps a copy of ``model_code.py`` beside ``card.json`` and ``model.safetensors`` and runs it
where the model is loaded; nothing is pickled. The package has to be installed there, and the
perceptual network if the method uses one (``atelier doctor``); weights of another one are refused.

    champion = "models:/atelier-adain@champion"
    model = mlflow.pyfunc.load_model(champion, model_config={"device": "cpu"})  # or as it is
    made = model.predict({"photo": photo, "style": painting, "strength": 0.7})

A picture is a uint8 array (H, W, 3), the bytes of a picture file, or these in base64 (for JSON).
``predict`` takes one picture, a list of pictures, an array (B, H, W, 3), a mapping as above whose
``photo`` is any of these, or a frame with such columns (what a model server makes of JSON). It
returns the kind it was given: an array for an array, PNG bytes for bytes, a list for a list. Sizes
are preserved; ``max_side`` shrinks larger photographs first. ``stroke``, ``direction``, ``colour``,
``mask``, ``style_mask`` and ``heatmap`` are those of ``atelier stylize``. ``style`` may be a list
of paintings, a mixture with ``weights`` (default: equal ones) or, with a mask, one per region.
``checkpoint`` names a step of the training after which its weights were kept; without it the final
ones count.
"""

from __future__ import annotations

import base64
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache, partial
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
import torch
from PIL import Image

from atelier.core import images
from atelier.core.config import UserError
from atelier.core.paths import Model
from atelier.core.settings import shown
from atelier.serving.look import Look, Style
from atelier.serving.saved_method import KEPT, kept_folder, recipe_in
from atelier.serving.stylizer import SMALLEST, Applied, build
from atelier.tracking.client import library

mlflow = library()
PythonModel: Any = mlflow.pyfunc.PythonModel
LARGEST = sys.float_info.max
NUMBERS, WORDS = ("strength", "stroke", "max_side", "checkpoint"), ("direction", "colour")
MASKS = ("mask", "style_mask")
WISHES = ("style", "weights", *NUMBERS, *WORDS, *MASKS, "heatmap")
BUILT = 4
"""Kept checkpoints in memory, beside the final weights."""
Checkpoint = Callable[[int | None], Applied]
"""Step, or None for the end of the training → the method with the weights of then."""


def decode(picture: Any, max_side: int | None = None) -> Image.Image:
    """Return an array, bytes or base64 as a picture; ``max_side`` as ``images.read`` has it.

    Raises:
        UserError: it is none of these.
    """
    if isinstance(picture, str):
        try:
            picture = base64.b64decode(picture, validate=True)
        except ValueError:
            raise UserError("a picture that is a text has to be base64 of a file") from None
    if isinstance(picture, bytes):
        return _read(picture, max_side)
    array = np.asarray(picture)
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3:
        found = f"{array.dtype} of {array.shape}"
        raise UserError(f"a picture is uint8 (height, width, 3), bytes or base64; found {found}")
    return Image.fromarray(array)


def _read(data: bytes, max_side: int | None) -> Image.Image:
    with TemporaryDirectory() as folder:  # the reader takes files only
        path = Path(folder, "picture")
        path.write_bytes(data)
        try:
            return images.read(path, max_side=max_side)
        except images.ImageError as error:
            raise UserError(f"the picture {error.reason}") from None


def encode(picture: Image.Image, like: Any) -> Any:
    """Return a picture as the kind that ``like`` is."""
    if not isinstance(like, str | bytes):
        return np.asarray(picture)
    file = BytesIO()
    picture.save(file, format="PNG")
    data = file.getvalue()
    return base64.b64encode(data).decode("ascii") if isinstance(like, str) else data


def stylize(method: Checkpoint, asked: Mapping[str, Any]) -> Any:
    """Answer a request: ``photo`` (one or several) and options."""
    unknown = set(asked) - {"photo", *WISHES}
    if unknown or "photo" not in asked:
        named = ", ".join(map(str, asked))
        raise UserError(f"expected photo and {', '.join(WISHES)}; found {named}")
    photos = _plain(asked["photo"])
    given = {wish: _plain(asked.get(wish)) for wish in WISHES}
    numbers = {wish: _number(wish, given[wish]) for wish in NUMBERS}
    words = {wish: given[wish] and str(given[wish]) for wish in WORDS}
    mask, style_mask = (None if given[wish] is None else decode(given[wish]) for wish in MASKS)
    strength, stroke, side = numbers["strength"], numbers["stroke"], _side(numbers["max_side"])
    heatmap = _truth("heatmap", given["heatmap"])
    direction, colour = (words[wish] for wish in WORDS)
    look = Look(strength, direction, colour, stroke, mask, style_mask, heatmap)
    style = _paintings(given["style"], given["weights"], side)
    applied = method(_whole("checkpoint", numbers["checkpoint"]))

    def one(photo: Any) -> Any:
        return encode(applied.stylize(decode(photo, side), style, look, side), photo)

    if isinstance(photos, np.ndarray) and photos.ndim == 4:
        return np.stack([one(photo) for photo in photos]) if len(photos) else photos
    return [one(photo) for photo in photos] if isinstance(photos, list | tuple) else one(photos)


def _paintings(style: Any, weights: Any, side: int | None) -> Style:
    """Return one painting or several with their weights."""
    several = isinstance(style, list | tuple) or (isinstance(style, np.ndarray) and style.ndim == 4)
    if not several:
        if weights is not None:
            raise UserError("weights are for a list of paintings; style is one")
        return None if style is None else decode(style, side)
    if weights is not None and not isinstance(weights, list | tuple):
        raise UserError(f"weights has to be a list of numbers; found {shown(weights)}")
    shares = [_number("weights", one) for one in weights or [1.0] * len(style)]
    if len(shares) != len(style):
        raise UserError(f"weights has {len(shares)} numbers for {len(style)} paintings")
    pairs = zip(style, shares, strict=True)
    return [(decode(one, side), 1.0 if share is None else share) for one, share in pairs]


def _truth(name: str, value: Any) -> bool:
    if value is None or isinstance(value, bool | np.bool_):
        return bool(value)
    raise UserError(f"{name} has to be true or false; found {shown(value)}")


def _number(name: str, value: Any) -> float | None:
    if value is None:
        return None
    # True is a number in Python; infinity, NaN and what a float cannot hold are not valid here
    number = isinstance(value, int | float | np.integer | np.floating)
    if isinstance(value, bool) or not number or not _fits(value):
        raise UserError(f"{name} has to be a number; found {shown(value)}")
    return float(value)


def _whole(name: str, value: float | None) -> int | None:
    if value is not None and not value.is_integer():
        raise UserError(f"{name} has to be a whole number; found {value:g}")
    return None if value is None else int(value)


def _fits(value: Any) -> bool:
    """Return whether a float can hold a number; NaN fits nowhere."""
    return bool(abs(value) <= LARGEST)


def _side(value: float | None) -> int | None:
    if value is not None and value < SMALLEST:
        raise UserError(f"max_side is {value:g}; no side may be below {SMALLEST} px")
    return None if value is None else round(value)


def _plain(value: Any) -> Any:
    """Unwrap text and numbers that JSON has put into arrays; leave pictures unchanged."""
    if isinstance(value, np.ndarray) and (value.dtype != np.uint8 or value.ndim < 3):
        value = value.tolist()
    return None if isinstance(value, float) and value != value else value  # noqa: PLR0124 - NaN


def requests(data: Any) -> tuple[Sequence[Mapping[str, Any]], bool]:
    """Return the requests in the input of ``predict``, and whether there are several."""
    if isinstance(data, pd.Series):  # one column: photographs
        return [{"photo": photo} for photo in data], True
    if isinstance(data, pd.DataFrame):  # a request per row
        rows: Any = data.to_dict("records")
        return rows, True
    if isinstance(data, Mapping):
        return [data], False
    if isinstance(data, list | tuple) and all(isinstance(item, Mapping) for item in data):
        return data, True
    return [{"photo": data}], False


class Served(PythonModel):  # type: ignore[misc] # MLflow is not typed
    """See the module's docstring."""

    def load_context(self, context: Any) -> None:
        """Build the method from its card and its weights."""
        device = (context.model_config or {}).get("device", "auto")
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        folder = Path(context.artifacts["card"]).parent
        self.applied = build(recipe_in(folder), device=device)
        self._kept = lru_cache(BUILT)(partial(_build_kept, folder, device))

    def predict(
        self,
        context: Any,  # noqa: ARG002 - MLflow's signature
        # Any of the kinds above; MLflow warns about all type hints except those it does not check.
        model_input: np.ndarray,
        params: Any = None,  # noqa: ARG002
    ) -> Any:
        """Stylise; see the module's docstring."""
        asked, several = requests(model_input)
        made = [stylize(self._method, one) for one in asked]
        return made if several else made[0]

    def _method(self, checkpoint: int | None) -> Applied:
        return self.applied if checkpoint is None else self._kept(checkpoint)


def _build_kept(folder: Path, device: str, step: int) -> Applied:
    """Return the method below ``folder`` with the weights that its training kept after a step."""
    final = recipe_in(folder)
    found = recipe_in(kept_folder(Model(folder), final.name, str(step)))
    return build(replace(found, name=f"{final.name}{KEPT}{step}"), device=device)


def serve() -> None:
    """Register this as the model with MLflow; called by ``model_code.py``."""
    mlflow.models.set_model(Served())
