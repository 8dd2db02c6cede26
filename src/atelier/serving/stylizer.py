"""Application of a method to any picture, for the command line, the dashboard and MLflow.

Pictures are ``PIL.Image`` as returned by ``images.read``: upright, sRGB, mode RGB.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from math import ceil
from pathlib import Path
from typing import Any, cast

from PIL import Image
from torch import Tensor

from atelier.core import images, zoo_files
from atelier.core.config import Params, UserError
from atelier.core.device import out_of_memory
from atelier.core.paths import WEIGHTS, Results
from atelier.core.structure import Precision
from atelier.methods.base import Iterate, Kind, Method, make
from atelier.methods.strotss import Strotss
from atelier.methods.trained import Arbitrary, Trained, restore
from atelier.methods.unpaired import Unpaired
from atelier.methods.warm_start import refuse_other_features
from atelier.nn.colour_transfer import COLOURS, RECOLOUR, keep_chroma
from atelier.nn.pretrained.weights import found_at
from atelier.serving.look import (
    DIRECTIONS,
    PLAIN,
    STROKES,
    Look,
    Style,
    parts,
    shares,
    with_options,
)
from atelier.serving.masks import guidance, paired_greys, regions
from atelier.serving.saved_method import KEPT, Recipe, recipe, untrained

SMALLEST = 32
"""Smallest side in pixels: below it, most systems lack statistics, or pixels for padding."""
TILE = 1024
"""Side in pixels of the tiles in which larger pictures are processed, where supported."""

IterateCallback = Callable[[Iterate], None]


def applicable(root: Path | None, params: Params | None) -> dict[str, str]:
    """Return name → "" if the method can be applied now, else the reason, a sentence.

    The methods of the project come first, each with the checkpoints that its training kept, then
    further ones of the zoo; outside a project only these.
    """
    own = _with_kept(root, params) if root and params else []
    names = [*own, *(name for name in zoo_files.names(root) if name not in own)]
    return {name: _obstacle(root, params, name) for name in names}


def _with_kept(root: Path, params: Params) -> list[str]:
    """Return the project's methods, each followed by the checkpoints its training kept."""
    return [
        named
        for name in params.method_names
        for named in (name, *(f"{name}{KEPT}{n}" for n in Results(root).model(name).kept_steps()))
    ]


def _obstacle(root: Path | None, params: Params | None, name: str) -> str:
    try:
        found = recipe(root, params, name)
        if found.entry:
            found.entry.weights()
        lacking = [network for network in found.networks if found_at(network) is None]
    except UserError as error:
        return str(error)
    if found.model and not (found.model / WEIGHTS).is_file():
        return untrained(name, root)
    if reason := found.system.obstacle():
        return reason
    if lacking:
        named = " and ".join(lacking)
        return f"{name} needs {named}, which is not on this machine; see `atelier doctor`"
    return ""


def load_applied(
    root: Path | None,
    params: Params | None,
    name: str,
    device: str = "cpu",
    precision: Precision | None = None,
) -> Applied:
    """Build a method of the project or the zoo, and load its weights.

    ``precision`` replaces that of the settings.

    Raises:
        UserError: unknown, not trained, weights missing, broken or of other settings.
    """
    found, seed = recipe(root, params, name), params.seed if params else 0
    return build(found, seed=seed, device=device, precision=precision)


def build(
    found: Recipe, *, seed: int = 0, device: str = "cpu", precision: Precision | None = None
) -> Applied:
    """Build the method of a recipe with its weights; see ``load_applied``."""
    block = _for_one_picture(found)
    if precision:
        block["apply_precision" if "apply_precision" in _fields(found) else "precision"] = precision
    method = make(block, f"methods.{found.name}", seed=seed, device=device)
    if found.entry:
        found.entry.weights()
    if found.model:
        refuse_other_features(method, found.card, found.name)
        restore(method, found.model)
    if isinstance(method, Trained):
        # for good: a server's threads would switch each other back to training in between
        method.networks.eval()
    return Applied(found.name, method, found.note, found.used)


def _for_one_picture(found: Recipe) -> dict[str, Any]:
    """Return the settings, except those that matter only to training or to batches."""
    fields, block = _fields(found), dict(found.block)
    if found.kind == "optimisation" and "batch" in fields:
        block["batch"] = 1  # it fills its batch with copies
    if "tile" in fields and block.get("tile") is None:
        block["tile"] = TILE
    return block


def _fields(found: Recipe) -> frozenset[str]:
    return frozenset(found.system.Settings.model_fields)


