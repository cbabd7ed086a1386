"""Labels as vectors, computed once per model so that tagging an image is one product of matrices."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from worker.tagging.taxonomy import Label, Taxonomy
from worker.types import Floats

#: Texts in, ``[len(texts), d]`` out, in the same order; any length of vectors but zero.
EncodeTexts: TypeAlias = Callable[[Sequence[str]], Floats]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class LabelMatrix:
    """A taxonomy in one model's embedding space.

    Candidates are the labels, sorted by name, then the background if there is one. A candidate owns one row or more,
    and is as similar to an image as its nearest row.
    """

    taxonomy: Taxonomy
    labels: tuple[str, ...]
    rows: Floats  # [r, d], of unit length
    starts: npt.NDArray[np.intp]  # [candidates]: each one's first row


def build_label_matrix(taxonomy: Taxonomy, encode_texts: EncodeTexts) -> LabelMatrix:
    """``build_label_matrices`` for one taxonomy."""
    return build_label_matrices((taxonomy,), encode_texts)[0]


def build_label_matrices(taxonomies: Sequence[Taxonomy], encode_texts: EncodeTexts) -> tuple[LabelMatrix, ...]:
    """Encode the texts of all taxonomies, each text once, in one call.

    Raises:
        ValueError: ``encode_texts`` returned another shape, or a vector without direction (zero, infinite or NaN).
    """
    texts = tuple(dict.fromkeys(text for taxonomy in taxonomies for text in _texts(taxonomy)))
    vectors = _encode(texts, encode_texts) if texts else {}
    return tuple(_matrix(taxonomy, vectors) for taxonomy in taxonomies)


def _texts(taxonomy: Taxonomy) -> list[str]:
    labels = [text for label in taxonomy.labels for text in taxonomy.label_texts(label)]
    return labels + [text for prompt in taxonomy.background for text in taxonomy.texts(prompt)]


def _encode(texts: Sequence[str], encode_texts: EncodeTexts) -> dict[str, Floats]:
    vectors = np.asarray(encode_texts(texts), dtype=np.float32)
    if vectors.ndim != 2 or len(vectors) != len(texts):  # noqa: PLR2004
        raise ValueError(f"encode_texts returned shape {vectors.shape} for {len(texts)} texts; expected one row each")
    return {text: _unit(vector, text) for text, vector in zip(texts, vectors, strict=True)}


def _matrix(taxonomy: Taxonomy, vectors: Mapping[str, Floats]) -> LabelMatrix:
    labels = sorted(taxonomy.labels, key=lambda label: label.name)
    candidates = [_label_rows(taxonomy, label, vectors) for label in labels]
    if taxonomy.background:
        candidates.append(_background_rows(taxonomy, vectors))
    sizes = [len(rows) for rows in candidates]
    return LabelMatrix(
        taxonomy=taxonomy,
        labels=tuple(label.name for label in labels),
        rows=np.concatenate(candidates),
        starts=np.cumsum([0, *sizes[:-1]], dtype=np.intp),
    )


def _label_rows(taxonomy: Taxonomy, label: Label, vectors: Mapping[str, Floats]) -> Floats:
    rows = np.stack([vectors[text] for text in taxonomy.label_texts(label)])
    return rows if taxonomy.aggregate == "max" else _mean(rows, label.name)


def _background_rows(taxonomy: Taxonomy, vectors: Mapping[str, Floats]) -> Floats:
    """One row per prompt (its mean over the templates): the ways to be something else have no common middle."""
    prompts = sorted(set(taxonomy.background))
    by_prompt = [np.stack([vectors[text] for text in taxonomy.texts(prompt)]) for prompt in prompts]
    if taxonomy.aggregate == "max":
        return np.concatenate(by_prompt)
    return np.concatenate([_mean(rows, prompt) for prompt, rows in zip(prompts, by_prompt, strict=True)])


def _mean(rows: Floats, name: str) -> Floats:
    """``[1, d]``: mean of unit vectors, scaled to unit length again (open_clip's ``build_zero_shot_classifier``)."""
    return _unit(rows.mean(axis=0), name)[np.newaxis]


def _unit(vector: Floats, name: str) -> Floats:
    length = float(np.linalg.norm(vector.astype(np.float64)))
    if not (np.isfinite(length) and length > 0):
        raise ValueError(f"the vector of {name!r} has length {length}, so no direction; the text encoder is broken")
    unit: Floats = (vector / length).astype(np.float32)
    return unit
