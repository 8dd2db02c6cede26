"""Reading anything as 8-bit sRGB, whatever is in the file."""

from __future__ import annotations

import os
import pickle
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image, ImageCms, features

from atelier.core import colour, decoders, images
from support.pictures import bomb_png, profile_of_linear_light, ramp, signed_tiff

GREY16 = np.linspace(0, 65535, 64 * 48).astype(np.uint16).reshape(48, 64)


def pixels(path: Path) -> np.ndarray:
    image = images.read(path)
    assert image.mode == "RGB"
    assert image.info == {}
    return np.asarray(image).astype(int)


@pytest.mark.parametrize("name", ["a.png", "a.PNG", "a.tif", "a.TIFF", "a.bmp"])
def test_lossless_formats_come_back_exactly(tmp_path: Path, name: str) -> None:
    ramp().save(tmp_path / name)
    assert np.array_equal(pixels(tmp_path / name), np.asarray(ramp()))


@pytest.mark.parametrize("name", ["a.jpg", "a.JPEG", "a.webp"])
def test_lossy_formats_come_back_nearly(tmp_path: Path, name: str) -> None:
    ramp().save(tmp_path / name, quality=95)
    assert np.abs(pixels(tmp_path / name) - np.asarray(ramp())).mean() < 6


def test_alpha_is_composited_on_white(tmp_path: Path) -> None:
    rgba = Image.new("RGBA", (4, 4), (0, 0, 0, 0))  # transparent black: white, not black
    rgba.putpixel((1, 1), (200, 0, 0, 255))
    rgba.putpixel((2, 2), (0, 0, 0, 51))  # a fifth of black
    rgba.save(tmp_path / "a.png")
    found = pixels(tmp_path / "a.png")
    assert found[0, 0].tolist() == [255, 255, 255]
    assert found[1, 1].tolist() == [200, 0, 0]
    assert found[2, 2].tolist() == [204, 204, 204]


def test_grey_with_alpha(tmp_path: Path) -> None:
    grey = Image.new("LA", (2, 1), (10, 255))
    grey.putpixel((1, 0), (10, 0))
    grey.save(tmp_path / "a.png")
    assert pixels(tmp_path / "a.png").tolist() == [[[10] * 3, [255] * 3]]


@pytest.mark.parametrize("name", ["a.png", "a.gif"])
def test_palette_with_a_transparent_colour(tmp_path: Path, name: str) -> None:
    palette = Image.new("P", (2, 1), 0)
    palette.putpalette([250, 10, 20, 0, 0, 0])
    palette.putpixel((1, 0), 1)
    palette.save(tmp_path / name, transparency=1)
    assert pixels(tmp_path / name).tolist() == [[[250, 10, 20], [255, 255, 255]]]


def test_plain_palette_and_bitmap(tmp_path: Path) -> None:
    palette = Image.new("P", (2, 2), 1)
    palette.putpalette([0, 0, 0, 1, 2, 3])
    palette.save(tmp_path / "p.png")
    Image.new("1", (2, 2), 1).save(tmp_path / "one.png")
    assert pixels(tmp_path / "p.png")[0, 0].tolist() == [1, 2, 3]
    assert pixels(tmp_path / "one.png").min() == 255


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_16_bit_grey_is_scaled_not_clipped(tmp_path: Path, name: str) -> None:
    Image.fromarray(GREY16).save(tmp_path / name)
    found = pixels(tmp_path / name)
    assert np.array_equal(found[..., 0], np.rint(GREY16 / 257))
    assert np.array_equal(found[..., 0], found[..., 2])


@pytest.mark.parametrize("white", [1.0, 255.0, 65535.0, 100_000.0])
def test_float_tiff_is_scaled_by_the_range_it_uses(tmp_path: Path, white: float) -> None:
    Image.fromarray((GREY16 / 65535 * white).astype(np.float32)).save(tmp_path / "a.tif")
    found = pixels(tmp_path / "a.tif")[..., 1]
    assert np.abs(found - GREY16 / 257).max() <= 0.51


def flat(path: Path, grey: float, odd: dict[int, float], kind: type = np.float32) -> float:
    """Mean of a picture of one ``grey`` with a few odd samples, read as 8 bits."""
    values = np.full(96 * 64, grey, kind)
    for place, value in odd.items():
        values[place] = value
    Image.fromarray(values.reshape(64, 96)).save(path)
    return float(pixels(path).mean())


