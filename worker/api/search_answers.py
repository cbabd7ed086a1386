"""Search results → response models. Apart from the other serializers, which load none of what searches need."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from worker.api.example_models import LabelName
from worker.api.search_models import Hit, MatchedWord, SearchResponse, SimilarityTable

if TYPE_CHECKING:
    from worker.pipeline.reading.search_values import SearchAnswer, SearchHit
    from worker.pipeline.reading.similarity import Similarities


def found(answer: SearchAnswer) -> SearchResponse:
    """Search results."""
    return SearchResponse(
        hits=list(map(_hit, answer.hits)),
        exact=answer.exact,
        complete=answer.complete,
        next=answer.next,
        left_out=answer.left_out,
    )


def _hit(found: SearchHit) -> Hit:
    words = [
        MatchedWord(
            word=each.word,
            key=each.key,
            tag=None if each.tag is None else LabelName(taxonomy=each.tag[0], label=each.tag[1]),
        )
        for each in found.words
    ]
    return Hit.model_validate(replace(found, words=())).model_copy(update={"words": words})


def similarity_table(found: Similarities) -> SimilarityTable:
    """Cosines, with six digits: what half-precision vectors are good for."""
    return SimilarityTable(
        space=found.space.id,
        model=found.space.model,
        modalities=list(found.modalities),
        similarities=[[round(each, 6) for each in row] for row in found.table],
    )
