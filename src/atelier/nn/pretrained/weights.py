"""Sources of pretrained weights, in a fixed order, never with a silent substitute.

Order: a file in the folder named by ``ATELIER_WEIGHTS``; the package itself (``mini``); torch's own
cache; a download by the owning library's address. When none works, one message says what is
missing and what to do.
"""

from __future__ import annotations

import hashlib
import importlib
import os
import socket
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from urllib.error import URLError

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from atelier.core.checkpoints import save_tensors
from atelier.core.config import UserError
from atelier.core.torch_files import read_torch, why_unreadable

StateDict = dict[str, Tensor]

PUBLISHED = ("vgg16", "vgg19", "squeezenet1_1", "inception_v3", "inception_fid")
"""Networks with published weights."""
SHIPPED: Mapping[str, Path] = {"mini": Path(__file__).with_name("mini.safetensors")}
"""Weights shipped with the package; their card is beside them, as .json."""
TIMEOUT_S = 20.0

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
CAFFE_MEAN = (123.68, 116.779, 103.939)
"""RGB means, in 0-255 units, that the original Caffe VGG subtracts (its own order is BGR)."""


@cache
def published_url(name: str) -> str:
    """Return the address at which the owning library publishes the weights of ``name``.

    The libraries are imported here and not at the top: that takes more than a second, from which
    stages that use the shipped network are spared.
    """
    if name == "inception_fid":
        return str(importlib.import_module("pytorch_fid.inception").FID_WEIGHTS_URL)
    models = importlib.import_module("torchvision.models")
    return str(models.get_model_weights(name)["IMAGENET1K_V1"].url)


def resolve(name: str) -> StateDict:
    """Return the weights of the network ``name``, on the CPU.

    Raises:
        UserError: no source has them; the message says where to put them and what runs without.
    """
    if name not in PUBLISHED and name not in SHIPPED:
        known = ", ".join([*PUBLISHED, *SHIPPED])
        raise UserError(f"no weights of a network named {name!r}; there are {known}")
    path = found_at(name)
    if path:
        return read_weights(path)
    if name in SHIPPED:
        raise UserError(f"{SHIPPED[name]} is missing from the package; install atelier again")
    return _download(name)


def found_at(name: str) -> Path | None:
    """Return the file ``resolve`` would read; None if it would have to be downloaded."""
    if name == "random":  # seeded, without a file
        return Path(__file__)
    return next((path for path in _places(name) if path.is_file()), None)


def _places(name: str) -> Iterator[Path]:
    """Yield the possible places of the weights; lazily: the published name needs a slow import."""
    folder = os.environ.get("ATELIER_WEIGHTS")
    if folder:
        if not Path(folder).is_dir():
            raise UserError(f"ATELIER_WEIGHTS names {folder}, which is not a folder")
        yield Path(folder) / f"{name}.safetensors"
        if name in PUBLISHED:
            yield Path(folder) / Path(published_url(name)).name
    if name in SHIPPED:
        yield SHIPPED[name]
    if name in PUBLISHED:
        yield Path(torch.hub.get_dir()) / "checkpoints" / Path(published_url(name)).name


def _download(name: str) -> StateDict:
    """Download from the owning library's address into torch's cache (hash checked by torch)."""
    url, before = published_url(name), socket.getdefaulttimeout()
    socket.setdefaulttimeout(TIMEOUT_S)  # torch.hub sets none, and may block for ever
    try:
        # pytorch-fid's file name contains the start of its hash, like torchvision's
        found: StateDict = torch.hub.load_state_dict_from_url(
            url, map_location="cpu", check_hash=True, weights_only=True
        )
    except (URLError, OSError, RuntimeError) as error:
        raise UserError(_missing(name, error)) from None
    finally:
        socket.setdefaulttimeout(before)
    return found


def _missing(name: str, error: Exception) -> str:
    published = Path(published_url(name)).name
    return (
        f"the weights of {name} are missing ({error}): put {name}.safetensors or {published} into "
        f"a folder and set ATELIER_WEIGHTS to it, or set `features: mini` in params.yaml, "
        f"which is shipped with the package"
    )


def read_weights(path: Path) -> StateDict:
    """Read ``.safetensors``, or a torch file (no code is run)."""
    if path.suffix == ".safetensors":
        try:
            return load_file(path)
        except (SafetensorError, OSError) as error:
            raise UserError(f"{path}: {why_unreadable(error)}") from None
    found: StateDict = read_torch(path)
    if not isinstance(found, dict):
        raise UserError(f"{path}: holds no tensors by name, so it is not a state dict")
    return found


