"""Validation of every block of ``params.yaml`` at every scale, used or not.

``Params.load`` has checked the structure. Here each block is validated by its typed settings, which
import torch, and the networks and layers it names are looked up.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from atelier.core.config import Params, Settings, UserError, limited
from atelier.core.extends import CLASS, class_settings
from atelier.core.phases import THEN
from atelier.core.purpose import purposes, split
from atelier.core.settings import nearest, shown
from atelier.core.stage_settings import CODE, DENOISE, codes
from atelier.core.structure import structure_problems
from atelier.core.yaml_tree import read_all
from atelier.datasets.prepare_settings import PrepareSettings
from atelier.methods.base import method_class
from atelier.methods.train_settings import TrainSettings
from atelier.methods.zsn2n import DenoiseSettings
from atelier.metrics.evaluator import EvaluateSettings
from atelier.metrics.lpips import TAPS
from atelier.nn.pretrained.features import NAMES, layer_names
from atelier.reports.leaderboard import CHAMPIONS, COUNTS, NUMBERS, CompareSettings

STEP_SETTINGS: Mapping[str, type[Settings]] = {
    "prepare": PrepareSettings,
    "denoise": DenoiseSettings,
    "evaluate": EvaluateSettings,
    "compare": CompareSettings,
}
NETWORKS = (
    "features",
    "loss_features",
    "predictor_features",
    "fallback_features",
    "perceptual",
)
"""Settings that name a network, in any block."""
LAYERS: Mapping[str, tuple[str, ...]] = {
    "content_layers": ("loss_features", "features"),
    "style_layers": ("loss_features", "features"),
    "local_layers": ("loss_features", "features"),
    "statistics_layers": ("features",),
    "predictor_layer": ("predictor_features",),
    "layer": ("features",),
    "layers": ("features",),
}
"""Settings that name layers → settings that may name their network, in order of precedence."""


def problems(params: Params) -> list[str]:
    """Return all mistakes in the blocks of all scales, one line each."""
    found: list[str] = []
    for scale, name in params.sound_blocks():
        found += block_problems(params.at(scale), name)
    return list(dict.fromkeys(found))


def file_problems(path: Path) -> list[str]:
    """Return all mistakes in ``path``, one line each: of YAML, of the structure, in the blocks.

    A mistake of one kind hides none of another, unless nothing can be read at all.
    """
    try:
        tree, found = read_all(path)
    except UserError as error:
        return str(error).splitlines()
    places = {line.partition(": line ")[0] for line in found} - {"params.yaml"}
    unread = tuple(f"{place}:" for place in places)
    devices, methods = tree.get("devices", 1), tree.get("methods")
    sound = {**tree, "devices": devices if type(devices) is int and devices > 0 else 1}
    sound["methods"] = methods if isinstance(methods, dict) else {}
    later = [*structure_problems(tree), *problems(Params(sound))]
    return list(dict.fromkeys(found + [line for line in later if not line.startswith(unread)]))


def check(path: Path) -> None:
    """Raise if any setting in the file is invalid.

    Raises:
        UserError: one line for each mistake, see ``file_problems``.
    """
    if found := file_problems(path):
        raise UserError(limited(found))


def block_problems(params: Params, name: str) -> list[str]:
    """Return the mistakes in the settings of an entry or a step at the scale in force."""
    found: list[str] = []
    valid: Settings | None
    try:
        valid = typed(params, name)
    except UserError as error:
        found += str(error).splitlines()
        valid = _valid_part(params, name)
    if valid is None:
        return found
    places, where = params.places(name), _where(params, name)
    mistakes = [*_networks(valid), *_layers(valid), *_columns(valid), *_devices(valid, params)]
    mistakes += [*_entries(valid, params), *_later(valid)]
    return found + [
        f"params.yaml: {places.get(key, where)}.{key}: {text}"
        for key, text in mistakes
        if not found or key in valid.model_fields_set  # do not report a default beside mistakes
    ]


def _later(valid: Settings) -> Iterator[Mistake]:
    """Yield what the further phases of a training name that the first does not, and that is not."""
    if not isinstance(valid, TrainSettings):
        return
    known = {*_networks(valid), *_layers(valid)}
    for place, part in enumerate(valid.later_phases()):
        for key, text in (*_networks(part), *_layers(part)):
            if (key, text) not in known:
                yield THEN, f"[{place}]: {key}: {text}"


def typed(params: Params, name: str) -> Settings:
    """Return the settings of an entry or a step at the scale in force, defaults included.

    Raises:
        UserError: no such entry, or one line for each setting of a wrong type or out of bounds.
    """
    cls, block = _block(params, name)
    return cls.build(block, _where(params, name), params.places(name))


def purposes_of(params: Params, name: str) -> dict[str, str]:
    """Return setting → purpose, of an entry or a step; see ``core.purpose``.

    If nothing is trained, all settings that are not used to run are used to apply.
    """
    cls, _ = _block(params, name)
    trains = issubclass(cls, TrainSettings)
    return {k: p if trains or p == "run" else "apply" for k, p in purposes(cls).items()}


def _valid_part(params: Params, name: str) -> Settings | None:
    """Return the valid part of an invalid block, to find its other mistakes in the same run."""
    try:
        cls, block = _block(params, name)
    except UserError:
        return None
    return cls.valid_part(block)


def _block(params: Params, name: str) -> tuple[type[Settings], dict[str, Any]]:
    """Return the type of an entry's or a step's settings, and the block."""
    block = params.settings(name)
    if step := STEP_SETTINGS.get(name):
        return step, block
    return method_class(str(block.get(CLASS))).Settings, class_settings(block)


def _where(params: Params, name: str) -> str:
    """Return the block to name for settings that are not set in any."""
    return f"scales.{params.scale}.{name}"


def resolved(params: Params) -> dict[str, dict[str, Any]]:
    """Return entry → what its stages depend on: its settings by purpose, and its code.

    The settings used to run, on which no stage depends, are complete, with defaults; see
    ``core.stage_settings``. ``prepare``, the step that has such a setting, too, is without it.
    """
    prepare = split(PrepareSettings, params.settings("prepare"))
    denoise, block = typed(params, DENOISE), params.settings(DENOISE)
    assert isinstance(denoise, DenoiseSettings)  # noqa: S101 - of its step
    entries = {
        name: {**_resolved(params, name), DENOISE: denoise.deciding(block, params.names_of(name))}
        for name in params.method_names
    }
    return {"prepare": prepare["train"], **entries}


def _resolved(params: Params, name: str) -> dict[str, Any]:
    block, valid = params.method(name), typed(params, name)
    parts = split(type(valid), block)
    running = split(type(valid), valid.model_dump())["run"]
    deciding = {"train": parts["train"], "apply": parts["apply"]}
    return {**deciding, "run": running, CODE: codes(block[CLASS])}


Mistake = tuple[str, str]
"""A setting and its mistake."""


def _networks(settings: Settings) -> Iterator[Mistake]:
    """Yield names of networks that do not exist."""
    for key in NETWORKS:
        name = getattr(settings, key, None)
        if isinstance(name, str) and name not in NAMES:
            yield key, f"{shown(name)} is not a network{nearest(name, NAMES)}"
    lpips = getattr(settings, "lpips", None)
    if isinstance(lpips, str) and lpips not in TAPS:
        yield "lpips", f"{shown(lpips)} is not a network of LPIPS{nearest(lpips, TAPS)}"


def _layers(settings: Settings) -> Iterator[Mistake]:
    """Yield layers that their network does not have, and lists of weights of another length."""
    for key, sources in LAYERS.items():
        value = getattr(settings, key, None)
        network = next(filter(None, (getattr(settings, s, None) for s in sources)), None)
        wanted = (value,) if isinstance(value, str) else value
        if isinstance(wanted, tuple) and network in NAMES:
            known = layer_names(str(network))
            for layer in wanted:
                if layer not in known:
                    yield key, f"{network} has no layer {shown(layer)}{nearest(layer, known)}"
    layers = getattr(settings, "style_layers", None)
    weights = getattr(settings, "style_layer_weights", None)
    if layers and weights is not None and len(weights) != len(layers):
        yield (
            "style_layer_weights",
            f"has {len(weights)} entries for {len(layers)} style_layers",
        )


def _columns(settings: Settings) -> Iterator[Mistake]:
    """Yield columns of the comparison that do not exist."""
    if isinstance(settings, CompareSettings):
        for key, known in (("sort", (*NUMBERS, *COUNTS)), ("champion", CHAMPIONS)):
            name = getattr(settings, key)
            if name not in known:
                yield key, f"{shown(name)} is not a column of numbers{nearest(name, known)}"


def _entries(settings: Settings, params: Params) -> Iterator[Mistake]:
    """Yield entries to be denoised that do not exist."""
    if isinstance(settings, DenoiseSettings) and isinstance(settings.on, tuple):
        known: list[str] = []
        with suppress(UserError):  # that they are missing is reported elsewhere
            known = params.method_names
        for name in settings.on if known else ():
            if name not in known:
                yield "on", f"{shown(name)} is not an entry of methods{nearest(name, known)}"


def _devices(settings: Settings, params: Params) -> Iterator[Mistake]:
    """Yield batches that cannot be divided equally."""
    batch, parts = getattr(settings, "batch", 1), getattr(settings, "accumulate", None)
    if parts is not None and batch % (parts * params.devices):
        how = f"{params.devices} devices × accumulate {parts}"
        yield "batch", f"{batch} pictures cannot be divided into {how} equal parts"
