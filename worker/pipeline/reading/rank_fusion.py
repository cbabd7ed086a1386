"""One order from two, by meaning and by words. Pure functions.

Reciprocal rank fusion (Cormack, Clarke and Büttcher, 2009), which needs no common scale of the two:

    score = 1 / (K + rank by meaning) + share² / (K + rank by words)

*share* is the share of the query's words that an image has. Images with the same share have the same rank, so meaning
orders them. Words add at most what the first rank by meaning is worth; squared, so that an image with one word of two
does not pass those that show what the whole query says. The file that is called what was asked for is first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from worker.pipeline.reading.word_match import WordMatch

#: As in the paper.
K = 60


@dataclass(frozen=True, kw_only=True, slots=True)
class FusedRank:
    """An image's place in the order of both."""

    image_id: int
    score: float
    meaning: int | None  # rank by meaning, from 1; None: it is not among those ranked
    words: WordMatch | None


def fused(meaning: Sequence[int], words: Mapping[int, WordMatch]) -> list[FusedRank]:
    """All images of either, best first; equal ones by their ids.

    Args:
        meaning: images, best first, each once.
        words: image → its words.
    """
    by_meaning = {image: rank for rank, image in enumerate(meaning, start=1)}
    shares = sorted({each.share for each in words.values()}, reverse=True)
    by_words = {share: rank for rank, share in enumerate(shares, start=1)}

    def rank(image: int) -> FusedRank:
        place, match = by_meaning.get(image), words.get(image)
        score = 0.0 if place is None else 1 / (K + place)
        if match is not None:
            score += match.share**2 / (K + by_words[match.share])
        return FusedRank(image_id=image, score=score, meaning=place, words=match)

    ranks = map(rank, by_meaning.keys() | words.keys())
    return sorted(ranks, key=lambda each: (not _is_named_so(each), -each.score, each.image_id))


def _is_named_so(rank: FusedRank) -> bool:
    return rank.words is not None and rank.words.exact
