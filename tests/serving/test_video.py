"""Videos: frames, times and sound of the result, resumption, inputs that are none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from atelier.core import images
from atelier.core.config import Params, UserError
from atelier.serving import video, video_file
from atelier.serving.folders import StylizeOptions
from atelier.serving.look import Look
from atelier.serving.stylizer import Applied, load_applied
from atelier.serving.video import stylize_video
from support.cli import atelier
from support.models import project

av = pytest.importorskip("av")
RATE = 10
PLAIN = StylizeOptions()


def picture(number: int, size: tuple[int, int] = (48, 40)) -> Image.Image:
    """Smooth waves that move by a pixel per frame."""
    x, y = np.meshgrid(np.arange(size[0]) - number, np.arange(size[1]))
    waves = [np.sin(x / 5 + k) * np.cos(y / 7 - k) for k in range(3)]
    return Image.fromarray(((np.stack(waves, 2) + 1) * 110).astype(np.uint8))


def clip(
    path: Path,
    frames: int = 6,
    size: tuple[int, int] = (48, 40),
    *,
    sound: str | None = "aac",
    pts: Callable[[int], int] = lambda number: number,
    **options: str,
) -> Path:
    """A video of ``picture``, with a tone as long as it."""
    with av.open(str(path), "w", options=options) as out:
        stream = out.add_stream("mpeg4", rate=RATE)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        stream.codec_context.time_base = Fraction(1, RATE)
        audio = out.add_stream(sound, rate=8000) if sound else None
        for number in range(frames):
            frame = av.VideoFrame.from_image(picture(number, size))
            frame.pts, frame.time_base = pts(number), Fraction(1, RATE)
            out.mux(stream.encode(frame))
        if frames:
            out.mux(stream.encode())
        if audio:
            tone = np.sin(np.arange(8000 * frames // RATE) / 9).astype(np.float32)[None]
            heard = av.AudioFrame.from_ndarray(tone, format="fltp", layout="mono")
            heard.sample_rate, heard.pts = 8000, 0
            resampler = av.AudioResampler(format=audio.format, layout="mono", rate=8000)
            for part in resampler.resample(heard):
                out.mux(audio.encode(part))
            out.mux(audio.encode())
    return path


def content(path: Path) -> tuple[list[float], list[Any], bytes]:
    """Times in seconds and pictures of the frames, and the bytes of the sound."""
    with av.open(str(path)) as container:
        frames = list(container.decode(container.streams.video[0]))
    with av.open(str(path)) as container:
        sound = b"".join(
            bytes(packet) for audio in container.streams.audio for packet in container.demux(audio)
        )
    return [f.time for f in frames], [f.to_ndarray(format="rgb24") for f in frames], sound


@pytest.fixture
def applied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Applied:
    """A trained method that makes the negative; its calls are counted by ``calls``."""
    project(tmp_path, "cut")
    monkeypatch.chdir(tmp_path)
    found = load_applied(tmp_path, Params.load(tmp_path / "params.yaml"), "cut")
    monkeypatch.setattr(Applied, "stylize", negative)
    monkeypatch.setattr(negative, "calls", 0, raising=False)
    return found


def negative(self: Applied, photo: Image.Image, *_: object) -> Image.Image:
    negative.calls += 1  # type: ignore[attr-defined]
    return Image.fromarray(255 - np.asarray(photo))


def calls() -> int:
    return int(negative.calls)  # type: ignore[attr-defined]


def run(source: Path, target: Path, applied: Applied, options: StylizeOptions = PLAIN) -> str:
    return "\n".join(stylize_video(source, target, applied, options))


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "mov"])
def test_frames_times_and_sound(tmp_path: Path, applied: Applied, suffix: str) -> None:
    gaps = clip(tmp_path / "in.mkv", pts=lambda n: n + n // 3)  # a variable frame rate
    said = run(gaps, tmp_path / f"out.{suffix}", applied)
    times, before, sound = content(gaps)
    found, after, heard = content(tmp_path / f"out.{suffix}")
    assert found == pytest.approx(times, abs=0.002)
    assert heard == sound != b""
    for one, other in zip(before, after, strict=True):
        assert np.abs(255.0 - one - other).mean() < 4, "the negative, but for the codec's loss"
    assert "flicker: warp error" in said
    assert "(5 pairs of frames)" in said
    assert [path.name for path in tmp_path.glob(".*")] == [], "nothing is left beside it"


def test_an_interrupted_run_resumes(
    tmp_path: Path, applied: Applied, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = clip(tmp_path / "in.mp4"), tmp_path / "out.mp4"

    def stopped(self: Applied, photo: Image.Image, *_: object) -> Image.Image:
        if calls() == 4:
            raise KeyboardInterrupt
        return negative(self, photo)

    monkeypatch.setattr(Applied, "stylize", stopped)
    with pytest.raises(KeyboardInterrupt):
        run(source, target, applied)
    assert not target.exists()
    monkeypatch.setattr(Applied, "stylize", negative)
    assert "4 of about 6 frames were finished before" in run(source, target, applied)
    assert calls() == 6
    assert len(content(target)[0]) == 6


def test_frames_made_otherwise_are_not_used(tmp_path: Path, applied: Applied) -> None:
    black, white = Image.new("L", (8, 8)), Image.new("L", (8, 8), 255)
    source, folder = clip(tmp_path / "in.mp4"), tmp_path / ".out.mp4.frames"
    keys = [
        video._key(source, one, options)
        for one, options in (
            (applied, PLAIN),
            (applied, StylizeOptions(max_side=32)),
            (replace(applied, name="other"), PLAIN),
            (applied, StylizeOptions(look=Look(mask=black))),
            (applied, StylizeOptions(look=Look(mask=black, style_mask=black))),
            (applied, StylizeOptions(look=Look(mask=black, style_mask=white))),
        )
    ]
    assert len({str(key) for key in keys}) == 6
    for key in keys:
        assert video._resume(folder, key) == 0
        images.save_png(picture(0), folder / "00000000.png")
        assert video._resume(folder, key) == 1


def test_an_odd_size_loses_a_pixel(tmp_path: Path, applied: Applied) -> None:
    source = tmp_path / "odd.mkv"
    with av.open(str(source), "w") as out:
        stream = out.add_stream("ffv1", rate=RATE)
        stream.width, stream.height, stream.pix_fmt = 49, 41, "yuv444p"
        out.mux(stream.encode(av.VideoFrame.from_image(picture(0, (49, 41)))))
        out.mux(stream.encode())
    said = run(source, tmp_path / "out.mp4", applied)
    assert content(tmp_path / "out.mp4")[1][0].shape == (40, 48, 3)
    assert "not measured, as there is a single frame" in said


@pytest.mark.parametrize(("sound", "kind"), [("wavpack", "mp4"), ("flac", "mov")])
def test_sound_that_does_not_fit_is_told_before_the_work(
    tmp_path: Path, applied: Applied, sound: str, kind: str
) -> None:
    source = clip(tmp_path / "in.mkv", sound=sound)
    with pytest.raises(UserError, match=rf"its sound \({sound}\) cannot be in \.{kind}; try \.mk"):
        run(source, tmp_path / f"out.{kind}", applied)
    assert calls() == 0
    run(source, tmp_path / "out.mkv", applied)
    assert content(tmp_path / "out.mkv")[2] == content(source)[2] != b""


@pytest.mark.parametrize("angle", [-90, 0, 90, 180])
def test_a_frame_is_turned_upright(angle: int) -> None:
    """The angle is that by which a player turns it, counterclockwise."""
    made = SimpleNamespace(rotation=angle, to_ndarray=lambda **_: np.asarray(picture(0)))
    assert video_file.picture(made) == picture(0).rotate(angle, expand=True)


def broken(tmp_path: Path, kind: str) -> Path:
    if kind == "text":
        (tmp_path / "text.mp4").write_text("no video")
        return tmp_path / "text.mp4"
    if kind in {"sound", "empty"}:
        path = tmp_path / f"{kind}.mkv"
        with av.open(str(path), "w") as out:
            if kind == "empty":
                stream = out.add_stream("mpeg4", rate=RATE)
                stream.width, stream.height, stream.pix_fmt = 48, 40, "yuv420p"
            audio = out.add_stream("aac", rate=8000)
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
            frame.sample_rate = 8000
            out.mux(audio.encode(frame))
            out.mux(audio.encode())
        return path
    suffix = {"end": "mp4", "head": "mp4", "matroska": "mkv"}[kind]
    options = {"movflags": "faststart"} if kind == "head" else {}
    whole = clip(tmp_path / f"{kind}.{suffix}", 40, **options)
    whole.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    return whole


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("text", "cannot be read as a video"),
        ("sound", "has no video stream"),
        ("empty", "its video has no frames"),
        ("end", "cannot be read as a video"),
        ("head", "is truncated"),
        ("matroska", "is truncated"),
    ],
)
def test_what_is_no_video_is_a_sentence(
    tmp_path: Path, applied: Applied, kind: str, reason: str
) -> None:
    source = broken(tmp_path, kind)
    with pytest.raises(UserError, match=reason) as got:
        run(source, tmp_path / "out.mp4", applied)
    assert str(got.value).startswith(f"{source}: ")
    assert "\n" not in str(got.value)
    assert calls() == 0
    assert not (tmp_path / "out.mp4").exists()


def test_the_command(
    tmp_path: Path, applied: Applied, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    clip(tmp_path / "in.mp4", 3)
    assert atelier(monkeypatch, "stylize", "in.mp4", "-m", "cut", "-o", "out.mp4") == 0
    assert "wrote out.mp4 (3 frames" in capsys.readouterr().out
    for given, reason in (
        (["in.mp4", "-m", "cut", "-o", "out"], "out: has to end in .mp4, .mov, .mkv"),
        (["in.mp4", "-m", "cut", "-o", "in.mp4"], "in.mp4: is the input and would be replaced"),
        (["in.mp4", "out.mp4", "-m", "cut", "-o", "x.mp4"], "a video is stylised by itself"),
        (["no.mp4", "-m", "cut", "-o", "x.mp4"], "no.mp4: no such file"),
    ):
        assert atelier(monkeypatch, "stylize", *given) == 1
        assert reason in capsys.readouterr().err


def test_without_the_extra_it_says_what_to_install(
    tmp_path: Path, applied: Applied, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(video.NEEDED, "no_such_module", "no-such-package")
    with pytest.raises(
        UserError, match=r"no-such-package; install them: pip install -e '.\[video\]"
    ):
        run(tmp_path / "in.mp4", tmp_path / "out.mp4", applied)
