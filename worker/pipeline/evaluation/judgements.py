"""What a model says about images beside what people decided, as arrays. Pure arithmetic."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from worker.catalog.reviewed_images import PersonAnswer, ReviewedImage
from worker.tagging import Taxonomy
from worker.tagging.label_probabilities import LabelProbabilities
from worker.types import Floats

Mask = npt.NDArray[np.bool_]
Places = npt.NDArray[np.intp]

#: In place of whether a label holds: nobody has said.
UNKNOWN = -1
_NO_PARENT = -1


@dataclass(frozen=True, kw_only=True, eq=False)
class Truth:
    """What people decided about n images."""

    labels: tuple[str, ...]  # parents before children; then those that only people gave
    parents: Places  # [labels], -1 at the top
    by_itself: bool  # whether each label is a question of its own
    holds: npt.NDArray[np.int8]  # [labels, n]: 1, 0 or UNKNOWN
    whole: Mask  # [n], whether the whole taxonomy is answered

    @cached_property
    def top(self) -> Places:
        """The labels without a parent."""
        return np.flatnonzero(self.parents == _NO_PARENT)

    @cached_property
    def none(self) -> Mask:
        """``[n]``: none of the labels holds."""
        mask: Mask = self.whole & ~(self.holds == 1).any(axis=0)
        return mask


@dataclass(frozen=True, kw_only=True, eq=False)
class Answers:
    """What one method says about the same images."""

    chance: Floats  # [labels, n]
    given: Mask  # [labels, n], with all parents

    def outcomes(self, truth: Truth) -> Outcomes:
        """Compare with what people decided."""
        tagged: Mask = np.asarray(self.given.any(axis=0))
        wrong = (self.given & (truth.holds == 0)).any(axis=0)
        known = ~(self.given & (truth.holds == UNKNOWN)).any(axis=0)
        return Outcomes(
            tagged=tagged,
            wrong=wrong,
            right=tagged & known & ~wrong,
            known=(tagged & (wrong | known)) | ~tagged,
            agrees=np.where(tagged, known & ~wrong, truth.none),
            comparable=np.where(tagged, wrong | known, truth.whole),
        )


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Outcomes:
    """``[n]`` each; only where one image has one answer."""

    tagged: Mask
    right: Mask  # tagged, and every label holds
    wrong: Mask  # tagged, and a label does not hold
    known: Mask  # whether a tag is right or wrong is known, or there is none
    agrees: Mask  # right, or no tag where no label holds
    comparable: Mask  # whether that is known


def truth_of(taxonomy: Taxonomy, images: Sequence[ReviewedImage]) -> Truth:
    """What people decided about images, when they were asked this taxonomy."""
    parents = {label.name: parent.name if parent else None for label, parent in taxonomy.walk()}
    more = {each.label for image in images for each in image.answers if each.label is not None} - parents.keys()
    named = (*parents, *sorted(more))
    places = {label: place for place, label in enumerate(named)}
    holds = np.full((len(named), len(images)), UNKNOWN, dtype=np.int8)
    for column, image in enumerate(images):
        if image.whole:
            holds[:, column] = 0
        for each in image.answers:
            if each.label is not None:
                holds[places[each.label], column] = each.holds
    above = [parents.get(label) for label in named]
    return Truth(
        labels=named,
        parents=np.array([places.get(each, _NO_PARENT) if each else _NO_PARENT for each in above], dtype=np.intp),
        by_itself=taxonomy.mode == "multi-label",
        holds=holds,
        whole=np.array([each.whole for each in images], dtype=bool),
    )


def answers_of(scored: LabelProbabilities, truth: Truth) -> Answers:
    """What a model says, in the order of the labels of ``truth``; it never gives those that it does not know."""
    chance = np.zeros(truth.holds.shape, dtype=np.float32)
    given = np.zeros(truth.holds.shape, dtype=bool)
    own = {label: row for row, label in enumerate(scored.labels)}
    for place, label in enumerate(truth.labels):
        if label in own:
            chance[place], given[place] = scored.probability[own[label]], scored.holds[own[label]]
    for place, parent in enumerate(truth.parents):  # parents come first
        if parent != _NO_PARENT:
            given[place] &= given[parent]
    return Answers(chance=chance, given=given)


def deepest(truth: Truth, mask: Mask) -> list[str | None]:
    """For each image the lowest label of a mask ``[labels, n]``; None: it has none."""
    found: list[str | None] = [None] * mask.shape[1]
    for place, label in enumerate(truth.labels):  # parents come first
        for image in np.flatnonzero(mask[place]).tolist():
            found[image] = label
    return found


def answer_about(image: ReviewedImage, label: str | None) -> PersonAnswer | None:
    """The answer about a label; about any label, the one that was drawn at random, if one was."""
    if label is not None:
        return image.about(label)
    return next((each for each in image.answers if each.draw is not None), image.answers[0] if image.answers else None)
