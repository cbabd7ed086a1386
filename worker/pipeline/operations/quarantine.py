"""The use case: list, retry and give up quarantined objects. Used by the command line and the API."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol

from worker import catalog, db, ledger, logs
from worker.db import Connection, Engine, transaction
from worker.errors import ChoiceError, NotFoundError
from worker.ledger.quarantine import QuarantinedObject, QuarantinePart, QuarantinePosition, QuarantineSelection
from worker.pipeline.common import cursors, time_filters
from worker.pipeline.common.bucket_filters import require_bucket
from worker.pipeline.common.time_filters import TimeFilter
from worker.types import ObjectRef, Reason

_log = logs.get("pipeline")

#: Entries changed per transaction, so that locks are held for milliseconds however many entries there are.
_PART = 1_000

_LIST, _CHANGE = "quarantine", "quarantine-change"


@dataclass(frozen=True, kw_only=True, slots=True)
class QuarantineQuery:
    """Which entries to select: they must match all that is given; nothing given means all.

    Raises:
        ChoiceError: a prefix or key without a bucket.
    """

    reason: Reason | None = None
    bucket: str | None = None
    prefix: str | None = None  # of the key
    key: str | None = None
    since: TimeFilter | None = None  # put into quarantine since then
    older_than: TimeFilter | None = None  # put into quarantine before then
    given_up: bool = False  # objects given up instead of the quarantine; times are when they were given up

    def __post_init__(self) -> None:
        if self.bucket is None and (self.prefix is not None or self.key is not None):
            raise ChoiceError("a prefix or a key needs a bucket: name the bucket, too")
        if self.prefix is not None and self.key is not None:
            raise ChoiceError("give a prefix or a key, not both")

    def selection(self, now: datetime) -> QuarantineSelection:
        """The same with times instead of ages."""
        return QuarantineSelection(
            reason=self.reason,
            bucket=self.bucket,
            prefix=self.prefix,
            key=self.key,
            since=time_filters.at(self.since, now=now),
            before=time_filters.at(self.older_than, now=now),
            given_up=self.given_up,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class QuarantinePage:
    """A page of entries, newest first."""

    entries: tuple[QuarantinedObject, ...]
    next: str | None  # cursor of the next page; None: this is the last


@dataclass(frozen=True, kw_only=True, slots=True)
class QuarantineUpdate:
    """How far a retry or a drop has come."""

    count: int  # entries changed by this call
    next: str | None  # cursor to continue from; None: done


class NotQuarantinedError(NotFoundError):
    """The object is not in quarantine."""

    def __init__(self, ref: ObjectRef) -> None:
        super().__init__(f"{ref} is not in quarantine; `enrich show` and GET /v1/images say where an object stands")


def listing(engine: Engine, choice: QuarantineQuery, *, limit: int, after: str | None = None) -> QuarantinePage:
    """A page of entries, newest first.

    Raises:
        CursorError: ``after`` is not the ``next`` of an earlier page.
        UnknownNameError: nothing is known of the bucket.
    """
    behind = None if after is None else QuarantinePosition(*cursors.decode(after, _LIST, datetime, int))
    with transaction(engine) as connection:
        require_bucket(connection, choice.bucket)
        selection = choice.selection(ledger.heartbeats.now(connection))
        found = ledger.quarantine.page(connection, selection, limit=limit + 1, behind=behind)
    last = found[limit - 1].place if len(found) > limit else None
    following = None if last is None else cursors.encode(_LIST, last.since, last.id)
    return QuarantinePage(entries=tuple(found[:limit]), next=following)


def described(engine: Engine, entries: Sequence[QuarantinedObject]) -> dict[ObjectRef, str]:
    """SHA-256 of the bytes of those that the catalog still describes, because they were enriched before. They have a
    preview; of others, no bytes that could be shown were ever decoded.
    """
    with transaction(engine) as connection:
        return catalog.image_names.hashes(connection, [ObjectRef(bucket=each.bucket, key=each.key) for each in entries])


def counts(engine: Engine, choice: QuarantineQuery) -> dict[str, int]:
    """How many entries there are by reason, most first.

    Raises:
        UnknownNameError: nothing is known of the bucket.
    """
    with transaction(engine) as connection:
        require_bucket(connection, choice.bucket)
        return ledger.quarantine.counts(connection, choice.selection(ledger.heartbeats.now(connection)))


def entry(engine: Engine, ref: ObjectRef) -> QuarantinedObject:
    """One object's entry.

    Raises:
        NotQuarantinedError: it has none.
    """
    with transaction(engine) as connection:
        found = ledger.quarantine.entry(connection, ref)
    if found is None:
        raise NotQuarantinedError(ref)
    return found


def require_selection(choice: QuarantineQuery, *, everything: bool) -> None:
    """Refuse to select everything unless that was asked for.

    Raises:
        ChoiceError: nothing was chosen, or both something and everything.
    """
    if (replace(choice, given_up=False) == QuarantineQuery()) != everything:
        raise ChoiceError(
            "say which: by reason, bucket and prefix, age, or one object; or all of them, and nothing else"
        )


def retry(
    engine: Engine,
    choice: QuarantineQuery,
    *,
    notify: Callable[[], None],
    after: str | None = None,
    patience: float | None = None,
    progress: Callable[[int], None] = lambda _: None,
) -> QuarantineUpdate:
    """Make entries pending work, part by part, and wake a worker. A single object is retried even if it was given up.

    Each part is a transaction of its own: what was done stays done, and the same call again goes on with the rest.
    Entries that come, or come back, after the first call are left alone: a retry that fails again ends.

    Args:
        engine: of the ledger.
        choice: which entries; the same with every ``after``.
        notify: wakes a worker.
        after: ``next`` of the call before, to go on where it ended.
        patience: seconds after which to end at the next part; None: never.
        progress: told how many were changed so far.

    Raises:
        CursorError: ``after`` is not the ``next`` of an earlier call.
        UnknownNameError: nothing is known of the bucket.
    """

    def told(count: int) -> None:
        notify()
        progress(count)

    changed = _change(engine, ledger.quarantine.retry, choice, after=after, patience=patience, progress=told)
    if choice.key is not None and not changed.count:
        resumed = replace(choice, given_up=True)
        changed = _change(engine, ledger.quarantine.retry, resumed, after=after, patience=patience, progress=told)
    _log.info(f"{changed.count} objects in quarantine are retried", action="quarantine-retry", count=changed.count)
    return changed


def drop(
    engine: Engine,
    choice: QuarantineQuery,
    *,
    after: str | None = None,
    patience: float | None = None,
    progress: Callable[[int], None] = lambda _: None,
) -> QuarantineUpdate:
    """Give entries up, part by part, like :func:`retry`."""
    changed = _change(engine, ledger.quarantine.drop, choice, after=after, patience=patience, progress=progress)
    _log.info(f"{changed.count} objects in quarantine were given up", action="quarantine-drop", count=changed.count)
    return changed


class _Apply(Protocol):
    def __call__(
        self, connection: Connection, selection: QuarantineSelection, *, limit: int, behind: QuarantinePosition | None
    ) -> QuarantinePart: ...


def _change(
    engine: Engine,
    apply: _Apply,
    choice: QuarantineQuery,
    *,
    after: str | None,
    patience: float | None,
    progress: Callable[[int], None],
) -> QuarantineUpdate:
    began, behind = _start(engine, after, choice.bucket)
    selection = _until(choice.selection(began), began)
    deadline = None if patience is None else time.monotonic() + patience
    count = 0
    while True:
        part = db.again(lambda: _part(engine, apply, selection, behind))  # noqa: B023  # called at once
        behind, count = part.end, count + part.changed
        if part.changed:
            progress(count)
        if behind is None or (deadline is not None and time.monotonic() >= deadline):
            break
    following = None if behind is None else cursors.encode(_CHANGE, began, behind.since, behind.id)
    return QuarantineUpdate(count=count, next=following)


def _start(engine: Engine, after: str | None, bucket: str | None) -> tuple[datetime, QuarantinePosition | None]:
    """The time of the first call, and how far the last one came."""
    if after is not None:
        began, *place = cursors.decode(after, _CHANGE, datetime, datetime, int)
        return began, QuarantinePosition(*place)
    with transaction(engine) as connection:
        require_bucket(connection, bucket)
        return ledger.heartbeats.now(connection), None


def _until(selection: QuarantineSelection, began: datetime) -> QuarantineSelection:
    """Exclude newer entries: entries that come back would be retried for as long as they fail."""
    return replace(selection, before=began if selection.before is None else min(selection.before, began))


def _part(
    engine: Engine, apply: _Apply, selection: QuarantineSelection, behind: QuarantinePosition | None
) -> QuarantinePart:
    with transaction(engine) as connection:
        return apply(connection, selection, limit=_PART, behind=behind)


def hexdump(data: bytes) -> str:
    """Offset, sixteen bytes, and their printable characters, as ``hexdump -C`` prints them."""
    lines = []
    for start in range(0, len(data), 16):
        row = data[start : start + 16]
        printable = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in row)  # noqa: PLR2004  # ASCII
        lines.append(f"{start:08x}  {row.hex(' '):<47}  |{printable}|")
    return "\n".join(lines)
