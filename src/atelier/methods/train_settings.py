"""Settings of every training, of whatever system."""

from __future__ import annotations

from math import ceil
from typing import Annotated, Any, ClassVar, Self

from pydantic import Field, ValidationError, model_validator

from atelier.core.config import Settings
from atelier.core.layout import PhotosFrom
from atelier.core.phases import THEN, WARM_START, phases
from atelier.core.purpose import ApplySetting, RunSetting
from atelier.core.structure import Precision


class TrainSettings(Settings):
    """Settings of every trained system."""

    epochs_of_schedule: ClassVar[bool] = False
    """Whether the learning rate changes by ``epochs``, which then may stand beside ``steps``."""

    steps: int = Field(0, ge=0)
    """Training steps; 0: the weights of ``warm_start`` unchanged."""
    epochs: int | None = Field(None, ge=1)
    """Passes over the training photographs, instead of ``steps``."""
    batch: int = Field(8, ge=1)
    """Photographs per training step."""
    lr: float = Field(1e-4, gt=0)
    crop: int | None = Field(256, ge=32)
    """Side of the training crops in pixels; None: uncropped pictures."""
    load_size: int | None = Field(None, ge=32)
    """Short side to which pictures are resized before cropping; None: not resized."""
    smallest_side: float = Field(1.0, gt=0, le=1)
    """Smallest side of a crop as a fraction of the short side; 1: crops are not resized."""
    enlarge: bool = True
    """Whether pictures smaller than ``load_size`` and crops smaller than ``crop`` are enlarged to
    them. An enlarged picture lacks the detail of those the system is applied to."""
    flip: bool = True
    photos: int | None = Field(None, ge=1)
    """Number of training photographs, a seeded choice; None: all."""
    photos_from: PhotosFrom = "train"
    """Photographs to train on: those in photos/train, the general ones in everyday, or both."""
    styles: int | None = Field(None, ge=1)
    """Number of training paintings, a seeded choice; None: all."""
    ema: float = Field(0.0, ge=0, lt=1)
    """Decay of the exponential moving average that becomes the final weights; 0: the last
    weights."""
    clip_norm: float | None = Field(None, gt=0)
    """Norm to which gradients are clipped, over all parameters of an optimiser."""
    precision: Precision = "float32"
    """Precision of the convolutions in training; the losses' statistics stay in float32."""
    apply_precision: ApplySetting[Precision] = "float32"
    """Precision of the convolutions when the method is applied."""
    accumulate: int = Field(1, ge=1)
    """Parts of the batch computed one after another to save memory (gradient accumulation)."""
    compile: bool = False
    """Compile the networks with torch.compile: slow first steps, faster training on a GPU."""
    then: tuple[dict[str, Any], ...] = ()
    """Further phases, by the settings that change: each is a training of its own ``steps``, which
    begins with the final weights of the one before. Snapshots and ``keep_checkpoints`` are those
    of the last."""
    keep_checkpoints: tuple[Annotated[int, Field(ge=1)], ...] = ()
    """Steps after which the weights are kept beside the final ones, to be applied as NAME@STEP."""
    snapshots: RunSetting[int] = Field(5, ge=0)
    """Number of snapshots of test photographs, evenly spread over the training, the end
    included."""
    save_minutes: RunSetting[float] = Field(10.0, ge=0)
    """Minutes between checkpoints, which is what a training that is killed can lose; 0: one after
    every step."""
    log_every: RunSetting[int] = Field(10, ge=1)
    """Steps averaged into one point of the curves."""
    workers: RunSetting[int] = Field(0, ge=0)
    """Processes that prefetch pictures."""
    stylize_batch: ApplySetting[int] = Field(8, ge=1)
    """Pictures per batch when the method is applied."""
    warm_start: str | None = None
    """Initial weights: ``zoo`` (the zoo's entry of the method's name) or ``zoo:NAME``, tracked by
    DVC; or a path below the project's root, not tracked: a ``model.safetensors`` (final weights; of
    an adversarial system the generators) or a training's ``step-….pt`` (all networks)."""

    @property
    def by_epochs(self) -> bool:
        """Whether the steps are not given and follow from ``epochs`` and the photographs."""
        return "steps" not in self.model_fields_set

    def counted(self, photos: int) -> Self:
        """Return the settings with the number of steps, known the number of photographs."""
        if not self.by_epochs or self.epochs is None:
            return self
        return self.model_copy(update={"steps": ceil(self.epochs * photos / self.batch)})

    @model_validator(mode="after")
    def _begins_or_learns(self) -> Self:
        given = "epochs" in self.model_fields_set and self.epochs is not None
        if self.by_epochs:
            if not given:
                raise ValueError("steps: is missing, and so is epochs")
            return self
        if given and not self.epochs_of_schedule:
            raise ValueError("epochs: stands beside steps; keep one")
        if beyond := [step for step in self.keep_checkpoints if step > self.steps]:
            raise ValueError(f"keep_checkpoints: {beyond[0]} is beyond the {self.steps} steps")
        if not self.steps and not self.warm_start:
            raise ValueError("steps: 0 trains nothing; set warm_start, or train")
        return self

    @model_validator(mode="after")
    def _phases_are_settings(self) -> Self:
        for place, change in enumerate(self.then):
            if kept := sorted({THEN, WARM_START} & set(change)):
                raise ValueError(f"then[{place}]: {kept[0]} is for the whole training")
        for place, part in enumerate(self._later_blocks()):
            try:
                type(self).model_validate(part)
            except ValidationError as error:
                first = error.errors()[0]
                named = ".".join(str(one) for one in first["loc"]) or "it"
                raise ValueError(f"then[{place}]: {named}: {first['msg']}") from None
        return self

    def _later_blocks(self) -> list[dict[str, Any]]:
        return phases(self.model_dump(include=self.model_fields_set))[1:]

    def later_phases(self) -> list[Self]:
        """Return the settings of the phases of ``then``."""
        return [type(self).model_validate(part) for part in self._later_blocks()]
