"""The use case: a notification becomes pending work, and somebody is woken."""

from __future__ import annotations

import threading
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
from worker.types import Hint, Lane

_log = logs.get("pipeline")

#: Stores that post an event once wait longer than this for an answer. Ten seconds of restarting are well within it.
HOLD = WaitLimits(seconds=25.0, callers=1_000, items=100_000)
#: Objects above which a notification is not of an upload, but of an import, a replay or an attack: stores send one at a
#: time, queues ten. It waits behind live work, and nobody's notification waits for its write.
BULK = 100
# Buckets that are not ours, of which a process tells: then somebody names them at random.
_TOLD = 100
# Parts of one notification that are kept because they cannot be understood; of more, the answer has the number.
_KEPT = 100


@dataclass(frozen=True, kw_only=True, slots=True)
class IntakeResult:
    """The answer to a notification whose work is committed."""

    hinted: int  # distinct objects whose work is now pending
    ignored: Mapping[str, int]  # by reason: what the notification named that is not ours to enrich
    test: bool  # a store's test event: understood, nothing to do
    refused: tuple[str, ...] = ()  # why parts of it cannot be understood; they are kept, the rest is committed


@dataclass(frozen=True, kw_only=True, slots=True)
class PendingIntake:
    """A notification whose work is about to be committed."""

    committed: Future[None]  # done when it is, or with the database's error; who cancels it may have been too late
    accepted: IntakeResult  # the answer, from then on


class RejectedEventError(MalformedEventError):
    """A notification that was refused and kept for inspection."""

    def __init__(self, reason: str, rejected_id: int) -> None:
        super().__init__(reason)
        self.rejected_id = rejected_id


@dataclass(frozen=True, kw_only=True, slots=True)
class _ParsedNotification:
    """A notification, and what of it is ours."""

    hints: tuple[Hint, ...]
    ignored: Mapping[str, int]
    test: bool
    subscriptions: tuple[Subscription, ...]  # to be answered
    strange: Mapping[str, str]  # bucket that is not ours → why not, where nobody was told yet
    refused: tuple[Refused, ...]


