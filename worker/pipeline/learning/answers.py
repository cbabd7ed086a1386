"""People's decisions as what a head learns from: the answer, the weight and the role of each reviewed image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from worker.catalog.reviewed_images import ReviewedImage
from worker.pipeline.evaluation.reviewed import Reviewed
from worker.tagging import Taxonomy
from worker.tagging.head_inputs import ZeroShot
from worker.tagging.heads import UNDECIDED, Reviews
from worker.types import Floats

#: Decisions that a label needs to count as reviewed; with independent labels, for and against it.
ENOUGH = 4
#: Reviewed labels that a head needs; with independent labels, one will do.
LABELS = 2
#: Weights are kept within this factor of the median: else a label that was reviewed completely would count for nothing
#: beside one of which a few in a thousand were drawn.
_WIDEST = 5.0


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelDecisions:
    """How many reviewed images have a label."""

    label: str
    has: int
    has_not: int  # and somebody said so
    has_prompts: bool

    def is_enough(self, *, independent: bool) -> bool:
        """Whether it counts as reviewed."""
        return self.has >= ENOUGH and (not independent or self.has_not >= ENOUGH)


def counts(found: Reviewed, taxonomy: Taxonomy, model: str) -> tuple[LabelDecisions, ...]:
    """By top label, in the order of the taxonomy."""
    tops = _tops(taxonomy)
    truths = {label.name: [_holds(each, label.name, tops) for each in found.images] for label in taxonomy.labels}
    return tuple(
        LabelDecisions(
            label=label.name,
            has=truths[label.name].count(True),
            has_not=truths[label.name].count(False),
            has_prompts=bool(label.children or taxonomy.label_texts(label, model)),
        )
        for label in taxonomy.labels
    )


def missing(taxonomy: Taxonomy, decisions: Sequence[LabelDecisions]) -> str | None:
    """What a head still needs, in words; None: nothing."""
    independent = taxonomy.mode == "multi-label"
    enough = sum(each.is_enough(independent=independent) for each in decisions)
    if enough >= (1 if independent else LABELS):
        return None
    if independent:
        has = ", ".join(f"{each.label} {each.has} for and {each.has_not} against" for each in decisions)
        needed = f"a label with {ENOUGH} decisions for and {ENOUGH} against it"
    else:
        has = ", ".join(f"{each.label} {each.has}" for each in decisions)
        needed = f"{LABELS} labels with {ENOUGH} decisions each"
    return (
        f"a head of {taxonomy.name} needs {needed}; there are {has}. Review more with "
        f"`enrich review {taxonomy.name} LABEL`"
    )


def reviews(found: Reviewed, taxonomy: Taxonomy, start: ZeroShot) -> tuple[Reviews, npt.NDArray[np.intp]]:
    """Images with an answer to learn from, and their places among the reviewed ones.

    Args:
        found: what people decided.
        taxonomy: in force.
        start: the same images and the labels at the top, by zero-shot.
    """
    tops = _tops(taxonomy)
    answer = _independent if start.independent else _exclusive
    given = [answer(each, start.labels, tops) for each in found.images]
    places = np.array([place for place, each in enumerate(given) if each is not None], dtype=np.intp)
    shape = (len(places), len(start.labels)) if start.independent else (len(places),)
    answers = np.array([given[place] for place in places], dtype=np.intp).reshape(shape)
    images = [found.images[place] for place in places]
    made = Reviews(
        vectors=found.vectors[places],
        factor=start.factor[places],
        base=start.base[places],
        other=start.other[places],
        answers=answers,
        weights=_weights(images),
        clusters=found.scenes[places],
        judges=np.array([any(own.draw is not None for own in each.answers) for each in images], dtype=bool),
        anchor=start.anchor[places],
        independent=start.independent,
        relative=start.relative,
    )
    return made, places


def _tops(taxonomy: Taxonomy) -> Mapping[str, str]:
    """Label → the label at the top that it is a kind of."""
    tops: dict[str, str] = {}
    for label, parent in taxonomy.walk():  # parents first
        tops[label.name] = tops[parent.name] if parent else label.name
    return tops


def _held(image: ReviewedImage, tops: Mapping[str, str]) -> set[str]:
    return {tops[label] for label in image.labels if label in tops}


def _holds(image: ReviewedImage, label: str, tops: Mapping[str, str]) -> bool | None:
    """Whether a top label holds; None: nobody has said."""
    held = _held(image, tops)
    if label in held or image.whole:
        return label in held
    return False if image.truth(label) is False else None


def _exclusive(image: ReviewedImage, labels: Sequence[str], tops: Mapping[str, str]) -> int | None:
    """Place of the one label; ``len(labels)``: none of them; None: nobody has said."""
    held = _held(image, tops)
    known = [labels.index(label) for label in held if label in labels]
    if len(held) == 1 and known:
        return known[0]
    # Also if the answer is a label that is not learned yet, or that the taxonomy no longer has.
    return len(labels) if image.whole and len(held) <= 1 else None


def _independent(image: ReviewedImage, labels: Sequence[str], tops: Mapping[str, str]) -> list[int] | None:
    truths = [_holds(image, label, tops) for label in labels]
    return None if all(each is None for each in truths) else [UNDECIDED if each is None else each for each in truths]


def _weights(images: Sequence[ReviewedImage]) -> Floats:
    """``[n]``: 1 / probability of the draw; 1 for what was picked, or drawn with a probability that is not known."""
    chances = [[own.draw.of_scene for own in each.answers if own.draw] for each in images]
    inverse = np.array([1 / max(own) if (own := [each for each in all_ if each]) else np.nan for all_ in chances])
    if not np.isfinite(inverse).any():
        return np.ones(len(images), dtype=np.float32)
    inverse /= np.nanmedian(inverse)
    weights: Floats = np.clip(np.nan_to_num(inverse, nan=1.0), 1 / _WIDEST, _WIDEST).astype(np.float32)
    return weights
