"""Reading and writing of video files by PyAV, an extra: bad ones are a sentence."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from atelier.core.config import UserError
from atelier.core.files import disk_reason

CODECS = (("libx264", {"crf": "16"}), ("mpeg4", {"qscale": "2"}))
"""Encoders with options for little visible loss, best first."""
SLACK = 0.25
"""Seconds by which the length in a file's head may exceed its frames."""
BT709 = 1
"""Its number among matrices, primaries and transfer curves (ITU-T H.273)."""


@dataclass(frozen=True)
class Result:
    """A video that is being written, and the packets of its source."""

    out: Any
    video: Any
    """Stream of pictures."""
    sound: dict[int, Any]
    """Number of an audio stream of the source → the stream it is copied to."""
    packets: Iterator[Any]


@contextmanager
def opened(source: Path) -> Iterator[tuple[Any, Any]]:
    """Yield the container and its video stream; a ``UserError`` for what FFmpeg refuses."""
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


def frames_in(source: Path) -> int:
    """Return the number of frames by the packets, without decoding.

    Raises:
        UserError: there are none, or the file ends before what its head announces.
    """
    count, end = 0, 0.0
    with opened(source) as (container, stream):
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


def frames(source: Path) -> Iterator[tuple[Any, Image.Image]]:
    """Yield the decoded frames, and as upright RGB pictures."""
    with opened(source) as (container, stream):
        for frame in container.decode(stream):
            yield frame, picture(frame)


def picture(frame: Any) -> Image.Image:
    """Return a frame as an upright picture with even sides."""
    pixels = np.rot90(frame.to_ndarray(format="rgb24"), round(frame.rotation / 90))
    height, width = (side - side % 2 for side in pixels.shape[:2])
    return Image.fromarray(np.ascontiguousarray(pixels[:height, :width]))


@contextmanager
def result(source: Path, target: Any, kind: str, size: tuple[int, int]) -> Iterator[Result]:
    """Yield a video to write, with streams for pictures and for all sound of ``source``.

    Args:
        source: whose times and sound it gets.
        target: a path, or a file in memory.
        kind: the end of its name, without the dot.
        size: width and height of the pictures, even.

    Raises:
        UserError: the sound cannot be in a file of this kind.
    """
    import av  # noqa: PLC0415 - an extra

    form = {"mkv": "matroska"}.get(kind, kind)
    with opened(source) as (container, stream), av.open(target, "w", format=form) as out:
        video = _picture_stream(out, stream, size)
        audio = container.streams.audio
        try:
            sound = {one.index: out.add_stream_from_template(one) for one in audio}
            out.start_encoding()
        except (ValueError, av.error.FFmpegError):
            if not audio:
                raise
            names = ", ".join(dict.fromkeys(one.codec_context.name for one in audio))
            text = f"{source}: its sound ({names}) cannot be in .{kind}; try .mkv"
            raise UserError(text) from None
        yield Result(out, video, sound, container.demux(stream, *audio))


def check_sound(source: Path, kind: str) -> None:
    """Raise what ``result`` would, before the work is done."""
    with result(source, io.BytesIO(), kind, (64, 64)):
        pass


def _picture_stream(out: Any, stream: Any, size: tuple[int, int]) -> Any:
    """Add the stream of pictures, with the source's time base."""
    import av  # noqa: PLC0415 - an extra

    name, options = next((n, o) for n, o in CODECS if n in av.codecs_available)
    video = out.add_stream(name, rate=stream.average_rate or 25, options=options)
    video.width, video.height, video.pix_fmt = *size, "yuv420p"
    video.codec_context.time_base = stream.time_base
    for tag in ("colorspace", "color_primaries", "color_trc"):
        setattr(video.codec_context, tag, BT709)
    return video


def as_frame(frame: Any, picture: Image.Image) -> Any:
    """Return a picture as a frame at the time of ``frame``."""
    import av  # noqa: PLC0415 - an extra

    made = av.VideoFrame.from_image(picture).reformat(format="yuv420p", dst_colorspace="ITU709")
    made.pts, made.time_base = frame.pts, frame.time_base
    return made
