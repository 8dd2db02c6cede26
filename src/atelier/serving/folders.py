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

from atelier.core import filenames, images
from atelier.core.config import UserError
from atelier.core.images import size_of
from atelier.methods.zsn2n import DenoiseSettings, denoise, picture_seed
from atelier.serving.stylizer import Applied, memory
from atelier.tracking.progress import progress

EVERY = 50
"""Steps of the denoiser between lines of progress."""
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

    style: Path | None = None
    strength: float | None = None
    max_side: int | None = None


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
    style = images.read(options.style, max_side=options.max_side) if options.style else None
    for method in methods:
        method.check(style, options.strength)
    work = [(method, task) for method in methods for task in gather(sources, out, method.name)]
    _name_left_out(sources, on_message)
    total = sum(_steps(method, task.source, options.max_side) for method, task in work)
    jobs = [(task, stylize_file(method, task, style, options)) for method, task in work]
    return _run(jobs, total, "stylize", on_message)


def stylize_file(
    method: Applied, task: Task, style: Image.Image | None, options: StylizeOptions
) -> Iterator[None]:
    """Stylise one picture file; yield once per iterate.

    Raises:
        UserError: it cannot be read, or the method does not support it.
    """
    photo = images.read(task.source, max_side=options.max_side)
    for iterate in method.iterates(photo, style, options.strength, options.max_side):
        yield
        made = iterate.image
    images.save_png(made, task.target)


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
) -> int:
    """Denoise every picture separately; return the number of failures."""
    tasks = gather(sources, out, "denoised")
    _name_left_out(sources, on_message)
    jobs = [(task, _denoised(task, settings, device)) for task in tasks]
    return _run(jobs, len(tasks) * (-(-settings.steps // EVERY) + 1), "denoise", on_message)


def _denoised(task: Task, settings: DenoiseSettings, device: str) -> Iterator[None]:
    noisy = images.load(task.source)[None].to(device)
    seed = picture_seed(task.target.stem, seed=0)
    with memory(noisy.shape[3], noisy.shape[2]):
        for iterate in denoise(noisy, settings, [seed], EVERY):
            yield
            made = iterate.image
    images.save_png(made, task.target)


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
