"""Tags images by all taxonomies at once: one matrix product per batch."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np

from worker.tagging import conditions
from worker.tagging.decisions import Decisions, joined, tags
from worker.tagging.exact_similarity import LANES, Exact, exact_rows, similarities
from worker.tagging.matrix import EncodeTexts, Indices, build_label_matrices
from worker.tagging.neutral import Yardstick, yardstick
from worker.tagging.scoring import Rule, decide, rule
from worker.tagging.taxonomy import Requirement, Taxonomy
from worker.types import Floats, Tag

#: Images per product: intermediate results stay in the processor's cache, and memory does not grow with the batch,
_CHUNK = 2048
#: nor with the number of labels: similarities held at once (8 bytes each, and half of it again for a while).
_SIMILARITIES = 4 << 20


class Tagger:
    """Several taxonomies and one model, ready to tag. Never changes once built, so threads may share it.

    What it says about an image depends on the image alone, to the last bit: not on the batch it comes in, nor on
    whether its vector was stored in between (``products`` says why).
    """

    def __init__(
        self,
        taxonomies: Sequence[Taxonomy],
        encode_texts: EncodeTexts,
        *,
        logit_scale: float,
        model: str,
        space: int | None = None,
    ) -> None:
        """Encode all prompts.

        Args:
            taxonomies: what ``load_taxonomies`` returned; vocabularies among them are left out.
            encode_texts: the model's text encoder; called once, here.
            logit_scale: what the model multiplies cosines by (CLIP: about 100), not its logarithm.
            model: as ``ENRICH_MODEL`` has it; chooses the calibration, templates and languages.
            space: whose thresholds and heads from reviews to use; None: none.

        Raises:
            TaxonomyError: a taxonomy's ``when`` names one that is not among them, or they wait for each other.
            ValueError: the text encoder returns something else than one vector with a direction per text, or a
                ``logit_scale`` ≤ 0.
        """
        self.taxonomies = tuple(each for each in taxonomies if each.decides)
        self.vocabularies = tuple(each for each in taxonomies if not each.decides)
        self.model = model
        ordered = conditions.in_order(self.taxonomies)
        matrices = build_label_matrices(ordered, encode_texts, model=model, space=space)
        self.rules = tuple(rule(matrix, logit_scale=logit_scale, model=model, space=space) for matrix in matrices)
        # Taxonomies with the same templates share their neutral prompts, which are compared once.
        neutral = {id(by.matrix.neutral): by.matrix.neutral for by in self.rules if by.relative}
        self._yardsticks = [list(neutral).index(id(by.matrix.neutral)) if by.relative else None for by in self.rules]
        blocks = [matrix.rows for matrix in matrices] + [rows for rows in neutral.values() if rows is not None]
        self._rows = _stacked(blocks)
        self._ends = np.cumsum([len(block) for block in blocks])[:-1]
        self._chunk = _chunk(len(self._rows))

    @property
    def nbytes(self) -> int:
        """Bytes of its vectors, which are held once in its matrices and once stacked."""
        return self._rows.nbytes + sum(rule.matrix.rows.nbytes for rule in self.rules)

    @property
    def uncalibrated(self) -> tuple[str, ...]:
        """The taxonomies that are not calibrated for this model."""
        return tuple(each.name for each in self.taxonomies if not each.is_calibrated_for(self.model))

    def tag(self, vectors: Floats) -> list[tuple[Tag, ...]]:
        """Tag images.

        Args:
            vectors: ``[n, d]`` of unit length, of the model whose ``encode_texts`` built this.

        Returns:
            For each image its tags, in the order of the taxonomies, parents before children. A taxonomy that applies
            gives one tag or more ("none of these" is a tag, too); one whose ``when`` does not hold gives none.

        Raises:
            SpaceMismatchError: d is not the dimension of the label vectors.
            ValueError: not a matrix, or rows that are not finite (the message names them).
        """
        return tags(self.decide(vectors), len(vectors))

    def decide(self, vectors: Floats) -> tuple[Decisions, ...]:
        """Like ``tag``, but with arrays: one ``Decisions`` per taxonomy. Other memory is bounded for any n."""
        if not self.taxonomies:
            return ()
        starts = range(0, max(len(vectors), 1), self._chunk)
        chunks = [vectors[start : start + self._chunk] for start in starts]
        parts = [self._decide_chunk(chunk) for chunk in chunks]
        counts = [len(chunk) for chunk in chunks]
        by_name = {name: joined([part[name] for part in parts], counts) for name in parts[0]}
        return tuple(by_name[taxonomy.name] for taxonomy in self.taxonomies)

    def compare(self, vectors: Floats) -> list[tuple[Floats, Yardstick | None]]:
        """For each of ``rules``, what its choices are decided by: ``[rows, n]`` cosines, and those of neutral prompts.

        Raises what ``tag`` raises.
        """
        if not self.rules:
            return []
        parts = np.split(similarities(self._rows, vectors), self._ends)
        known = [yardstick(part) for part in parts[len(self.rules) :]]
        return [(part, None if one is None else known[one]) for part, one in zip(parts, self._yardsticks, strict=False)]

    def is_current(self, tags: Collection[tuple[str, str, str | None]]) -> bool:
        """Whether an image's tags (taxonomy, version, label) are all these taxonomies would write, as they are now."""
        return are_current(self.taxonomies, tags)

    def decide_compared(
        self, compared: Sequence[tuple[Floats, Yardstick | None]], count: int
    ) -> Mapping[str, Decisions]:
        """Like ``decide``, by name, for a few images that were compared already.

        Args:
            compared: what ``compare`` returned.
            count: n, of the images.
        """
        decided: dict[str, Decisions] = {}
        for (part, known), by in zip(compared, self.rules, strict=True):
            taxonomy = by.matrix.taxonomy
            decided[taxonomy.name] = decide(part, by, _applicable(taxonomy, decided, count), known=known)
        return decided

    def _decide_chunk(self, vectors: Floats) -> Mapping[str, Decisions]:
        return self.decide_compared(self.compare(vectors), len(vectors))


