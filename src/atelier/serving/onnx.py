"""Export of a trained feed-forward method to ONNX, verified against torch.

The graph takes ``photo`` (1, 3, H, W) and, where the method takes any painting, ``style``
(1, 3, h, w), both in [0, 1], and returns ``stylised`` (1, 3, H, W) in [0, 1]. H and W must be
multiples of what the network needs; padding is left to the caller. Direction, strength and heat map
are part of the graph, one file each; what changes pictures before or after a network is not:
colours, strokes, masks.
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
from PIL import Image
from torch import Tensor, nn

from atelier.core.config import UserError
from atelier.core.files import atomic
from atelier.methods.trained import Trained
from atelier.methods.unpaired import Unpaired
from atelier.serving.look import DIRECTIONS, PLAIN, Look
from atelier.serving.stylizer import Applied

NEEDED = ("onnx", "onnxscript", "onnxruntime")
TRACED, OTHER = (96, 128), (193, 81)
"""Heights and widths of the test inputs; the second is adjusted to the network."""
STYLE_SIZE = (112, 144)
LEAST, MOST = 64, 8192
"""Sides in pixels the graph accepts; a painting has at least ``LEAST_STYLE``."""
LEAST_STYLE = 96
STRIDE = 4
"""Sides are multiples of at least this, as traced networks must not pad inside."""
TOLERANCE = 0.5
"""Largest deviation from torch, in grey levels of 255, that leaves 8-bit pictures unchanged."""


class Graph(nn.Module):
    """A method as one module that contains all its networks."""

    def __init__(self, method: Trained[Any], look: Look = PLAIN) -> None:
        super().__init__()
        for name, part in vars(method).items():
            if isinstance(part, nn.Module):
                self.add_module(name, part)
        self._method = [method]  # in a list, as the method itself is not a module
        self._look = look
        self.eval()

    def forward(self, photo: Tensor, style: Tensor | None = None) -> Tensor:
        """See the file's head."""
        (method,), look = self._method, self._look
        if isinstance(method, Unpaired):
            way = look.direction or DIRECTIONS[0]
            found = method.heatmap(photo, way) if look.heatmap else method.made(photo, way)
            return found.clamp(0, 1)
        return method.generate(photo, photo if style is None else style).clamp(0, 1)


@dataclass(frozen=True)
class Plan:
    """Module to be traced, and the sizes of its test inputs."""

    graph: Graph
    needs_style: bool
    multiple: int
    sizes: tuple[tuple[int, int], ...]
    look: Look

    def inputs(self, size: tuple[int, int]) -> dict[str, Tensor]:
        """Return seeded noise for every input."""
        generator = torch.Generator().manual_seed(sum(size))
        sizes = {"photo": size} | ({"style": STYLE_SIZE} if self.needs_style else {})
        return {k: torch.rand(1, 3, *size, generator=generator) for k, size in sizes.items()}

    def dimensions(self) -> dict[str, dict[int, Any]] | None:
        """Return the variable sides; None if there are none."""
        if len(self.sizes) == 1:
            return None
        step = self.multiple
        photo = {n: step * _side(f"photo{n}", LEAST // step, MOST // step) for n in (2, 3)}
        style = {n: _side(f"style{n}", LEAST_STYLE, MOST) for n in (2, 3)}
        return {"photo": photo} | ({"style": style} if self.needs_style else {})


def _side(name: str, least: int, most: int) -> Any:
    return torch.export.Dim(name, min=least, max=most)


def export_onnx(applied: Applied, path: Path, look: Look = PLAIN) -> Iterator[str]:
    """Write ``path`` atomically if its outputs equal torch's; yield lines of a report.

    ``look``: direction, strength and heat map of the graph.

    Raises:
        UserError: a package is missing, the method has no network to write, an operation of it
            cannot be written, or the result differs.
    """
    _require()
    plan = _plan(applied, look)
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


def _plan(applied: Applied, look: Look = PLAIN) -> Plan:
    method, name = applied.method, applied.name
    if not isinstance(method, Trained):
        raise UserError(f"{name} has no network to export: nothing of it is trained")
    if method.steps(*TRACED) > 1:
        raise UserError(f"{name} cannot be exported: it adapts its network to every picture")
    if getattr(method.settings, "tile", None):  # loops over tiles cannot be traced
        method.settings = method.settings.model_copy(update={"tile": None})
    any_painting = Image.new("RGB", STYLE_SIZE) if applied.needs_style else None
    applied.check(any_painting, look)
    if look.strength is not None:
        method.settings = method.settings.model_copy(update={"strength": look.strength})
    step = max(STRIDE, method.multiple)
    return Plan(Graph(method, look), applied.needs_style, step, _sizes(method, step), look)


def _sizes(method: Trained[Any], step: int) -> tuple[tuple[int, int], ...]:
    """Return two test sizes, or the only one that the network accepts."""
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
    except Exception as error:  # the exporter and torch raise many kinds
        reason = next((line for line in str(error).splitlines() if line.strip()), "")
        raise UserError(f"{applied.name} cannot be exported: {_cause(error) or reason}") from error
    assert program is not None  # noqa: S101 - dynamo returns a program
    program.model.metadata_props.update(_metadata(plan, applied))
    program.save(str(path), external_data=False)


def _cause(error: BaseException) -> str:
    """Return the first line of the cause of the exporter's error, which its own report hides."""
    cause = error.__cause__
    return str(cause).partition("\n")[0] if cause else ""


def _metadata(plan: Plan, applied: Applied) -> Mapping[str, str]:
    """Return metadata that make the file self-contained."""
    card = json.dumps(applied.method.card())
    about = {"method": plan.look.label(applied.name), "card": card, "range": "0-1"}
    asked = {"direction": plan.look.direction, "strength": plan.look.strength}
    given = {key: str(value) for key, value in asked.items() if value is not None}
    return {**about, **given, "sides": _sides(plan)}


def _sides(plan: Plan) -> str:
    if len(plan.sizes) == 1:
        return "photographs of {1}×{0} px only".format(*plan.sizes[0])
    text = f"sides of photographs: multiples of {plan.multiple} from {LEAST} to {MOST} px"
    return f"{text}; of paintings: from {LEAST_STYLE} px" if plan.needs_style else text


def _deviations(plan: Plan, path: Path) -> Iterator[tuple[tuple[int, int], float]]:
    """Yield every size and its largest difference from torch, in grey levels of 255."""
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
    """Suppress the exporter's remarks on its own work."""
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