@pytest.mark.parametrize(
    "odd", [1.004, 1.2, 300.0, np.inf, -np.inf, np.nan, 3.4e38, -3.4e38, -0.1, -9999.0]
)
def test_a_few_samples_do_not_decide_what_is_white(tmp_path: Path, odd: float) -> None:
    assert flat(tmp_path / "a.tif", 0.4, {7: odd}) == pytest.approx(102, abs=0.1)
    assert flat(
        tmp_path / "b.tif", 102, {7: float(np.clip(odd * 255, -3.4e38, 3.4e38))}
    ) == pytest.approx(102, abs=0.1)


def test_white_of_floats_is_not_taken_from_overshoot_lights_or_missing_data(tmp_path: Path) -> None:
    many = range(96 * 64 // 4)
    lanczos = flat(tmp_path / "a.tif", 0.6, dict.fromkeys(many, 1.0122))
    assert lanczos == pytest.approx(0.75 * 153 + 0.25 * 255)
    lights = flat(tmp_path / "b.tif", 0.4, dict.fromkeys(many, 3.5))
    assert lights == pytest.approx(0.75 * 102 + 0.25 * 255)
    assert flat(tmp_path / "c.tif", 0.4, dict.fromkeys(many, -3.4e38)) == pytest.approx(0.75 * 102)
    assert flat(tmp_path / "d.tif", 102, dict.fromkeys(many, 260.7)) == pytest.approx(
        0.75 * 102 + 0.25 * 255
    )
    assert flat(tmp_path / "e.tif", 2, {0: 3.0}) == pytest.approx(2, abs=0.01)  # dark, 0 to 255
    assert flat(tmp_path / "f.tif", np.nan, {}) == 0


@pytest.mark.parametrize("odd", [255, -5, 2**31 - 1, -(2**31)])
def test_whole_numbers_of_32_bits_may_hold_8(tmp_path: Path, odd: int) -> None:
    assert flat(tmp_path / "a.tif", 102, {7: odd}, np.int32) == pytest.approx(102, abs=0.1)
    assert flat(tmp_path / "b.tif", 26214, {7: odd}, np.int32) == pytest.approx(102, abs=0.1)


def test_16_bits_with_a_sign_have_half_the_white(tmp_path: Path) -> None:
    words = np.linspace(0, 32767, 64 * 48).astype("<i2")
    signed_tiff(tmp_path / "a.tif", words.reshape(48, 64))
    found = pixels(tmp_path / "a.tif")[..., 0].ravel()
    assert np.array_equal(found, np.rint(words * (255 / 32767)))


def test_large_pictures_are_scaled_strip_by_strip(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(colour, "STRIP", 100)
    Image.fromarray(GREY16).save(tmp_path / "a.png")
    assert np.array_equal(pixels(tmp_path / "a.png")[..., 0], np.rint(GREY16 / 257))


@pytest.mark.parametrize("mode", ["RGBA", "LA", "profile", "P"])
def test_large_pictures_are_composited_strip_by_strip(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    """At once, 79 megapixels with alpha would take 1.6 GiB in every worker."""
    levels = np.linspace(0, 255, 48 * 64 * 4).astype(np.uint8).reshape(48, 64, 4)[..., [3, 0, 2, 1]]
    picture = Image.fromarray(levels, "RGBA")
    if mode == "profile":
        picture.info["icc_profile"] = profile_of_linear_light()
    elif mode == "P":
        picture = picture.convert("RGB").quantize(16)
        picture.info["transparency"] = bytes(range(0, 256, 16))
    else:
        picture = picture.convert(mode)
    picture.save(tmp_path / "a.png", icc_profile=picture.info.get("icc_profile"))
    at_once = pixels(tmp_path / "a.png")
    sizes = []
    whole = colour._to_srgb
    monkeypatch.setattr(colour, "STRIP", 640)
    monkeypatch.setattr(colour, "_to_srgb", lambda part: (sizes.append(part.size), whole(part))[1])
    assert np.array_equal(pixels(tmp_path / "a.png"), at_once)
    assert sizes == [(64, 10)] * 4 + [(64, 8)]


def test_float_tiff_that_is_not_finite(tmp_path: Path) -> None:
    Image.fromarray(np.array([[0.5, np.nan]], np.float32)).save(tmp_path / "a.tif")
    assert pixels(tmp_path / "a.tif")[0, :, 0].tolist() == [128, 0]


def test_32_bit_integer_tiff(tmp_path: Path) -> None:
    Image.fromarray(GREY16.astype(np.int32)).save(tmp_path / "a.tif")
    assert np.array_equal(pixels(tmp_path / "a.tif")[..., 0], np.rint(GREY16 / 257))


@pytest.mark.parametrize("name", ["a.jpg", "a.tif"])
def test_cmyk_is_not_inverted(tmp_path: Path, name: str) -> None:
    # Pillow writes JPEG the Adobe way, inverted, with Adobe's marker.
    Image.new("CMYK", (16, 16), (0, 255, 255, 0)).save(tmp_path / name)
    assert np.abs(pixels(tmp_path / name) - [255, 0, 0]).max() <= 3


def test_lab_is_converted(tmp_path: Path) -> None:
    Image.new("LAB", (4, 4), (255, 128, 128)).save(tmp_path / "a.tif")
    assert pixels(tmp_path / "a.tif").min() >= 253


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp", "a.tif"])
def test_exif_orientation_is_honoured(tmp_path: Path, name: str) -> None:
    picture = Image.new("RGB", (40, 20), "black")
    picture.paste("white", (0, 0, 20, 20))  # left half; turned clockwise it is on top
    exif = Image.Exif()
    exif[0x0112] = 6
    picture.save(tmp_path / name, exif=exif)
    found = pixels(tmp_path / name)
    assert found.shape == (40, 20, 3)
    assert found[:15].min() > 240
    assert found[25:].max() < 15


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")  # Pillow tells; the pixels are fine
def test_broken_exif_is_ignored(tmp_path: Path) -> None:
    ramp().save(tmp_path / "a.jpg", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff")
    assert pixels(tmp_path / "a.jpg").shape == (48, 64, 3)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P"])
def test_embedded_profile_is_converted_to_srgb(tmp_path: Path, mode: str) -> None:
    picture = Image.new("RGB", (8, 8), (55, 55, 55))
    picture = picture.quantize(2) if mode == "P" else picture.convert(mode)
    picture.save(tmp_path / "a.png", icc_profile=profile_of_linear_light())
    # 55/255 of linear light is about half in sRGB.
    assert np.abs(pixels(tmp_path / "a.png") - 128).max() <= 3


def test_srgb_profile_changes_nothing(tmp_path: Path) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    ramp().save(tmp_path / "a.png", icc_profile=profile)
    assert np.abs(pixels(tmp_path / "a.png") - np.asarray(ramp())).max() <= 1


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_broken_or_unfit_profile_is_ignored(tmp_path: Path, mode: str) -> None:
    profile = b"not a profile" if mode == "RGB" else profile_of_linear_light()
    Image.new("RGB", (8, 8), (9, 9, 9)).convert(mode).save(tmp_path / "a.png", icc_profile=profile)
    assert np.abs(pixels(tmp_path / "a.png") - 9).max() == 0


@pytest.mark.parametrize("name", ["a.gif", "a.webp", "a.png"])
def test_animations_give_their_first_frame(tmp_path: Path, name: str) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue", "lime")]
    options = {"lossless": True} if name == "a.webp" else {}
    frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:], **options)
    assert np.abs(pixels(tmp_path / name) - [255, 0, 0]).max() <= 2


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp", "a.tif", "a.bmp", "a.gif"])
@pytest.mark.parametrize("share", [0.02, 0.5])
def test_truncated_files_are_named(tmp_path: Path, name: str, share: float) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / name)
    whole = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(whole[: max(20, int(len(whole) * share))])
    with pytest.raises(images.ImageError, match=f"{name}: is broken or truncated"):
        images.read(tmp_path / name)


def test_what_is_no_picture(tmp_path: Path) -> None:
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "text.jpg").write_text("holiday notes, renamed by accident")
    for name, reason in {"empty": "empty", "text": "not a picture", "none": "is missing"}.items():
        with pytest.raises(images.ImageError, match=reason) as caught:
            images.read(tmp_path / f"{name}.jpg")
        assert caught.value.path == tmp_path / f"{name}.jpg"
    with pytest.raises(images.ImageError, match="cannot be read"):
        images.read(tmp_path)


