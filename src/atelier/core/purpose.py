"""Purpose of a setting: to train, to apply the trained method, or only to run.

It decides what a change costs. A setting is marked at its field, ``strength: ApplySetting[float] =
Field(…)``. One without a mark is used to train: a forgotten mark trains once too often, but never
leaves stale weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar, get_args

from atelier.core.settings import Settings

Purpose = Literal["train", "apply", "run"]
"""``train``: the weights depend on it, and thus all that follows. ``apply``: only the pictures
depend on it, made with the same weights. ``run``: no result depends on it."""
PURPOSES: tuple[Purpose, ...] = get_args(Purpose)


@dataclass(frozen=True)
class _Mark:
    purpose: Purpose
    free: bool = False
    """Whether weights trained with another value fit."""


T = TypeVar("T")
ApplySetting = Annotated[T, _Mark("apply", free=True)]
FreeTrainSetting = Annotated[T, _Mark("train", free=True)]
"""The weights depend on it, but those trained with another value fit, too: a warm start may differ
in it from the zoo's entry, as in all settings to apply."""
RunSetting = Annotated[T, _Mark("run")]


FORMER = frozenset({"save_every"})
"""Settings used to run that no longer exist; cards of earlier trainings contain them."""


def of_today(card: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings on a card without the ``FORMER`` ones."""
    return {key: value for key, value in card.items() if key not in FORMER}


def purposes(cls: type[Settings]) -> dict[str, Purpose]:
    """Return setting → purpose of all settings of ``cls``."""
    return {name: mark.purpose for name, mark in _marks(cls).items()}


def free_settings(cls: type[Settings]) -> frozenset[str]:
    """Return the settings of ``cls`` that may differ from those that weights were trained with."""
    return frozenset(name for name, mark in _marks(cls).items() if mark.free)


def _marks(cls: type[Settings]) -> dict[str, _Mark]:
    return {
        name: next((mark for mark in field.metadata if isinstance(mark, _Mark)), _Mark("train"))
        for name, field in cls.model_fields.items()
    }


def split(cls: type[Settings], block: Mapping[str, Any]) -> dict[Purpose, dict[str, Any]]:
    """Return purpose → its part of ``block``, for every purpose.

    Names that are not settings of ``cls`` (``class``) count as settings of training.
    """
    known = purposes(cls)
    return {
        purpose: {key: value for key, value in block.items() if known.get(key, "train") == purpose}
        for purpose in PURPOSES
    }
