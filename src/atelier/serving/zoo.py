"""Operations on the zoo: list entries, verify them, add one from a finished training.

The format and the search path are in ``core.zoo_files``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from atelier.core import records, zoo_files
from atelier.core.checkpoints import load_weights, save_weights
from atelier.core.config import Params, UserError
from atelier.core.device import device_name, pick_device
from atelier.core.files import atomic_folder, read_json, read_record, write_json
from atelier.core.paths import CARD, WEIGHTS, Model, Results, plain
from atelier.core.purpose import of_today
from atelier.core.zoo_files import TRACKED, ZOO, Entry
from atelier.methods.base import make
from atelier.methods.trained import Trained
from atelier.methods.warm_start import PROBE_TOLERANCE, load_entry, probe
from atelier.metrics.catalogue import HEADLINE, PRICE
from atelier.reports.protocol import protocol
from atelier.serving.model_card import headline
from atelier.tracking.provenance import git_tags

ENTRY_BYTES, ALL_BYTES = 12_000_000, 60_000_000
"""Limits of size: everybody clones the zoo with its full history."""
LICENCE = "MIT"
NOT_SCORES = ("method", "kind", "run_id", "denoised", "held_out", "left_out")
"""Keys of ``results/metrics/NAME.json`` that are not scores, or are of other or fewer pictures."""


def entries(root: Path | None) -> Iterator[Entry | str]:
    """Yield every valid entry, or a sentence on why it is invalid."""
    for name in zoo_files.names(root):
        try:
            yield _whole(name, root)
        except UserError as error:
            yield str(error)


def _whole(name: str, root: Path | None) -> Entry:
    entry = known(name, root)
    entry.weights()
    return entry


def known(name: str, root: Path | None) -> Entry:
    """Return the entry ``name``.

    Raises:
        UserError: it does not exist; lists the entries, or says how to download them.
    """
    entry = zoo_files.find(name, root)
    if entry is None:
        listed = ", ".join(zoo_files.names(root)) or "nothing"
        how = zoo_files.how_to_get(root)
        raise UserError(f"the zoo has no {name!r}; it holds {listed}" + (f"; {how}" if how else ""))
    return entry


def size(folder: Path) -> int:
    """Return the bytes of all files below ``folder``."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def row(entry: Entry) -> list[str]:
    """Return the main facts of a card, the columns of ``HEAD``."""
    card, facts = entry.card, entry.facts
    figures = [card.scores.get(key) for key in (HEADLINE, PRICE)]
    return [
        entry.name,
        str(card.parameters.get("class")),
        f"{zoo_files.in_all(facts, 'steps'):,}",
        f"{zoo_files.in_all(facts, 'hours'):.1f}",
        f"{size(entry.folder) / 1e6:.1f}",
        *(f"{value:.4g}" if isinstance(value, int | float) else "-" for value in figures),
        str(card.scores.get("features", "-")),
        zoo_files.trained_on(facts) if card.pretrained else card.data,
    ]


HEAD = ["entry", "system", "steps", "hours", "MB", HEADLINE, PRICE, "features", "trained on"]


def check(root: Path | None, *, apply: bool = False) -> Iterator[tuple[str, str]]:
    """Verify every entry; yield its name and its problem, or "".

    Args:
        root: the project's folder.
        apply: also build every system, and compare its output with that when it was added.
    """
    for name in zoo_files.names(root):
        try:
            entry = _whole(name, root)
            refuse_large(entry.folder)
            if apply:
                load_entry(build(entry.card.parameters, name), entry)
            yield name, ""
        except UserError as error:
            yield name, str(error)
    for folder in zoo_files.folders(root):
        if size(folder) > ALL_BYTES:
            yield str(folder), _too_large(folder, ALL_BYTES)


def refuse_large(folder: Path) -> None:
    """Raise ``UserError`` for an entry beyond ``ENTRY_BYTES``."""
    if size(folder) > ENTRY_BYTES:
        raise UserError(_too_large(folder, ENTRY_BYTES))


def _too_large(folder: Path, limit: int) -> str:
    return f"{folder}: {size(folder) / 1e6:.1f} MB are more than {limit / 1e6:.0f}"


def build(block: Mapping[str, Any], name: str) -> Trained[Any]:
    """Build the trained system of a card, without its weights.

    Raises:
        UserError: its settings are invalid, or the system is not a trained one.
    """
    method = make(of_today(block), name, seed=0, device="cpu")
    if not isinstance(method, Trained):
        raise UserError(f"{name}: is not trained; the zoo is for weights")
    return method


