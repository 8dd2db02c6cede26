"""Typed blocks of settings: strict types, sensible bounds, mistakes reported as sentences."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

LARGEST: Mapping[str, int] = {
    "seed": 2**63 - 1,
    "devices": 64,
    "nodes": 64,
    "workers": 256,
    "batch": 1024,
    "stylize_batch": 1024,
    "accumulate": 1024,
    "crop": 8192,
    "load_size": 8192,
    "tile": 8192,
    "smallest_size": 8192,
    "snapshots": 1000,
    "width": 4096,
    "discriminator_width": 4096,
    "branches": 4096,
    "branch_width": 4096,
    "hidden": 4096,
    "bottleneck": 4096,
    "projection": 4096,
    "blocks": 100,
    "n_res": 100,
    "global_layers": 12,
    "local_layers": 12,
    "history": 1000,
    "adapt_steps": 10_000,
    "lr": 1000,
}
"""Setting → its largest value, in every block: more would exceed any machine or be of no use.
Tighter limits are declared at the field."""
LARGEST_COUNT = 10_000_000
"""Limit of every other integer: steps, pictures, positions."""
LARGEST_NUMBER = 1e10
"""Limit of the magnitude of every other number."""
LONGEST = 64
"""Limit of the length of a list."""

MOST_LISTED = 40
"""Number of names up to which all are listed where none is similar."""
SIMILAR, LESS_SIMILAR = 0.6, 0.5
"""Ratios from which a name is taken for a misspelt one; the lower where no list is shown."""
READ_BEFORE = ("class", "extends")
"""What a method's block says beside its settings."""

_SENTENCES = {
    "missing": "is missing",
    "int_type": "has to be a whole number",
    "int_from_float": "has to be a whole number",
    "float_type": "has to be a number",
    "finite_number": "has to be a finite number",
    "string_type": "has to be text",
    "bool_type": "has to be true or false",
    "tuple_type": "has to be a list",
    "dict_type": "has to be a block of settings",
}


class UserError(Exception):
    """Something the user can put right: printed as one line, without a traceback."""


class Settings(BaseModel):
    """Base of every block of settings: frozen, and an unknown or misspelt name is an error.

    Types are strict: ``true`` is not a number, 2.0 not an integer, 3 not text.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _tuples(cls, block: Any) -> Any:
        """Convert lists, the only sequences in YAML, to tuples."""
        if not isinstance(block, dict):
            return block
        return {key: tuple(v) if isinstance(v, list) else v for key, v in block.items()}

    @field_validator("*")
    @classmethod
    def _bounds(cls, value: Any, info: ValidationInfo) -> Any:
        """Refuse values that would run for ever or exhaust memory; see ``LARGEST``."""
        if error := too_much(str(info.field_name), value):
            raise PydanticCustomError("too_much", "{error}", {"error": error})
        return value

    @classmethod
    def build(
        cls, block: Mapping[str, Any], where: str, places: Mapping[str, str] | None = None
    ) -> Self:
        """Validate ``block``.

        Args:
            block: setting → value.
            where: the block, such as ``methods.gatys``, for messages.
            places: setting → the block it is set in, if that is another.

        Raises:
            UserError: one line for each mistake: the file, the setting, what is wrong with it and
                the value found.
        """
        try:
            return cls.model_validate(dict(block))
        except ValidationError as error:
            lines = _lines(cls, error, where, places or {})
        raise UserError("\n".join(lines))

    @classmethod
    def valid_part(cls, block: Mapping[str, Any]) -> Self | None:
        """Return the settings of ``block`` without the invalid ones.

        None if the rest are no valid settings either.
        """
        try:
            return cls.model_validate(dict(block))
        except ValidationError as error:
            invalid = {part["loc"][0] for part in error.errors() if part["loc"]}
        rest = {key: value for key, value in block.items() if key not in invalid}
        return cls.valid_part(rest) if len(rest) < len(block) else None

    @classmethod
    def problems(
        cls, block: Mapping[str, Any], where: str, places: Mapping[str, str] | None = None
    ) -> list[str]:
        """Return the lines of ``build``'s error; none for a valid block."""
        try:
            cls.build(block, where, places)
        except UserError as error:
            return str(error).splitlines()
        return []


