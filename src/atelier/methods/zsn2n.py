"""Zero-Shot Noise2Noise: denoise a picture without training data (Mansour & Heckel, CVPR 2023).

Two down-samplings of one noisy picture have nearly the same content and independent noise, if the
noise is independent from pixel to pixel. From this pair a small network learns to predict the
noise, from scratch for every picture. The noise of an optimised picture is not of that kind, and
fine texture resembles noise: the table shows whether denoising helps.

Shapes: B noisy pictures y of (C, H, W), f the B networks, D1 and D2 the down-samplings to (h, w).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Generator, Tensor, nn
from torch.optim import Adam
from torch.optim.lr_scheduler import StepLR

from atelier.core.batches import seed_of
from atelier.core.config import Settings, UserError
from atelier.core.pairing import Job, choose
from atelier.core.precision import lowered, noted
from atelier.core.purpose import RunSetting, split
from atelier.core.stage_settings import is_among
from atelier.core.structure import Precision
from atelier.methods.base import Iterate, Kind, Method
from atelier.methods.trained import seeded
from atelier.nn.picture_batches import fill_batch, refuse_small
from atelier.nn.zsn2n import Best, Networks, held_out, mean_where, network, pair_downsample

SMALLEST = 4
"""Smallest side in pixels: below it, down-sampled pictures have too few neighbours to learn
from."""
PRESETS = {"a": {"steps": 2000, "decay_every": 1500}, "b": {"steps": 3000, "decay_every": 1000}}
"""Schedules of the two public copies of the authors' notebook."""


class DenoiseSettings(Settings):
    """Settings of ``denoise`` in ``params.yaml``."""

    on: Literal["all", "none"] | tuple[str, ...] = "all"
    """Entries whose pictures are denoised and scored once more."""
    pictures: int | None = Field(None, ge=1)
    """Number of pictures of each entry, a seeded choice; None: all."""
    preset: Literal["a", "b"] = "a"
    """Defaults of ``steps`` and ``decay_every``: 2000 and 1500, or 3000 and 1000."""
    steps: int = Field(2000, ge=1)
    """Steps of Adam, each on the entire picture unless ``crop`` is set."""
    decay_every: int = Field(1500, ge=1)
    """Steps after which the learning rate is multiplied by ``decay``."""
    decay: float = Field(0.5, gt=0, le=1)
    lr: float = Field(1e-3, gt=0)
    width: int = Field(48, ge=1)
    """Channels inside the network."""
    strength: float = Field(1.0, ge=0, le=1)
    """Fraction of the predicted noise that is subtracted: y - strength·f(y). Training is as for
    1."""
    patience: int | None = Field(None, ge=1)
    """Early stopping: end a picture after this many steps without a lower residual loss at pixels
    held out from training, and use the weights with the lowest; None trains all steps, as in the
    paper. The noise there was never a target, so this loss separates fitting the picture from
    fitting its noise, which the training loss cannot."""
    held_out: float = Field(0.05, gt=0, lt=1)
    """Fraction of the down-sampled positions held out; no effect without ``patience``."""
    precision: Precision = "float32"
    """Precision of the convolutions; losses, weights and pictures stay in float32."""
    crop: int | None = Field(None, ge=SMALLEST)
    """Side of the random square that each step trains on; None: the entire picture, as in the
    paper. A network of 22,275 weights learns nearly as much from a crop, in a fraction of the time
    (docs/log.md)."""
    batch: int = Field(8, ge=1)
    """Number of pictures denoised at once."""
    fill_batch: bool = True
    """Repeat the last picture until the batch is full. Convolutions round differently for another
    number of pictures, and training amplifies it. At one batch size a picture's result is the same
    bit for bit whatever its neighbours."""
    workers: RunSetting[int] = Field(1, ge=1)
    """Processes among which the batches are divided; on a CPU only."""

    @model_validator(mode="before")
    @classmethod
    def _schedule(cls, block: Any) -> Any:
        """Fill in the preset's values; an unknown preset is left to validation."""
        if not isinstance(block, dict):
            return block
        preset = block.get("preset", "a")
        return {**(PRESETS.get(preset, {}) if isinstance(preset, str) else {}), **block}

    def deciding(self, block: Mapping[str, Any], names: Collection[str]) -> dict[str, Any] | None:
        """Return the part of the settings' ``block`` that an entry's pictures depend on, if any.

        Without ``on``, so that denoising one more entry leaves the others alone, and without what
        changes no picture.
        """
        run = split(type(self), block)["run"]
        own = {key: value for key, value in block.items() if key != "on" and key not in run}
        return own if is_among(names, self.on) else None

    @model_validator(mode="after")
    def _whole_to_watch(self) -> Self:
        if self.crop and self.patience:
            raise ValueError("patience watches whole pictures: leave crop at null")
        return self


