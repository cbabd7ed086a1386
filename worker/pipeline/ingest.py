"""The use case: a notification becomes pending work, and somebody is woken."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from worker import events, inbox, logs, metrics
from worker.db import Engine, transaction
from worker.errors import MalformedEventError
from worker.types import Hint

_log = logs.get("pipeline")


@dataclass(frozen=True, kw_only=True, slots=True)
class Accepted:
    """The answer to a notification whose work is committed."""

    hinted: int  # distinct objects whose work is now pending
    ignored: Mapping[str, int]  # by reason: what the notification named that is not ours to enrich
    test: bool  # a store's test event: understood, nothing to do


class RejectedEventError(MalformedEventError):
    """A notification that was refused and kept for inspection."""

    def __init__(self, reason: str, rejected_id: int) -> None:
        super().__init__(reason)
        self.rejected_id = rejected_id


class Ingest:
    """Takes notifications, from whatever carried them. Safe to use from any thread."""

    def __init__(self, *, engine: Engine, watches: Callable[[str, str], bool], ring: Callable[[], None]) -> None:
        """Take finished parts.

        Args:
            engine: on a migrated database.
            watches: (bucket, key) → whether it is ours to enrich.
            ring: wakes a worker. It may take its time: it is called on a thread of its own.
        """
        self._engine = engine
        self._watches = watches
        self._ringer = _Ringer(ring)

    def accept(self, source: str, body: bytes) -> Accepted:
        """Record what a notification hints at. When this returns, the inbox rows are committed.

        Raises:
            RejectedEventError: it cannot be parsed; it was kept under the id the error carries.
        """
        try:
            envelope = events.parse(source, body)
        except MalformedEventError as error:
            raise self._keep(source, str(error), body) from error
        ours = [hint for hint in envelope.hints if self._watches(hint.ref.bucket, hint.ref.key)]
        ignored = Counter(str(each.reason) for each in envelope.ignored)
        ignored["not-watched"] += len(envelope.hints) - len(ours)
        return Accepted(hinted=self._hint(source, ours), ignored=dict(+ignored), test=envelope.test)

    def _hint(self, source: str, hints: list[Hint]) -> int:
        if not hints:
            return 0
        with transaction(self._engine) as connection:
            hinted = inbox.hint(connection, hints)
        metrics.HINTS.labels(source=source).inc(hinted.objects)
        self._ringer.pull()
        return hinted.objects

    def _keep(self, source: str, reason: str, body: bytes) -> RejectedEventError:
        with transaction(self._engine) as connection:
            rejected_id = inbox.reject(connection, source=source, reason=reason, body=body)
        metrics.REJECTED_EVENTS.labels(source=source).inc()
        _log.warning("a notification was refused", action="reject", source=source, reason=reason, id=rejected_id)
        return RejectedEventError(reason, rejected_id)


class _Ringer:
    """Rings on a thread of its own: a broker that is away or slow must not keep a sender from its answer.

    Pulls during a ring come to one more ring. Whatever is not rung when the process ends, the sweeper rings.
    """

    def __init__(self, ring: Callable[[], None]) -> None:
        self._ring = ring
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
                self._ring()
            except Exception:  # noqa: BLE001  # whatever the bell does, this thread must live on
                _log.exception("ringing failed; the scheduler will ring", action="ring")
