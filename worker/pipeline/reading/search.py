"""The use case: search images by examples of what is wanted and of what is not, page by page."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from worker import catalog, ledger
from worker.catalog.image_filter import TagFilter
from worker.catalog.spaces import Space
from worker.db import Connection, Engine, snapshot
from worker.encoder import Encoder
from worker.errors import CursorError, EnrichError
from worker.pipeline.common import image_filters
from worker.pipeline.reading import example_scores, search_cursor, search_page
from worker.pipeline.reading.example_scores import ExampleScores, Usual
from worker.pipeline.reading.examples import EmbeddedExamples, ExampleVectors, OfLabel, Stored, Words
from worker.pipeline.reading.hybrid_ranking import HybridRanker
from worker.pipeline.reading.label_search import vectors_of_label
from worker.pipeline.reading.relevance import Relevance
from worker.pipeline.reading.saved_queries import outdated
from worker.pipeline.reading.search_cursor import SearchPosition
from worker.pipeline.reading.search_page import PageHit, Ranking, Wanted
from worker.pipeline.reading.search_ranking import ComparedExamples, FindsNearest, Ranker
from worker.pipeline.reading.search_values import MOST_RANKED, SearchAnswer, SearchHit, SearchQuery
from worker.pipeline.reading.text_search import NothingEmbeddedError
from worker.pipeline.reading.word_match import WordMatcher
from worker.types import Floats, ObjectRef

#: Images ranked beyond a page, for copies that take no place of their own.
_SPARE = 10


class Search:
    """Searches the active space. Threads may share one."""

    def __init__(
        self,
        engine: Engine,
        examples: ExampleVectors,
        *,
        configured: Callable[[], Encoder],
        relevance: Relevance,
        nearest: FindsNearest | None = None,
    ) -> None:
        """Read nothing yet.

        Args:
            engine: the database.
            examples: gives the vectors of examples.
            configured: loads the configured model; called while there is no space, to report its errors.
            relevance: has the images by which similarities are judged.
            nearest: what a process keeps that goes on searching. Without it, the database alone searches.
        """
        self._engine, self._examples, self._configured = engine, examples, configured
        self._relevance, self._nearest = relevance, nearest or catalog.search.nearest
        self._matcher = WordMatcher()

    def __call__(self, query: SearchQuery) -> SearchAnswer:
        """A page; empty while there are no images.

        Vectors, tags and filters are of one space, also while another one is being activated.

        Raises:
            ChoiceError: the examples cancel out, or an example is invalid.
            CursorError: ``after`` is not the ``next`` of an earlier page of this query, or another space is active now.
            UnknownNameError: a filter or an example names something that is unknown.
            ImageNotFoundError: an example is not in the catalog.
            ImageRejectedError: an uploaded example cannot be decoded.
            NothingEmbeddedError: the active space is that of another model, or an example has no vector in it.
            OutdatedQueryError: the query's vectors are of a space that is not active.
            TextTooLongError: the model does not read all of a text.
        """
        begin = search_cursor.decode(query)
        while True:
            try:
                space = self._examples.space()
            except NothingEmbeddedError:
                if not all(isinstance(each, Words) for each in query.examples):
                    raise
                self._configured()  # to report its errors now
                with snapshot(self._engine) as connection:  # and those of the filter
                    image_filters.resolved(connection, query.filter, now=ledger.heartbeats.now(connection))
                return SearchAnswer()
            if query.space is not None and query.space != space.id:
                raise outdated("the saved query", query.space, space.id)
            _require_same_space(begin, space)
            embedded = self._embedded(query, space)
            if embedded is None:
                continue
            with snapshot(self._engine) as connection:
                active = catalog.spaces.active(connection)  # in the snapshot of everything below
                if active is not None and active.id == space.id:
                    return self._answer(connection, query, embedded, begin)

    def _embedded(self, query: SearchQuery, space: Space) -> EmbeddedExamples | None:
        """The examples in a space; None if another one has become active, whatever that has led to here."""
        try:
            return self._examples.embed(query.examples, space)
        except EnrichError:
            if self._examples.space().id == space.id:
                raise
        return None

    def _answer(
        self, connection: Connection, query: SearchQuery, embedded: EmbeddedExamples, begin: SearchPosition | None
    ) -> SearchAnswer:
        space, now = embedded.space, begin.began if begin is not None else ledger.heartbeats.now(connection)
        ranker = Ranker(
            connection=connection,
            space=space,
            examples=self._compared(connection, query, embedded, begin),
            filter=image_filters.resolved(connection, query.filter, now=now),
            exact=query.exact or (query.thorough and catalog.search.has_few(connection, space)),
            nearest=self._nearest,
            relevance=self._relevance if query.judged else None,
        )
        wanted = _wanted(connection, query, embedded)
        if query.words:
            texts = " ".join(each.text for each in query.like if isinstance(each, Words))
            floor = _floor(ranker, wanted, certain=True)
            both = HybridRanker(ranker=ranker, matcher=self._matcher, text=texts, floor=floor)
            return _only_page(both.ranked(query.limit), wanted, query.limit)
        return _Run(query=query, ranker=ranker, began=now, begin=begin, wanted=wanted).answer()

    def _compared(
        self, connection: Connection, query: SearchQuery, embedded: EmbeddedExamples, begin: SearchPosition | None
    ) -> ComparedExamples:
        space, vectors, wanted = embedded.space, embedded.vectors, len(query.like)
        [first, *others] = query.examples
        if query.like and not others:
            if isinstance(first, OfLabel):  # it may be meant by any of several texts
                tag = TagFilter(taxonomy=first.taxonomy, label=first.label)
                vectors = np.stack(list(vectors_of_label(connection, space, tag)))
            return ComparedExamples(scores=_alone(vectors), like=query.like, unlike=(), of_rows=[0] * len(vectors))
        if begin is not None:
            usual = begin.usual
        else:
            usual = example_scores.usual(vectors, self._relevance.sample(connection, space))
        if len(usual) != len(vectors):
            raise CursorError("the cursor is damaged: pass `next` of an earlier answer, as it was given")
        scores = ExampleScores(
            positive=vectors[:wanted], negative=vectors[wanted:], usual=usual, strategy=query.strategy
        )
        of_rows = [*range(wanted), *range(len(query.unlike))]
        return ComparedExamples(scores=scores, like=query.like, unlike=query.unlike, of_rows=of_rows)


def _alone(vectors: Floats) -> ExampleScores:
    """One example, which may be several vectors: compared by cosine, as there is nothing to weigh against."""
    return ExampleScores(
        positive=vectors,
        negative=vectors[:0],
        usual=(Usual(),) * len(vectors),
        strategy="best" if len(vectors) > 1 else "average",
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Run:
    """One page of one search, in one snapshot."""

    query: SearchQuery
    ranker: Ranker
    began: datetime
    begin: SearchPosition | None
    wanted: Wanted

    def answer(self) -> SearchAnswer:
        """Rank more images until a page is full, or there are no more."""
        limit, floor = self.query.limit, _floor(self.ranker, self.wanted, certain=True)
        early = floor if self.query.exact else _floor(self.ranker, self.wanted, certain=False)
        most = (self.begin.ranked if self.begin is not None else 0) + limit + self._spare()
        while True:
            most = min(most, MOST_RANKED)
            ranking = self.ranker.ranked(most)
            page = search_page.page(ranking.without_open_end(), self.wanted, self.begin)
            ended = ranking.ended or ranking.is_below(floor)
            stopped = ended or ranking.is_below(early)
            if len(page.hits) >= limit or stopped or most == MOST_RANKED:
                break
            most *= 2
        in_order = stopped or len(page.hits) >= limit
        if not in_order:  # more images score alike than can be ranked: those ranked are better than none
            page = search_page.page(ranking.images, self.wanted, self.begin)
        hits = page.hits[:limit]
        more = len(page.hits) > limit or (len(page.hits) == limit and not stopped)
        return SearchAnswer(
            hits=tuple(map(_hit, hits)),
            exact=ranking.exact,
            complete=ranking.complete and in_order and (more or ended),
            next=self._cursor(hits[-1]) if more else None,
            left_out=page.left_out,
        )

    def _spare(self) -> int:
        """At least one more than a page: where several score alike, the last ones ranked do not count."""
        return max(_SPARE, self.query.limit // 2) if self.query.collapse else 1 + len(self.wanted.refs)

    def _cursor(self, last: PageHit) -> str:
        begin = self.begin
        at = SearchPosition(
            space=self.ranker.space.id,
            began=self.began,
            newest=begin.newest if begin is not None else catalog.read.newest(self.ranker.connection),
            usual=self.ranker.examples.scores.usual,
            score=last.image.score,
            image=last.image.hit.image_id,
            ranked=last.ranked,
        )
        return search_cursor.encode(self.query, at)


def _only_page(ranking: Ranking, wanted: Wanted, limit: int) -> SearchAnswer:
    """A page that none follows: so it says whether there is more."""
    found = search_page.page(ranking.images, wanted, None)
    return SearchAnswer(
        hits=tuple(map(_hit, found.hits[:limit])),
        exact=ranking.exact,
        complete=ranking.complete and len(found.hits) <= limit,
        left_out=found.left_out,
    )


def _floor(ranker: Ranker, wanted: Wanted, *, certain: bool) -> float | None:
    """The score below which no image is wanted, or next to none if not ``certain``; None: not known."""
    least = wanted.least_relevance
    floors = [
        wanted.least_similarity if ranker.examples.scores.is_plain else None,
        None if least is None else ranker.least_score(least, certain=certain),
    ]
    return max((each for each in floors if each is not None), default=None)


def _hit(found: PageHit) -> SearchHit:
    image = found.image
    return SearchHit(
        bucket=image.hit.bucket,
        key=image.hit.key,
        similarity=image.similarity,
        score=image.score,
        relevance=image.relevance,
        copies=found.copies,
        like=image.like,
        unlike=image.unlike,
        words=() if image.words is None else image.words.words,
        sha256=image.hit.sha256,
        tags=image.hit.tags,
        decided=image.hit.decided,
    )


def _wanted(connection: Connection, query: SearchQuery, embedded: EmbeddedExamples) -> Wanted:
    refs: frozenset[ObjectRef] = frozenset()
    sha256: set[str] = set()
    if not query.include_examples:
        refs = frozenset(each.ref for each in query.examples if isinstance(each, Stored))
        sha256 = {picture.sha256 for picture in embedded.pictures if picture is not None}
        sha256 |= set(catalog.read.hashes(connection, refs))
    return Wanted(
        refs=refs,
        sha256=sha256,
        least_similarity=query.min_similarity,
        least_relevance=query.min_relevance,
        collapse=query.collapse,
    )


def _require_same_space(begin: SearchPosition | None, space: Space) -> None:
    if begin is not None and begin.space != space.id:
        raise CursorError(
            f"the cursor is of space {begin.space}, and space {space.id} is active now: its scores differ, so start "
            "again without `after`"
        )
