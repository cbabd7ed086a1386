"""The order of a search by meaning and by the words of its texts together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from worker import catalog
from worker.pipeline.reading.rank_fusion import fused
from worker.pipeline.reading.search_page import RankedImage, Ranking
from worker.pipeline.reading.search_ranking import Ranker
from worker.pipeline.reading.word_match import WordMatcher

#: Images that are ranked by meaning, at least: behind them, a rank adds little to a score.
_LEAST_MEANT = 500


@dataclass(frozen=True, kw_only=True, slots=True)
class HybridRanker:
    """Ranks the images that a query means with those that have its words."""

    ranker: Ranker
    matcher: WordMatcher
    text: str  # the query's texts
    floor: float | None = None  # images that score less by meaning alone are not wanted

    def ranked(self, most: int) -> Ranking:
        """The best of both. Nothing follows behind: ranks, unlike similarities, change with every write.

        Complete if all wanted images were ranked.
        """
        meant = self.ranker.ranked(max(most, _LEAST_MEANT))
        by_id = {each.hit.image_id: each for each in meant.images}
        matches = self.matcher(self.ranker.connection, self.text, filter_=self.ranker.filter, among=frozenset(by_id))
        by_id |= {each.hit.image_id: each for each in self._others(matches.matches.keys() - by_id.keys())}
        order = fused([each.hit.image_id for each in meant.images], matches.matches)
        images = [
            replace(by_id[each.image_id], score=each.score, words=each.words)
            for each in order
            if each.image_id in by_id
        ]
        all_meant = meant.complete and (meant.ended or meant.is_below(self.floor))
        return Ranking(images=images, ended=True, exact=meant.exact, complete=all_meant and matches.complete)

    def _others(self, ids: frozenset[int] | set[int]) -> Sequence[RankedImage]:
        """Images that only words have found; those without a vector in the space are left out."""
        ranker = self.ranker
        direction = ranker.examples.scores.direction()
        hits = catalog.search.nearest_among(
            ranker.connection, ranker.space, direction, sorted(ids), limit=max(len(ids), 1), filter_=ranker.filter
        )
        return ranker.scored(hits)
