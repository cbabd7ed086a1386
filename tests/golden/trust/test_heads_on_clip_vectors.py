"""Heads on 1,000 published CLIP vectors, of which people labelled some: what the study of trust says they gain."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import pytest

from tests.clip_photos import CLIP_PHOTOS, labelled
from worker.tagging.head_trials import accuracy, cross_validated
from worker.tagging.heads import fit
from worker.types import Floats

pytestmark = [
    pytest.mark.skipif(not CLIP_PHOTOS.is_dir(), reason=f"no CLIP vectors beside the checkout ({CLIP_PHOTOS.name})"),
    pytest.mark.slow,
]


@dataclass(frozen=True, kw_only=True, slots=True)
class Draws:
    """What heads from 30 random samples did to the photos that were not drawn."""

    gain: Floats  # [30], accuracy over zero-shot
    promoted: np.ndarray  # [30]

    @property
    def bad(self) -> int:
        """Heads that were promoted although they are worse."""
        return int((self.promoted & (self.gain < 0)).sum())


@cache
def drawn(question: str, size: int) -> Draws:
    """30 times: learn from some photos, judge by the others."""
    photos = labelled(question)
    gain, promoted = [], []
    for seed in range(30):
        order = np.random.default_rng(seed).permutation(len(photos))
        some, others = photos.only(order[:size]), photos.only(order[size:])
        gain.append(accuracy(others, fit(some).logits(others)) - accuracy(others, others.base))
        promoted.append(cross_validated(some, seed=seed, curve=False).test.passed)
    return Draws(gain=np.array(gain, dtype=np.float32), promoted=np.array(promoted))


@pytest.mark.parametrize(("question", "gain"), [("time", 0.06), ("setting", 0.06)])
def test_forty_reviews_gain_six_points(question: str, gain: float):
    """On photos that were not reviewed, in the mean; and no draw is worse than zero-shot."""
    found = drawn(question, 40)

    assert found.gain.mean() >= gain
    assert found.gain.min() >= 0
    assert 0 == found.bad


@pytest.mark.parametrize(("question", "gain"), [("time", 0.1), ("setting", 0.07)])
def test_a_hundred_reviews_are_enough_to_be_promoted(question: str, gain: float):
    """They gain seven points or more, which the gate sees most of the time, and it hardly promotes a worse head."""
    found = drawn(question, 100)

    assert found.gain.mean() >= gain
    assert found.promoted.mean() >= 0.6
    assert found.bad <= 1
