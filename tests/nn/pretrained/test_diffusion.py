"""Reading a diffusion model: from a folder, safetensors only, and what is said where it fails."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from atelier.core.config import UserError
from atelier.nn.pretrained import diffusion
from atelier.nn.pretrained.diffusion import EXTRA, LatentDiffusion, load_diffusion

LACKING = [name for name in EXTRA if diffusion.find_spec(name) is None]
needs_extra = pytest.mark.skipif(bool(LACKING), reason="the extra diffusion is not installed")


def load(model: Path | str) -> LatentDiffusion:
    return load_diffusion(str(model), None, "float32", "cpu", "styleid")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    from support.diffusion import saved  # noqa: PLC0415 - needs the extra

    return saved(tmp_path / "model")


def test_a_missing_extra_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diffusion, "find_spec", lambda _: None)
    sentence = r"^styleid needs diffusers and transformers; install them: pip install -e '.\[diff"
    with pytest.raises(UserError, match=sentence):
        load("anything")


@needs_extra
def test_a_folder_gives_the_networks_it_holds(folder: Path) -> None:
    from support.diffusion import SCHEDULE, tiny  # noqa: PLC0415

    one, same, memory = load(folder), load(folder), tiny()
    latents = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    object.__setattr__(memory, "prompt", one.prompt)
    assert torch.equal(one.predict(latents, 21), memory.predict(latents, 21))
    assert torch.equal(one.decode(latents), memory.decode(latents))
    assert one.hash == same.hash == memory.hash
    assert one.hash != tiny(1).hash
    assert one.multiple == 4
    assert {key: one.schedule.config[key] for key in SCHEDULE} == SCHEDULE
    assert not any(p.requires_grad for p in [*one.unet.parameters(), *one.vae.parameters()])


@needs_extra
def test_latents_are_scaled_and_pictures_are_within_their_range(folder: Path) -> None:
    model = load(folder)
    image = torch.rand(1, 3, 16, 24, generator=torch.Generator().manual_seed(0))
    latents = model.encode(image)
    assert latents.shape == (1, 4, 8, 12)
    mean = model.vae.encode(2 * image - 1).latent_dist.mean
    assert torch.allclose(latents, 0.18215 * mean)
    decoded = model.decode(100 * latents)
    assert decoded.shape == image.shape
    assert (decoded.min(), decoded.max()) >= (0, 0)
    assert decoded.max() <= 1


def rename(path: Path) -> None:
    path.rename(path.with_suffix(".bin"))


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:1000])


def remove(path: Path) -> None:
    path.unlink()


@needs_extra
@pytest.mark.parametrize("harm", [rename, cut, remove])
@pytest.mark.parametrize("where", ["unet", "vae", "text_encoder"])
def test_only_whole_safetensors_are_read(
    folder: Path, harm: Callable[[Path], None], where: str
) -> None:
    harm(next((folder / where).glob("*.safetensors")))
    with pytest.raises(UserError, match=r"^styleid needs a diffusion model, and .*/model cannot"):
        load(folder)


@needs_extra
@pytest.mark.parametrize("where", ["scheduler", "tokenizer"])
def test_a_folder_without_a_part_is_a_sentence(folder: Path, where: str) -> None:
    (folder / where).rename(folder / "elsewhere")
    with pytest.raises(UserError, match=r"^styleid needs a diffusion model, and .*/model cannot"):
        load(folder)


@needs_extra
@pytest.mark.parametrize("where", ["unet", "vae", "text_encoder"])
def test_no_weight_is_drawn_at_random(folder: Path, where: str) -> None:
    path = next((folder / where).glob("*.safetensors"))
    state = load_file(path)
    gone = sorted(state)[3]
    save_file({k: v for k, v in state.items() if k != gone}, path, {"format": "pt"})
    with pytest.raises(UserError, match=f"{where} lacks 1 of its weights, first .*weight|bias"):
        load(folder)


@needs_extra
def test_weights_that_cannot_be_fetched_are_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    from support.diffusion import diffusers  # noqa: PLC0415

    def refuse(*_: object, **options: object) -> None:
        assert options["local_files_only"] is False
        raise OSError("We couldn't connect to the hub.\nMore lines.")

    monkeypatch.setattr(diffusers.DDIMScheduler, "from_pretrained", refuse)
    with pytest.raises(UserError) as caught:
        load("OWNER/NAME")
    assert str(caught.value) == (
        "styleid needs a diffusion model, and OWNER/NAME cannot be read (We couldn't connect to "
        "the hub): set `model` to a folder in diffusers' layout with safetensors files, or to an "
        "id of the Hugging Face hub where it can be reached"
    )


@needs_extra
@pytest.mark.parametrize("kind", ["sample", "v_prediction"])
def test_a_model_that_predicts_something_else_than_noise_is_refused(
    folder: Path, kind: str
) -> None:
    from support.diffusion import SCHEDULE, diffusers  # noqa: PLC0415

    changed = diffusers.DDIMScheduler(**SCHEDULE, prediction_type=kind)
    changed.save_pretrained(folder / "scheduler")
    with pytest.raises(UserError, match=f"U-Net predicts {kind}, and not epsilon"):
        load(folder)
