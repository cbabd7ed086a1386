"""Ways to tag the same images: zero-shot, and with what reviews taught; in one space or several."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from worker.catalog.spaces import Space
from worker.pipeline.evaluation.reviewed import Reviewed, scores
from worker.pipeline.review.subject import Build
from worker.tagging import Taxonomy
from worker.tagging.label_probabilities import LabelProbabilities
from worker.types import Floats

ZERO_SHOT = "zero-shot"


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class OutOfFold:
    """What heads say about m images that they were not learned from."""

    labels: tuple[str, ...]  # K, at the top
    images: npt.NDArray[np.intp]  # [m], places
    probability: Floats  # [K, m]
    lead: Floats  # [K, m], over the strongest rival
    learned_from: int  # images


#: Gives these for a taxonomy with a head in a space; None: too little was decided.
CrossValidate: TypeAlias = Callable[[Reviewed, Taxonomy, Space, Build], OutOfFold | None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Method:
    """A taxonomy in a space."""

    space: Space
    taxonomy: Taxonomy  # without its condition, and for zero-shot without what reviews taught
    name: str
    note: str = ""  # what speaks against its numbers


def methods(taxonomy: Taxonomy, spaces: Sequence[Space]) -> Iterator[Method]:
    """For each space zero-shot; then what is in force, if reviews taught something about it."""
    plain = replace(taxonomy, when=(), learned={})
    for space in spaces:
        yield Method(space=space, taxonomy=plain, name=ZERO_SHOT)
        learned = taxonomy.learned_in(space.id)
        if learned is not None and (learned.head or learned.thresholds):
            yield Method(
                space=space,
                taxonomy=replace(taxonomy, when=()),
                name="in force: " + " and ".join(_taught(taxonomy, space)),
                note=_note(taxonomy, space),
            )


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Scored:
    """A method, and what it says about images."""

    method: Method
    by: LabelProbabilities

    def only(self, images: npt.NDArray[np.intp]) -> Scored:
        """About some of them."""
        own = self.by
        some = replace(
            own,
            probability=own.probability[:, images],
            holds=own.holds[:, images],
            eligible=own.eligible[:, images],
        )
        return replace(self, by=some)


def scored(method: Method, found: Reviewed, build: Build, cross_validate: CrossValidate | None) -> Scored:
    """Every label's probability for the images.

    A head is measured by heads that were learned in the same way without the image, if ``cross_validate`` gives them:
    about what it was learned from, it is right too often.
    """
    by = scores(build(method.space, [method.taxonomy]), found.vectors)
    if method.taxonomy.head(method.space.id) is None or cross_validate is None:
        return Scored(method=method, by=by)
    held_out = cross_validate(found, method.taxonomy, method.space, build)
    if held_out is None:
        return Scored(method=method, by=by)
    note = "the head's probabilities are out of fold: each image by a head learned without it and its near-duplicates"
    if held_out.learned_from < len(held_out.images):
        note += f", from {held_out.learned_from:,} of the images"
    learned = method.taxonomy.learned_in(method.space.id)
    if learned is not None and learned.thresholds:
        note += "; thresholds may have been chosen on these images"
    return Scored(method=replace(method, note=note), by=_without_training(by, held_out, method))


def _without_training(by: LabelProbabilities, held_out: OutOfFold, method: Method) -> LabelProbabilities:
    """Probabilities of labels at the top from heads that did not see the image."""
    margin = np.float32(method.taxonomy.calibration_for(method.space.model, method.space.id).margin)
    probability, holds, eligible = by.probability.copy(), by.holds.copy(), by.eligible.copy()
    for number, label in enumerate(held_out.labels):
        if label not in by.labels:
            continue
        row = by.labels.index(label)
        chance, lead = held_out.probability[number], held_out.lead[number]
        ahead = (lead > 0) & (lead >= margin)
        probability[row, held_out.images] = chance
        eligible[row, held_out.images] = ahead
        holds[row, held_out.images] = ahead & (chance >= by.thresholds[row])
    return replace(by, probability=probability, holds=holds, eligible=eligible)


def _taught(taxonomy: Taxonomy, space: Space) -> Iterator[str]:
    learned = taxonomy.learned_in(space.id)
    if learned is not None and learned.head:
        yield f"head {learned.head.number}"
    if learned is not None and learned.thresholds:
        yield "thresholds from reviews"


def _note(taxonomy: Taxonomy, space: Space) -> str:
    what = "trained" if taxonomy.head(space.id) else "its thresholds were chosen"
    return f"{what} on images like these, perhaps on some of them: new images may be worse"
