"""Stylisation of a video, frame by frame; the sound is copied.

Finished frames are kept beside the result until it is complete, so that an interrupted run resumes.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from atelier.core import images
from atelier.core.config import UserError
from atelier.core.files import atomic, disk_reason, read_record, write_json
from atelier.core.zoo_files import sha256
from atelier.methods.trained import Trained
from atelier.nn.pretrained.weights import digest
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
CODECS = (("libx264", {"crf": "16"}), ("mpeg4", {"qscale": "2"}))
"""Encoders with options for little visible loss, best first."""
PAIRS = 100
"""Pairs of frames, evenly spread, at which flicker is measured."""
KEY = "key.json"
SLACK = 0.25
"""Seconds by which the length in a file's head may exceed its frames."""
BT709 = 1
"""Its number among matrices, primaries and transfer curves (ITU-T H.273)."""


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
    count = _frames_in(source)
    folder = target.parent / f".{target.name}.frames"
    done = _resume(folder, _key(source, applied, options))
    if done:
        yield f"{done} of about {count} frames were finished before"
    work = _stylised(source, folder, applied, style, options)
    made = sum(1 for _ in progress(work, count, f"stylize {source.name}"))
    if not made:
        raise UserError(f"{source}: no frame of its video can be decoded")
    with atomic(target) as part:
        flicker = _write(source, part, target.suffix.lower().lstrip("."), folder, made)
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


@contextmanager
def _opened(source: Path) -> Iterator[tuple[Any, Any]]:
    """Yield the container and its video stream; what FFmpeg refuses is a sentence."""
    import av  # noqa: PLC0415 - an extra

    try:
        with av.open(str(source), metadata_errors="replace") as container:
            cover = av.stream.Disposition.attached_pic
            streams = [s for s in container.streams.video if not s.disposition & cover]
            if not streams:
                raise UserError(f"{source}: has no video stream")
            streams[0].thread_type = "AUTO"
            yield container, streams[0]
    except av.error.FFmpegError as error:
        if disk_reason(error):  # of the result
            raise
        reason = str(error.strerror or error)
        raise UserError(f"{source}: cannot be read as a video: {reason}") from None


def _frames_in(source: Path) -> int:
    """Return the number of frames by the packets, without decoding.

    Raises:
        UserError: there are none, or the file ends before what its head announces.
    """
    count, end = 0, 0.0
    with _opened(source) as (container, stream):
        length = _length(container, stream)
        start = float(container.start_time or 0) / 1e6
        for packet in container.demux():
            if packet.size:
                time = packet.pts if packet.pts is not None else packet.dts
                at = ((time or 0) + (packet.duration or 0)) * float(packet.time_base or 0)
                # Matroska announces one length, of the longest stream
                if packet.stream is stream or stream.duration is None:
                    end = max(end, at - start)
                count += packet.stream is stream
    if not count:
        raise UserError(f"{source}: its video has no frames")
    if length - end > max(SLACK, 0.02 * length):
        raise UserError(f"{source}: is truncated: {end:.1f} s of {length:.1f} s; copy it anew")
    return count


def _length(container: Any, stream: Any) -> float:
    """Return the seconds that the head announces; 0 where FFmpeg would only guess."""
    if stream.duration is not None:
        return float(stream.duration * stream.time_base)
    return float(container.duration or 0) / 1e6 if "matroska" in container.format.name else 0.0


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
        "look": {k: v for k, v in vars(look).items() if k != "mask"},
        "mask": hashlib.sha256(look.mask.tobytes()).hexdigest() if look.mask else None,
        "max_side": options.max_side,
    }


def _resume(folder: Path, key: dict[str, Any]) -> int:
    """Return the number of frames finished before; frames made otherwise are removed."""
    if read_record(folder / KEY) != key:
        shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / KEY, key)
    return sum(1 for _ in folder.glob("*.png"))


def _frames(source: Path) -> Iterator[tuple[Any, Image.Image]]:
    """Yield the decoded frames, and as upright RGB pictures."""
    with _opened(source) as (container, stream):
        for frame in container.decode(stream):
            yield frame, _picture(frame)


def _picture(frame: Any) -> Image.Image:
    """Return a frame as an upright picture with even sides."""
    pixels = np.rot90(frame.to_ndarray(format="rgb24"), round(frame.rotation / 90))
    height, width = (side - side % 2 for side in pixels.shape[:2])
    return Image.fromarray(np.ascontiguousarray(pixels[:height, :width]))


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
    for number, (_, picture) in enumerate(_frames(source)):
        if not _file(folder, number).is_file():
            made = applied.stylize(picture, style, options.look, options.max_side)
            width, height = (side - side % 2 for side in made.size)
            images.save_png(made.crop((0, 0, width, height)), _file(folder, number))
        yield


def _write(source: Path, target: Path, kind: str, folder: Path, count: int) -> Flicker:
    """Write the frames with the source's times and sound; return the flicker."""
    import av  # noqa: PLC0415 - an extra

    measure, last = Flicker(), None
    form = {"mkv": "matroska"}.get(kind, kind)
    with _opened(source) as (container, stream), av.open(str(target), "w", format=form) as out:
        video = _encoder(out, stream, images.read(_file(folder, 0)).size)
        sound = {s.index: _copied(out, s, source, kind) for s in container.streams.audio}
        number = 0
        for packet in container.demux(stream, *container.streams.audio):
            if packet.stream.index in sound:
                if packet.dts is not None:  # not the empty one at the end
                    packet.stream = sound[packet.stream.index]
                    out.mux(packet)
                continue
            for frame in packet.decode():
                pair = _picture(frame), images.read(_file(folder, number))
                out.mux(video.encode(_encoded(frame, pair[1])))
                if last and _measured(number, count):
                    measure.add((last[0], pair[0]), (last[1], pair[1]))
                number, last = number + 1, pair
        out.mux(video.encode())
    return measure


def _measured(number: int, count: int) -> bool:
    """Return whether flicker is measured between a frame and the one before."""
    return count <= PAIRS + 1 or (number * PAIRS) // count != ((number - 1) * PAIRS) // count


def _copied(out: Any, stream: Any, source: Path, kind: str) -> Any:
    import av  # noqa: PLC0415 - an extra

    try:
        return out.add_stream_from_template(stream)
    except (ValueError, av.error.FFmpegError):
        name = stream.codec_context.name
        raise UserError(f"{source}: its sound ({name}) cannot be in .{kind}; try .mkv") from None


def _encoder(out: Any, stream: Any, size: tuple[int, int]) -> Any:
    """Add the stream of pictures, with the source's time base."""
    import av  # noqa: PLC0415 - an extra

    name, options = next((n, o) for n, o in CODECS if n in av.codecs_available)
    video = out.add_stream(name, rate=stream.average_rate or 25, options=options)
    video.width, video.height, video.pix_fmt = *size, "yuv420p"
    video.codec_context.time_base = stream.time_base
    for tag in ("colorspace", "color_primaries", "color_trc"):
        setattr(video.codec_context, tag, BT709)
    return video


def _encoded(frame: Any, picture: Image.Image) -> Any:
    """Return a picture as a frame at the time of ``frame``."""
    import av  # noqa: PLC0415 - an extra

    made = av.VideoFrame.from_image(picture).reformat(format="yuv420p", dst_colorspace="ITU709")
    made.pts, made.time_base = frame.pts, frame.time_base
    return made