@dataclass(frozen=True)
class Addition:
    """A finished training to be added to the zoo."""

    name: str
    """Name of the entry."""
    source: Path
    """Folder with ``model.safetensors`` and ``card.json``: of the train stage, or an entry."""
    given: Mapping[str, Any]
    """Facts of the card given by the user: ``data``, ``licence``."""

    def add(self, root: Path, params: Params) -> Entry:
        """Write ``zoo/NAME``: weights in float16, card, scores; an existing entry is replaced.

        Raises:
            UserError: something is missing, too large, or too inaccurate in float16. The zoo is
                unchanged.
        """
        place = root / ZOO
        if not place.is_dir() and (root / TRACKED).is_file():
            raise UserError(f"{place}: is missing; `dvc pull {TRACKED}` first, or it loses entries")
        with atomic_folder(place / plain(self.name)) as part:
            self._write(part, root, params)
            refuse_large(part)
            others = (p for p in place.iterdir() if p.name not in {self.name, part.name})
            total = size(part) + sum(size(p) if p.is_dir() else p.stat().st_size for p in others)
            if total > ALL_BYTES:
                limit = ALL_BYTES / 1e6
                raise UserError(f"{place}: would hold {total / 1e6:.1f} MB, more than {limit:.0f}")
        return Entry.read(place / self.name)

    def _write(self, part: Path, root: Path, params: Params) -> None:
        card = read_json(self.source / CARD)
        if not isinstance(card, dict) or not isinstance(card.get("parameters"), dict):
            raise UserError(f"{self.source / CARD}: is not a card of a trained method")
        method = build(card["parameters"], self.name)
        load_weights(method.inference_networks, self.source / WEIGHTS)
        exact = probe(method)
        save_weights(halved(self.source / WEIGHTS), part / WEIGHTS)
        load_weights(method.inference_networks, part / WEIGHTS)
        found = probe(method)
        off = max(abs(a - b) for a, b in zip(exact, found, strict=True))
        if not off < PROBE_TOLERANCE:
            raise UserError(f"{self.source / WEIGHTS}: float16 changes its pictures by {off:.3f}")
        facts: dict[str, Any] = {**card, **self._facts(card, root, params), **self.given}
        if not facts["scores"]:
            raise UserError(
                f"{self.name} has no scores; run `dvc repro evaluate@{self.name}` first"
            )
        facts.pop(records.WEIGHTS, None)  # of the weights before they were rounded
        done = {"sha256": zoo_files.sha256(part / WEIGHTS), "probe": found}
        write_json(part / CARD, {**facts, "method": self.name, **done})
        Entry.read(part)  # a missing fact is named

    def _facts(self, card: Mapping[str, Any], root: Path, params: Params) -> dict[str, Any]:
        """Return facts that the card of a training lacks; that of an entry has them."""
        block, took = card["parameters"], read_record(Model(self.source).training)
        took |= records.aside(root, self.name, "training", card.get(records.WEIGHTS))
        git = git_tags()
        dirty = " and changes" if git.get("git.dirty") == "true" else ""
        found = {
            "system": headline(block.get("class")),
            "steps": took.get("steps", block.get("steps")),
            "hours": round(took.get("training_seconds", 0.0) / 3600, 2) if took else None,
            "device": device_name(pick_device(params)),
            "scores": _scores(root, params, self.name),
            "commit": f"{git['git.commit']}{dirty}" if git else "unknown",
            "licence": LICENCE,
        }
        return {key: card.get(key, value) for key, value in found.items()}


def _scores(root: Path, params: Params, name: str) -> dict[str, Any]:
    found = read_record(Results(root).metrics(name))
    kept = {key: value for key, value in found.items() if key not in NOT_SCORES}
    return {**kept, "protocol": protocol(root, params, name)} if kept else {}


def halved(path: Path) -> dict[str, Tensor]:
    """Return the weights in a file, floating-point ones as float16.

    Raises:
        UserError: unreadable, or a number exceeds the range of float16.
    """
    try:
        found = load_file(path)
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path}: not a readable weight file: {error}") from None
    half = {k: v.to(torch.float16) if v.is_floating_point() else v for k, v in found.items()}
    wrong = [name for name, value in half.items() if not value.isfinite().all()]
    if wrong:
        raise UserError(f"{path}: {wrong[0]} is not finite in float16")
    return half
