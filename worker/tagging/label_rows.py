"""The vectors of labels for searches, which rank labels one by one instead of deciding among them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from worker.tagging.matrix import mean
from worker.tagging.taxonomy import Taxonomy
from worker.types import Floats


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class LabelRow:
    """A vector of a label."""

    label: str
    text: str | None  # the prompt in its template that this is the vector of; None: the mean of all
    ranks: bool  # whether labels are found by it; else it only says which of the label's texts are near
    vector: Floats  # [d], unit length


def texts_of_labels(taxonomy: Taxonomy, model: str) -> dict[str, tuple[str, ...]]:
    """Label → its texts, if it has any; other labels are found by the texts of their children."""
    texts = {label.name: taxonomy.label_texts(label, model) for label, _ in taxonomy.walk()}
    return {label: own for label, own in texts.items() if own}


def label_rows(
    taxonomy: Taxonomy, texts: Mapping[str, Sequence[str]], vectors: Mapping[str, Floats]
) -> Iterator[LabelRow]:
    """Rows of some labels.

    As in deciding: with ``aggregate: mean`` a label is the mean of its texts, with ``max`` as near as the nearest.

    Args:
        taxonomy: whose labels.
        texts: label → its texts.
        vectors: text → ``[d]`` of unit length.

    Raises:
        ValueError: the vectors of a label's texts cancel each other out.
    """
    by_mean = taxonomy.aggregate == "mean"
    for label, own in texts.items():
        if by_mean and len(own) > 1:
            whole = mean(np.stack([vectors[text] for text in own]), label)[0]
            yield LabelRow(label=label, text=None, ranks=True, vector=whole)
        for text in own:
            yield LabelRow(label=label, text=text, ranks=not by_mean or len(own) == 1, vector=vectors[text])
