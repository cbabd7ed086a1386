"""The use case: which images a person should look at next."""

from __future__ import annotations

import enum
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from worker import catalog
from worker.catalog.decisions import Chosen
from worker.catalog.image_filter import TagFilter
from worker.catalog.review_candidates import Asked, ReviewImage
from worker.catalog.search import Nearest
from worker.db import Connection, Engine, snapshot
from worker.errors import ChoiceError
from worker.pipeline.review import head_disagreement, label_errors
from worker.pipeline.review.candidates import SCORED, Extent, Finder, extent
from worker.pipeline.review.decide import Seen
from worker.pipeline.review.drawing import draw
from worker.pipeline.review.picks import Pick, first_of_each, pick_of
from worker.pipeline.review.subject import Build, Subject, Taggers, subject
from worker.types import ObjectRef

#: Most items of one page.
MOST = 300
#: Hits of a search that are looked at: some are decided already.
_HITS = 1_000


class Queue(enum.StrEnum):
    """How images are chosen. The words are an interface."""

    RANDOM = "random"  # uniformly; the only ones that may judge a model
    UNCERTAIN = "uncertain"  # the probability closest to the threshold first
    DISAGREEMENT = "disagreement"  # a head, or one of two spaces, says something else; both certain ones first
    SEARCH = "search"  # the best matches of a text, or of the label itself
    LABEL_ERROR = "label-error"  # people's decisions that the model contradicts most

    @property
    def chosen(self) -> Chosen:
        """What decisions about them are recorded with."""
        return Chosen(self.value)


@dataclass(frozen=True, kw_only=True, slots=True)
class QueueRequest:
    """What to look for."""

    queue: Queue
    taxonomy: str
    label: str | None = None  # by name, title or alias; None: any
    query: str | None = None  # with SEARCH: words; None: the label's own vector
    other_space: int | None = None  # with DISAGREEMENT; None: the prompts alone if there is a head, else the newest
    unsure: bool = False  # whether to ask again about what people could not tell
    limit: int = 20
    seed: int | None = None  # None: another one each time


@dataclass(frozen=True, kw_only=True, slots=True)
class QueueItem:
    """An image to look at, and the question."""

    ref: ObjectRef
    sha256: str
    etag: str
    label: str
    probability: float | None  # of the label, by the active space's model; None: not known
    given: bool  # whether that model gives the label
    taxonomy_version: str
    space: int
    tags: Mapping[str, Sequence[str]]  # taxonomy → labels in force
    seen: Seen  # to send back with the decision
    chosen: Chosen
    why: str
    inclusion_probability: float | None = None
    plan: int | None = None
    place: int | None = None  # in the plan


@dataclass(frozen=True, kw_only=True, slots=True)
class QueuePage:
    """Items, the first ones first."""

    items: tuple[QueueItem, ...]
    subject: Subject
    examined: int  # images
    total: int  # that there are
    exact: bool  # whether all were examined


class Search(Protocol):
    """Searches by words; see ``TextSearch``."""

    def __call__(self, text: str, /, *, limit: int) -> Nearest:
        """The images that match best."""
        ...


class LabelSearch(Protocol):
    """Searches by a label's vector; see ``LabelSearch.images_of``."""

    def __call__(self, label: TagFilter, /, *, limit: int) -> Nearest:
        """The images nearest to it."""
        ...


