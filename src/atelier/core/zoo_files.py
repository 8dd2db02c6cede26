"""Files of the zoo: folders of the trained weights that ship, and their cards. Imports no torch.

An entry is a folder ``zoo/NAME`` with ``model.safetensors`` (float16) and ``card.json``. An entry
is searched for in the folder ``ATELIER_ZOO`` names, if it is set; otherwise in the project's
``zoo``, then in that of the checkout the package was installed from. The first folder that has the
entry is used; a broken entry is refused, never replaced by another network.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from atelier.core.config import UserError
from atelier.core.paths import CARD, WEIGHTS, plain
from atelier.core.phases import total_steps

ZOO, TRACKED = "zoo", "zoo.dvc"
CHECKOUT = Path(__file__).resolve().parents[3]
"""Checkout the package was installed from, if it was installed as editable."""


class Begun(BaseModel):
    """``Entry.facts`` as they stand on cards; unknown keys are kept."""

    model_config = ConfigDict(frozen=True, extra="allow")

    entry: str
    steps: int = Field(ge=0)
    data: str
    hours: float | None = Field(None, ge=0)
    """Of its last phase; None: not recorded."""
    pretrained: Begun | None = None
    """Of the entry that it began from."""


class ZooCard(BaseModel):
    """Contents of an entry's ``card.json``; unknown keys are kept and ignored."""

    model_config = ConfigDict(frozen=True, extra="allow")

    method: str
    """Name of the entry."""
    kind: str
    """See ``methods.base``."""
    parameters: dict[str, Any]
    """The settings it was trained with, ``class`` included."""
    steps: int = Field(ge=0)
    """Training steps; 0: the weights of the entry in ``pretrained``, with other settings."""
    hours: float = Field(ge=0)
    """Of training."""
    device: str
    data: str = Field(min_length=1)
    """Description of the training data."""
    scores: dict[str, Any]
    """Scores and their protocol, as in ``results/metrics/NAME.json``."""
    commit: str
    licence: str
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    """Of the weights."""
    probe: list[float]
    """Coarse output for two fixed pictures; see ``methods.warm_start.probe``."""
    pretrained: Begun | None = None
    """Of the entry its own training began from."""


@dataclass(frozen=True)
class Entry:
    """One entry whose card has been read."""

    folder: Path
    card: ZooCard

    @classmethod
    def read(cls, folder: Path) -> Entry:
        """Read the card below ``folder``.

        Raises:
            UserError: it is missing, or no card of an entry.
        """
        path = folder / CARD
        if not path.is_file():
            raise UserError(f"{path}: is missing; {_bring(folder)}")
        try:
            return cls(folder, ZooCard.model_validate_json(path.read_bytes()))
        except OSError as error:
            raise UserError(f"{path}: cannot be read ({error}); {_bring(folder)}") from None
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"]) or "the file"
            raise UserError(f"{path}: {where}: {first['msg']}; {_bring(folder)}") from None

    @property
    def name(self) -> str:
        """Name of the entry: that of its folder."""
        return self.folder.name

    @property
    def facts(self) -> dict[str, Any]:
        """Facts that accompany every result whose training began from it."""
        card = self.card
        found = {
            "entry": self.name,
            "steps": card.steps,
            "hours": card.hours,
            "data": card.data,
            "sha256": card.sha256,
        }
        before = card.pretrained
        return found | ({"pretrained": before.model_dump(exclude_none=True)} if before else {})

    def weights(self) -> Path:
        """Return the file of the weights, verified by the hash on the card.

        Raises:
            UserError: it is missing, truncated or another file.
        """
        path = self.folder / WEIGHTS
        if not path.is_file():
            raise UserError(f"{path}: is missing; {_bring(self.folder)}")
        state = path.stat()
        found = _digest(path, state.st_mtime_ns, state.st_size)
        if found != self.card.sha256:
            raise UserError(
                f"{path}: is truncated or another file: its hash is {found[:12]}, its card's "
                f"{self.card.sha256[:12]}; {_bring(self.folder)}"
            )
        return path


def _bring(folder: Path) -> str:
    zoo = folder.parent
    if (zoo.parent / TRACKED).is_file():
        return f"`dvc pull --force {TRACKED}` in {zoo.parent} brings it"
    return "add it again (`atelier zoo add`)"


@lru_cache(maxsize=64)
def _digest(path: Path, changed: int, size: int) -> str:  # noqa: ARG001 - they are the key
    return sha256(path)


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file, 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def folders(root: Path | None) -> list[Path]:
    """Return the folders in which entries are searched for, in order of precedence.

    Args:
        root: root of the project; None outside one.

    Raises:
        UserError: ``ATELIER_ZOO`` names no folder.
    """
    named = os.environ.get("ATELIER_ZOO")
    if named and not Path(named).is_dir():
        raise UserError(f"ATELIER_ZOO names {named}, which is not a folder")
    places = [Path(named)] if named else [place / ZOO for place in _homes(root)]
    return [place for place in places if place.is_dir()]


