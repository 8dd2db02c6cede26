"""Latent diffusion models of the Stable Diffusion family, read by ``diffusers``: an optional extra.

Only safetensors files are read: no code from a file runs. A model is a local folder in the layout
of ``diffusers`` or an id of the Hugging Face hub. There is never a silent substitute.

Shapes: B pictures of H×W; latents have C channels (4) at h×w, an eighth of a side.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from importlib.util import find_spec
from inspect import signature
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor

from atelier.core.config import UserError
from atelier.core.precision import lowered
from atelier.core.structure import Precision
from atelier.nn.pretrained.weights import digest

EXTRA = ("diffusers", "transformers")
"""Packages of the extra ``diffusion``; they are imported only when a model is read."""
UNREADABLE = (OSError, ValueError, RuntimeError, SafetensorError)
"""What the two libraries raise for a folder or an id without (fitting) files."""
PREDICTS = "epsilon"
"""What the U-Net has to predict: noise, as in Stable Diffusion 1 and 2-base. A velocity (2.1 at 768
pixels) would have to be turned into noise at latents that the inversion does not know yet."""


@dataclass(frozen=True)
class LatentDiffusion:
    """A frozen model: autoencoder, U-Net, noise schedule and the embedding of the empty prompt."""

    name: str
    unet: Any
    """``diffusers.UNet2DConditionModel``."""
    vae: Any
    """``diffusers.AutoencoderKL``."""
    schedule: Any
    """``diffusers.DDIMScheduler``, from noise to the picture."""
    inverse: Any
    """``diffusers.DDIMInverseScheduler``, the other way along the same timesteps."""
    prompt: Tensor
    """(1, tokens, width), the text encoder's output for the empty prompt."""
    precision: Precision = "float32"
    """Of convolutions and matrix products; latents stay in float32."""

    @property
    def device(self) -> str:
        """Return the device of the networks."""
        return str(self.prompt.device)

    @cached_property
    def hash(self) -> str:
        """Return 12 hex digits over all weights in use, the prompt's embedding included."""
        state = {f"unet.{key}": value for key, value in self.unet.state_dict().items()}
        state |= {f"vae.{key}": value for key, value in self.vae.state_dict().items()}
        return digest({**state, "prompt": self.prompt})

    @property
    def multiple(self) -> int:
        """Return the number of pixels of which the sides of a picture have to be multiples."""
        halvings = [len(net.config.block_out_channels) - 1 for net in (self.unet, self.vae)]
        return int(2 ** sum(halvings))

    @torch.no_grad()
    def encode(self, image: Tensor) -> Tensor:
        """Return the latents (B, C, h, w) of pictures (B, 3, H, W) in [0, 1]: the posterior's mode.

        Unlike the authors' first code, which draws from it: a picture has one result.
        """
        with lowered(self.precision, self.device):
            posterior = self.vae.encode(2 * image - 1).latent_dist
        latents: Tensor = self.vae.config.scaling_factor * posterior.mode().float()
        return latents

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        """Return the pictures (B, 3, H, W) in [0, 1] of latents (B, C, h, w)."""
        with lowered(self.precision, self.device):
            image: Tensor = self.vae.decode(latents / self.vae.config.scaling_factor).sample
        return ((image.float() + 1) / 2).clamp(0, 1)

    @torch.no_grad()
    def predict(self, latents: Tensor, timestep: int) -> Tensor:
        """Return the U-Net's prediction for latents (B, C, h, w), with the empty prompt."""
        prompt = self.prompt.expand(len(latents), -1, -1)
        with lowered(self.precision, self.device):
            found: Tensor = self.unet(latents, timestep, encoder_hidden_states=prompt).sample
        return found.float()

    def self_attention(self, layers: Iterable[int]) -> list[Any]:
        """Return the self-attention of layers of the U-Net's decoder, counted from 0 (deepest).

        Stable Diffusion has twelve, of which the first three have no attention.

        Raises:
            UserError: no such layer, or one without attention.
        """
        found: list[Any] = []
        for block in self.unet.up_blocks:
            there = getattr(block, "attentions", None) or [None] * len(block.resnets)
            found += there
        known = [number for number, layer in enumerate(found) if layer is not None]
        if wrong := [layer for layer in layers if layer not in known]:
            raise UserError(
                f"layers: {', '.join(map(str, wrong))}: the decoder of {self.name} has "
                f"self-attention in {', '.join(map(str, known))}"
            )
        blocks = [block for layer in layers for block in found[layer].transformer_blocks]
        return [block.attn1 for block in blocks]


