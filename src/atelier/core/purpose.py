"""Purpose of a setting: to train, to apply what was trained, or only to run.

It decides what a change costs. A setting is marked at its field, ``strength: ApplySetting[float] =
Field(…)``. One without a mark is for the training: a forgotten mark trains once too often, and
never shows stale weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar, get_args

from atelier.core.settings import Settings

Purpose = Literal["train", "apply", "run"]
"""``train``: decides the weights, and with them all that follows. ``apply``: decides pictures that
are made with the same weights. ``run``: decides neither, only how the work is done and watched."""
PURPOSES: tuple[Purpose, ...] = get_args(Purpose)


@dataclass(frozen=True)
class _Mark:
    purpose: Purpose


T = TypeVar("T")
ApplySetting = Annotated[T, _Mark("apply")]
RunSetting = Annotated[T, _Mark("run")]


FORMER = frozenset({"save_every"})
"""Settings to run with that there are no more; cards of earlier trainings name them."""


def of_today(card: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings on a card without the ``FORMER`` ones."""
    return {key: value for key, value in card.items() if key not in FORMER}


def purposes(cls: type[Settings]) -> dict[str, Purpose]:
    """Return setting → purpose, of all settings of ``cls``."""
    return {
        name: next((mark.purpose for mark in field.metadata if isinstance(mark, _Mark)), "train")
        for name, field in cls.model_fields.items()
    }


def split(cls: type[Settings], block: Mapping[str, Any]) -> dict[Purpose, dict[str, Any]]:
    """Return purpose → its part of ``block``, of which every purpose has one, if an empty one.

    Names that are none of ``cls`` (``class``) are for the training.
    """
    known = purposes(cls)
    return {
        purpose: {key: value for key, value in block.items() if known.get(key, "train") == purpose}
        for purpose in PURPOSES
    }
