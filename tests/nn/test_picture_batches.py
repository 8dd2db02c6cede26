"""Batches of pictures: filled with the last one, refused by name and place."""

from __future__ import annotations

import pytest
import torch

from atelier.core.config import UserError
from atelier.nn.picture_batches import fill_batch, refuse_nan, refuse_small
from support.steps import smooth


def test_a_batch_is_filled_with_its_last_picture() -> None:
    images = smooth(2, 4, 4)
    assert torch.equal(fill_batch(images, 4), images[[0, 1, 1, 1]])
    assert fill_batch(images, 1) is fill_batch(images, 2) is images


def test_small_pictures_are_refused_by_name() -> None:
    refuse_small("strotss", 32, smooth(1, 32, 32))
    with pytest.raises(UserError, match="strotss needs pictures of at least 32 px, got 40×31"):
        refuse_small("strotss", 32, smooth(1, 32, 32), smooth(1, 31, 40))


def test_a_loss_that_is_not_finite_names_the_picture_and_the_remedy() -> None:
    refuse_nan(torch.ones(3), 0, "lower lr")
    total = torch.tensor([1.0, float("nan"), float("inf")])
    with pytest.raises(
        UserError, match="loss of picture 1, 2 of the batch is not finite at step 7: lower lr"
    ):
        refuse_nan(total, 7, "lower lr")
