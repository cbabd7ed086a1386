"""Turns rows of a file into requests: finds the images, and resolves taxonomies and labels as people write them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from worker import catalog, label_names
from worker.catalog.decisions import Verdict
from worker.db import Connection
from worker.errors import ChoiceError
from worker.pipeline.common.tag_filters import UnknownNameError
from worker.pipeline.review.decide import DecisionRequest, Seen
from worker.pipeline.review.formats.rows import BadRow, FileRow
from worker.pipeline.review.questions import Effect, Question, Questions
from worker.types import ObjectRef

#: Most labels of one row, so that its requests fit into one transaction.
MOST_LABELS = 200
#: A time that is ahead of the database by less is recorded as now.
_CLOCKS_DIFFER = timedelta(days=1)


@dataclass(frozen=True, kw_only=True, slots=True)
class ResolvedRow:
    """A row that can be recorded: as one decision, or as several that belong together."""

    row: FileRow
    requests: tuple[DecisionRequest, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Defaults:
    """What rows leave open."""

    reviewer: str
    reason: str | None = None
    new_labels: bool = False
    as_recorded: bool = True  # what a decision says about other labels is as the file has it


def resolve(connection: Connection, rows: Sequence[FileRow], defaults: Defaults) -> Iterator[ResolvedRow | BadRow]:
    """Resolve rows, in their order."""
    names = _Names(connection, Questions(connection, new_labels=defaults.new_labels))
    images = _images(connection, rows)
    latest = catalog.embedding_queue.now(connection) + _CLOCKS_DIFFER
    for row in rows:
        try:
            _require_past(row, latest)
            ref = _one(images[row.ref], row)
            question = names.question(row.taxonomy)
            yield ResolvedRow(row=row, requests=tuple(_requests(row, ref, question, defaults)))
        except (ChoiceError, UnknownNameError) as error:
            yield bad(row, str(error))


def bad(row: FileRow, message: str) -> BadRow:
    """The problem that a row turned out to be."""
    return BadRow(
        place=row.place,
        message=message,
        image=str(row.ref),
        taxonomy=row.taxonomy,
        label="; ".join(row.labels),
    )


class _Names:
    """Taxonomies by name, where ``_`` and ``-`` may be mistaken for each other."""

    def __init__(self, connection: Connection, questions: Questions) -> None:
        self._questions = questions
        self._known = {label_names.normalised(name): name for name in catalog.taxonomies.names(connection)}

    def question(self, name: str) -> Question:
        return self._questions[self._known.get(label_names.normalised(name), name)]


def _images(connection: Connection, rows: Sequence[FileRow]) -> Mapping[ObjectRef, Sequence[ObjectRef]]:
    """The images that each row's key may mean."""
    whole = {row.ref for row in rows if not row.without_extension}
    stems = {row.ref for row in rows if row.without_extension}
    there = catalog.image_names.existing(connection, whole | stems)
    extended = catalog.image_names.extended(connection, stems) if stems else {}
    found: dict[ObjectRef, Sequence[ObjectRef]] = {ref: [ref] if ref in there else [] for ref in whole}
    found.update({stem: [*([stem] if stem in there else []), *extended.get(stem, ())] for stem in stems})
    return found


def _require_past(row: FileRow, latest: datetime) -> None:
    if row.at is not None and row.at > latest:
        raise ChoiceError(f"the time {row.at} is in the future")


def _one(images: Sequence[ObjectRef], row: FileRow) -> ObjectRef:
    if len(images) == 1:
        return images[0]
    if images:
        raise ChoiceError(f"{row.ref} may be {' or '.join(image.key for image in images)}: the file has no extensions")
    if row.sha256 is not None and not row.without_extension:
        return row.ref  # kept for these bytes, until they come
    raise ChoiceError(f"{row.ref} is not in the catalog; `enrich list` shows which keys are")


def _requests(row: FileRow, ref: ObjectRef, question: Question, defaults: Defaults) -> Iterator[DecisionRequest]:
    labels = [question.label(label) for label in row.labels]
    if len(labels) > MOST_LABELS:
        raise ChoiceError(f"{len(labels):,} labels in one row; at most {MOST_LABELS} are taken")
    if not row.whole or row.verdict is not Verdict.ACCEPT:
        yield _request(row, (ref, question), row.verdict, labels[0] if labels else None, defaults)
        return
    lowest = _lowest(labels, question)
    if question.one_by_one:
        yield _request(row, (ref, question), Verdict.NONE, None, defaults)
    elif len(lowest) > 1:
        raise ChoiceError(f"{' and '.join(lowest)}: an image has one label of {question.name}, which is exclusive")
    for label in lowest:
        yield _request(row, (ref, question), Verdict.ACCEPT, label, defaults)


def _lowest(labels: Sequence[str], question: Question) -> list[str]:
    """The labels without those above another of them."""
    above = {upper for label in labels for upper in question.above(label)[1:]}
    return [label for label in dict.fromkeys(labels) if label not in above]


def _request(
    row: FileRow, about: tuple[ObjectRef, Question], verdict: Verdict, label: str | None, defaults: Defaults
) -> DecisionRequest:
    ref, question = about
    return DecisionRequest(
        ref=ref,
        taxonomy=question.name,
        verdict=verdict,
        label=label,
        seen=Seen(
            sha256=row.sha256,
            decision=row.shown_decision,
            label=row.shown_label,
            version=row.shown_version,
            space=row.shown_space,
        ),
        reason=row.reason or defaults.reason,
        chosen=row.chosen,
        inclusion_probability=row.inclusion_probability,
        plan=row.plan,
        reviewer=row.reviewer or defaults.reviewer,
        at=row.at,
        effect=_recorded(row, question) if defaults.as_recorded else None,
    )


def _recorded(row: FileRow, question: Question) -> Effect | None:
    """What the decision said about labels when it was made, if the taxonomy still has all of them."""
    if row.effect is None:
        return None
    effect = Effect(adds=row.effect.adds, removes=row.effect.removes, answers=row.effect.answers)
    return effect if question.has([*effect.adds, *effect.removes]) else None
