"""The use case: turn a notification into pending work, and wake a worker."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace

from worker import events, ledger, logs, metrics
from worker.db import Engine, in_one_line, is_passing, transaction
from worker.errors import MalformedEventError
from worker.events import Refused, Subscription
from worker.pipeline.intake.group_commit import GroupCommit, WaitLimits
from worker.pipeline.intake.sns_subscriptions import SnsSubscriptions
from worker.pipeline.resilience.periodic import PeriodicThread
from worker.types import Hint, Lane

_log = logs.get("pipeline")

#: Stores that send an event only once wait longer than this for an answer. It covers a database restart of ten seconds.
HOLD = WaitLimits(seconds=25.0, callers=1_000, items=100_000)
#: A notification of more objects is not an upload, but an import, a replay or an attack: stores send one at a time,
#: queues ten. It is queued behind live work, and no other notification waits for its write.
BULK = 100
# Unwatched buckets that a process logs. If there are more, a sender names them at random.
_TOLD = 100
# Most unparsable parts kept of one notification; the answer has the number of all.
_KEPT = 100


class RejectedEventError(MalformedEventError):
    """A notification that was refused and kept for inspection."""

    def __init__(self, reason: str, rejected_id: int) -> None:
        super().__init__(reason)
        self.rejected_id = rejected_id


@dataclass(frozen=True, kw_only=True, slots=True)
class Notification:
    """A parsed notification, reduced to what is watched. Nothing is committed yet."""

    body: bytes
    hints: tuple[Hint, ...]
    ignored: Mapping[str, int]  # by reason: objects that are not watched
    test: bool  # a store's test event: nothing to do
    subscriptions: tuple[Subscription, ...]  # to be confirmed
    unwatched: Mapping[str, str]  # unwatched bucket → why; only if not logged yet
    refused: tuple[Refused, ...]  # parts that cannot be parsed; they are kept, the rest is committed

    @property
    def hinted(self) -> int:
        """Distinct objects, not counting alternative readings of the same names."""
        return _objects(self.hints)

    @property
    def is_plain(self) -> bool:
        """Whether it is the notification of an upload: a few hints, and nothing to keep or confirm."""
        return 0 < self.hinted <= BULK and not (self.subscriptions or self.unwatched or self.refused)


class Ingest:
    """Accepts notifications from any transport. Thread-safe."""

    def __init__(
        self,
        *,
        engine: Engine,
        refusal: Callable[[str, str], str | None] = lambda _bucket, _key: None,
        watches: Callable[[str, str], bool] | None = None,
        notify: Callable[[], None],
        subscriptions: SnsSubscriptions | None = None,
        max_bytes: int = 4 << 20,
        hold: WaitLimits | None = None,
        recheck: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Take finished parts.

        Args:
            engine: on a migrated database.
            refusal: (bucket, key) → why it is not ours to enrich; None where it is.
            watches: (bucket, key) → whether it is ours, which costs less to say of each; default by ``refusal``.
            notify: wakes a worker. It may take its time: it is called on a thread of its own.
            subscriptions: which topics' subscriptions may be confirmed; default none.
            max_bytes: larger notifications are not parsed.
            hold: bounds on the notifications that wait for a database that is away; None: each fails at once.
            recheck: called with a sentence when events may have been lost: has the buckets compared.
        """
        self._engine = engine
        self._refusal = refusal
        self._watches = watches or (lambda bucket, key: refusal(bucket, key) is None)
        self._logged: set[str] = set()  # unwatched buckets that were logged
        # On a separate thread: an unavailable or slow broker must not delay the answer. The scheduler makes up for
        # wake-ups that were not sent before the process ended.
        self._wake_ups = PeriodicThread(
            "wake-up",
            notify,
            action="ring",
            failure="no wake-up could be sent; the scheduler will send one",
            interval=None,
            at_once=False,
        )
        self._recheck = recheck
        self._write_hints = GroupCommit(self._hint, is_everybodys=is_passing, hold=hold, held=self._away)
        self._write_bulk = GroupCommit(self._hint, is_everybodys=is_passing, hold=hold, held=self._away)
        self._subscriptions = subscriptions or SnsSubscriptions()
        self._max_bytes = max_bytes

    def parse(self, source: str, body: bytes) -> Notification:
        """Parse a notification. Uses neither database nor network; the time is proportional to its size.

        Args:
            source: one of ``events.SOURCES``.
            body: as it came.

        Raises:
            MalformedEventError: it cannot be parsed, or is too large.
        """
        if len(body) > self._max_bytes:
            raise MalformedEventError(
                f"{len(body):,} bytes, more than {self._max_bytes:,} (ENRICH_MAX_EVENT_BYTES); send less at once"
            )
        envelope = events.parse(source, body)
        watched = tuple(hint for hint in envelope.hints if self._watches(hint.ref.bucket, hint.ref.key))
        certain = [hint for hint in envelope.hints if not hint.guess]
        unwatched = len(certain) - sum(not hint.guess for hint in watched)
        ignored = Counter(str(each.reason) for each in envelope.ignored)
        ignored["not-watched"] += unwatched
        if _objects(watched) > BULK:
            watched = tuple(replace(hint, lane=Lane.BACKFILL) for hint in watched)
        return Notification(
            body=body, hints=watched, ignored=dict(+ignored), test=envelope.test, refused=envelope.refused,
            subscriptions=envelope.subscriptions, unwatched=self._unwatched(certain) if unwatched else {},
        )  # fmt: skip

    def submit(self, source: str, notification: Notification) -> Future[None]:
        """Commit a plain notification together with others, for a caller that must not block.

        Returns:
            Done once its inbox rows are committed, or with the database's error. Cancelling it may be too late.
        """
        committed = self._write_hints.submit(notification.hints)
        committed.add_done_callback(lambda done: None if _failed(done) else _count(source, [notification]))
        return committed

    def commit(
        self, carrier: str, notifications: Sequence[Notification], malformed: Sequence[tuple[str, bytes]] = ()
    ) -> None:
        """Commit the hints of notifications in one transaction, and keep what needs a person.

        May be repeated: what is kept already is not kept twice. Subscriptions are answered before.

        Args:
            carrier: what brought them, for metrics and `enrich rejected`.
            notifications: parsed.
            malformed: why a body could not be parsed, and the body: kept with the rest.
        """
        hints = [hint for each in notifications for hint in each.hints]
        unwatched = {bucket: why for each in notifications for bucket, why in each.unwatched.items()}
        notes = [(note, each.body) for each in notifications for note in self._answers(each)]
        notes += [(why, bucket.encode()) for bucket, why in unwatched.items()]
        notes += [(part.reason, part.part) for each in notifications for part in each.refused[:_KEPT]]
        notes += malformed
        if notes:
            self._write(carrier, hints, notes)
        elif hints:
            write = self._write_bulk if _objects(hints) > BULK else self._write_hints
            write(hints)
        self._logged.update(unwatched)
        _count(carrier, notifications)

    def reject(self, source: str, body: bytes, why: str) -> RejectedEventError:
        """Keep a notification that cannot be parsed; returns the error for its sender."""
        with transaction(self._engine) as connection:
            kept = ledger.rejected_events.reject(connection, source=source, reason=why, body=body)
        _log_rejected(source, why)
        return RejectedEventError(why, kept)

    def missed(self) -> None:
        """Record that a valid notification was refused: its sender may not repeat it."""
        self._recheck("notifications were refused while they could not be committed")

    def _unwatched(self, hints: Iterable[Hint]) -> dict[str, str]:
        """Why buckets are not watched, for a bounded number of buckets that were not logged yet."""
        found: dict[str, str] = {}
        for bucket, key in ((hint.ref.bucket, hint.ref.key) for hint in hints):
            if len(self._logged) + len(found) >= _TOLD:
                break
            if bucket in self._logged or bucket in found or self._watches(bucket, key):
                continue
            # About the bucket, not the object, so that other processes, or this one after a restart, say the same.
            if why := self._refusal(bucket, ""):
                found[bucket] = why
        return found

    def _answers(self, notification: Notification) -> Iterator[str]:
        """Reasons that need a person; kept with the body."""
        return filter(None, map(self._subscriptions.answer, notification.subscriptions))

    def _write(self, carrier: str, hints: Sequence[Hint], kept: Sequence[tuple[str, bytes]]) -> None:
        """Hints, and bodies to keep with the reason."""
        with transaction(self._engine) as connection:
            ledger.hints.hint(connection, hints)
            fresh = [
                why
                for why, body in kept
                if ledger.rejected_events.reject_once(connection, source=carrier, reason=why, body=body)
            ]
        for why in fresh:
            _log_rejected(carrier, why)
        if hints:
            self._wake()

    def _away(self, error: Exception) -> None:
        _log.warning("notifications wait for the database", action="hold", error=in_one_line(error))
        self._recheck("notifications had to wait for the database")

    def _hint(self, hints: Sequence[Hint]) -> None:
        with transaction(self._engine) as connection:
            ledger.hints.hint(connection, hints)
        self._wake()

    def _wake(self) -> None:
        self._wake_ups.hurry()
        self._wake_ups.start()


def _objects(hints: Sequence[Hint]) -> int:
    """Hints without alternative readings of the same names."""
    return len({hint.ref for hint in hints if not hint.guess})


def _count(carrier: str, notifications: Sequence[Notification]) -> None:
    for each in notifications:
        if each.hinted:
            metrics.HINTS.labels(source=carrier).inc(each.hinted)
        for reason, count in each.ignored.items():
            metrics.IGNORED.labels(source=carrier, reason=reason).inc(count)


def _failed(done: Future[None]) -> bool:
    return done.cancelled() or done.exception() is not None


def _log_rejected(source: str, reason: str) -> None:
    metrics.REJECTED_EVENTS.labels(source=source).inc()
    _log.warning(
        "a notification was rejected or needs attention: see `enrich rejected`",
        action="reject", source=source, reason=reason,
    )  # fmt: skip
