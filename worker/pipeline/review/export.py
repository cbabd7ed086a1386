"""The use case: everything that people decided, or what is in force of it, as rows for a file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from worker import catalog
from worker.catalog.decision_history import DecidedImage
from worker.catalog.decisions import DecidedTag, Decision, DecisionFilter, Verdict
from worker.db import Engine, transaction
from worker.pipeline.common import time_filters
from worker.pipeline.review.history import require_known

#: Columns of a row of history, in their order.
HISTORY = (
    "id", "at", "batch", "bucket", "key", "sha256", "taxonomy", "taxonomy_version", "verdict", "label", "reviewer",
    "reason", "chosen", "inclusion_probability", "plan", "shown_label", "shown_version", "shown_space", "adds",
    "removes", "answers", "undoes", "undone_by",
)  # fmt: skip
#: Columns of a row of what is in force.
IN_FORCE = (
    "bucket", "key", "sha256", "taxonomy", "verdict", "label", "labels", "reviewer", "at", "chosen",
    "inclusion_probability", "plan", "decision",
)  # fmt: skip
_PAGE = 1_000


def history(engine: Engine, wanted: DecisionFilter) -> Iterator[dict[str, Any]]:
    """Every decision made so far that matches, oldest first, also undone ones and undos.

    Raises:
        UnknownNameError: there are none, and no such taxonomy or bucket.
    """
    with transaction(engine) as connection:
        last = catalog.decision_history.newest(connection)
    after = 0
    while True:
        with transaction(engine) as connection:
            found = catalog.decision_history.page(connection, wanted, after=after, last=last, limit=_PAGE)
            if not (found or after):
                require_known(connection, wanted)
        for each in found:
            yield {name: getattr(each, name) for name in HISTORY}
        if len(found) < _PAGE:
            return
        after = found[-1].id


def in_force(engine: Engine, wanted: DecisionFilter) -> Iterator[dict[str, Any]]:
    """What people's decisions say now about the images that are in the catalog, by bucket and key.

    An image has one row for a taxonomy that a person answered, with all ``labels`` that hold; and one for each
    ``label`` of which a person said only that it holds, or that it does not. Reviewer and time are the last one's.

    Raises:
        UnknownNameError: there are none, and no such taxonomy or bucket.
    """
    with transaction(engine) as connection:
        since = time_filters.at(wanted.since, now=catalog.embedding_queue.now(connection))
    wanted = replace(wanted, since=since)
    after: tuple[str, str] | None = None
    while True:
        with transaction(engine) as connection:
            images = catalog.decision_history.images(connection, wanted, after=after, limit=_PAGE)
            if not (images or after):
                require_known(connection, wanted)
            decided = catalog.decisions.decided(connection, [image.ref for image in images])
            ids = {tag.decision for tags in decided.values() for tag in tags}
            made = {each.id: each for each in catalog.decisions.by_id(connection, sorted(ids))}
        for image in images:
            yield from _rows(image, decided[image.ref], made, wanted, since)
        if len(images) < _PAGE:
            return
        after = (images[-1].ref.bucket, images[-1].ref.key)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Answer:
    """Tags of one row."""

    verdict: Verdict
    tags: Sequence[DecidedTag]
    label: str | None = None  # of which alone something is said
    labels: tuple[str, ...] = ()  # the whole answer


def _rows(
    image: DecidedImage,
    tags: Sequence[DecidedTag],
    made: Mapping[int, Decision],
    wanted: DecisionFilter,
    since: datetime | None,
) -> Iterator[dict[str, Any]]:
    current = [tag for tag in tags if tag.current]
    for taxonomy in sorted({tag.taxonomy for tag in current}):
        if wanted.taxonomies and taxonomy not in wanted.taxonomies:
            continue
        for answer in _answers([tag for tag in current if tag.taxonomy == taxonomy]):
            newest = made[max(tag.decision for tag in answer.tags)]
            if wanted.reviewer in (None, newest.reviewer) and (since is None or newest.at >= since):
                yield _row(image, taxonomy, answer, newest)


def _answers(tags: Sequence[DecidedTag]) -> Iterator[_Answer]:
    whole = [tag for tag in tags if tag.whole and not tag.rejected]
    if whole:
        labels = tuple(sorted(tag.label for tag in whole if tag.label is not None))
        yield _Answer(verdict=Verdict.ACCEPT if labels else Verdict.NONE, tags=whole, labels=labels)
    for tag in sorted((tag for tag in tags if tag not in whole), key=lambda tag: tag.label or ""):
        yield _Answer(verdict=Verdict.REJECT if tag.rejected else Verdict.ACCEPT, tags=[tag], label=tag.label)


def _row(image: DecidedImage, taxonomy: str, answer: _Answer, newest: Decision) -> dict[str, Any]:
    return {
        "bucket": image.ref.bucket,
        "key": image.ref.key,
        "sha256": image.sha256,
        "taxonomy": taxonomy,
        "verdict": answer.verdict,
        "label": answer.label,
        "labels": list(answer.labels) or None,
        "reviewer": newest.reviewer,
        "at": newest.at,
        "chosen": newest.chosen,
        "inclusion_probability": newest.inclusion_probability,
        "plan": newest.plan,
        "decision": newest.id,
    }
