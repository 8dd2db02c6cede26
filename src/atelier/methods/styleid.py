"""StyleID: a published diffusion model paints the photograph with the painting's self-attention.

After Chung, Hyun & Heo, "Style Injection in Diffusion", CVPR 2024 (arXiv 2312.09008). Nothing is
trained or optimised: photograph and painting are inverted to noise by DDIM, and the picture is
generated from the photograph's noise while the decoder's self-attention reads the painting.

It is no entry of ``params.yaml``: the weights (gigabytes) do not ship. ``docs/methods.md`` says how
to add it.

Shapes: B pictures of H×W, styles h×w.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, Self

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from atelier.core.config import Settings
from atelier.core.precision import noted
from atelier.core.structure import Precision
from atelier.methods.base import Iterate, Kind, Method
from atelier.nn.pretrained.diffusion import LatentDiffusion, lacks_extra, load_diffusion
from atelier.nn.style_injection import Injection, Recording, Sampler, adain_latents

PUBLISHED_LAYERS = (6, 7, 8, 9, 10, 11)
"""Of the decoder's twelve, counted from 0: the two finest resolutions, as in the authors' first
code; unlike in their second one, which begins at 7."""


class StyleIdSettings(Settings):
    """Settings of a ``styleid`` entry in ``params.yaml``; defaults: the authors' first code."""

    model: str = Field("CompVis/stable-diffusion-v1-4", min_length=1)
    """A local folder in the layout of ``diffusers``, or an id of the Hugging Face hub. Only
    safetensors files are read."""
    revision: str | None = None
    """Commit or branch on the hub; None: its newest."""
    gamma: float = Field(0.75, ge=0, le=1)
    """γ: share of the photograph's queries. 1 preserves the content most, 0 the least."""
    temperature: float = Field(1.5, gt=0)
    """τ: factor of the attention's logits; above 1 it is sharper."""
    layers: tuple[int, ...] = PUBLISHED_LAYERS
    """Layers of the decoder whose self-attention reads the painting; (): none."""
    initial_adain: bool = True
    """Give the initial noise the painting's means and deviations, and so its colours."""
    steps: int = Field(50, ge=1, le=1000)
    """Steps of DDIM, in each direction."""
    inversion_rounds: int = Field(1, ge=1, le=50)
    """Predictions per step of the inversion. 1 is the paper's, which reconstructs a photograph
    approximately; more come closer to it, in as many times the time."""
    size: int | None = Field(512, ge=64)
    """Short side in pixels at which the model works, the one it was trained for; None: the
    picture's own. Results have the size of the photograph."""
    precision: Precision = "float32"
    batch: int = Field(1, ge=1)
    """Pictures at once. Queries, keys and values of all steps are kept: with the published model
    3.5 GB for a picture of 512×512 in float32, half in bfloat16."""


class StyleId(Method[StyleIdSettings]):
    """A frozen diffusion model, and what is injected into it."""

    kind: ClassVar[Kind] = "diffusion"
    Settings: ClassVar[type[Settings]] = StyleIdSettings
    encoders: ClassVar[tuple[str, ...]] = ()

    def __init__(self, settings: StyleIdSettings, model: LatentDiffusion) -> None:
        self.settings, self.model = settings, model
        layers = model.self_attention(settings.layers)
        self.sampler = Sampler(model, layers, settings.steps, settings.inversion_rounds)

    @classmethod
    def build(cls, settings: StyleIdSettings, *, seed: int, device: str) -> Self:  # noqa: ARG003
        """Read the model; nothing is drawn at random.

        Raises:
            UserError: the extra ``diffusion`` or the weights are missing, or a layer is.
        """
        s = settings
        return cls(s, load_diffusion(s.model, s.revision, s.precision, device, "styleid"))

    @classmethod
    def obstacle(cls) -> str:
        """Return that the extra is missing; whether weights are there, reading them tells."""
        return lacks_extra("styleid")

    @property
    def batch(self) -> int:
        """Return how many pictures are generated at once."""
        return self.settings.batch

    def card(self) -> dict[str, Any]:
        """Return kind, the model's name and its hash."""
        named = {"model": self.model.name, "model_hash": self.model.hash}
        lower = noted("precision", self.settings.precision, self.model.device)
        return {"kind": self.kind, **named, **lower}

    def iterates(self, content: Tensor, style: Tensor) -> Iterator[Iterate]:
        """Yield the one result for (B, 3, H, W) and (B, 3, h, w) in [0, 1]."""
        height, width = int(content.shape[2]), int(content.shape[3])
        latents = self.inject(*(self.model.encode(self._fit(one)) for one in (content, style)))
        image = _resize(self.model.decode(latents), (height, width))
        yield Iterate(1, 1, image)

    def inject(self, content: Tensor, style: Tensor) -> Tensor:
        """Return the stylised latents (B, C, h, w) of a photograph's and a painting's latents."""
        s = self.settings
        queries, painting = Recording(("query",)), Recording(("key", "value"))
        noise = self.sampler.invert(content, queries)
        style_noise = self.sampler.invert(style, painting)
        if s.initial_adain:
            noise = adain_latents(noise, style_noise)
        plan = Injection(queries.kept, painting.kept, s.gamma, s.temperature)
        return self.sampler.generate(noise, plan)

    def _fit(self, image: Tensor) -> Tensor:
        """Return (B, 3, H, W) on the device in a size that the model takes.

        Unlike the authors' code, which cuts the middle square, whole pictures in their own aspect:
        the photograph's frame is compared with the result's, and attention takes any number of
        positions.
        """
        height, width = image.shape[2:]
        factor = (self.settings.size or min(height, width)) / min(height, width)
        step = self.model.multiple
        size = (max(round(side * factor / step), 1) * step for side in (height, width))
        return _resize(image.to(self.model.device), (*size,))


def _resize(image: Tensor, size: tuple[int, ...]) -> Tensor:
    """Resize (B, 3, H, W) in [0, 1] bicubically to ``size``, without aliases."""
    if image.shape[2:] == size:
        return image
    return F.interpolate(image, size, mode="bicubic", antialias=True).clamp(0, 1)


METHOD = StyleId