def load_strictly(network: nn.Module, state: StateDict, name: str) -> None:
    """Load ``state``; an error states in one line how it differs from the network ``name``."""
    try:
        network.load_state_dict(state, strict=True, assign=True)
    except RuntimeError as error:
        first = str(error).splitlines()[1].strip()
        raise UserError(f"the weight file found for {name} does not fit it: {first}") from None


def digest(state: Mapping[str, Tensor]) -> str:
    """Return 12 hex digits of SHA-256 over names, shapes and values, whatever the file."""
    total = hashlib.sha256()
    for key in sorted(state):
        value = state[key].detach().cpu().contiguous()
        total.update(f"{key}{tuple(value.shape)}{value.dtype}".encode())
        total.update(value.numpy().tobytes())
    return total.hexdigest()[:12]


Check = Callable[[str, StateDict], object]
"""Refuses, by a UserError, weights that the network of a name does not take."""


def convert(
    source: Path, folder: Path, name: str | None = None, check: Check = lambda *_: None
) -> Path:
    """Write ``folder/<name>.safetensors`` from ``source``, ready for ``ATELIER_WEIGHTS``.

    Understands plain state dicts, and 8-bit files ``{key: {"q", "scale", "min"}}`` whose kernels
    expect Caffe's input (RGB in 0-255 minus the mean); torchvision's normalisation is folded in.

    Raises:
        UserError: an unknown name, a file that is neither, or another network.
    """
    name = name or next((n for n in PUBLISHED if source.name.startswith(n)), None)
    if name not in PUBLISHED:
        raise UserError(f"{source}: whose weights? give --name, one of {', '.join(PUBLISHED)}")
    state: Mapping[str, object] = dict(read_weights(source))
    packed = all(isinstance(value, dict) for value in state.values())
    tensors = _unpack(state, source) if packed and state else _tensors(state, source)
    first = "Conv2d_1a_3x3.conv.weight" if name.startswith("inception") else "features.0.weight"
    if first not in tensors:
        some = ", ".join(sorted(tensors)[:3])
        raise UserError(f"{source}: is not {name}: it lacks {first} and has {some}, …")
    try:
        check(str(name), tensors)
    except UserError as error:
        raise UserError(f"{source}: {error}") from None
    target = folder / f"{name}.safetensors"
    save_tensors(tensors, target, {"name": str(name), "source": source.name})
    return target


def _tensors(state: Mapping[str, object], source: Path) -> StateDict:
    found = {
        _usual(key): value.contiguous() for key, value in state.items() if isinstance(value, Tensor)
    }
    if not found:
        raise UserError(f"{source}: holds no tensors by name, so it is not a state dict")
    return found


def _usual(key: str) -> str:
    """Return a key as in the owning library: DataParallel adds a prefix, bare trunks lack one."""
    key = key.removeprefix("module.")
    return f"features.{key}" if key[:1].isdigit() else key


def _unpack(state: Mapping[str, object], source: Path) -> StateDict:
    """Undo the 8-bit storage, value = q · scale + min, and its convention for the input."""
    found: StateDict = {}
    for key, value in state.items():
        if not isinstance(value, dict) or {"q", "scale", "min"} - set(value):
            raise UserError(f"{source}: {key}: expected q, scale and min")
        found[key] = (value["q"].float() * value["scale"] + value["min"]).contiguous()
    if not {"features.0.weight", "features.0.bias"} <= set(found):
        raise UserError(f"{source}: an 8-bit file has to hold a VGG, it lacks features.0")
    return _fold_caffe(found)


def _fold_caffe(state: StateDict) -> StateDict:
    """Rewrite the first convolution for (x - ImageNet mean) / ImageNet std, x in [0, 1].

    255·x - m = 255·std·z + (255·mean - m): the factor goes into the kernel, the rest into the bias.
    Exact inside; at the border zero padding now stands for the ImageNet mean, not for Caffe's.
    """
    kernel = state["features.0.weight"].double()
    exact = [torch.tensor(v, dtype=torch.double) for v in (IMAGENET_MEAN, IMAGENET_STD, CAFFE_MEAN)]
    mean, std, caffe = exact
    offset = (255 * mean - caffe).view(1, 3, 1, 1)
    bias = state["features.0.bias"].double() + (kernel * offset).sum((1, 2, 3))
    scaled = kernel * (255 * std).view(1, 3, 1, 1)
    return {**state, "features.0.weight": scaled.float(), "features.0.bias": bias.float()}