def too_much(name: str, value: Any) -> str:
    """Return why ``value`` exceeds the limit of the setting ``name``, or ""."""
    if isinstance(value, tuple | list):
        if len(value) > LONGEST:
            return f"has {len(value)} entries; at most {LONGEST} are allowed"
        return next(filter(None, (too_much(name, item) for item in value)), "")
    if isinstance(value, bool) or not isinstance(value, int | float):
        return ""
    most = LARGEST.get(name, LARGEST_COUNT if isinstance(value, int) else LARGEST_NUMBER)
    return f"has to be at most {most:g}" if abs(value) > most else ""


def nearest(name: object, known: Iterable[str]) -> str:
    """Return "; did you mean `x`?" for a misspelt name, or a list of the known names."""
    names, text = [str(other) for other in known], str(name)[:100]
    listed = f"; there are {', '.join(names)}" if 0 < len(names) <= MOST_LISTED else ""
    close = get_close_matches(text, names, n=1, cutoff=SIMILAR if listed else LESS_SIMILAR)
    return f"; did you mean `{close[0]}`?" if close else listed


def shown(value: object) -> str:
    """Return ``value`` as written in ``params.yaml``, truncated if long."""
    words = {None: "null", True: "true", False: "false"}
    plain = value is None or isinstance(value, bool)
    text = words[value] if plain else _repr(value)  # type: ignore[index]
    return text if len(text) <= 60 else f"{text[:57]}..."


def printable(text: str) -> str:
    """Return ``text`` with a replacement character for each that a terminal may not show."""
    return "".join(character if character.isprintable() else "\ufffd" for character in text)


def _repr(value: object) -> str:
    if isinstance(value, tuple):
        return repr(list(value[:50]))
    try:
        return repr(value)
    except (ValueError, RecursionError):  # an integer of thousands of digits
        return f"a {type(value).__name__}"


def _lines(
    cls: type[BaseModel], error: ValidationError, where: str, places: Mapping[str, str]
) -> list[str]:
    """Return one line per setting; alternatives that all failed are joined by "or"."""
    found: dict[str, tuple[list[str], str]] = {}
    for one in error.errors():
        name, *rest = [str(part) for part in one["loc"]] or [""]
        place = places.get(name, where)
        inner = [part for part in rest if part.isdigit()]
        path = ".".join(filter(None, [place, name, *inner]))
        text, value = _sentence(cls, one)
        found.setdefault(path, ([], value))[0].append(text)
    return [f"params.yaml: {path}: {_joined(texts)}{v}" for path, (texts, v) in found.items()]


def _joined(texts: list[str]) -> str:
    unique = list(dict.fromkeys(texts))
    return " or ".join([unique[0], *(text.removeprefix("has to be ") for text in unique[1:])])


def _sentence(cls: type[BaseModel], error: Any) -> tuple[str, str]:
    """Return what is wrong, and what was found."""
    kind, value = error["type"], error["input"]
    if kind == "extra_forbidden":
        known = (*cls.model_fields, *READ_BEFORE)
        return f"no such setting{nearest(error['loc'][-1], known)}", ""
    found = f" (found {shown(value)})"
    if kind == "missing":
        return _SENTENCES[kind], ""
    if kind == "literal_error":
        close = get_close_matches(value, _options(error), n=1) if isinstance(value, str) else []
        hint = f"; did you mean `{close[0]}`?" if close else ""
        return f"has to be {error['ctx']['expected']}{hint}", found
    if kind == "value_error":
        return str(error["ctx"]["error"]), ""
    return _SENTENCES.get(kind, _reworded(error["msg"])), found


def _options(error: Any) -> list[str]:
    return [part.strip(" '") for part in error["ctx"]["expected"].replace(" or ", ",").split(",")]


def _reworded(message: str) -> str:
    """Reword Pydantic's "Input should be …" to continue a sentence that begins with the setting."""
    return (
        message.replace("Input should", "has to")
        .replace("Tuple should", "has to")
        .replace("String should", "has to")
    )
