"""Label vectors, computed once per model so that tagging an image is one matrix product."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from worker.tagging.learned import NONE_OF_THESE, Head, unpacked
from worker.tagging.taxonomy import Label, Taxonomy
from worker.types import Floats

#: Texts in, ``[len(texts), d]`` out, in the same order; any length of vectors but zero.
EncodeTexts: TypeAlias = Callable[[Sequence[str]], Floats]

Indices: TypeAlias = npt.NDArray[np.intp]

#: In place of an index: none.
NONE = -1

#: Longest row that ``exact_similarity`` can take: below 2, less what rounding adds.
_LONGEST = 1.95


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Choice:
    """One question of a taxonomy: which of a label's children, or which of the labels at the top.

    Candidates are the labels asked about, then what some of them are not (with ``multi-label``), then the background
    if there is one. A candidate owns a run of rows, one or more, and is as similar to an image as its nearest row.
    """

    parent: int  # index into the matrix's labels; NONE at the top
    labels: Indices  # [m], of the matrix
    rows: slice  # of the matrix
    starts: Indices  # [candidates]: each one's first row, counted from the beginning of ``rows``
    negatives: Indices  # [m]: the candidate that says what the label is not, or NONE
    background: bool  # whether the last candidate is the background


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class LabelMatrix:
    """A taxonomy in one model's embedding space.

    Rows of a label are followed by those of its children and of their background, so that a label with all that is
    below it is one run of rows: a parent is as near as the nearest of its kinds.
    """

    taxonomy: Taxonomy
    labels: tuple[str, ...]  # parents before children, brothers and sisters sorted by name; those with rows
    rows: Floats  # [r, d], of unit length, unless a head moved them
    choices: tuple[Choice, ...]  # a parent's before its children's
    neutral: Floats | None = None  # [prompts, d], of unit length; None: labels are not judged by them

    @property
    def top(self) -> Choice:
        """The top-level choice, which is always decided."""
        return self.choices[0]


def build_label_matrix(taxonomy: Taxonomy, encode_texts: EncodeTexts, *, model: str | None = None) -> LabelMatrix:
    """``build_label_matrices`` for one taxonomy."""
    return build_label_matrices((taxonomy,), encode_texts, model=model)[0]


def build_label_matrices(
    taxonomies: Sequence[Taxonomy], encode_texts: EncodeTexts, *, model: str | None = None, space: int | None = None
) -> tuple[LabelMatrix, ...]:
    """Encode the texts of all taxonomies, each text once, in one call.

    Args:
        taxonomies: what ``load_taxonomies`` returned.
        encode_texts: the model's text encoder.
        model: as ``ENRICH_MODEL`` has it; chooses templates and languages. None: the taxonomies' own templates.
        space: whose heads move the rows; None: no heads.

    Raises:
        ValueError: ``encode_texts`` returned another shape, or a vector without direction (zero, infinite or NaN); or a
            head is of another dimension.
    """
    texts = tuple(dict.fromkeys(text for taxonomy in taxonomies for text in _texts(taxonomy, model)))
    vectors = encoded(texts, encode_texts) if texts else {}
    wanted = [taxonomy.neutral_texts(model) for taxonomy in taxonomies]
    rows = {prompts: _neutral_rows(prompts, vectors) for prompts in set(wanted)}  # shared: see ``Tagger``
    return tuple(
        _Layout(taxonomy, vectors, model, taxonomy.head(space)).matrix(rows[prompts])
        for taxonomy, prompts in zip(taxonomies, wanted, strict=True)
    )


def _neutral_rows(prompts: Sequence[Sequence[str]], vectors: Mapping[str, Floats]) -> Floats | None:
    """A row per prompt, whatever the aggregate: the mean of its texts."""
    if not prompts:
        return None
    return np.concatenate([mean(np.stack([vectors[text] for text in texts]), texts[0]) for texts in prompts])


def own_texts(taxonomy: Taxonomy, model: str | None) -> Iterator[str]:
    """All texts that a taxonomy has for a model but neutral prompts; some may come twice."""
    for label, _ in taxonomy.walk():
        yield from taxonomy.label_texts(label, model)
        for texts in (*taxonomy.negative_texts(label, model), *taxonomy.background_texts(label, model)):
            yield from texts
    for texts in taxonomy.background_texts(model=model):
        yield from texts


def _texts(taxonomy: Taxonomy, model: str | None) -> Iterator[str]:
    yield from own_texts(taxonomy, model)
    for texts in taxonomy.neutral_texts(model):
        yield from texts


def encoded(texts: Sequence[str], encode_texts: EncodeTexts) -> dict[str, Floats]:
    """Text → its vector of unit length, ``[d]``; raises what ``build_label_matrices`` raises."""
    vectors = np.asarray(encode_texts(texts), dtype=np.float32)
    if vectors.ndim != 2 or len(vectors) != len(texts):  # noqa: PLR2004
        raise ValueError(f"encode_texts returned shape {vectors.shape} for {len(texts)} texts; expected one row each")
    return {text: _unit(vector, text) for text, vector in zip(texts, vectors, strict=True)}


@dataclass(slots=True)
class _Layout:
    """A matrix in the making: rows are appended, and choices note where."""

    taxonomy: Taxonomy
    vectors: Mapping[str, Floats]
    model: str | None
    head: Head | None
    labels: list[str] = field(default_factory=list)
    blocks: list[Floats] = field(default_factory=list)
    height: int = 0
    choices: list[Choice] = field(default_factory=list)
    moved: list[tuple[slice, str]] = field(default_factory=list)  # runs of rows, and what is added to them

    def matrix(self, neutral: Floats | None) -> LabelMatrix:
        self._choice(self.taxonomy.labels, parent=None)
        return LabelMatrix(
            taxonomy=self.taxonomy,
            labels=tuple(self.labels),
            rows=self._moved(np.concatenate(self.blocks)),
            choices=tuple(sorted(self.choices, key=lambda choice: choice.parent)),
            neutral=neutral,
        )

    def _choice(self, labels: Sequence[Label], parent: Label | None) -> None:
        asked = len(self.labels) - 1 if parent is not None else NONE
        first, starts, members = self.height, list[int](), list[int]()
        siblings = sorted((label for label in labels if self._has_rows(label)), key=lambda label: label.name)
        for label in siblings:
            begin = self.height
            starts.append(begin - first)
            members.append(len(self.labels))
            self._label(label)
            if parent is None and self.head and label.name in self.head.moves:
                self.moved.append((slice(begin, self.height), self.head.moves[label.name]))
        negatives = [self._others(self.taxonomy.negative_texts(label, self.model), starts, first) for label in siblings]
        rest = self._others(self.taxonomy.background_texts(parent, self.model), starts, first)
        if rest == NONE and parent is None and self.head and NONE_OF_THESE in self.head.rows:
            starts.append(self.height - first)
            self._append(unpacked(self.head.rows[NONE_OF_THESE])[np.newaxis])
            rest = len(starts) - 1
        self.choices.append(
            Choice(
                parent=asked,
                labels=np.array(members, dtype=np.intp),
                rows=slice(first, self.height),
                starts=np.array(starts, dtype=np.intp),
                negatives=np.array(negatives, dtype=np.intp),
                background=rest != NONE,
            )
        )

    def _label(self, label: Label) -> None:
        self.labels.append(label.name)
        texts = self.taxonomy.label_texts(label, self.model)
        if texts:
            self._append(self._rows(texts, label.name))
        elif self.head and label.name in self.head.rows:
            self._append(unpacked(self.head.rows[label.name])[np.newaxis])
        if label.children:
            self._choice(label.children, label)

    def _has_rows(self, label: Label) -> bool:
        """Whether the label can be compared with images: one without prompts can only where a head knows it."""
        if label.children or self.taxonomy.label_texts(label, self.model):
            return True
        return self.head is not None and label.name in self.head.rows

    def _moved(self, rows: Floats) -> Floats:
        for run, move in self.moved:
            rows[run] += unpacked(move)
        if self.head is not None and np.linalg.norm(rows.astype(np.float64), axis=1).max() > _LONGEST:
            raise ValueError(f"the head of {self.taxonomy.name!r} moves a row further than {_LONGEST} from 0")
        return rows

    def _others(self, prompts: Sequence[Sequence[str]], starts: list[int], first: int) -> int:
        """A candidate that is no label, with a row per prompt: the ways to be something else have no common middle."""
        if not prompts:
            return NONE
        starts.append(self.height - first)
        for texts in prompts:
            self._append(self._rows(texts, texts[0]))
        return len(starts) - 1

    def _append(self, rows: Floats) -> None:
        self.blocks.append(rows)
        self.height += len(rows)

    def _rows(self, texts: Sequence[str], name: str) -> Floats:
        rows = np.stack([self.vectors[text] for text in texts])
        return rows if self.taxonomy.aggregate == "max" else mean(rows, name)


def mean(rows: Floats, name: str) -> Floats:
    """``[1, d]``: mean of unit vectors, scaled to unit length again (open_clip's ``build_zero_shot_classifier``).

    Raises:
        ValueError: they cancel each other out; ``name`` says whose they are.
    """
    return _unit(rows.mean(axis=0), name)[np.newaxis]


def _unit(vector: Floats, name: str) -> Floats:
    length = float(np.linalg.norm(vector.astype(np.float64)))
    if not (np.isfinite(length) and length > 0):
        raise ValueError(f"the vector of {name!r} has length {length}, so no direction; the text encoder is broken")
    unit: Floats = (vector / length).astype(np.float32)
    return unit
