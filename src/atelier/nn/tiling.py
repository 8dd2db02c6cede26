"""Tiled application of local networks: large pictures in little memory, with the same result.

Exact for local operations (convolution, pooling, upsampling; not a normalisation over positions).
Every tile is computed with a halo of its surroundings, as wide as the network's receptive field
reaches; the network's padding only matters at the border of the picture.

Reach in pixels from the 2^k × 2^k block of a position (tests measure it by gradients):

- encoder to relu3_1: two 3×3 at stride 1, two at 2, one at 4: 2 + 4 + 4 = 10 for VGG19,
  13 for ``mini``.
- encoder to relu4_1: two 3×3 at stride 1, two at 2, four at 4, one at 8: 2 + 4 + 16 + 8 = 30 for
  VGG19 (less for VGG16 and ``mini``). Poolings add nothing: tiles begin on their grid.
- encoder to relu5_1: three more at stride 8 and one at 16: 30 + 24 + 16 = 70.
- the decoder's tail, in positions of its input, counted upwards from the picture: two convolutions
  reach 2 px, that is 1 position at stride 2; two more 3, that is 2 at stride 4; four more 6.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction

from torch import Tensor

from atelier.core.config import UserError
from atelier.nn.decoder import Decoder
from atelier.nn.pretrained.features import Features

HALO = {"relu3_1": 16, "relu4_1": 32, "relu5_1": 80}
"""Deepest layer → halo in pixels, a multiple of its stride and not below its reach."""
STRIDES = {"relu1_1": 1, "relu2_1": 2, "relu3_1": 4, "relu4_1": 8, "relu5_1": 16}
TAIL_HALO = 6
"""Halo in positions at stride 4."""


def tiled(
    apply: Callable[[Tensor], Sequence[Tensor]],
    value: Tensor,
    tile: int,
    halo: int,
    ratios: Sequence[Fraction],
) -> list[Tensor]:
    """Return ``apply(value)`` for a local ``apply``, with the intermediates of one tile at a time.

    Args:
        apply: (B, C, h, w) to outputs (B, C', ⌊h·ratio⌋, ⌊w·ratio⌋), one per ratio.
        value: (B, C, H, W), any size.
        tile: side of a tile without its halo, in positions of ``value``.
        halo: in positions of ``value``. Tile and halo times any ratio must be whole numbers.
        ratios: size of each output relative to the input: 8, or 1/8.
    """
    height, width = value.shape[2:]
    found: list[Tensor] = []
    for top in range(0, height, tile):
        for left in range(0, width, tile):
            rows, columns = _reach(top, tile, halo, height), _reach(left, tile, halo, width)
            pieces = apply(value[..., rows, columns])
            if not found:
                sizes = [(int(height * r), int(width * r)) for r in ratios]
                parts = zip(pieces, sizes, strict=True)
                found = [p.new_empty(*p.shape[:2], *size) for p, size in parts]
            for whole, piece, ratio in zip(found, pieces, ratios, strict=True):
                y, y_from = _place(top, rows, tile, height, ratio)
                x, x_from = _place(left, columns, tile, width, ratio)
                whole[..., y, x] = piece[..., y_from, x_from]
    return found


def _reach(start: int, tile: int, halo: int, end: int) -> slice:
    """Return a tile along one axis with its halo, inside the picture."""
    return slice(max(0, start - halo), min(end, start + tile + halo))


def _place(start: int, reach: slice, tile: int, end: int, ratio: Fraction) -> tuple[slice, slice]:
    """Return a tile's slice of the full output, and of its own."""
    first, last = int(start * ratio), int(min(end, start + tile) * ratio)
    offset = int(reach.start * ratio)
    return slice(first, last), slice(first - offset, last - offset)


def encode(
    features: Features, image: Tensor, layers: Sequence[str], tile: int | None = None
) -> dict[str, Tensor]:
    """Return ``layers`` of ``features(image)``, in tiles if a side is longer than ``tile``.

    Args:
        features: tapped at layers of ``STRIDES``, the last one the deepest.
        image: (B, 3, H, W) in [0, 1].
        layers: layers to return.
        tile: in pixels, a multiple of 16; None: no tiling.

    Raises:
        UserError: a side has fewer than two positions in the deepest layer; reflection needs two.
    """
    deepest = features.layers[-1]
    _refuse_small(image, 2 * STRIDES[deepest])

    def seen(part: Tensor) -> list[Tensor]:
        found = features(part)
        return [found[layer] for layer in layers]

    if tile is None or max(image.shape[2:]) <= tile:
        kept = seen(image)
    else:
        ratios = [Fraction(1, STRIDES[layer]) for layer in layers]
        kept = tiled(seen, image, tile, HALO[deepest], ratios)
    return dict(zip(layers, kept, strict=True))


def _refuse_small(image: Tensor, least: int) -> None:
    height, width = image.shape[2:]
    if min(height, width) < least:
        raise UserError(
            f"a picture of {width}×{height} px is too small for this system; it needs {least} px "
            "on either side, enlarge it or take another"
        )


def decode(decoder: Decoder, maps: Sequence[Tensor], tile: int | None = None) -> Tensor:
    """Return ``decoder(*maps)``; the layers from stride 4 on in tiles of ``tile`` pixels.

    Those take nearly all the memory: up to 64 channels per pixel against 4 at stride 8.
    """
    joined = decoder.joined(*maps)
    if tile is None or max(joined.shape[2:]) * 4 <= tile:
        image: Tensor = decoder.tail(joined)
        return image
    (image,) = tiled(lambda part: [decoder.tail(part)], joined, tile // 4, TAIL_HALO, [Fraction(4)])
    return image
