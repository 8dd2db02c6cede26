"""The last layer of `mini`: what its fit keeps, guards against, and learns from."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tools.mini import head
from tools.mini.corpus import Corpus, damage
from torch import Generator, Tensor

from atelier.core.batches import seed_of
from atelier.nn.pretrained.mini import LENGTH, Mini, Vector, initialise, statistics
from support.nets import random_features
from support.pictures import save

INPUTS = Vector().weight.shape[1]


def drawn(*shape: int, seed: int = 0) -> Tensor:
    generator = Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def orthonormal(rows: int, columns: int) -> Tensor:
    return torch.linalg.qr(drawn(rows, columns, seed=9))[0]


@pytest.fixture(autouse=True)
def without_a_ridge(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(head, "RIDGE", 1e-9)


def test_answers_in_as_many_directions_as_are_kept_come_back_whole() -> None:
    vector, known = Vector(), 3 + 2 * drawn(INPUTS + 400, INPUTS)
    said = known @ drawn(INPUTS, LENGTH, seed=1) @ orthonormal(512, LENGTH).mT + 7
    fitted = head.fit(vector, known[:-9], said[:-9])
    assert fitted.unexplained(vector, known[-9:].float(), said[-9:]) < 1e-6
    told = vector.project(known[-9:].float())
    torch.testing.assert_close(
        told, (said[-9:] @ fitted.directions * head.SHRINK).float(), rtol=1e-3, atol=0.1
    )
    kept = (said[-9:] @ fitted.directions).float()
    torch.testing.assert_close(told @ told.mT / LENGTH, kept @ kept.mT / 512, rtol=1e-2, atol=0.1)
    apart = torch.cdist(told, told)
    torch.testing.assert_close(
        apart, head.SHRINK * torch.cdist(said[-9:], said[-9:]).float(), rtol=1e-3, atol=1
    )


def test_the_largest_directions_are_kept() -> None:
    vector, known = Vector(), drawn(INPUTS + 400, INPUTS)
    sizes = torch.tensor([1.0] * LENGTH + [0.1] * LENGTH, dtype=torch.float64)
    said = known[:, : 2 * LENGTH] * sizes @ orthonormal(512, 2 * LENGTH).mT
    left = head.fit(vector, known, said).unexplained(vector, known.float(), said)
    assert left == pytest.approx(0.01 / 1.01, rel=0.1)


def test_a_strong_ridge_answers_with_the_mean(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(head, "RIDGE", 1e6)
    vector, known, said = Vector(), drawn(200, INPUTS), drawn(200, 512, seed=1) + 5
    fitted = head.fit(vector, known, said)
    torch.testing.assert_close(fitted.mean, said.mean(0))
    assert fitted.unexplained(vector, known.float(), said) == pytest.approx(1, abs=1e-3)


def test_a_channel_that_fired_once_does_not_outweigh_the_rest() -> None:
    vector, known = Vector(), drawn(300, INPUTS)
    known[:, 0] = 0
    known[0, 0] = 1e-3
    head.fit(vector, known, drawn(300, 512, seed=1))
    assert 0.05 < vector.scale[0] < vector.scale[1]


def test_low_precision_does_not_reach_the_projection() -> None:
    vector, known = Vector(), drawn(2, INPUTS).float()
    vector.weight.copy_(drawn(LENGTH, INPUTS, seed=1))
    with torch.autocast("cpu", torch.bfloat16):
        found = vector.project(known)
    assert torch.equal(found, vector.project(known))


@pytest.mark.slow
def test_examples_are_seeded_and_pair_statistics_with_the_teachers_means(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(head, "SIDES", (32, 48))
    pictures = Corpus([save(tmp_path / f"{n}.png", seed=n, size=(64, 48)) for n in range(6)], 40)
    student, teacher = Mini(), random_features("relu5_1")
    initialise(student, 0)
    one, again = (
        list(head.examples(student, teacher, pictures, 0, "cpu", range(2))) for _ in range(2)
    )
    for (known, said), (known_again, said_again) in zip(one, again, strict=True):
        assert torch.equal(known, known_again)
        assert torch.equal(said, said_again)
        assert (known.shape, said.shape) == ((12, INPUTS), (12, 512))
    (second,) = head.examples(student, teacher, pictures, 0, "cpu", [1])
    assert torch.equal(second[0], one[1][0]), "whatever came before"
    assert not torch.equal(one[0][0], one[1][0])
    for n, (known, said) in enumerate(one):
        generator = Generator().manual_seed(seed_of(0, n, "vector"))
        crops = pictures.draw(8, generator, head.SIDES[n])
        assert crops.shape[-1] == head.SIDES[n]
        crops = torch.cat([crops, damage(crops[:4], generator)])
        torch.testing.assert_close(known, statistics(student(crops)))
        torch.testing.assert_close(said, teacher.embed(crops), rtol=0.1, atol=0.02)
