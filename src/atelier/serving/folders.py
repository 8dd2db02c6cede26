"""Stylisation and denoising of files and folders of pictures.

A picture that fails is named and the others continue; results are PNGs written atomically, never
over an input.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from torch import Generator

from atelier.core import filenames, images
from atelier.core.config import UserError
from atelier.core.images import size_of
from atelier.datasets.noise import NOISES, Noise
from atelier.methods.zsn2n import DenoiseSettings, denoise, picture_seed
from atelier.nn.zsn2n import pair_view
from atelier.reports.image_grid import contact_sheet
from atelier.serving.look import PLAIN, Look, Style
from atelier.serving.strips import check_strip, strip
from atelier.serving.stylizer import Applied, memory
from atelier.tracking.progress import progress

EVERY = 50
"""Steps of the denoiser between lines of progress."""
PAIR_CELL = 256
"""Side of a cell of the sheet of ``denoise_files``, in pixels."""
MessageCallback = Callable[[str], None]
"""Callback for a message about every picture that failed."""


@dataclass(frozen=True)
class Task:
    """A picture and the file of its result."""

    source: Path
    target: Path


def gather(sources: Sequence[Path], out: Path, label: str) -> list[Task]:
    """Return every picture of files and folders with its target ``out/<name>-<label>.png``.

    Names of nested folders become part of the name; so do the given folders, where their pictures
    share a name.

    Raises:
        UserError: there is no picture, or a result would replace an input.
    """
    pairs = [pair for source in sources for pair in _pictures(source)]
    found = {_place(path): (path, name) for path, name in pairs}  # duplicates are processed once
    shared = Counter(name for _, name in found.values())
    names = [path.as_posix() if shared[name] > 1 else name for path, name in found.values()]
    tasks = [
        Task(path, out / f"{stem}-{label}.png")
        for (path, _), stem in zip(found.values(), filenames.stems(names), strict=True)
    ]
    for task in tasks:
        if _place(task.target) in found:
            raise UserError(f"{task.target}: is an input and would be replaced; choose another -o")
    return tasks


def _place(path: Path) -> str:
    """Resolve a path; ``Path.resolve`` raises for circular links."""
    return os.path.realpath(path)


def _pictures(source: Path) -> list[tuple[Path, str]]:
    """Yield pictures and names; a file is taken whatever its name, and may fail when read."""
    if not source.is_dir():
        if not os.path.lexists(source):
            raise UserError(f"{source}: no such file or folder")
        return [(source, source.name)]
    found = [(path, path.relative_to(source).as_posix()) for path in images.find(source)]
    if not found:
        raise UserError(f"{source}: holds no picture")
    return found


def _name_left_out(sources: Sequence[Path], on_message: MessageCallback) -> None:
    for source in sources:
        for line in images.survey(source).left_out() if source.is_dir() else ():
            on_message(line)


@dataclass(frozen=True)
class StylizeOptions:
    """Options of a stylisation; see ``Applied.stylize``."""

    styles: Sequence[tuple[Path, float]] = ()
    """Paintings and their weights."""
    look: Look = PLAIN
    max_side: int | None = None
    strip: bool = False
    """Whether to write the strips of every picture beside its result; see ``serving.strips``."""

    def paintings(self) -> list[tuple[Image.Image, float]]:
        """Read the paintings, no larger than ``max_side``."""
        return [(images.read(path, max_side=self.max_side), share) for path, share in self.styles]


def weighed_path(text: str) -> tuple[Path, float]:
    """Return path and weight of ``a.jpg:0.7``; without a number at its end the weight is 1."""
    path, colon, weight = text.rpartition(":")
    if not colon or Path(text).exists():
        return Path(text), 1.0
    try:
        return Path(path), float(weight)
    except ValueError:
        return Path(text), 1.0


def stylize_files(
    sources: Sequence[Path],
    out: Path,
    methods: Sequence[Applied],
    options: StylizeOptions,
    on_message: MessageCallback,
) -> int:
    """Stylise every picture with every method; return the number of failures.

    Raises:
        UserError: a method does not support the options, or the style cannot be read.
    """
    style = options.paintings()
    for method in methods:
        (check_strip if options.strip else Applied.check)(method, style, options.look)
    work = [
        (method, task)
        for method in methods
        for task in gather(sources, out, options.look.label(method.name))
    ]
    _name_left_out(sources, on_message)
    passes = len(style) if options.look.mask else 1
    total = passes * sum(_steps(method, task.source, options.max_side) for method, task in work)
    jobs = [(task, stylize_file(method, task, style, options)) for method, task in work]
    return _run(jobs, total, "stylize", on_message)


def stylize_file(
    method: Applied, task: Task, style: Style, options: StylizeOptions
) -> Iterator[None]:
    """Stylise one picture file; yield once per iterate.

    Raises:
        UserError: it cannot be read, or the method does not support it.
    """
    photo = images.read(task.source, max_side=options.max_side)
    for iterate in method.iterates(photo, style, options.look, options.max_side):
        yield
        made = iterate.image
    images.save_png(made, task.target)
    if options.strip:
        sheet = strip(method, photo, style, options.look, options.max_side)
        images.save_png(sheet, task.target.with_name(f"{task.target.stem}-strip.png"))


def _steps(method: Applied, path: Path, max_side: int | None) -> int:
    """Return the number of iterates of a picture; one that cannot be opened fails later."""
    try:
        width, height = size_of(path)
        share = min(1.0, (max_side or width + height) / max(width, height))
        return method.method.steps(round(height * share), round(width * share))
    except UserError:
        return 1


def denoise_files(
    sources: Sequence[Path],
    out: Path,
    settings: DenoiseSettings,
    device: str,
    on_message: MessageCallback,
    *,
    show_pair: bool = False,
) -> int:
    """Denoise every picture separately; return the number of failures.

    With ``show_pair`` a sheet is written beside each: its two down-sampled halves, which the
    network learns from, and what was removed (see ``nn.zsn2n.pair_view``).
    """
    tasks = gather(sources, out, "denoised")
    _name_left_out(sources, on_message)
    jobs = [(task, _denoised(task, settings, device, show_pair=show_pair)) for task in tasks]
    return _run(jobs, len(tasks) * (-(-settings.steps // EVERY) + 1), "denoise", on_message)


def _denoised(
    task: Task, settings: DenoiseSettings, device: str, *, show_pair: bool
) -> Iterator[None]:
    noisy = images.load(task.source)[None].to(device)
    seed = picture_seed(task.target.stem, seed=0)
    with memory(noisy.shape[3], noisy.shape[2]):
        for iterate in denoise(noisy, settings, [seed], EVERY):
            yield
            made = iterate.image
    images.save_png(made, task.target)
    if show_pair:
        views = pair_view(noisy[0].cpu(), made[0].cpu())
        row = [images.to_image(view) for view in views.values()]
        sheet = contact_sheet([row], list(views), cell=PAIR_CELL)
        images.save_png(sheet, task.target.with_name(f"{task.target.stem}-pair.png"))


def add_noise_to_files(
    sources: Sequence[Path],
    out: Path,
    noise: tuple[Noise, float],
    on_message: MessageCallback,
    seed: int = 0,
) -> int:
    """Add noise of a kind and strength to every picture; return the number of failures.

    A file has 8 bits: what exceeds white or black is clipped, whatever the kind.
    """
    tasks = gather(sources, out, "noisy")
    _name_left_out(sources, on_message)
    jobs = [(task, _noised(task, noise, seed)) for task in tasks]
    return _run(jobs, len(tasks), "noise", on_message)


def _noised(task: Task, noise: tuple[Noise, float], seed: int) -> Iterator[None]:
    (kind, level), generator = noise, Generator()
    generator.manual_seed(picture_seed(task.target.stem, seed))
    images.save_png(NOISES[kind](images.load(task.source), level, generator), task.target)
    yield


def _run(
    jobs: Sequence[tuple[Task, Iterator[None]]], total: int, what: str, on_message: MessageCallback
) -> int:
    failed = 0

    def all_jobs() -> Iterator[None]:
        nonlocal failed
        for task, steps in jobs:
            try:
                yield from steps
            except images.ImageError as error:
                failed += 1
                on_message(str(error))
            except UserError as error:
                failed += 1
                on_message(f"{task.source}: {error}")

    for _ in progress(all_jobs(), total, what):
        pass
    return failed
