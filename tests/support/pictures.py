"""Odd pictures, made on the spot."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms


def ramp(width: int = 64, height: int = 48, seed: int = 0) -> Image.Image:
    """A smooth RGB picture; another seed gives another one."""
    y, x = np.mgrid[0:height, 0:width]
    shift = 37 * seed
    channels = [x * 255 // max(1, width - 1), y * 255 // max(1, height - 1), (x + y + shift) % 256]
    return Image.fromarray(np.stack(channels, -1).astype(np.uint8))


def save(path: Path, seed: int = 0, size: tuple[int, int] = (64, 48)) -> Path:
    """A picture file whose bytes differ for every seed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    ramp(*size, seed=seed).save(path)
    return path


def data_folder(root: Path, train: int = 4, test: int = 3, paintings: int = 2) -> Path:
    """A small folder in the layout of the project."""
    counts = {"photos/train": train, "photos/test": test, "paintings": paintings}
    for base, (split, count) in enumerate(counts.items()):
        for n in range(count):
            save(root / split / f"{Path(split).name}_{n}.png", seed=100 * base + n)
    return root


def signed_tiff(path: Path, words: np.ndarray) -> None:
    """A TIFF of 16-bit words (H, W) with a sign, which Pillow reads but does not write."""
    height, width = words.shape
    body = words.astype("<i2").tobytes()
    tags = {256: width, 257: height, 258: 16, 259: 1, 262: 1, 273: 8, 277: 1, 278: height}
    tags |= {279: len(body), 339: 2}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    directory = struct.pack("<H", len(tags)) + entries + bytes(4)
    path.write_bytes(b"II*\0" + struct.pack("<I", 8 + len(body)) + body + directory)


def bomb_png(path: Path, side: int = 60_000, height: int | None = None) -> Path:
    """A PNG of 100 bytes whose header promises side × height (or side) pixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        crc = struct.pack(">I", zlib.crc32(kind + body))
        return struct.pack(">I", len(body)) + kind + body + crc

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, height or side, 8, 2, 0, 0, 0))
    body = header + chunk(b"IDAT", zlib.compress(bytes(10))) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)
    return path


def profile_of_linear_light() -> bytes:
    """sRGB with its three tone curves replaced by the identity (gamma 1): clearly another one."""
    raw = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    for n in range(int.from_bytes(raw[128:132])):
        entry = 132 + 12 * n
        if bytes(raw[entry : entry + 4]) in {b"rTRC", b"gTRC", b"bTRC"}:
            at = int.from_bytes(raw[entry + 4 : entry + 8])
            raw[at : at + 12] = b"curv" + bytes(8)
    return bytes(raw)
