"""Settings of the preparation: sizes, splits, what is done with broken pictures and with copies."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from atelier.core import images
from atelier.core.config import Settings
from atelier.core.decoders import MAX_PIXELS
from atelier.core.paths import TEST_PAINTINGS
from atelier.core.purpose import RunSetting

OPTIONAL = {
    **dict.fromkeys(("training_size", "train_photos", "test_paintings")),
    "pair_with": "paintings",
}
"""Setting → the value that leaves manifest and digest as they were before there was the setting."""
FEWEST_HELD_OUT = 2
"""Number of held-out paintings from which there is a distance to them."""


SMALLEST, LARGEST = 16, 4096
"""Limits of a side, in pixels."""
Side = Annotated[int, Field(ge=SMALLEST, le=LARGEST)]


class PrepareSettings(Settings):
    """Settings of the step; only ``workers`` has no influence on the result."""

    size: Side | tuple[Side, Side]
    """Pixels: the side of the square, or [height, width], torch's and torchvision's order. With
    ``resize: fit`` the long side, or the box to fit in."""
    training_size: Side | None = None
    """Short side of a second copy, of the same shape, of the pictures to train on, for crops that
    come from larger pictures; none is enlarged for it beyond ``size``. None: no copy."""
    resize: images.ResizeMode = "crop"
    on_broken: Literal["skip", "fail"] = "skip"
    max_megapixels: float = Field(MAX_PIXELS / 1e6, gt=0, le=MAX_PIXELS / 1e6)
    """Megapixels above which a picture counts as broken."""
    duplicates: Literal["keep", "skip"] = "keep"
    """Treatment of the second of two equal files of one split."""
    train_photos: int | None = Field(None, ge=1)
    """Number of training photographs, a seeded choice; None: all. A larger one contains it."""
    test_photos: int | None = Field(None, ge=1)
    """Number of test photographs paired with a painting; None: all."""
    test_paintings: int | None = Field(None, ge=FEWEST_HELD_OUT)
    """Number of paintings held out from all trainings, a seeded choice, as a second reference set;
    None: no split. A larger one contains it."""
    pair_with: Literal["paintings", "test_paintings"] = "paintings"
    """Paintings that the test photographs are paired with."""
    min_pictures: int = Field(1, ge=1)
    """Minimum number of usable pictures in a required split."""
    workers: RunSetting[int | None] = Field(None, ge=1)
    """Processes; None: one per core."""

    @field_validator("size", mode="before")
    @classmethod
    def _two_sides(cls, value: Any) -> Any:
        """Refuse a list that is no pair of sides, in one sentence instead of one per element."""
        if isinstance(value, tuple):
            sides = [s for s in value if type(s) is int and SMALLEST <= s <= LARGEST]
            if len(value) != 2 or len(sides) != 2:
                wanted = f"[height, width], two whole numbers from {SMALLEST} to {LARGEST}"
                raise PydanticCustomError("sides", "has to be a whole number or {w}", {"w": wanted})
        return value

    @model_validator(mode="after")
    def _larger(self) -> Self:
        if self.training_size is not None and self.training_size <= min(self.box):
            raise ValueError("training_size: has to be larger than size")
        if self.pair_with == TEST_PAINTINGS and self.test_paintings is None:
            raise ValueError("pair_with: there is no such split without test_paintings: N")
        return self

    @property
    def box(self) -> tuple[int, int]:
        """Width and height, in Pillow's order."""
        height, width = (self.size, self.size) if isinstance(self.size, int) else self.size
        return width, height

    def box_to_train(self, size: tuple[int, int]) -> tuple[int, int]:
        """Return the box of the larger copy of a picture of ``size``, width and height.

        It has the shape of ``box``, and is enlarged as far as the picture is large enough.
        """
        sides = [own / side for own, side in zip(size, self.box, strict=True)]
        enough = max(sides) if self.resize == "fit" else min(sides)
        factor = max(1.0, min((self.training_size or 0) / min(self.box), enough))
        width, height = (round(side * factor) for side in self.box)
        return width, height

    def decisive(self) -> dict[str, Any]:
        """Return the settings on which the result depends; of some an unset one is none."""
        unset = {key for key, value in OPTIONAL.items() if getattr(self, key) == value}
        return self.model_dump(mode="json", exclude={"workers", *unset})
