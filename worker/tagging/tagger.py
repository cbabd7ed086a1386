"""All taxonomies at once: one product of matrices per batch of images."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from worker.tagging.matrix import EncodeTexts, LabelMatrix, build_label_matrices
from worker.tagging.scoring import Decisions, decide, similarities
from worker.tagging.taxonomy import Taxonomy
from worker.types import Floats, Tag

#: Images per product: intermediate results stay in the processor's cache, and memory does not grow with the batch.
_CHUNK = 2048


class Tagger:
    """Several taxonomies and one model, ready to tag. Never changes once built, so threads may share it."""

    def __init__(
        self, taxonomies: Sequence[Taxonomy], encode_texts: EncodeTexts, *, logit_scale: float, model: str
    ) -> None:
        """Encode all prompts.

        Args:
            taxonomies: what ``load_taxonomies`` returned.
            encode_texts: the model's text encoder; called once, here.
            logit_scale: what the model multiplies cosines by (CLIP: about 100), not its logarithm.
            model: as ``ENRICH_MODEL`` has it; chooses the calibration.

        Raises:
            ValueError: the text encoder returns something else than one vector with a direction per text.
        """
        self.taxonomies = tuple(taxonomies)
        self._logit_scale = logit_scale
        self._model = model
        self._matrices = build_label_matrices(self.taxonomies, encode_texts)
        self._rows = _stacked(self._matrices)
        self._ends = np.cumsum([len(matrix.rows) for matrix in self._matrices])[:-1]

    def tag(self, vectors: Floats) -> list[tuple[Tag, ...]]:
        """Tag images.

        Args:
            vectors: ``[n, d]`` of unit length, of the model whose ``encode_texts`` built this.

        Returns:
            For each image one tag per taxonomy, in the order of the taxonomies; "none of these" is a tag, too.

        Raises:
            SpaceMismatchError: d is not the dimension of the label vectors.
            ValueError: not a matrix, rows that are not finite (the message names them), or a ``logit_scale`` ≤ 0.
        """
        if not self.taxonomies:
            return [()] * len(vectors)
        return list(zip(*(decisions.tags() for decisions in self.decide(vectors)), strict=True))

    def decide(self, vectors: Floats) -> tuple[Decisions, ...]:
        """As ``tag``, but arrays: one ``Decisions`` per taxonomy."""
        if not self.taxonomies:
            return ()
        starts = range(0, max(len(vectors), 1), _CHUNK)
        chunks = [self._decide_chunk(vectors[start : start + _CHUNK]) for start in starts]
        return tuple(_joined(parts) for parts in zip(*chunks, strict=True))

    def _decide_chunk(self, vectors: Floats) -> list[Decisions]:
        cosines = np.split(similarities(self._rows, vectors), self._ends)
        return [
            decide(part, matrix, logit_scale=self._logit_scale, model=self._model)
            for part, matrix in zip(cosines, self._matrices, strict=True)
        ]


def _stacked(matrices: Sequence[LabelMatrix]) -> Floats:
    return np.concatenate([matrix.rows for matrix in matrices]) if matrices else np.empty((0, 0), dtype=np.float32)


def _joined(parts: Sequence[Decisions]) -> Decisions:
    return Decisions(
        taxonomy=parts[0].taxonomy,
        labels=parts[0].labels,
        best=np.concatenate([part.best for part in parts]),
        decided=np.concatenate([part.decided for part in parts]),
        score=np.concatenate([part.score for part in parts]),
        probability=np.concatenate([part.probability for part in parts]),
    )
