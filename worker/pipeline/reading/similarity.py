"""The use case: how similar a few texts, files, images, vectors and labels are to each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from worker.catalog.spaces import Space
from worker.errors import ChoiceError
from worker.pipeline.reading.examples import Example, ExampleVectors, Modality

#: Examples that are compared at once.
MOST_COMPARED = 64
_LEAST_COMPARED = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class Similarities:
    """Every example compared with every other."""

    space: Space
    modalities: tuple[Modality, ...]
    table: tuple[tuple[float, ...], ...]  # cosines, in the order of the examples; 1 for each with itself


def similarities(vectors: ExampleVectors, examples: Sequence[Example]) -> Similarities:
    """The cosines of examples in the active space.

    Those of a text and an image are lower than those of two images or two texts that fit as well: compare them with
    each other only.

    Raises:
        ChoiceError: there are fewer than two examples, or too many, or one is invalid.
        and what ``ExampleVectors.embed`` raises.
    """
    if not _LEAST_COMPARED <= len(examples) <= MOST_COMPARED:
        raise ChoiceError(f"give 2 to {MOST_COMPARED} examples to compare; there are {len(examples)}")
    embedded = vectors.embed(examples)
    found = (embedded.vectors @ embedded.vectors.T).clip(-1, 1)
    table = tuple(
        tuple(1.0 if row == column else float(cosine) for column, cosine in enumerate(cosines))
        for row, cosines in enumerate(found)
    )
    return Similarities(space=embedded.space, modalities=tuple(each.modality for each in examples), table=table)