class ReviewQueues:
    """Finds images to review, each in one snapshot and in bounded time. Threads may share it."""

    def __init__(self, engine: Engine, build: Build, search: Search, near_label: LabelSearch) -> None:
        """Ask nothing yet.

        Args:
            engine: the database.
            build: gives a tagger for the model of a space.
            search: by words, in the active space.
            near_label: by a label.
        """
        self.engine, self.build = engine, build
        self.taggers = Taggers(build)
        self._search, self._near_label = search, near_label

    def page(self, request: QueueRequest) -> QueuePage:
        """The next items.

        Raises:
            ChoiceError: what the queue needs is missing, or too many are asked for.
            UnknownNameError: there is no such taxonomy or label.
            NotFoundError: nothing was embedded yet.
        """
        refuse_unused(request.queue, query=request.query, other_space=request.other_space)
        if not 1 <= request.limit <= MOST:
            raise ChoiceError(f"limit {request.limit}: ask for 1 to {MOST} images")
        found = self._hits(request) if request.queue is Queue.SEARCH else None
        with snapshot(self.engine) as connection:
            asked = subject(connection, request.taxonomy, request.label)
            if asked.label is None and asked.one_by_one and request.queue is not Queue.LABEL_ERROR:
                raise ChoiceError(f"{request.taxonomy} allows several labels: name the one to review")
            return self._page(connection, request, asked, found)

    def _page(self, connection: Connection, request: QueueRequest, asked: Subject, found: Nearest | None) -> QueuePage:
        if found is not None:
            picks = self._found(connection, request, asked, found)
            scope = Extent(images=len(found.hits), total=len(found.hits), exact=found.complete, drawn=None)
        elif request.queue is Queue.LABEL_ERROR:
            picks, count = self._errors(connection, request, asked)
            scope = Extent(images=count, total=count, exact=count < SCORED, drawn=None)
        else:
            finder = self.finder(connection, asked, seed=request.seed, unsure=request.unsure)
            picks, scope = self._picks(finder, request), finder.extent
        return QueuePage(
            items=tuple(self.items(connection, asked, picks, request.queue.chosen, limit=request.limit)),
            subject=asked,
            examined=scope.images,
            total=scope.total,
            exact=scope.drawn is None and scope.exact,
        )

    def finder(self, connection: Connection, asked: Subject, *, seed: int | None, unsure: bool) -> Finder:
        """Finds candidates in this snapshot."""
        seed = _seed(seed)
        skipped = [] if unsure else catalog.review_candidates.unsure(connection, asked.taxonomy.name, asked.label)
        return Finder(
            connection=connection,
            subject=asked,
            tagger=self.taggers.of(asked),
            extent=extent(connection, asked.space.id, seed=seed),
            seed=seed,
            skipped=skipped,
        )

    def items(
        self, connection: Connection, asked: Subject, picks: Sequence[Pick], chosen: Chosen, *, limit: int
    ) -> Iterable[QueueItem]:
        """Look up what a reviewer sees; images that are gone are left out."""
        picks = picks[:limit]
        images = catalog.review_candidates.described(connection, {each.image for each in picks})
        name = asked.taxonomy.name
        now = catalog.decisions.answers(connection, [(image, name) for image in images])
        for pick in picks:
            if (image := images.get(pick.image)) is not None:
                yield _item(asked, pick, image, now[image.id, name].decision, chosen)

    def _picks(self, finder: Finder, request: QueueRequest) -> Sequence[Pick]:
        match request.queue:
            case Queue.RANDOM:
                return _at_random(finder, request.limit)
            case Queue.UNCERTAIN:
                return _uncertain(finder, request.limit)
            case _:
                return self._disagreeing(finder, request)

    def _errors(self, connection: Connection, request: QueueRequest, asked: Subject) -> tuple[Sequence[Pick], int]:
        seed = _seed(request.seed)
        about = Asked(space=asked.space.id, taxonomy=asked.taxonomy.name, label=asked.label, seed=seed)
        return label_errors.picks(connection, about, asked, self.taggers.of(asked), request.limit)

    def _disagreeing(self, finder: Finder, request: QueueRequest) -> Sequence[Pick]:
        """Between a head and the prompts alone; or between spaces, if one is named or there is no head."""
        if request.other_space is None and head_disagreement.applies(finder.subject):
            return head_disagreement.picks(finder, self.taggers, limit=2 * request.limit)
        other = _other_space(finder.connection, finder.subject.space.id, request.other_space)
        rows, _ = catalog.review_candidates.disagreements(
            finder.connection, finder.asked, other, limit=2 * request.limit
        )
        ours = finder.subject.space.id
        return [
            Pick(
                image=row.image,
                label=row.label,
                probability=row.probability if row.space == ours else None,
                given=row.space == ours,
                why=f"space {row.space} says {row.label} ({row.probability:.2f}), space {ours + other - row.space} "
                f"{row.other or 'none of these'}",
            )
            for row in first_of_each(rows)
        ]

    def _hits(self, request: QueueRequest) -> Nearest:
        if request.label is None:
            raise ChoiceError("a search assigns a label to what it finds: name the label")
        if request.query:
            return self._search(request.query, limit=_HITS)
        return self._near_label(TagFilter(taxonomy=request.taxonomy, label=request.label), limit=_HITS)

    @staticmethod
    def _found(connection: Connection, request: QueueRequest, asked: Subject, found: Nearest) -> Sequence[Pick]:
        name, label = asked.taxonomy.name, asked.label
        if label is None:
            raise TypeError("a search without a label was let through")
        refs = [ObjectRef(bucket=hit.bucket, key=hit.key) for hit in found.hits]
        numbers = catalog.review_candidates.numbers_of(connection, refs)
        left_out = catalog.review_candidates.decided(connection, numbers.values(), name, label)
        if not request.unsure:
            left_out |= set(catalog.review_candidates.unsure(connection, name, label))
        stored = catalog.review_candidates.stored(
            connection, numbers.values(), space=asked.space.id, taxonomy=name, label=label
        )
        what = f"{request.query!r}" if request.query else label
        return [
            Pick(
                image=numbers[ref],
                label=label,
                probability=stored.get(numbers[ref]),
                given=numbers[ref] in stored,
                why=f"similarity {hit.similarity:.3f} to {what}",
            )
            for ref, hit in zip(refs, found.hits, strict=True)
            if ref in numbers and numbers[ref] not in left_out
        ]


