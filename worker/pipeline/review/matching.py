"""The use case: one decision about every image that a filter matches, after its count was confirmed."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID, uuid4

from worker import catalog
from worker.catalog.decisions import Chosen, Verdict
from worker.catalog.image_filter import ImageFilter
from worker.catalog.read import ImageRecord
from worker.db import Connection, Engine, snapshot
from worker.errors import ChoiceError, CursorError, EnrichError
from worker.pipeline.common import cursors, image_filters
from worker.pipeline.review.decide import MOST, DecisionOutcome, DecisionRequest, Seen, decide
from worker.pipeline.review.questions import Questions
from worker.types import ObjectRef

_CURSOR = "decisions"
#: Images of a preview.
_EXAMPLES = 5
#: Most images that one decision may be about.
MOST_MATCHING = 100_000


class CountChangedError(EnrichError):
    """A filter matches another number of images than was confirmed: nothing was decided."""

    def __init__(self, *, confirmed: int, found: int) -> None:
        super().__init__(f"{found:,} images match, not {confirmed:,}: nothing was decided; look again, then confirm")
        self.found = found


@dataclass(frozen=True, kw_only=True, slots=True)
class SameDecision:
    """What is decided about each image."""

    taxonomy: str
    verdict: Verdict
    label: str | None = None
    reason: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Preview:
    """What a filter matches, before anything is decided."""

    count: int
    examples: tuple[ImageRecord, ...]  # the least certain first


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """What one call decided."""

    batch: UUID
    outcomes: dict[DecisionOutcome, int]
    refused: str | None  # the first reason why one was not saved
    next: str | None  # call again with this; None: done


def preview(engine: Engine, wanted: ImageFilter, decision: SameDecision) -> Preview:
    """Count the images, and show those about which the model is least certain.

    Raises:
        ChoiceError: too many images match, or the decision does not say enough.
        UnknownNameError: the filter or the decision names a bucket, taxonomy or label that is unknown.
    """
    with snapshot(engine) as connection:
        question = Questions(connection)[decision.taxonomy]
        question.effect(decision.verdict, question.named(decision.verdict, decision.label), None)
        filter_ = _resolved(connection, wanted)
        found = catalog.listing.matching(
            connection, filter_, taxonomy=decision.taxonomy, most=MOST_MATCHING + 1, examples=_EXAMPLES
        )
        if found.count > MOST_MATCHING:
            raise ChoiceError(
                f"more than {MOST_MATCHING:,} images match; decide about fewer at once: add a bucket, prefix or tag"
            )
    return Preview(count=found.count, examples=found.examples)


def decide_matching(
    engine: Engine,
    wanted: ImageFilter,
    decision: SameDecision,
    *,
    reviewer: str,
    confirmed: int,
    after: str | None = None,
    patience: float = 5.0,
) -> Progress:
    """Decide about all images that match, in transactions of ``MOST``, for a few seconds.

    Args:
        engine: of the database.
        wanted: which images.
        decision: about each of them.
        reviewer: who decides.
        confirmed: how many images the person expects; checked by the first call.
        after: ``next`` of the call before.
        patience: seconds after which it returns, finished or not.

    Raises:
        CountChangedError: another number of images matches.
        ChoiceError: too many images match.
        UnknownNameError: the filter names a bucket, taxonomy or label that is unknown.
        CursorError: ``after`` is not the ``next`` of an earlier call.
    """
    batch, behind = _start(after)
    if after is None:
        found = preview(engine, wanted, decision).count
        if found != confirmed:
            raise CountChangedError(confirmed=confirmed, found=found)
    outcomes: dict[DecisionOutcome, int] = {}
    refused: str | None = None
    until = time.monotonic() + patience
    while True:
        with snapshot(engine) as connection:
            page = catalog.listing.page(connection, _resolved(connection, wanted), limit=MOST, behind=behind)
        done = decide(engine, _requests(page.images, decision), reviewer=reviewer, batch=batch)
        for result in done.results:
            outcomes[result.outcome] = outcomes.get(result.outcome, 0) + 1
            if result.outcome in (DecisionOutcome.REFUSED, DecisionOutcome.CONFLICT):
                refused = refused or result.message
        behind = page.end
        if behind is None or time.monotonic() >= until:
            following = None if behind is None else cursors.encode(_CURSOR, str(batch), behind.bucket, behind.key)
            return Progress(batch=batch, outcomes=outcomes, refused=refused, next=following)


def _requests(images: Sequence[ImageRecord], decision: SameDecision) -> list[DecisionRequest]:
    return [
        DecisionRequest(
            ref=ObjectRef(bucket=image.bucket, key=image.key),
            taxonomy=decision.taxonomy,
            verdict=decision.verdict,
            label=decision.label,
            reason=decision.reason,
            chosen=Chosen.BULK,
            seen=Seen(sha256=image.sha256),
        )
        for image in images
    ]


def _start(after: str | None) -> tuple[UUID, ObjectRef | None]:
    if after is None:
        return uuid4(), None
    batch, bucket, key = cursors.decode(after, _CURSOR, str, str, str)
    try:
        return UUID(batch), ObjectRef(bucket=bucket, key=key)
    except ValueError:
        raise CursorError(f"{after[:80]!r} is not a cursor of this list: pass `next` of an earlier answer") from None


def _resolved(connection: Connection, wanted: ImageFilter) -> ImageFilter:
    if wanted.is_empty:
        raise ChoiceError("this would decide about every image: give a bucket or a tag")
    if wanted.has_ages:
        raise ChoiceError("an age means other images by the time that they are decided about: give a time instead")
    return image_filters.resolved(connection, wanted)
