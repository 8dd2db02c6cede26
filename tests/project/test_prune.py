"""A smaller hyper-network: exact where units are dead, near where they hardly vary."""

import torch
from tools.prune import pruned

from atelier.nn.hypernet import HyperNet

PAINTINGS = torch.rand(12, 6, generator=torch.Generator().manual_seed(0))


def network(hidden: int) -> HyperNet:
    return HyperNet(6, [5, 7], hidden)


def test_units_that_never_fire_are_left_out_without_a_trace() -> None:
    found = network(4)
    with torch.no_grad():
        found.hidden.bias[[1, 2, 4, 7]] = -100
    for before, after in zip(found(PAINTINGS), pruned(found, PAINTINGS, 2)(PAINTINGS), strict=True):
        torch.testing.assert_close(after, before)


def test_of_a_unit_that_never_changes_the_mean_stays() -> None:
    found = network(3)
    with torch.no_grad():
        found.hidden.weight[[0, 5]] = 0
        found.hidden.bias[[0, 5]] = 2
    for before, after in zip(found(PAINTINGS), pruned(found, PAINTINGS, 2)(PAINTINGS), strict=True):
        torch.testing.assert_close(after, before)


def test_those_that_vary_least_go_first() -> None:
    found = network(3)
    with torch.no_grad():
        found.hidden.bias.fill_(5)
        found.hidden.weight[[1, 3]] *= 1e-3
    for before, after in zip(found(PAINTINGS), pruned(found, PAINTINGS, 2)(PAINTINGS), strict=True):
        assert (after - before).abs().max() < 1e-2 * (before - before.mean(0)).abs().max()
