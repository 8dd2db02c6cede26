"""A method with its weights as one object that can be sent to another machine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from atelier.core.config import Params
from atelier.core.device import pick_device
from atelier.core.paths import CARD, WEIGHTS
from atelier.core.structure import Precision
from atelier.serving.folders import StylizeOptions, Task, stylize_file
from atelier.serving.look import Style
from atelier.serving.saved_method import Recipe, recipe
from atelier.serving.stylizer import Applied, build


@dataclass(frozen=True)
class PortableMethod:
    """A method, the files of its model, and how it is to be applied."""

    recipe: Recipe
    files: dict[str, bytes]
    """Card and weights, by name; empty for a system that is not trained."""
    style: Style
    options: StylizeOptions
    precision: Precision
    seed: int

    @classmethod
    def read(
        cls,
        root: Path | None,
        params: Params | None,
        name: str,
        options: StylizeOptions,
        precision: Precision,
    ) -> PortableMethod:
        """Read a method of the project or the zoo; built once, so that mistakes show here.

        Raises:
            UserError: see ``load_applied``; or it does not support the options.
        """
        found, seed = recipe(root, params, name), params.seed if params else 0
        style = options.paintings()
        build(found, seed=seed).check(style, options.look)
        names = (CARD, WEIGHTS) if found.model else ()
        files = {file: (found.model / file).read_bytes() for file in names if found.model}
        return cls(found, files, style, options, precision, seed)

    def load(self) -> Callable[[Path, Path], None]:
        """Build it on this machine's device; return what makes a picture of a picture."""
        applied = self._build()

        def make(source: Path, target: Path) -> None:
            for _ in stylize_file(applied, Task(source, target), self.style, self.options):
                pass

        return make

    def _build(self) -> Applied:
        with TemporaryDirectory() as folder:
            found, model = self.recipe, Path(folder)
            for name, content in self.files.items():
                (model / name).write_bytes(content)
            if found.model:
                found = replace(found, model=model)
            if found.entry:
                found = replace(found, entry=replace(found.entry, folder=model))
            device = pick_device(None)
            return build(found, seed=self.seed, device=device, precision=self.precision)