def are_current(taxonomies: Sequence[Taxonomy], tags: Collection[tuple[str, str, str | None]]) -> bool:
    """Whether an image's tags (taxonomy, version, label) are what these taxonomies write, no more and no less.

    Tags of taxonomies that are not among them are not looked at.
    """
    answers: dict[str, set[str | None]] = {}
    for taxonomy, _, label in tags:
        answers.setdefault(taxonomy, set()).add(label)
    versions = {(taxonomy, version) for taxonomy, version, _ in tags}
    deciding = [each for each in taxonomies if each.decides]
    expected = {(each.name, each.version) for each in deciding if conditions.holds(each, answers)}
    ours = {each.name for each in deciding}
    return expected == {(taxonomy, version) for taxonomy, version in versions if taxonomy in ours}


def _applicable(taxonomy: Taxonomy, decided: Mapping[str, Decisions], count: int) -> Indices | None:
    if not taxonomy.when:
        return None
    applies = np.zeros(count, dtype=bool)
    for alternative in taxonomy.when:
        applies |= _all_hold(alternative, decided, count)
    return np.flatnonzero(applies)


def _all_hold(parts: Sequence[Requirement], decided: Mapping[str, Decisions], count: int) -> np.ndarray:
    held = np.ones(count, dtype=bool)
    for part in parts:
        held &= np.isin(np.arange(count), decided[part.taxonomy].holding(part.labels))
    return held


def _stacked(blocks: Sequence[Floats]) -> Exact:
    rows = [exact_rows(block) for block in blocks]
    return np.concatenate(rows) if rows else np.empty((0, 0))


def _chunk(rows: int) -> int:
    fitting = _SIMILARITIES // max(rows, 1) // LANES * LANES
    return max(LANES, min(_CHUNK, fitting))


__all__ = ["Rule", "Tagger"]