def load_diffusion(
    model: str, revision: str | None, precision: Precision, device: str, who: str
) -> LatentDiffusion:
    """Read a model from a local folder, or from the hub, which downloads it once.

    Args:
        model: a folder in the layout of ``diffusers``, or an id such as ``OWNER/NAME``.
        revision: commit or branch on the hub; None: its newest.
        precision: of convolutions and matrix products.
        device: where the networks shall be.
        who: the entry that needs it, for messages.

    Raises:
        UserError: the extra is not installed, or files are missing, unreadable or do not fit.
    """
    if reason := lacks_extra(who):
        raise UserError(reason)
    options: dict[str, Any] = {"local_files_only": Path(model).is_dir()}
    if revision is not None:
        options["revision"] = revision
    try:
        return _read(model, options, precision, device)
    except torch.OutOfMemoryError:
        raise
    except UNREADABLE as error:
        first = next(iter(str(error).strip().splitlines()), type(error).__name__).rstrip(".:")
        raise UserError(
            f"{who} needs a diffusion model, and {model} cannot be read ({first}): set `model` to "
            f"a folder in diffusers' layout with safetensors files, or to an id of the Hugging "
            f"Face hub where it can be reached"
        ) from None


def lacks_extra(who: str) -> str:
    """Return that packages of the extra ``diffusion`` are missing, a sentence; "" if none is."""
    lacking = [name for name in EXTRA if find_spec(name) is None]
    how = "install them: pip install -e '.[diffusion]'"
    return f"{who} needs {' and '.join(lacking)}; {how}" if lacking else ""


def _read(
    model: str, options: dict[str, Any], precision: Precision, device: str
) -> LatentDiffusion:
    diffusers = importlib.import_module("diffusers")
    read = partial(_network, model, {**options, "use_safetensors": True}, device)
    # `clip_sample`: DDIM's default would clip latents as if they were pixels
    schedule = diffusers.DDIMScheduler.from_pretrained(
        model, subfolder="scheduler", clip_sample=False, **options
    )
    if (kind := schedule.config.prediction_type) != PREDICTS:
        raise ValueError(f"its U-Net predicts {kind}, and not {PREDICTS}")
    return LatentDiffusion(
        name=model,
        unet=read(diffusers.UNet2DConditionModel, "unet", low_cpu_mem_usage=False),
        vae=read(diffusers.AutoencoderKL, "vae", low_cpu_mem_usage=False),
        schedule=schedule,
        inverse=_inverse(diffusers.DDIMInverseScheduler, schedule.config),
        prompt=_empty_prompt(model, options, read).to(device),
        precision=precision,
    )


def _inverse(cls: Any, config: Mapping[str, Any]) -> Any:
    """Return the scheduler ``cls`` with those settings of another that it knows."""
    known = signature(cls).parameters
    return cls(**{key: value for key, value in config.items() if key in known})


def _network(
    model: str, options: dict[str, Any], device: str, cls: Any, folder: str, **more: Any
) -> Any:
    """Return a frozen network of the class ``cls`` from a subfolder of the model.

    Raises:
        ValueError: the file lacks weights, which the libraries would draw at random.
    """
    found, notes = cls.from_pretrained(
        model, subfolder=folder, output_loading_info=True, **options, **more
    )
    if lacking := sorted(notes["missing_keys"]):
        raise ValueError(f"{folder} lacks {len(lacking)} of its weights, first {lacking[0]}")
    return found.float().to(device).eval().requires_grad_(requires_grad=False)


@torch.no_grad()
def _empty_prompt(model: str, options: dict[str, Any], read: Callable[..., Any]) -> Tensor:
    """Return the text encoder's output (1, tokens, width) for "", which is all the text there is.

    Raises:
        ValueError: the tokenizer is not that of the text encoder.
    """
    transformers = importlib.import_module("transformers")
    tokenizer = transformers.CLIPTokenizer.from_pretrained(model, subfolder="tokenizer", **options)
    encoder = read(transformers.CLIPTextModel, "text_encoder")
    if len(tokenizer) != encoder.config.vocab_size:  # what a missing file comes to
        known = f"{len(tokenizer)} words, its text_encoder {encoder.config.vocab_size}"
        raise ValueError(f"its tokenizer has {known}")
    length = min(tokenizer.model_max_length, encoder.config.max_position_embeddings)
    tokens = tokenizer([""], padding="max_length", max_length=length, return_tensors="pt")
    found: Tensor = encoder(tokens.input_ids.to(encoder.device)).last_hidden_state
    return found.float()