def test_wrong_suffix_is_no_obstacle(tmp_path: Path) -> None:
    ramp().save(tmp_path / "a.jpg", format="PNG")
    assert np.array_equal(pixels(tmp_path / "a.jpg"), np.asarray(ramp()))


@pytest.mark.parametrize(("suffix", "kind"), [("jpe", "JPEG"), ("mpo", "MPO"), ("jp2", "JPEG2000")])
def test_rarer_suffixes_are_read(tmp_path: Path, suffix: str, kind: str) -> None:
    path = tmp_path / f"a.{suffix}"
    ramp().save(path, kind)
    assert images.find(tmp_path) == [path]
    assert np.abs(pixels(path) - np.asarray(ramp())).mean() < 8


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow has no AVIF")
def test_avif_is_read(tmp_path: Path) -> None:
    ramp().save(tmp_path / "a.avif", quality=90)
    assert np.abs(pixels(tmp_path / "a.avif") - np.asarray(ramp())).mean() < 8


def test_heic_says_what_it_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(99))
    monkeypatch.setitem(sys.modules, decoders.HEIF_PLUGIN, None)
    with pytest.raises(images.ImageError, match=r"HEIC, which needs .* pip install pillow-heif"):
        images.read(tmp_path / "a.heic")


def test_heic_is_read_by_the_optional_plug_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stand-in that registers itself as the package does."""
    head = b"\0\0\0\x18ftypheic"
    (tmp_path / "a.heic").write_bytes(head + bytes(99))

    def register() -> None:
        opened = (lambda file, name: Image.new("RGB", (4, 3), "red")), lambda prefix: True  # noqa: ARG005
        monkeypatch.setitem(Image.OPEN, "HEIF", opened)

    plugin = ModuleType(decoders.HEIF_PLUGIN)
    plugin.register_heif_opener = register  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, decoders.HEIF_PLUGIN, plugin)
    assert images.read(tmp_path / "a.heic").size == (4, 3)


def test_pipes_and_circles_of_links_are_named_and_do_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "a.jpg").symlink_to(tmp_path / "b.jpg")
    (tmp_path / "b.jpg").symlink_to(tmp_path / "a.jpg")
    for name, reason in {"pipe": "not a regular file", "a": "cannot be read"}.items():
        for look in (images.read, images.size_of):
            with pytest.raises(images.ImageError, match=reason):
                look(tmp_path / f"{name}.jpg")


@pytest.mark.parametrize(
    ("width", "height", "reason"),
    [
        (79_000_000, 1, "limit of 65535 for a side"),
        (1, 79_000_000, "limit of 65535 for a side"),
        (60_000, 100, "more than 500 times"),
    ],
)
def test_pictures_that_exhaust_a_machine_are_refused_by_their_header(
    tmp_path: Path, width: int, height: int, reason: str
) -> None:
    with pytest.raises(images.ImageError, match=f"too large: {width}×{height} pixels, .*{reason}"):
        images.read(bomb_png(tmp_path / "a.png", width, height))


def test_a_jpeg_that_is_shrunk_anyway_is_decoded_small(tmp_path: Path) -> None:
    ramp(1024, 512).save(tmp_path / "a.jpg", quality=95)
    assert images.read(tmp_path / "a.jpg", max_side=128).size == (256, 128)
    assert images.read(tmp_path / "a.jpg", max_side=400).size == (1024, 512)
    assert images.read(tmp_path / "a.jpg").size == (1024, 512)


@pytest.mark.parametrize("side", [9_300, 60_000])  # Pillow would warn, and refuse
def test_bombs_are_refused_by_their_header(tmp_path: Path, side: int) -> None:
    with pytest.raises(images.ImageError, match=r"too large: .* over the limit of 80 megapixels"):
        images.read(bomb_png(tmp_path / "a.png", side))


def test_pixel_limit_is_a_parameter(tmp_path: Path) -> None:
    ramp(30, 10).save(tmp_path / "a.png")
    assert images.read(tmp_path / "a.png", max_pixels=300).size == (30, 10)
    with pytest.raises(images.ImageError, match="30×10 pixels"):
        images.read(tmp_path / "a.png", max_pixels=299)


def test_errors_survive_the_way_from_a_worker() -> None:
    error = pickle.loads(pickle.dumps(images.ImageError("a.jpg", "is empty")))  # noqa: S301
    assert (str(error), error.path, error.reason) == ("a.jpg: is empty", Path("a.jpg"), "is empty")
