"""A trained feed-forward method as ONNX, compared with torch before it is handed out.

The graph takes ``photo`` (1, 3, H, W) and, where the method takes any painting, ``style``
(1, 3, h, w), both in [0, 1], and gives ``stylised`` (1, 3, H, W) in [0, 1]. H and W are multiples
of what the network needs; padding is left to the caller.
"""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from atelier.core.config import UserError
from atelier.core.files import atomic
from atelier.methods.trained import Trained
from atelier.serving.stylizer import Applied

NEEDED = ("onnx", "onnxscript", "onnxruntime")
TRACED, OTHER = (96, 128), (193, 81)
"""Height and width of the photographs compared; the second is made to fit the network."""
STYLE_SIZE = (112, 144)
LEAST, MOST = 64, 8192
"""Sides in pixels the graph takes; a painting has at least ``LEAST_STYLE``."""
LEAST_STYLE = 96
STRIDE = 4
"""Sides are multiples of at least this: where a network pads inside, the trace must not."""
TOLERANCE = 0.5
"""Largest deviation from torch, in grey levels of 255: no 8-bit picture would be another one."""


class Graph(nn.Module):
    """A method as one module: all it looks and paints with is below it."""

    def __init__(self, method: Trained[Any]) -> None:
        super().__init__()
        for name, part in vars(method).items():
            if isinstance(part, nn.Module):
                self.add_module(name, part)
        self._method = [method]  # in a list: not all of a method is a module
        self.eval()

    def forward(self, photo: Tensor, style: Tensor | None = None) -> Tensor:
        """See the file's head."""
        made = self._method[0].generate(photo, photo if style is None else style)
        return made.clamp(0, 1)


@dataclass(frozen=True)
class Plan:
    """What is traced, and with which sizes it is tried."""

    graph: Graph
    needs_style: bool
    multiple: int
    sizes: tuple[tuple[int, int], ...]

    def inputs(self, size: tuple[int, int]) -> dict[str, Tensor]:
        """Noise for every input, the same every time."""
        generator = torch.Generator().manual_seed(sum(size))
        sizes = {"photo": size} | ({"style": STYLE_SIZE} if self.needs_style else {})
        return {k: torch.rand(1, 3, *size, generator=generator) for k, size in sizes.items()}

    def dimensions(self) -> dict[str, dict[int, Any]] | None:
        """Which sides may change; None when none may."""
        if len(self.sizes) == 1:
            return None
        step = self.multiple
        photo = {n: step * _side(f"photo{n}", LEAST // step, MOST // step) for n in (2, 3)}
        style = {n: _side(f"style{n}", LEAST_STYLE, MOST) for n in (2, 3)}
        return {"photo": photo} | ({"style": style} if self.needs_style else {})


def _side(name: str, least: int, most: int) -> Any:
    return torch.export.Dim(name, min=least, max=most)


def export_onnx(applied: Applied, path: Path) -> Iterator[str]:
    """Write ``path`` atomically if it does what torch does; yields what was found, line by line.

    Raises:
        UserError: a package is missing, the method has no network to write, an operation of it
            cannot be written, or the result differs.
    """
    _require()
    plan = _plan(applied)
    with atomic(path) as part:
        _write(plan, applied, part)
        for size, worst in _deviations(plan, part):
            if not worst <= TOLERANCE:
                found = f"{worst:.2f} grey levels off at {size[1]}×{size[0]}"
                raise UserError(f"{applied.name}: the exported graph is {found}; not written")
            yield f"{size[1]}×{size[0]}: at most {worst:.4f} grey levels of 255 from torch"
    yield f"wrote {path} ({path.stat().st_size / 1e6:.1f} MB), {_sides(plan)}"


def _require() -> None:
    lacking = [name for name in NEEDED if find_spec(name) is None]
    if lacking:
        named = ", ".join(lacking)
        raise UserError(f"ONNX needs {named}; install them: pip install -e '.[onnx]'")


def _plan(applied: Applied) -> Plan:
    method, name = applied.method, applied.name
    if not isinstance(method, Trained):
        raise UserError(f"{name} has no network to export: it optimises every picture")
    if method.steps(*TRACED) > 1:
        raise UserError(f"{name} cannot be exported: it adapts its network to every picture")
    if getattr(method.settings, "tile", None):  # loops over pieces cannot be traced
        method.settings = method.settings.model_copy(update={"tile": None})
    step = max(STRIDE, method.multiple)
    return Plan(Graph(method), applied.needs_style, step, _sizes(method, step))


def _sizes(method: Trained[Any], step: int) -> tuple[tuple[int, int], ...]:
    """Two sizes, or the one that a network takes which has none to choose."""
    try:
        method.check(*TRACED)
    except UserError:
        return ((method.settings.crop, method.settings.crop),)
    return TRACED, (-(-OTHER[0] // step) * step, -(-OTHER[1] // step) * step)


def _write(plan: Plan, applied: Applied, path: Path) -> None:
    inputs = plan.inputs(plan.sizes[0])
    try:
        with _quiet(), torch.no_grad():
            program = torch.onnx.export(
                plan.graph,
                tuple(inputs.values()),
                dynamo=True,
                dynamic_shapes=plan.dimensions(),
                input_names=list(inputs),
                output_names=["stylised"],
                verbose=False,
            )
    except Exception as error:  # the exporter's own and torch's: many kinds
        reason = next((line for line in str(error).splitlines() if line.strip()), "")
        raise UserError(f"{applied.name} cannot be exported: {_cause(error) or reason}") from error
    assert program is not None  # noqa: S101 - dynamo gives a program
    program.model.metadata_props.update(_metadata(plan, applied))
    program.save(str(path), external_data=False)


def _cause(error: BaseException) -> str:
    """The first line of what the exporter gives as the reason, which lies below its own report."""
    cause = error.__cause__
    return str(cause).partition("\n")[0] if cause else ""


def _metadata(plan: Plan, applied: Applied) -> Mapping[str, str]:
    """What a reader of the file alone has to know."""
    card = json.dumps(applied.method.card())
    return {"method": applied.name, "card": card, "range": "0-1", "sides": _sides(plan)}


def _sides(plan: Plan) -> str:
    if len(plan.sizes) == 1:
        return "photographs of {1}×{0} px only".format(*plan.sizes[0])
    text = f"sides of photographs: multiples of {plan.multiple} from {LEAST} to {MOST} px"
    return f"{text}; of paintings: from {LEAST_STYLE} px" if plan.needs_style else text


def _deviations(plan: Plan, path: Path) -> Iterator[tuple[tuple[int, int], float]]:
    """Largest difference to torch at every size, in grey levels of 255."""
    import onnxruntime  # noqa: PLC0415 - an extra

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, ["CPUExecutionProvider"])
    for size in plan.sizes:
        inputs = plan.inputs(size)
        with torch.no_grad():
            wanted = plan.graph(**inputs)
        (found,) = session.run(None, {name: value.numpy() for name, value in inputs.items()})
        yield size, 255 * float((torch.from_numpy(found) - wanted).abs().max())


@contextmanager
def _quiet() -> Iterator[None]:
    """The exporter's remarks on its own work are not the user's."""
    loggers = [logging.getLogger(name) for name in ("onnxscript", "onnx_ir", "torch.onnx")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