@dataclass(frozen=True)
class Applied:
    """A method with its weights."""

    name: str
    method: Method[Any]
    note: str = ""
    """Differences from params.yaml, a sentence; "" if there are none."""
    used: str = ""
    """Origin of its weights, for display; see ``Recipe.used``."""

    @property
    def kind(self) -> Kind:
        """Kind of the method; see ``methods.base``."""
        return self.method.kind

    @property
    def needs_style(self) -> bool:
        """Whether it takes a painting; others have a fixed style."""
        return self.kind in {"arbitrary", "optimisation", "diffusion"}

    @property
    def has_strength(self) -> bool:
        """Whether it has a strength; not if it is adapted to the pair first."""
        return isinstance(self.method, Arbitrary) and self.method.steps(SMALLEST, SMALLEST) == 1

    @property
    def mixes(self) -> bool:
        """Whether it takes several paintings with weights."""
        return self.has_strength

    @property
    def guides(self) -> bool:
        """Whether regions of the photograph can take their style from regions of the painting."""
        return isinstance(self.method, Strotss)

    @property
    def directions(self) -> tuple[str, ...]:
        """Return the directions of an unpaired system; of others none."""
        return self.method.directions if isinstance(self.method, Unpaired) else ()

    @property
    def has_heatmap(self) -> bool:
        """Whether it can show where it looks."""
        return isinstance(self.method, Unpaired) and self.method.has_heatmap

    def stylize(
        self,
        photo: Image.Image,
        style: Style = None,
        look: Look = PLAIN,
        max_side: int | None = None,
        watch: IterateCallback | None = None,
    ) -> Image.Image:
        """Stylise a photograph of any size and aspect; the result has its size.

        Args:
            photo: shrunk first if a side is longer than ``max_side``.
            style: the painting, if it ``needs_style``, or several, if it ``mixes``; shrunk to the
                photograph's long side.
            look: further options.
            max_side: in pixels; None: the size of the photograph.
            watch: callback for every iterate; only kind ``optimisation`` has several, and takes
                minutes.

        Raises:
            UserError: it does not support the options, or memory runs out.
        """
        for iterate in self.iterates(photo, style, look, max_side):
            if watch:
                watch(iterate)
        return images.to_image(iterate.image)

    def iterates(
        self,
        photo: Image.Image,
        style: Style = None,
        look: Look = PLAIN,
        max_side: int | None = None,
    ) -> Iterator[Iterate]:
        """Yield ``stylize`` step by step, to show progress; the last picture is the result."""
        self.check(style, look)
        content, styles = self.tensors(photo, style, look, max_side)
        weights = shares([weight for _, weight in parts(style)] if self.needs_style else [1.0])
        height, width = content.shape[2:]
        with memory(int(width), int(height)):
            for iterate in self._composed(content, styles, weights, look):
                yield iterate
        if not iterate.image.isfinite().all():
            raise UserError(f"{self.name}: its picture holds values that are not finite")

    def tensors(
        self, photo: Image.Image, style: Style, look: Look, max_side: int | None
    ) -> tuple[Tensor, list[Tensor]]:
        """Return photograph (1, 3, H, W) and paintings (1, 3, h, w) as the method takes them.

        A method without a painting gets the photograph in its place.

        Raises:
            UserError: a side below ``SMALLEST``, or a size that the method does not take.
        """
        photo = shrunk(photo, max_side)
        _refuse_small(photo, "the photograph")
        paintings = [one for one, _ in parts(style)] if self.needs_style else [photo]
        content = images.to_tensor(photo)[None]
        scaled = [_painting(one, photo, look.stroke) for one in paintings]
        if isinstance(self.method, Trained):
            self.method.check(*content.shape[2:])
        return content, [images.to_tensor(one)[None] for one in scaled]

    def check(self, style: Style, look: Look = PLAIN) -> None:
        """Raise ``UserError`` if it does not support these options."""
        paintings = parts(style)
        if self.needs_style and not paintings:
            raise UserError(f"{self.name} needs a painting; give it a style")
        if self.needs_style and len(paintings) > 1 and not self.mixes and not look.mask:
            raise UserError(f"{self.name} takes one painting, not a mixture")
        self._check_regions([weight for _, weight in paintings], look)
        shares([weight for _, weight in paintings])
        if look.strength is not None and not self.has_strength:
            raise UserError(f"{self.name} has no strength: it can be applied in full only")
        if look.strength is not None and not 0 <= look.strength <= 1:
            raise UserError(f"the strength {look.strength:g} is not between 0 and 1")
        if look.direction is not None and look.direction not in self.directions:
            known = ", ".join(self.directions) or "none"
            raise UserError(f"{self.name} has no direction {look.direction}; it has {known}")
        if look.heatmap and not self.has_heatmap:
            raise UserError(f"{self.name} has no heat map: it has no attention to show")
        if look.colour is not None and look.colour not in COLOURS:
            raise UserError(f"colour {look.colour} is none of {', '.join(COLOURS)}")

    def _check_regions(self, weights: Sequence[float], look: Look) -> None:
        """Raise ``UserError`` if masks or ``stroke`` do not fit the method and the paintings."""
        if (look.mask or look.style_mask or look.stroke) and not self.needs_style:
            raise UserError(f"{self.name} takes no painting, so that no mask or stroke applies")
        if look.style_mask:
            self._check_guidance(weights, look.mask, look.style_mask)
        elif look.mask and (len(weights) < 2 or len(set(weights)) > 1):
            other = "; or one and a style mask" if self.guides else ""
            raise UserError(f"a mask needs two paintings or more, without weights{other}")
        least, most = STROKES
        if look.stroke is not None and not least <= look.stroke <= most:
            raise UserError(f"the stroke {look.stroke:g} is not between {least:g} and {most:g}")

    def _check_guidance(
        self, weights: Sequence[float], mask: Image.Image | None, style_mask: Image.Image
    ) -> None:
        if not self.guides:
            raise UserError(f"{self.name} takes no style mask: it is not guided by regions")
        if mask is None:
            raise UserError("a style mask needs a mask of the photograph beside it")
        if list(weights) != [1.0]:
            raise UserError("a style mask needs one painting, without a weight")
        paired_greys(mask, style_mask)

    def _composed(
        self, content: Tensor, styles: Sequence[Tensor], weights: Sequence[float], look: Look
    ) -> Iterator[Iterate]:
        """Yield the iterates; with only a mask, those of each painting in turn, put together.

        What is not done yet shows the photograph. The parts meet in pixels, not in features, so
        that every system can do it.
        """
        if look.mask is None or look.style_mask:
            yield from self._coloured(content, styles, weights, look)
            return
        height, width = content.shape[2:]
        shares_at = regions(look.mask, (width, height), len(styles))
        made = content.clone()
        for place, (style, share) in enumerate(zip(styles, shares_at, strict=True)):
            for iterate in self._coloured(content, [style], [1.0], look):
                part = share.to(iterate.image) * (iterate.image - content.to(iterate.image))
                step, total = place * iterate.total + iterate.step, len(styles) * iterate.total
                whole = made.to(part) + part
                yield Iterate(step, total, whole)
            made = whole

    def _coloured(
        self, content: Tensor, styles: Sequence[Tensor], weights: Sequence[float], look: Look
    ) -> Iterator[Iterate]:
        """Yield the iterates of (1, 3, H, W) with paintings (1, 3, h, w), all in [0, 1]."""
        if look.heatmap:
            yield Iterate(1, 1, self._heatmap(content, look))
            return
        moved = RECOLOUR.get(look.colour or "")
        if moved and self.needs_style:
            styles, moved = [moved(style, content) for style in styles], None
        for iterate in self._made(content, styles, weights, look):
            image, photo = iterate.image, content.to(iterate.image)
            if look.colour == "luminance":
                image = keep_chroma(image, photo)
            yield replace(iterate, image=moved(image, photo) if moved else image)

    def _heatmap(self, content: Tensor, look: Look) -> Tensor:
        method, way = cast("Unpaired[Any]", self.method), look.direction or DIRECTIONS[0]
        return method.apply_network(content, lambda image: method.heatmap(image, way))

    def _made(
        self, content: Tensor, styles: Sequence[Tensor], weights: Sequence[float], look: Look
    ) -> Iterator[Iterate]:
        method = self.method
        if isinstance(method, Unpaired) and look.direction:
            yield Iterate(1, 1, method.apply(content, look.direction))
        elif isinstance(method, Arbitrary) and (len(styles) > 1 or look != PLAIN):
            yield from with_options(method, content, styles, weights, look)
        elif isinstance(method, Strotss) and look.mask and look.style_mask:
            size, style_size = ((int(p.shape[3]), int(p.shape[2])) for p in (content, styles[0]))
            found = guidance(look.mask, look.style_mask, size, style_size)
            yield from method.guided(content, styles[0], found)
        else:
            yield from method.iterates(content, styles[0])


