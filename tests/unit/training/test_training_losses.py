"""What the starter's heads are trained on: two losses and the batches they see."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from training import train, vocabulary
from training.corpus import tag_matrix
from training.train import Batch


def batch(positive: Tensor, unknown: Tensor | None = None) -> Batch:
    """A batch of which only who fits what matters."""
    n = len(positive)
    nothing = torch.zeros(n, 1)
    return Batch(
        inputs=nothing,
        named=nothing,
        tags=nothing.bool(),
        texts=torch.zeros(n, 2, dtype=torch.long),
        mix=nothing,
        positive=positive,
        unknown=torch.zeros_like(positive) if unknown is None else unknown,
    )


def test_pictures_near_their_own_texts_cost_nothing():
    """And far from them, much."""
    own = torch.eye(4, dtype=torch.bool)

    assert train.contrastive_loss(50.0 * own, batch(own)) < 1e-6
    assert train.contrastive_loss(-50.0 * own, batch(own)) > 10


def test_a_text_may_fit_several_pictures():
    """Two pictures of dogs both near "a dog" are as good as it gets: log 2, never a penalty for the second."""
    both = torch.ones(2, 2, dtype=torch.bool)

    assert train.contrastive_loss(torch.zeros(2, 2), batch(both)).item() == pytest.approx(0.6931, abs=1e-4)
    assert train.contrastive_loss(torch.tensor([[9.0, 0.0], [0.0, 9.0]]), batch(both)) > 4


def test_what_nobody_knows_teaches_nothing():
    """The score of an unknown pair does not move the loss."""
    own = torch.eye(3, dtype=torch.bool)
    unknown = torch.zeros(3, 3, dtype=torch.bool)
    unknown[0, 1] = True
    scores = torch.randn(3, 3, generator=torch.Generator().manual_seed(0))
    changed = scores.clone()
    changed[0, 1] += 7

    assert train.contrastive_loss(scores, batch(own, unknown)) == train.contrastive_loss(changed, batch(own, unknown))
    assert train.contrastive_loss(scores, batch(own)) != train.contrastive_loss(changed, batch(own))


def day_and_night(days: int) -> Tensor:
    """Group loss of a model that calls everything day, on so many pictures by day and one at night."""
    scores = torch.zeros(days + 1, len(vocabulary.TAGS))
    scores[:, vocabulary.INDEX["day"]] = 3.0
    return train.group_loss(scores, tag_matrix([["day"]] * days + [["night"]]))


def test_a_rare_answer_weighs_as_much_as_a_common_one():
    """Ninety-nine pictures by day do not excuse calling the one at night day."""
    torch.testing.assert_close(day_and_night(99), day_and_night(1))


def test_any_of_a_pictures_own_answers_is_right():
    """A picture that is both food and a plant may be called either."""
    scores = torch.zeros(1, len(vocabulary.TAGS))
    scores[0, vocabulary.INDEX["food"]] = 20.0

    assert train.group_loss(scores, tag_matrix([["food", "plant"]])) < 1e-6
    assert train.group_loss(scores, tag_matrix([["plant"]])) > 1