class Ingest:
    """Takes notifications, from whatever carried them. Safe to use from any thread."""

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
            ring: wakes a worker. It may take its time: it is called on a thread of its own.
            subscriptions: which topics' subscriptions may be confirmed; default none.
            max_bytes: larger notifications are not parsed.
            hold: bounds on the notifications that wait for a database that is away; None: each fails at once.
            recheck: called with a sentence when events may have been lost: has the buckets compared.
        """
        self._engine = engine
        self._refusal = refusal
        self._watches = watches or (lambda bucket, key: refusal(bucket, key) is None)
        self._told: set[str] = set()  # buckets that are not ours, of which we told
        self._wake_ups = _WakeUpThread(notify)
        self._recheck = recheck
        self._write_hints = GroupCommit(self._hint, is_everybodys=is_passing, hold=hold, held=self._away)
        self._write_bulk = GroupCommit(self._hint, is_everybodys=is_passing, hold=hold, held=self._away)
        self._subscriptions = subscriptions or SnsSubscriptions()
        self._max_bytes = max_bytes

    def accept(self, source: str, body: bytes) -> IntakeResult:
        """Record what a notification hints at. When this returns, the inbox rows are committed.

        Raises:
            RejectedEventError: it cannot be parsed; it was kept under the id the error carries.
        """
        try:
            understood = self._understand(source, body)
        except MalformedEventError as error:
            with transaction(self._engine) as connection:
                kept = ledger.rejected_events.reject(connection, source=source, reason=str(error), body=body)
            _tell_of_refusal(source, str(error))
            raise RejectedEventError(str(error), kept) from error
        hinted = self._commit(source, [(understood, body)])
        return IntakeResult(
            hinted=hinted, ignored=understood.ignored, test=understood.test,
            refused=tuple(each.reason for each in understood.refused),
        )  # fmt: skip

    def begin(self, source: str, body: bytes) -> PendingIntake | None:
        """Do what `accept` does, without waiting for anything: for a caller that must not, such as an event loop.

        Returns:
            None where that cannot be: the notification has to be refused, or asks for more than hints. Nothing was
            done then; `accept` does it.
        """
        try:
            understood = self._understand(source, body)
        except MalformedEventError:
            return None
        more = understood.subscriptions or understood.strange or understood.refused
        if more or not understood.hints or _objects(understood.hints) > BULK:
            return None
        committed, hinted = self._write_hints.submit(understood.hints), _objects(understood.hints)
        committed.add_done_callback(lambda done: None if _failed(done) else _count(source, hinted, understood.ignored))
        return PendingIntake(
            committed=committed,
            accepted=IntakeResult(hinted=hinted, ignored=understood.ignored, test=understood.test),
        )

    def missed(self) -> None:
        """Note that a notification was refused although nothing is wrong with it: its sender may not repeat it."""
        self._recheck("notifications were refused while they could not be committed")

    def accept_all(self, source: str, bodies: Sequence[bytes], *, carrier: str) -> list[str | None]:
        """Record what several notifications hint at, in one transaction; also which of them cannot be parsed.

        May be repeated with the same bodies: what was refused before is kept once.

        Args:
            source: one of ``events.SOURCES``, of all of them.
            bodies: as they came.
            carrier: what brought them, for metrics and `enrich rejected`.

        Returns:
            For each body, in their order, None once its work is committed, or why it was refused.
        """
        taken: list[tuple[_ParsedNotification, bytes]] = []
        refused: list[str | None] = []
        for body in bodies:
            try:
                taken.append((self._understand(source, body), body))
                refused.append(None)
            except MalformedEventError as error:
                refused.append(str(error))
        self._commit(carrier, taken, [(why, body) for why, body in zip(refused, bodies, strict=True) if why])
        return refused

    def _understand(self, source: str, body: bytes) -> _ParsedNotification:
        if len(body) > self._max_bytes:
            raise MalformedEventError(
                f"{len(body):,} bytes, more than {self._max_bytes:,} (ENRICH_MAX_EVENT_BYTES); send less at once"
            )
        envelope = events.parse(source, body)
        ours = tuple(hint for hint in envelope.hints if self._watches(hint.ref.bucket, hint.ref.key))
        certain = [hint for hint in envelope.hints if not hint.guess]
        watched = sum(not hint.guess for hint in ours)
        strange = self._strange(certain) if watched < len(certain) else {}
        ignored = Counter(str(each.reason) for each in envelope.ignored)
        ignored["not-watched"] += len(certain) - watched
        if _objects(ours) > BULK:
            ours = tuple(replace(hint, lane=Lane.BACKFILL) for hint in ours)
        return _ParsedNotification(
            hints=ours, ignored=dict(+ignored), test=envelope.test, subscriptions=envelope.subscriptions,
            strange=strange, refused=envelope.refused,
        )  # fmt: skip

    def _strange(self, hints: Iterable[Hint]) -> dict[str, str]:
        """Of buckets of which nobody was told yet, why they are not ours; of a bounded number, however many."""
        found: dict[str, str] = {}
        for bucket, key in ((hint.ref.bucket, hint.ref.key) for hint in hints):
            if len(self._told) + len(found) >= _TOLD:
                break
            if bucket in self._told or bucket in found or self._watches(bucket, key):
                continue
            # Of the bucket, not the object: what other processes tell, or this one after a restart, is the same then.
            if why := self._refusal(bucket, ""):
                found[bucket] = why
        return found

    def _commit(
        self,
        carrier: str,
        taken: Sequence[tuple[_ParsedNotification, bytes]],
        refused: Sequence[tuple[str, bytes]] = (),
    ) -> int:
        """Write all of it, then wake somebody; returns how many objects are named."""
        hints = [hint for understood, _ in taken for hint in understood.hints]
        strange = {bucket: why for understood, _ in taken for bucket, why in understood.strange.items()}
        notes = [(note, body) for understood, body in taken for note in self._answers(understood)]
        notes += [(why, bucket.encode()) for bucket, why in strange.items()]
        notes += [(each.reason, each.part) for understood, _ in taken for each in understood.refused[:_KEPT]]
        if hints and not (notes or refused):
            write = self._write_bulk if _objects(hints) > BULK else self._write_hints
            write(hints)
        elif hints or notes or refused:
            self._write(carrier, hints, (*notes, *refused))
        self._told.update(strange)
        hinted = _objects(hints)
        for understood, _ in taken:
            _count(carrier, _objects(understood.hints), understood.ignored)
        return hinted

    def _answers(self, understood: _ParsedNotification) -> Iterator[str]:
        """What a person has to do: kept with the body."""
        return filter(None, map(self._subscriptions.answer, understood.subscriptions))

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
            _tell_of_refusal(carrier, why)
        if hints:
            self._wake_ups.pull()

    def _away(self, error: Exception) -> None:
        _log.warning("notifications wait for the database", action="hold", error=in_one_line(error))
        self._recheck("notifications had to wait for the database")

    def _hint(self, hints: Sequence[Hint]) -> None:
        with transaction(self._engine) as connection:
            ledger.hints.hint(connection, hints)
        self._wake_ups.pull()


def _objects(hints: Sequence[Hint]) -> int:
    """Without other readings of the same names."""
    return len({hint.ref for hint in hints if not hint.guess})


def _count(carrier: str, hinted: int, ignored: Mapping[str, int]) -> None:
    if hinted:
        metrics.HINTS.labels(source=carrier).inc(hinted)
    for reason, count in ignored.items():
        metrics.IGNORED.labels(source=carrier, reason=reason).inc(count)


def _failed(done: Future[None]) -> bool:
    return done.cancelled() or done.exception() is not None


def _tell_of_refusal(source: str, reason: str) -> None:
    metrics.REJECTED_EVENTS.labels(source=source).inc()
    _log.warning(
        "a notification was refused, or needs somebody's hand: see `enrich rejected`",
        action="reject", source=source, reason=reason,
    )  # fmt: skip


class _WakeUpThread:
    """Rings on a thread of its own: a broker that is away or slow must not keep a sender from its answer.

    Pulls during a ring come to one more ring. Whatever is not rung when the process ends, the sweeper rings.
    """

    def __init__(self, notify: Callable[[], None]) -> None:
        self._notify = notify
        self._pulled = threading.Event()
        self._mutex = threading.Lock()
        self._thread: threading.Thread | None = None

    def pull(self) -> None:
        """Have it ring soon; returns at once."""
        self._pulled.set()
        with self._mutex:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="ringer", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while self._pulled.wait():
            self._pulled.clear()
            try:
                self._notify()
            except Exception:  # noqa: BLE001  # whatever the bell does, this thread must live on
                _log.exception("ringing failed; the scheduler will ring", action="ring")