def shrunk(picture: Image.Image, max_side: int | None) -> Image.Image:
    """Return ``picture`` with no side longer than ``max_side`` pixels; never enlarged."""
    if max_side is None or max(picture.size) <= max_side:
        return picture
    return images.resize(picture, max_side, "fit")


def _painting(style: Image.Image, photo: Image.Image, stroke: float | None = None) -> Image.Image:
    """Shrink a painting to the photograph's size, as in the bench: strokes keep their scale.

    With ``stroke`` it gets that multiple of the size, and is enlarged where it has less.
    """
    _refuse_small(style, "the painting")
    if stroke is not None:
        side = round(stroke * max(photo.size))
        return images.resize(style, max(side, _least_side(style)), "fit")
    small = shrunk(style, max(photo.size))
    return style if min(small.size) < SMALLEST else small


def _least_side(picture: Image.Image) -> int:
    """Return the long side at which the short one has ``SMALLEST`` pixels."""
    return ceil(SMALLEST * max(picture.size) / min(picture.size))


def _refuse_small(picture: Image.Image, what: str) -> None:
    if min(picture.size) < SMALLEST:
        size = f"{picture.width}×{picture.height} px"
        raise UserError(f"{what} is {size}; no side may be below {SMALLEST} px")


@contextmanager
def memory(width: int, height: int) -> Iterator[None]:
    """Turn out-of-memory errors into a UserError."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not out_of_memory(error):
            raise
        size = f"{width}×{height} px"
        raise UserError(f"too little memory for a picture of {size}; shrink it first") from None