def _homes(root: Path | None) -> list[Path]:
    own = [] if root is None else [root]
    return own if root is not None and root.resolve() == CHECKOUT else [*own, CHECKOUT]


def names(root: Path | None) -> list[str]:
    """Return the names of all entries, complete or not."""
    found = (path for place in folders(root) for path in place.iterdir() if path.is_dir())
    return sorted({path.name for path in found if not path.name.startswith(".")})


def find(name: str, root: Path | None) -> Entry | None:
    """Return the entry ``name``, or None.

    Raises:
        UserError: there is one, and its card cannot be read.
    """
    wanted = plain(name)
    found = (place / wanted for place in folders(root))
    folder = next((path for path in found if path.is_dir()), None)
    return None if folder is None else Entry.read(folder)


def how_to_get(root: Path | None) -> str:
    """Return how to download the zoo's files where they are missing, or ""."""
    if os.environ.get("ATELIER_ZOO"):
        return ""
    lacking = (
        home for home in _homes(root) if (home / TRACKED).is_file() and not (home / ZOO).is_dir()
    )
    return next((f"`dvc pull {TRACKED}` in {home} brings trained weights" for home in lacking), "")


def warm_entry(block: Mapping[str, Any], name: str | None = None) -> str | None:
    """Return the entry that ``warm_start`` of a method's settings names, or None.

    ``zoo`` is the entry of the method's own name, ``zoo:OTHER`` another one, anything else a path.

    Raises:
        UserError: ``zoo`` where the method's name is not known.
    """
    word, _, other = str(block.get("warm_start") or "").partition(":")
    if word != ZOO:
        return None
    if not (other or name):
        raise UserError("warm_start: zoo: of which entry? say zoo:NAME")
    return plain(other or name)


def warm_facts(block: Mapping[str, Any], name: str, root: Path) -> dict[str, Any]:
    """Return ``facts`` of the entry a training begins from, or {}.

    Raises:
        UserError: there is no such entry, or it is broken.
    """
    wanted = warm_entry(block, name)
    return project_entry(wanted, root).facts if wanted else {}


def project_entry(name: str, root: Path) -> Entry:
    """Return an entry of the project's own zoo, with weights that have been verified.

    Other folders are not searched: DVC tracks this one alone.

    Raises:
        UserError: it is missing or broken.
    """
    folder = root / ZOO / name
    if not folder.is_dir():
        tracked = f"`dvc pull {TRACKED}` brings the zoo; " if (root / TRACKED).is_file() else ""
        raise UserError(f"warm_start: {folder} is missing; {tracked}null trains from scratch")
    entry = Entry.read(folder)
    entry.weights()
    return entry


def in_all(facts: Mapping[str, Any], key: str) -> float:
    """Return ``steps`` or ``hours`` of an entry's card, with those of all that it began from.

    What was not recorded counts 0.
    """
    before = facts.get("pretrained")
    return (facts.get(key) or 0) + (in_all(before, key) if before else 0)


def trained_on(facts: Mapping[str, Any]) -> str:
    """Return ``12,000 steps on photographs and Van Gogh``; of ``facts``, or of an entry's card.

    Phases on the same data are added up: ``…, then 600 steps on the sample`` are on others.
    """
    steps, before = facts.get("steps"), facts.get("pretrained")
    if not isinstance(steps, int):
        return ""
    while isinstance(before, Mapping) and before.get("data") == facts.get("data"):
        steps, before = steps + before.get("steps", 0), before.get("pretrained")
    own = f"{steps:,} steps on {facts.get('data')}"
    if not isinstance(before, Mapping):
        return own
    return f"{trained_on(before)}, then {own}" if steps else trained_on(before)


def history(card: Mapping[str, Any]) -> str:
    """Return the steps of a training that began from the zoo, those of the entry first, or "".

    ``12,000 steps on photographs and Van Gogh, then 20``.
    """
    before, block = card.get("pretrained"), card.get("parameters")
    if not isinstance(before, Mapping) or not isinstance(block, Mapping):
        return ""
    steps = total_steps(block)
    if steps is None:
        return ""
    return f"{trained_on(before)}, then {steps:,}" if steps else trained_on(before)


def split_history(history: str) -> tuple[str, str]:
    """Return data and steps of what ``history`` or ``trained_on`` returned.

    ``photographs and Van Gogh`` and ``12,000 steps, then 20``.
    """
    steps, _, rest = history.partition(" on ")
    data, then, more = rest.partition(", then ")
    return data, f"{steps}{then}{more}"
