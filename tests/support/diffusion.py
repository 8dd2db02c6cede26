"""A diffusion model of the Stable Diffusion family, tiny and with random weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from atelier.nn.pretrained.diffusion import LatentDiffusion

diffusers = pytest.importorskip("diffusers", reason="the extra diffusion is not installed")
transformers = pytest.importorskip("transformers", reason="the extra diffusion is not installed")

WIDTH, TOKENS = 16, 7
SCHEDULE: dict[str, Any] = {
    "beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012,
    "clip_sample": False, "set_alpha_to_one": False, "steps_offset": 1,
}  # fmt: skip
"""Of Stable Diffusion 1.4."""
WORDS = {"<|startoftext|>": 0, "<|endoftext|>": 1, "a</w>": 2}


def networks(seed: int = 0) -> tuple[Any, Any]:
    """A U-Net whose decoder has two layers without attention and two with, and an autoencoder."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        unet = diffusers.UNet2DConditionModel(
            sample_size=8, block_out_channels=(16, 32), layers_per_block=1, norm_num_groups=4,
            down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
            cross_attention_dim=WIDTH, attention_head_dim=4,
        )  # fmt: skip
        vae = diffusers.AutoencoderKL(
            block_out_channels=(8, 16), down_block_types=("DownEncoderBlock2D",) * 2,
            up_block_types=("UpDecoderBlock2D",) * 2, norm_num_groups=4,
        )  # fmt: skip
        unet.conv_out.weight.data *= (
            0.3  # its prediction is nearly smooth: fixed points are soon found
        )
    return unet.eval().requires_grad_(False), vae.eval().requires_grad_(False)


def published() -> LatentDiffusion:
    """Stable Diffusion 1.4's networks without weights: shapes alone."""
    with torch.device("meta"):
        unet = diffusers.UNet2DConditionModel(cross_attention_dim=768, attention_head_dim=8)
        vae = diffusers.AutoencoderKL(
            block_out_channels=(128, 256, 512, 512), down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4, layers_per_block=2,
        )  # fmt: skip
    return LatentDiffusion("sd", unet, vae, None, None, torch.empty(1, 77, 768, device="meta"))


def tiny(seed: int = 0, **schedule: Any) -> LatentDiffusion:
    """The model in memory; its prompt's embedding is random, too."""
    unet, vae = networks(seed)
    found = diffusers.DDIMScheduler(**SCHEDULE | schedule)
    inverse = diffusers.DDIMInverseScheduler.from_config(found.config)
    prompt = torch.randn(1, TOKENS, WIDTH, generator=torch.Generator().manual_seed(seed))
    return LatentDiffusion("tiny", unet, vae, found, inverse, prompt)


def saved(folder: Path) -> Path:
    """The same networks in a folder in the layout of ``diffusers``, with tokenizer and encoder."""
    unet, vae = networks()
    unet.save_pretrained(folder / "unet")
    vae.save_pretrained(folder / "vae")
    # as it is published: the settings are those of another scheduler
    diffusers.PNDMScheduler(**{k: v for k, v in SCHEDULE.items() if k != "clip_sample"}
    ).save_pretrained(folder / "scheduler")  # fmt: skip
    config = transformers.CLIPTextConfig(
        vocab_size=len(WORDS), hidden_size=WIDTH, intermediate_size=8, num_hidden_layers=1,
        num_attention_heads=2, max_position_embeddings=TOKENS, bos_token_id=0, eos_token_id=1,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        transformers.CLIPTextModel(config).save_pretrained(folder / "text_encoder")
    words = folder / "words"
    words.mkdir()
    (words / "vocab.json").write_text(json.dumps(WORDS))
    (words / "merges.txt").write_text("#version: 0.2\n")
    tokenizer = transformers.CLIPTokenizer.from_pretrained(words, model_max_length=TOKENS)
    tokenizer.save_pretrained(folder / "tokenizer")
    return folder
