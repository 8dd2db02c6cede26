"""Stylisation of a video, frame by frame; the sound is copied.

Finished frames are kept beside the result until it is complete, so that an interrupted run resumes.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from PIL import Image

from atelier.core import images
from atelier.core.config import UserError
from atelier.core.files import atomic, read_record, write_json
from atelier.core.zoo_files import sha256
from atelier.methods.trained import Trained
from atelier.nn.pretrained.weights import digest
from atelier.serving import video_file
from atelier.serving.flicker import Flicker
from atelier.serving.folders import StylizeOptions
from atelier.serving.look import Style
from atelier.serving.stylizer import Applied
from atelier.tracking.progress import progress

SUFFIXES = (".mp4", ".mov", ".mkv")
"""Files that can be written."""
READ = (*SUFFIXES, ".avi", ".webm", ".m4v", ".mpg", ".mpeg", ".wmv")
"""Endings of names that are taken for videos."""
NEEDED = {"av": "av", "skimage": "scikit-image"}
"""Module → its package."""
PAIRS = 100
"""Pairs of frames, evenly spread, at which flicker is measured."""
KEY = "key.json"


def is_video(path: Path) -> bool:
    """Return whether a file is taken for a video, by the end of its name."""
    return path.suffix.lower() in READ


def stylize_video(
    source: Path, target: Path, applied: Applied, options: StylizeOptions
) -> Iterator[str]:
    """Stylise a video; yield what there is to say about it.

    Frames keep their times, and are upright. An odd width or height loses a pixel, since H.264
    halves the colours' size. Audio streams are copied, other streams left out.

    Raises:
        UserError: packages are missing; ``source`` is no video, ends early or cannot be decoded;
            its sound cannot be in such a file; the method does not support the options.
    """
    _require(source, target)
    style = options.paintings()
    applied.check(style, options.look)
    count, kind = video_file.frames_in(source), target.suffix.lower().lstrip(".")
    video_file.check_sound(source, kind)
    folder = target.parent / f".{target.name}.frames"
    done = _resume(folder, _key(source, applied, options))
    if done:
        yield f"{done} of about {count} frames were finished before"
    work = _stylised(source, folder, applied, style, options)
    made = sum(1 for _ in progress(work, count, f"stylize {source.name}"))
    if not made:
        raise UserError(f"{source}: no frame of its video can be decoded")
    with atomic(target) as part:
        flicker = _write(source, part, kind, folder, made)
    shutil.rmtree(folder)
    yield flicker.text()
    yield f"wrote {target} ({made} frames, {target.stat().st_size / 1e6:.1f} MB)"


def _require(source: Path, target: Path) -> None:
    lacking = [package for module, package in NEEDED.items() if find_spec(module) is None]
    if lacking:
        named = " and ".join(lacking)
        raise UserError(f"videos need {named}; install them: pip install -e '.[video]'")
    if target.suffix.lower() not in SUFFIXES:
        raise UserError(f"{target}: has to end in {', '.join(SUFFIXES)} for a video")
    if not source.is_file():
        raise UserError(f"{source}: no such file")
    if target.exists() and target.samefile(source):
        raise UserError(f"{target}: is the input and would be replaced; choose another -o")


def _key(source: Path, applied: Applied, options: StylizeOptions) -> dict[str, Any]:
    """Return what decides the frames."""
    method, look = applied.method, options.look
    weights = digest(method.inference_networks.state_dict()) if isinstance(method, Trained) else ""
    return {
        "source": sha256(source),
        "method": applied.name,
        "settings": hashlib.sha256(method.settings.model_dump_json().encode()).hexdigest(),
        "weights": weights,
        "styles": [[sha256(path), weight] for path, weight in options.styles],
        "look": {name: _hashed(value) for name, value in vars(look).items()},
        "max_side": options.max_side,
    }


def _hashed(value: Any) -> Any:
    """Return an option, of a picture its hash."""
    if not isinstance(value, Image.Image):
        return value
    return hashlib.sha256(str(value.size).encode() + value.tobytes()).hexdigest()


def _resume(folder: Path, key: dict[str, Any]) -> int:
    """Return the number of frames finished before; frames made otherwise are removed."""
    if read_record(folder / KEY) != key:
        shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / KEY, key)
    return sum(1 for _ in folder.glob("*.png"))


def _file(folder: Path, number: int) -> Path:
    return folder / f"{number:08d}.png"


def _stylised(
    source: Path,
    folder: Path,
    applied: Applied,
    style: Style,
    options: StylizeOptions,
) -> Iterator[None]:
    """Stylise the frames that are not there yet; yield once per frame."""
    for number, (_, picture) in enumerate(video_file.frames(source)):
        if not _file(folder, number).is_file():
            made = applied.stylize(picture, style, options.look, options.max_side)
            width, height = (side - side % 2 for side in made.size)
            images.save_png(made.crop((0, 0, width, height)), _file(folder, number))
        yield


def _write(source: Path, target: Path, kind: str, folder: Path, count: int) -> Flicker:
    """Write the frames with the source's times and sound; return the flicker."""
    measure, last, number = Flicker(), None, 0
    size = images.read(_file(folder, 0)).size
    with video_file.result(source, str(target), kind, size) as made:
        for packet in made.packets:
            if packet.stream.index in made.sound:
                if packet.dts is not None:  # not the empty one at the end
                    packet.stream = made.sound[packet.stream.index]
                    made.out.mux(packet)
                continue
            for frame in packet.decode():
                pair = video_file.picture(frame), images.read(_file(folder, number))
                made.out.mux(made.video.encode(video_file.as_frame(frame, pair[1])))
                if last and _measured(number, count):
                    measure.add((last[0], pair[0]), (last[1], pair[1]))
                number, last = number + 1, pair
        made.out.mux(made.video.encode())
    return measure


def _measured(number: int, count: int) -> bool:
    """Return whether flicker is measured between a frame and the one before."""
    return count <= PAIRS + 1 or (number * PAIRS) // count != ((number - 1) * PAIRS) // count
