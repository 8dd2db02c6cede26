"""The training of `mini`: corpus, distances, adversary, loop, resume, export."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from tools.mini import adversary
from tools.mini.adversary import Adversary
from tools.mini.corpus import SHORT_SIDE, Corpus, damage, held_out, jitter, read_small, split
from tools.mini.export import export, held_out_losses
from tools.mini.relations import Adapters, log_ratio, relations, style_distances, vector_distances
from tools.mini.training import TAPS, DistillSettings, Trainer
from torch import Generator, Tensor

from atelier.core.config import UserError
from atelier.core.files import read_json
from atelier.nn.losses import gram, gram_loss
from atelier.nn.pretrained.features import load_features
from atelier.nn.pretrained.mini import LAYERS, Mini, initialise
from support.distilling import SMALL, many
from support.nets import random_features
from support.pictures import save


def seeded(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return many(tmp_path_factory.mktemp("pictures"))


@pytest.fixture(scope="module")
def pictures(folder: Path) -> Corpus:
    return Corpus(split(folder)[0], 32)


def training(pictures: Corpus, **changed: Any) -> Trainer:
    settings = DistillSettings(**{**SMALL, "steps": 4, **changed})
    return Trainer(settings, pictures, random_features(*TAPS, unit_activations=True))


def weights(of: Trainer) -> list[Tensor]:
    return [value.clone() for value in of.student.state_dict().values()]


def equal(one: list[Tensor], other: list[Tensor]) -> bool:
    return all(map(torch.equal, one, other))


def test_a_tenth_is_held_out_by_name_alone() -> None:
    names = [f"picture_{n}.jpg" for n in range(5000)]
    held = {name for name in names if held_out(name)}
    assert 0.08 < len(held) / len(names) < 0.12
    assert held == {name for name in reversed(names) if held_out(name)}


def test_split_is_complete_disjoint_and_refuses_a_folder_too_small(
    folder: Path, tmp_path: Path
) -> None:
    kept, out = split(folder)
    assert len(kept) + len(out) == 24
    assert not set(kept) & set(out)
    save(tmp_path / "only.png")
    with pytest.raises(UserError, match=r"too few pictures to hold a tenth out \(1 found\)"):
        split(tmp_path)


@pytest.mark.parametrize("size", [(64, 48), (40, 400), (600, 300), (256, 256)])
def test_pictures_are_kept_at_one_short_side(tmp_path: Path, size: tuple[int, int]) -> None:
    found = read_small(save(tmp_path / "a.png", size=size))
    assert min(found.shape[:2]) == SHORT_SIDE
    assert found.shape[1] / found.shape[0] == pytest.approx(size[0] / size[1], rel=0.01)


def test_crops_are_seeded_and_in_range(pictures: Corpus) -> None:
    one, again, other = (pictures.draw(5, seeded(n)) for n in (0, 0, 1))
    assert one.shape == (5, 3, 32, 32)
    assert 0 <= one.min() < one.max() <= 1
    assert torch.equal(one, again)
    assert not torch.equal(one, other)


@pytest.mark.parametrize("change", [jitter, damage])
def test_changes_are_seeded_in_range_and_touch_most_pictures(change: Any, pictures: Corpus) -> None:
    batch = pictures.draw(40, seeded())
    one, again = change(batch, seeded(3)), change(batch, seeded(3))
    assert torch.equal(one, again)
    assert one.shape == batch.shape
    assert 0 <= one.min() <= one.max() <= 1
    changed = (one - batch).abs().mean((1, 2, 3))
    assert (changed > 1e-4).float().mean() > 0.8
    assert changed.max() > 0.02


def test_distances_are_the_losses_of_every_pair() -> None:
    features = torch.randn(4, 6, 5, 5, generator=seeded())
    found, vectors = style_distances(features), vector_distances(features)
    for a in range(4):
        for b in range(4):
            expected = gram_loss(features[a, None], gram(features[b, None]))
            torch.testing.assert_close(found[a, b], expected[0], rtol=1e-4, atol=1e-6)
            apart = (features[a].mean((1, 2)) - features[b].mean((1, 2))).square().mean()
            torch.testing.assert_close(vectors[a, b], apart, rtol=1e-4, atol=1e-6)


def test_log_ratio_in_closed_form() -> None:
    theirs = torch.tensor([1.0, 2.0, 3.0])
    assert log_ratio(theirs, theirs) == 0
    # Huber of log 10 beyond 1: |x| - 1/2; the floor of a thousandth hardly shows
    assert log_ratio(10 * theirs, theirs).item() == pytest.approx(math.log(10) - 0.5, rel=0.01)


@pytest.mark.slow
def test_a_network_agrees_with_itself_in_all_relations(pictures: Corpus) -> None:
    found = random_features(*TAPS)(pictures.draw(4, seeded()))
    agreed = relations(found, found, torch.tensor([(0, 1), (2, 3)]))
    assert {name: value.item() for name, value in agreed.items()} == dict.fromkeys(agreed, 0)
    twice = {tap: 2 * value for tap, value in found.items()}
    apart = relations(twice, found, torch.tensor([(0, 1), (2, 3)]))
    # content goes with the square of the scale, Gram distances with its fourth power
    assert apart["content"].item() == pytest.approx(math.log(4) - 0.5, rel=0.02)
    assert apart["style"].item() == pytest.approx(math.log(16) - 0.5, rel=0.02)


def test_adapters_begin_at_the_mean_and_count_in_units_of_the_spread(pictures: Corpus) -> None:
    network, teacher = Mini(), random_features("relu2_1", "relu4_1")
    sample = pictures.draw(6, seeded())
    ours, theirs = network(sample), teacher(sample)
    adapters = Adapters(ours, theirs)
    assert set(adapters.maps) == {"relu2_1", "relu4_1"}
    found = adapters(ours, theirs)
    assert 0.5 < found["activations"].item() <= 1.1
    shifted = {tap: value + 1 for tap, value in theirs.items()}
    assert adapters(ours, shifted)["activations"] > found["activations"]


def test_the_adversary_approaches_the_style_and_is_replaced(
    pictures: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adversary, "VISITS", 3)
    student, generator, foe = Mini(), seeded(), Adversary(pictures, 2, "cpu")
    initialise(student, 0)

    def distance(image: Tensor, style: Tensor) -> float:
        ours, theirs = student(image), student(style)
        return sum(gram_loss(ours[tap], gram(theirs[tap])).sum().item() for tap in TAPS)

    first, content, style = foe.visit(student, generator)
    second, same, _ = foe.visit(student, generator)
    foe.visit(student, generator)
    _, new, _ = foe.visit(student, generator)
    assert distance(second, style) < distance(first, style) < distance(content, style)
    assert 0 <= second.min() <= second.max() <= 1
    assert torch.equal(content, same)
    assert not torch.equal(content, new)


def test_the_rows_called_mates_show_the_same_scene(pictures: Corpus) -> None:
    run = training(pictures, fresh=3, optimised=2)
    batch, mates = run.batch()
    assert batch.shape == (12, 3, 32, 32)
    assert mates.tolist() == [[0, 3], [1, 4], [2, 5], [6, 8], [7, 9]]
    torch.testing.assert_close(batch[8:10], run.adversary.content)


@pytest.mark.slow
def test_training_lowers_every_loss(pictures: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    """The smoke test: tiny crops, a random teacher."""
    monkeypatch.setattr("tools.mini.export.BATCHES", 2)
    run = training(pictures, steps=30, warmup=5)
    before = held_out_losses(run, pictures)
    for at in run.run():
        assert at.losses.keys() == {"total", *before}
    after = held_out_losses(run, pictures)
    for name in ("activations", "style", "content", "distance"):
        assert after[name] < before[name], name
    assert after["style"] < 0.6 * before["style"]


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_continued_training_equals_an_uninterrupted_one(
    pictures: Corpus, tmp_path: Path, precision: str
) -> None:
    whole = training(pictures, precision=precision)
    assert [at.step for at in whole.run()] == [1, 2, 3, 4]
    part = training(pictures, precision=precision)
    steps = part.run()
    for _ in range(2):
        next(steps)
    part.save(tmp_path / "state.pt")
    continued = training(pictures, precision=precision)
    begun = weights(continued)
    torch.rand(3)  # the global random state must not matter
    continued.restore(tmp_path / "state.pt")
    assert [at.step for at in continued.run()] == [3, 4]
    assert equal(weights(continued), weights(whole))
    assert not equal(begun, weights(whole))


@pytest.mark.slow
def test_a_checkpoint_of_other_settings_and_a_loss_that_is_not_finite_are_refused(
    pictures: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = training(pictures)
    next(run.run())
    run.save(tmp_path / "state.pt")
    with pytest.raises(UserError, match=r"state.pt: was written with other settings; delete it"):
        training(pictures, lr=0.1).restore(tmp_path / "state.pt")
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    del state["pupil"]["stem.weight"]
    torch.save(state, tmp_path / "other.pt")
    with pytest.raises(UserError, match=r"other.pt: is of another network; delete it to start"):
        training(pictures).restore(tmp_path / "other.pt")
    before = weights(run)
    monkeypatch.setattr(run, "losses", lambda *_: {"style": torch.tensor(math.nan)})
    with pytest.raises(UserError, match="not finite at step 2: lower lr"):
        next(run.run())
    assert equal(weights(run), before)


def test_export_writes_what_the_resolver_reads(
    pictures: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = training(pictures)
    run.student.vector.weight.normal_(generator=seeded())
    export(run, tmp_path, {"steps": 0})
    card = read_json(tmp_path / "mini.json")
    monkeypatch.setenv("ATELIER_WEIGHTS", str(tmp_path))
    features = load_features("mini", TAPS)
    assert features.hash == card["hash"]
    assert card["teacher"] == {"name": "random", "hash": run.teacher.hash}
    image = pictures.draw(1, seeded())
    for tap, value in features(image).items():
        torch.testing.assert_close(value, run.student(image)[tap], rtol=2e-2, atol=2e-2)
    run.student.taps = LAYERS
    vector = load_features("mini", ["vector"]).embed(image)
    torch.testing.assert_close(vector, run.student(image)["vector"][..., 0, 0], rtol=2e-2, atol=0.2)
    assert vector.abs().mean() > 1


def test_weights_that_float16_cannot_hold_are_not_written(pictures: Corpus, tmp_path: Path) -> None:
    run = training(pictures)
    run.student.vector.scale.fill_(1e6)
    with pytest.raises(UserError, match=r"vector.scale does not fit into float16; nothing is"):
        export(run, tmp_path, {})
    assert not list(tmp_path.iterdir())
