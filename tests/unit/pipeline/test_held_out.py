"""Which images a head is learned from where there are very many."""

from __future__ import annotations

import numpy as np
import pytest

from worker.pipeline.learning import held_out
from worker.tagging.heads import Reviews


def reviews(count: int) -> Reviews:
    """Two labels that zero-shot cannot tell apart; each scene has two images."""
    random = np.random.default_rng(0)
    answers = random.integers(0, 2, count)
    vectors = random.normal(size=(count, 8)) * 0.1
    vectors[:, 0] = np.where(answers, 1, -1)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return Reviews(
        vectors=vectors.astype(np.float32),
        factor=np.full(count, 10, dtype=np.float32),
        base=np.zeros((count, 2), dtype=np.float32),
        other=np.full(count, -5, dtype=np.float32),
        answers=answers.astype(np.intp),
        weights=np.ones(count, dtype=np.float32),
        clusters=np.arange(count) // 2,
        judges=np.ones(count, dtype=bool),
    )


@pytest.mark.parametrize("most", [40, 10_000])
def test_every_image_is_judged_by_a_head_that_did_not_see_it(monkeypatch, most):
    """Whether it belongs to those that are learned from, or not."""
    monkeypatch.setattr(held_out, "MOST", most)
    made = reviews(200)
    found = held_out._measured(made)
    assert min(most, 200) == found["learned_from"]
    assert (np.argmax(found["probability"], axis=0) == made.answers).mean() > 0.95
    assert ((found["lead"] > 0).sum(axis=0) == 1).all()


def test_scenes_are_learned_from_whole():
    """An image and its near-duplicate are on the same side."""
    inside = held_out._drawn(np.arange(10_000) // 2)
    assert held_out.MOST <= inside.sum() <= held_out.MOST + 1
    assert (inside[::2] == inside[1::2]).all()
