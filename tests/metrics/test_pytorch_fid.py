"""Our distance on two folders is what pytorch-fid's command line prints for them.

The published weights cannot be had everywhere, so the test makes a file of the same name, shapes
and place; only the numbers in it are others.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from pytorch_fid import fid_score, inception
from torch import Tensor

from atelier.core import images
from atelier.metrics.embeddings import embed_files
from atelier.metrics.frechet import frechet_distance
from atelier.nn.pretrained.features import load_features
from support.pictures import ramp

SIZES = {"paintings": [(64, 48)] * 4, "results": [(64, 48), (48, 64), (80, 80), (56, 40), (64, 48)]}
FIRST = 192
"""A number of dimensions that the command line takes."""


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache of torch's with pytorch-fid's weights file in it, of random numbers (He et al.)."""
    with torch.device("meta"):
        network = inception._inception_v3(num_classes=1008, aux_logits=False, weights=None)
        network.Mixed_7b = inception.FIDInceptionE_1(1280)
    generator = torch.Generator().manual_seed(0)

    def made(key: str, value: Tensor) -> Tensor:
        if value.ndim == 4:
            drawn = torch.randn(value.shape, generator=generator)
            return drawn * (2 / value[0].numel()) ** 0.5
        ones = key.endswith(("running_var", "bn.weight"))
        return torch.full(value.shape, float(ones)).to(value.dtype)

    folder = tmp_path_factory.mktemp("torch")
    (folder / "hub/checkpoints").mkdir(parents=True)
    state = {key: made(key, value) for key, value in network.state_dict().items()}
    torch.save(state, folder / "hub/checkpoints" / Path(inception.FID_WEIGHTS_URL).name)
    return folder


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Path]]:
    """The same bytes twice: for us with upper-case endings, which pytorch-fid passes over."""
    root = tmp_path_factory.mktemp("pictures")
    for seed, (name, sizes) in enumerate(SIZES.items()):
        noise = np.random.default_rng(seed)
        for which in ("ours", "theirs"):
            (root / which / name).mkdir(parents=True)
        for n, size in enumerate(sizes):
            pixels = np.array(ramp(*size, seed=10 * seed + n)).astype(int)
            rough = (pixels + noise.integers(-60, 60, pixels.shape)).clip(0, 255)
            theirs = root / "theirs" / name / f"{n}.{'jpg' if n == 1 else 'png'}"
            Image.fromarray(rough.astype(np.uint8)).save(theirs)
            ours = root / "ours" / name / f"{n}{theirs.suffix.upper()}"
            ours.write_bytes(theirs.read_bytes())
    return {name: (root / "ours" / name, root / "theirs" / name) for name in SIZES}


@pytest.fixture(scope="module")
def vectors(cache: Path, folders: dict[str, tuple[Path, Path]]) -> dict[str, Tensor]:
    """Ours, in batches of two, of all the pictures the folders hold."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("ATELIER_WEIGHTS", raising=False)
        patch.setenv("TORCH_HOME", str(cache))
        features = load_features("inception_fid", ["pool3"])
    found = {}
    for name, (ours, _) in folders.items():
        found[name] = embed_files(features, images.find(ours), device="cpu", batch=2)
    assert [tuple(v.shape) for v in found.values()] == [(4, 2048), (5, 2048)]
    return found


@pytest.mark.slow
def test_vectors_equal_pytorch_fids(
    cache: Path,
    folders: dict[str, tuple[Path, Path]],
    vectors: dict[str, Tensor],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Pictures of several sizes, which it can take only one at a time, and a JPEG."""
    monkeypatch.setenv("TORCH_HOME", str(cache))
    network = inception.InceptionV3()
    files = sorted(folders["results"][1].iterdir())
    expected = fid_score.get_activations(files, network, batch_size=1, num_workers=0)
    assert expected.std(0).mean() > 1e-3
    np.testing.assert_allclose(vectors["results"].numpy(), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # SciPy's, in pytorch-fid
def test_the_distance_equals_its_command_line(
    cache: Path,
    folders: dict[str, tuple[Path, Path]],
    vectors: dict[str, Tensor],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """To 1e-4 only: its root of a product of rank 3 is inexact (SciPy warns of that).

    Of the first numbers of each vector; the root for all 2048, which were compared above, takes a
    quarter of a minute.
    """
    theirs = [str(folders[name][1]) for name in SIZES]
    options = f"--dims {FIRST} --device cpu --batch-size 1 --num-workers 0"
    monkeypatch.setenv("TORCH_HOME", str(cache))
    monkeypatch.setattr("sys.argv", ["pytorch-fid", *theirs, *options.split()])
    monkeypatch.setitem(inception.InceptionV3.BLOCK_INDEX_BY_DIM, FIRST, 3)
    forward = inception.InceptionV3.forward
    monkeypatch.setattr(
        inception.InceptionV3, "forward", lambda *given: [forward(*given)[0][:, :FIRST]]
    )
    fid_score.main()
    expected = float(capsys.readouterr().out.split("FID:")[1])
    assert expected > 0.1
    found = frechet_distance(*(vectors[name][:, :FIRST] for name in SIZES))
    assert found == pytest.approx(expected, rel=1e-4)
