"""What heads say about images that they were not learned from: to measure a head by the decisions that taught it."""

from __future__ import annotations

from dataclasses import replace
from typing import TypedDict

import numpy as np
import numpy.typing as npt

from worker.catalog.spaces import Space
from worker.pipeline.evaluation.methods import OutOfFold
from worker.pipeline.evaluation.reviewed import Reviewed
from worker.pipeline.learning import answers
from worker.pipeline.learning.learn import SEED
from worker.pipeline.review.subject import Build
from worker.tagging import Taxonomy
from worker.tagging.head_inputs import zero_shot
from worker.tagging.head_trials import cross_validated, leads, probabilities
from worker.tagging.heads import Numbers, Reviews, fit
from worker.types import Floats

#: Images that heads are learned from: a head takes longer the more there are, and learns little from still more.
MOST = 1_000


def held_out(found: Reviewed, taxonomy: Taxonomy, space: Space, build: Build) -> OutOfFold | None:
    """Each image by a head that is learned without it and its near-duplicates, in the way in which heads are learned.

    Returns:
        None if too little was decided to leave something out.
    """
    decisions = answers.counts(found, taxonomy, space.model)
    if answers.missing(taxonomy, decisions) is not None:
        return None
    independent = taxonomy.mode == "multi-label"
    without = [each.label for each in decisions if not each.has_prompts and each.is_enough(independent=independent)]
    bare = replace(taxonomy, when=(), learned={})
    start = zero_shot(build(space, [bare]), found.vectors, without_prompts=without)
    reviews, places = answers.reviews(found, taxonomy, start)
    if len(set(reviews.clusters.tolist())) < 2:  # noqa: PLR2004  # nothing could be left out
        return None
    return OutOfFold(labels=start.labels, images=places, **_measured(reviews))


class _Numbers(TypedDict):
    probability: Floats
    lead: Floats
    learned_from: int


def _measured(reviews: Reviews) -> _Numbers:
    """By cross-validation; of very many images, only some are learned from, and the others are held out anyway."""
    inside = _drawn(reviews.clusters)
    some, others = reviews.only(np.flatnonzero(inside)), reviews.only(np.flatnonzero(~inside))
    logits = cross_validated(some, seed=SEED, curve=False).logits
    found = _Numbers(
        probability=np.empty((reviews.labels, len(reviews)), dtype=np.float32),
        lead=np.empty((reviews.labels, len(reviews)), dtype=np.float32),
        learned_from=len(some),
    )
    parts = [(inside, some, logits)]
    if len(others):
        parts.append((~inside, others, fit(some).logits(others)))
    for mask, part, its in parts:
        found["probability"][:, mask] = probabilities(part, its).T
        found["lead"][:, mask] = leads(part, its).T
    return found


def _drawn(clusters: Numbers) -> npt.NDArray[np.bool_]:
    """``[n]``: whole scenes at random, of ``MOST`` images or a few more."""
    _, scene, sizes = np.unique(clusters, return_inverse=True, return_counts=True)
    order = np.random.default_rng(SEED).permutation(len(sizes))
    count = int(np.searchsorted(np.cumsum(sizes[order]), MOST)) + 1
    chosen = np.zeros(len(sizes), dtype=bool)
    chosen[order[:count]] = True
    mask: npt.NDArray[np.bool_] = chosen[scene]
    return mask