def refuse_unused(queue: Queue, *, query: str | None, other_space: int | None) -> None:
    """Refuse what the queue would not look at.

    Raises:
        ChoiceError: there is such a field.
    """
    if query is not None and queue is not Queue.SEARCH:
        raise ChoiceError(f"the queue {queue} takes no query: choose the queue search, or leave the query out")
    if query is not None and not query.strip():
        raise ChoiceError("the query is empty: leave it out to search by the label itself")
    if other_space is not None and queue is not Queue.DISAGREEMENT:
        raise ChoiceError(
            f"the queue {queue} looks at one space: choose the queue disagreement, or leave the other space out"
        )


def _at_random(finder: Finder, limit: int) -> Sequence[Pick]:
    drawn = draw(finder, limit)
    return [
        pick_of(each, inclusion_probability=float(share), why=f"drawn at random from about {drawn.population:,}")
        for each, share in zip(drawn.candidates, drawn.shares, strict=True)
    ]


def _uncertain(finder: Finder, limit: int) -> Sequence[Pick]:
    thresholds = finder.subject.thresholds
    found = [*finder.given(limit=limit, nearest=True).found, *finder.near().found]
    found.sort(key=lambda each: (abs(each.probability - thresholds[each.label]), each.image))
    return [
        pick_of(each, why=f"probability {each.probability:.2f}, threshold {thresholds[each.label]:.2f}")
        for each in first_of_each(found)
    ][:limit]


def _seed(wanted: int | None) -> int:
    return secrets.randbelow(1 << 31) if wanted is None else wanted


def _other_space(connection: Connection, active: int, wanted: int | None) -> int:
    others = [each.id for each in catalog.spaces.all_spaces(connection) if each.id != active]
    if wanted is not None and wanted not in others:
        there = f"there are {', '.join(map(str, others))}" if others else "there is no other space"
        raise ChoiceError(f"space {wanted} cannot be compared with the active space {active}: {there}")
    if not others:
        raise ChoiceError(
            "nothing can disagree: there is only one space, and no head; fill another space (`enrich space create`) or "
            "learn a head (`enrich learn`)"
        )
    return wanted if wanted is not None else others[-1]


def _item(asked: Subject, pick: Pick, image: ReviewImage, decision: int | None, chosen: Chosen) -> QueueItem:
    return QueueItem(
        ref=image.ref,
        sha256=image.sha256,
        etag=image.etag,
        label=pick.label,
        probability=pick.probability,
        given=pick.given,
        taxonomy_version=asked.taxonomy.version,
        space=asked.space.id,
        tags=image.tags,
        seen=Seen(
            sha256=image.sha256,
            labels=tuple(image.tags.get(asked.taxonomy.name, ())),
            decision=decision or 0,
            label=pick.label,
            version=asked.taxonomy.version,
            space=asked.space.id,
        ),
        chosen=chosen,
        why=pick.why,
        inclusion_probability=pick.inclusion_probability,
    )
