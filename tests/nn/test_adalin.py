"""AdaILN and ILN against the paper's formula; their mixture stays between the two norms."""

from __future__ import annotations

import pytest
import torch
from torch import Generator, Tensor, nn

from atelier.nn.adalin import ILN, AdaILN, clamp_rho, instance_layer_norm
from support.tensors import normal


def mixture(seed: int = 3) -> Tensor:
    return torch.rand(1, 5, 1, 1, generator=Generator().manual_seed(seed))


def naive(value: Tensor, rho: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
    """Kim et al., eq. 1, with the unbiased variances of the authors' PyTorch code."""

    def normed(axes: tuple[int, ...]) -> Tensor:
        mean, var = value.mean(axes, keepdim=True), value.var(axes, keepdim=True)
        return (value - mean) / (var + 1e-5).sqrt()

    return gamma * (rho * normed((2, 3)) + (1 - rho) * normed((1, 2, 3))) + beta


def shaped(value: Tensor) -> tuple[Tensor, Tensor]:
    """Scales and shifts for every picture and channel."""
    batch, channels = value.shape[:2]
    return 1 + normal(batch, channels, seed=1), normal(batch, channels, seed=2)


@pytest.mark.parametrize("rho", [0.0, 0.3, 1.0, "drawn"])
@pytest.mark.parametrize("size", [(6, 7), (1, 2)])
def test_adailn_is_the_papers_formula(rho: float | str, size: tuple[int, int]) -> None:
    value, layer = 2 * normal(3, 5, *size) + normal(3, 5, 1, 1, seed=4), AdaILN(5)
    layer.rho.data.copy_(mixture() if rho == "drawn" else torch.tensor(rho))
    gamma, beta = shaped(value)
    expected = naive(value, layer.rho, gamma[..., None, None], beta[..., None, None])
    torch.testing.assert_close(layer(value, gamma, beta), expected, rtol=1e-4, atol=1e-5)


def test_iln_is_the_papers_formula() -> None:
    value, layer = normal(2, 5, 6, 7) + 1, ILN(5)
    for n, weight in enumerate((layer.gamma, layer.beta)):
        weight.data.copy_(normal(1, 5, 1, 1, seed=n))
    layer.rho.data.copy_(mixture())
    expected = naive(value, layer.rho, layer.gamma, layer.beta)
    torch.testing.assert_close(layer(value), expected, rtol=1e-4, atol=1e-5)


def test_the_gradients_are_those_of_the_formula() -> None:
    found = []
    for norm in (instance_layer_norm, naive):
        given = [normal(2, 5, 6, 7) + 1, mixture(), normal(2, 5, 1, 1, seed=1), normal(2, 5, 1, 1)]
        leaves = [tensor.clone().requires_grad_() for tensor in given]
        weighed = (norm(*leaves) * normal(2, 5, 6, 7, seed=9)).sum()
        found.append(torch.autograd.grad(weighed, leaves))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_first_values_and_counts() -> None:
    ada, own = AdaILN(256), ILN(128)
    assert sum(p.numel() for p in ada.parameters()) == 256
    assert sum(p.numel() for p in own.parameters()) == 3 * 128
    assert (ada.rho == 0.9).all()
    assert (own.rho == 0).all()
    assert (own.gamma == 1).all()
    assert (own.beta == 0).all()


def test_iln_begins_as_a_layer_norm_and_can_become_an_instance_norm() -> None:
    value, layer = normal(2, 5, 8, 8) * 4, ILN(5)
    torch.testing.assert_close(layer(value).var((1, 2, 3)), torch.ones(2), rtol=1e-3, atol=0)
    assert (layer(value).mean((2, 3)).abs() > 1e-2).any(), "channels keep their own means"
    layer.rho.data.fill_(1)
    torch.testing.assert_close(layer(value).var((2, 3)), torch.ones(2, 5), rtol=1e-3, atol=0)
    torch.testing.assert_close(layer(value).mean((2, 3)), torch.zeros(2, 5), rtol=0, atol=1e-5)


def test_pictures_of_a_batch_do_not_mix() -> None:
    value, layer = normal(3, 5, 6, 6), AdaILN(5)
    gamma, beta = shaped(value)
    parts = zip(value.split(1), gamma.split(1), beta.split(1), strict=True)
    alone = torch.cat([layer(*one) for one in parts])
    torch.testing.assert_close(layer(value, gamma, beta), alone)


def test_features_of_one_value_give_the_shift_and_finite_gradients() -> None:
    value, layer = torch.full((2, 5, 4, 4), 7.0, requires_grad=True), ILN(5)
    layer.beta.data.fill_(0.5)
    found = layer(value)
    torch.autograd.backward((found * normal(2, 5, 4, 4)).sum())
    assert (found == 0.5).all()
    assert all(t.grad is not None and t.grad.isfinite().all() for t in (value, *layer.parameters()))


def test_a_large_mean_costs_no_precision() -> None:
    value, weights = normal(2, 5, 8, 8) + 1000, (mixture(), torch.ones(1), torch.zeros(1))
    expected = naive(value.double(), *(weight.double() for weight in weights)).float()
    torch.testing.assert_close(instance_layer_norm(value, *weights), expected, rtol=1e-3, atol=1e-3)


def test_low_precision_comes_back_but_statistics_stay_exact() -> None:
    value, layer = (normal(2, 5, 32, 32) + 3).bfloat16(), ILN(5)
    layer.rho.data.copy_(mixture())
    found = layer(value)
    assert found.dtype == torch.bfloat16
    assert torch.equal(found, layer(value.float()).bfloat16())


def test_rho_is_put_back_between_0_and_1_in_both_kinds() -> None:
    network = nn.Sequential(AdaILN(3), nn.Sequential(ILN(3)), nn.Conv2d(3, 3, 1))
    ada, own = network[0], network[1][0]  # type: ignore[index]
    for layer in (ada, own):
        layer.rho.data.copy_(torch.tensor([-0.5, 0.4, 1.5]).view(1, 3, 1, 1))
    own.gamma.data.fill_(7)
    clamp_rho(network)
    for layer in (ada, own):
        assert layer.rho.flatten().tolist() == pytest.approx([0.0, 0.4, 1.0])
        assert layer.rho.requires_grad
    assert (own.gamma == 7).all()