@dataclass(frozen=True, kw_only=True)
class Denoised(Iterate):
    """Denoised pictures so far; the last are the result."""

    steps: Tensor
    """(B,): training steps of each picture; fewer than ``step`` after early stopping."""


Window = tuple[slice, slice] | None


def picture_seed(name: str, seed: int) -> int:
    """Return the seed of a picture's initial weights, which depends on its name, not its place."""
    return seed_of(seed, name)


class Descent:
    """Training of a batch: networks, optimiser, and the loss of every picture."""

    def __init__(self, noisy: Tensor, settings: DenoiseSettings, seeds: Sequence[int]) -> None:
        self.noisy, self.settings = noisy, settings
        self.pair = torch.stack(pair_downsample(noisy))  # (2, B, C, h, w)
        alone = [_first_network(noisy.shape[1], settings.width, seed) for seed in seeds]
        self.networks = Networks(alone).to(noisy.device)
        # Adam is elementwise: one for all networks equals one for each
        self.adam = Adam(self.networks.parameters(), lr=settings.lr)
        self.schedule = StepLR(self.adam, settings.decay_every, settings.decay)
        held = torch.zeros(len(noisy), *self.pair.shape[3:], dtype=torch.bool)
        if settings.patience is not None:
            held = held_out(held, settings.held_out, seeds)
        self.held = held.to(noisy.device)
        self.best = Best(self.networks)
        self.places = Generator().manual_seed(0)  # one for all: neighbours must not matter

    def look(self, window: Window = None) -> tuple[Tensor, dict[str, Tensor]]:
        """Return predicted noise (B, C, H, W) and losses (B,) of the current weights (§3.2).

        Args:
            window: rows and columns to process, with even bounds; all by default.
        """
        noisy, pair, held = self._inside(window)
        with lowered(self.settings.precision, str(noisy.device)):
            noise = self.networks(noisy.unsqueeze(0))[0].float()
            halves = pair - self.networks(pair).float()
        clean = torch.stack(pair_downsample(noisy - noise))
        crossed = (halves - pair.flip(0)).square().mean((0, 2))  # (B, h, w), both ways
        residual = mean_where(crossed, ~held)
        consistency = (halves - clean).square().mean((0, 2, 3, 4))
        losses = {"total": residual + consistency, "residual": residual, "consistency": consistency}
        if self.settings.patience is not None:
            losses["held_out"] = mean_where(crossed.detach(), held)
        return noise, losses

    def window(self) -> Window:
        """Return the window of the next step."""
        crop = self.settings.crop
        if crop is None:
            return None
        sides = [min(crop, side) // 2 * 2 for side in self.noisy.shape[2:]]
        free = [
            (whole - side) // 2 + 1 for whole, side in zip(self.noisy.shape[2:], sides, strict=True)
        ]
        at = [2 * int(torch.randint(n, (1,), generator=self.places)) for n in free]
        return slice(at[0], at[0] + sides[0]), slice(at[1], at[1] + sides[1])

    def _inside(self, window: Window) -> tuple[Tensor, Tensor, Tensor]:
        """Return pictures, pairs and held-out positions there; a pair's row is two picture rows."""
        if window is None:
            return self.noisy, self.pair, self.held
        rows, columns = window
        down, across = (slice(part.start // 2, part.stop // 2) for part in window)
        noisy, pair = self.noisy[..., rows, columns], self.pair[..., down, across]
        return noisy.contiguous(), pair.contiguous(), self.held[..., down, across]

    def update(self, total: Tensor) -> None:
        """Take one step of Adam on the sum over pictures: none changes the gradient of another."""
        self.adam.zero_grad()
        torch.autograd.backward(total.sum())
        self.adam.step()
        self.schedule.step()

    def cleaned(self, noise: Tensor) -> Tensor:
        """Return the denoised pictures, y - strength·f(y), in [0, 1]."""
        return (self.noisy - self.settings.strength * noise.detach()).clamp(0, 1)


def denoise(
    noisy: Tensor, settings: DenoiseSettings, seeds: Sequence[int], every: int = 50
) -> Iterator[Denoised]:
    """Denoise a batch, one network for each picture.

    Args:
        noisy: (B, C, H, W) in [0, 1], on the device to work on; C = 3 or 1, any H and W.
        settings: ``batch`` is only used to fill a smaller batch.
        seeds: one for each picture (``picture_seed``), for its initial weights and held-out pixels.
        every: steps from one iterate to the next.

    Yields:
        Pictures and losses of the same weights, first of the untrained ones; last, with ``step``
        equal to ``total``, the result, in [0, 1].

    Raises:
        UserError: pictures that are too small, or a loss that is not finite.
    """
    _check(noisy, seeds)
    count, total = len(noisy), settings.steps
    filled = fill_batch(noisy, settings.batch if settings.fill_batch else count)
    again = [seeds[-1]] * (len(filled) - count)
    descent = Descent(filled.float().contiguous(), settings, [*seeds, *again])
    for step in range(total):
        noise, losses = descent.look(window := descent.window())
        if settings.patience is not None:
            descent.best.watch(losses["held_out"], step, settings.patience)
        if step % every == 0:
            reached = torch.full((count,), step)
            if window is not None:
                with torch.no_grad():
                    noise, _ = descent.look()  # full pictures, losses of the crop
            yield _iterate(descent, noise, losses, step, reached)
            if descent.best.ended.all():
                break
        descent.update(losses["total"])
    yield _result(descent, count)


@torch.no_grad()
def _result(descent: Descent, count: int) -> Denoised:
    """Return the result of the last weights or, with ``patience``, of the best."""
    settings = descent.settings
    total, steps = settings.steps, torch.full((count,), settings.steps)
    noise, losses = descent.look()
    if settings.patience is not None:
        if not descent.best.ended.all():
            descent.best.watch(losses["held_out"], total, settings.patience)
        descent.best.restore()
        steps = descent.best.steps[:count].cpu()
        noise, losses = descent.look()
    return _iterate(descent, noise, losses, total, steps)


def _iterate(
    descent: Descent, noise: Tensor, losses: dict[str, Tensor], step: int, steps: Tensor
) -> Denoised:
    count = len(steps)
    if not bool(losses["total"].isfinite().all()):
        raise UserError(f"denoise: the loss is not finite at step {step}: lower lr")
    shown = {name: loss.detach()[:count] for name, loss in losses.items()}
    image = descent.cleaned(noise)[:count]
    return Denoised(step, descent.settings.steps, image, shown, steps=steps)


def _first_network(channels: int, width: int, seed: int) -> nn.Sequential:
    """Draw a network with torch's default initialisation, as the authors' code has it."""
    with seeded(seed):
        return network(channels, width)


def _check(noisy: Tensor, seeds: Sequence[int]) -> None:
    if noisy.ndim != 4 or not len(noisy) or len(seeds) != len(noisy):
        found = f"{tuple(noisy.shape)} and {len(seeds)} seeds"
        raise ValueError(f"expected (B, C, H, W) with a seed for each picture, found {found}")
    refuse_small("denoise", SMALLEST, noisy)


LOOKS = 5
"""Number of intermediate iterates, for progress and curves."""


class Denoiser(Method[DenoiseSettings]):
    """Zero-Shot Noise2Noise: one network per picture; no painting is used."""

    kind: ClassVar[Kind] = "optimisation"
    Settings = DenoiseSettings

    def __init__(self, settings: DenoiseSettings, seed: int, device: str) -> None:
        self.settings, self.seed, self.device = settings, seed, device
        self.every = max(1, settings.steps // LOOKS)

    @classmethod
    def build(cls, settings: DenoiseSettings, *, seed: int, device: str) -> Self:
        """Build the denoiser; nothing is loaded."""
        return cls(settings, seed, device)

    @property
    def batch(self) -> int:
        """Number of pictures denoised at once."""
        return self.settings.batch

    def card(self) -> dict[str, Any]:
        """Return the kind, and the precision that ``auto`` stands for."""
        return {**super().card(), **noted("precision", self.settings.precision, self.device)}

    def steps(self, height: int, width: int) -> int:  # noqa: ARG002 - the same for every size
        """Return the number of iterates, the result included; early stopping yields fewer."""
        return -(-self.settings.steps // self.every) + 1

    def places(self, count: int) -> list[int]:
        """Return the training steps of the first ``count`` iterates."""
        return [min(n * self.every, self.settings.steps) for n in range(count)]

    def iterates(self, content: Tensor, style: Tensor) -> Iterator[Iterate]:  # noqa: ARG002
        """Denoise ``content`` (B, 3, H, W) in [0, 1].

        All networks start from the same weights: those of a single picture with this seed.
        """
        seeds = [self.seed] * len(content)
        yield from denoise(content.to(self.device), self.settings, seeds, self.every)


CHOICE = ("on", "pictures", "workers")
"""Settings of what is denoised and where, on which no denoised picture depends."""


def denoise_jobs(pictures: Sequence[Path], count: int | None = None, seed: int = 0) -> list[Job]:
    """Return one denoising job per picture, of at most ``count`` of them, by name."""
    kept = set(choose([path.stem for path in pictures], count, seed))
    return [Job(path.stem, path, path) for path in pictures if path.stem in kept]
