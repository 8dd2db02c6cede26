"""Products by convolutions: those of matrices, with their gradients."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from atelier.nn import products as module
from atelier.nn.products import (
    Pointwise,
    gram_of_columns,
    gram_of_rows,
    mkl_is_slow,
    of_bfloat16_values,
    product,
    products,
)
from support.tensors import normal

SIZES = [(16, 3, 5), (32, 5, 1), (37, 4, 6), (7, 4, 6), (1, 1, 1)]


@pytest.fixture
def convolutions(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Number of pictures of each convolution; however small, a product is one, as on AMD's."""
    calls: list[int] = []
    monkeypatch.setattr(module, "WORTH", 0)
    monkeypatch.setattr(module, "mkl_is_slow", lambda: True)
    for place, name in ((functional, "conv2d"), (module, "weight_gradient")):
        monkeypatch.setattr(place, name, counted(getattr(place, name), calls))
    return calls


def counted(convolution: Callable[..., Tensor], calls: list[int]) -> Callable[..., Tensor]:
    def called(value: Tensor, *rest: object) -> Tensor:
        calls.append(len(value))
        return convolution(value, *rest)

    return called


def derived(multiply: Callable[..., Tensor], *parts: Tensor) -> list[Tensor]:
    """Return a product, and the gradients of a weighted sum of it."""
    leaves = [part.clone().requires_grad_() for part in parts]
    found = multiply(*leaves)
    weights = normal(*found.shape, seed=9).to(found)
    return [found, *torch.autograd.grad((found * weights).sum(), leaves)]


def close(found: Sequence[Tensor], wanted: Sequence[Tensor]) -> None:
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one.double(), other, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("rows", "others", "depth"), SIZES)
@pytest.mark.parametrize("transposed", [False, True])
def test_a_product_and_its_gradients(
    rows: int, others: int, depth: int, transposed: bool, convolutions: list[int]
) -> None:
    a, b = normal(rows, depth), normal(others, depth, seed=1)
    if transposed:
        a, b = a.mT.contiguous().mT, b.mT.contiguous().mT
    close(derived(product, a, b), derived(lambda a, b: a @ b.mT, a.double(), b.double()))
    assert convolutions == [16] * (rows >= 16)


@pytest.mark.parametrize(("rows", "others", "depth"), SIZES)
def test_pairs_of_matrices(rows: int, others: int, depth: int, convolutions: list[int]) -> None:
    a, b = normal(2, rows, depth), normal(2, others, depth, seed=1)
    close(derived(products, a, b), derived(lambda a, b: a @ b.mT, a.double(), b.double()))
    assert convolutions == [16, 16] * (rows >= 16)


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("count", [1, 2])
def test_matrices_with_themselves(count: int, transposed: bool, convolutions: list[int]) -> None:
    """Forward and for the gradient one product of each; torch's gradient takes two."""
    rows = normal(count, 16, 32)
    if transposed:
        rows = rows.mT.contiguous()
    close(derived(gram_of_rows, rows), derived(lambda rows: rows @ rows.mT, rows.double()))
    assert convolutions == [16] * 2 * count


def test_column_by_column_they_are_not_copied() -> None:
    """The pictures of a matrix are in channels last, and so is what a convolution makes of them."""
    pictures = module._pictures(normal(8, 32).mT)
    assert pictures.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("rows", [16, 37, 7])
def test_columns_with_one_another(rows: int, convolutions: list[int]) -> None:
    given = normal(rows, 6)
    torch.testing.assert_close(gram_of_columns(given), given.mT @ given, rtol=1e-5, atol=1e-5)
    assert convolutions == [16] * (rows >= 16)


def test_what_is_small_or_exact_is_left_to_torch(convolutions: list[int]) -> None:
    a = normal(16, 4).double()
    assert torch.equal(product(a, a), a @ a.mT)
    assert torch.equal(gram_of_columns(a), a.mT @ a)
    module.WORTH = 2**22
    assert torch.equal(product(a.float(), a.float()), a.float() @ a.float().mT)
    assert not convolutions


@pytest.mark.parametrize(
    ("name", "convolves"), [("AMD EPYC 9B14", True), ("Intel(R) Xeon(R)", False), ("arm64", False)]
)
def test_processors_whose_products_are_fast_make_them(
    name: str, convolves: bool, convolutions: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "mkl_is_slow", mkl_is_slow.__wrapped__)
    monkeypatch.setattr(module, "processor", lambda: name)
    product(normal(16, 4), normal(3, 4))
    gram_of_columns(normal(16, 4))
    assert convolutions == [16, 16] * convolves


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.usefixtures("convolutions")
def test_a_pointwise_layer_is_torchs(layout: torch.memory_format) -> None:
    own, plain = Pointwise(6, 5), nn.Conv2d(6, 5, 1).double()
    plain.load_state_dict(own.state_dict())
    value = normal(2, 6, 5, 7).contiguous(memory_format=layout).requires_grad_()
    exact = value.detach().double().requires_grad_()
    found, wanted = own(value), plain(exact)
    gradients = torch.autograd.grad(found.square().sum(), [value, *own.parameters()])
    expected = torch.autograd.grad(wanted.square().sum(), [exact, *plain.parameters()])
    for one, other in zip([found, *gradients], [wanted, *expected], strict=True):
        torch.testing.assert_close(one.double(), other, rtol=1e-4, atol=1e-4)
    with torch.autocast("cpu", torch.bfloat16):
        assert own(value).dtype == torch.bfloat16


def test_only_the_main_thread_multiplies_as_bfloat16() -> None:
    """The switch is global: another thread's float32 would be rounded meanwhile."""
    place: Any = getattr(torch.backends.mkldnn, "matmul")  # noqa: B009 - it has no type
    before = place.fp32_precision

    def within() -> str:
        with of_bfloat16_values():
            return str(place.fp32_precision)

    assert within() == "bf16"
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(within).result() == before
    with pytest.raises(ZeroDivisionError), of_bfloat16_values():
        _ = 1 / 0
    assert place.fp32_precision == before
