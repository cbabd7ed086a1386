"""The use case: a notification becomes pending work, and somebody is woken."""

from __future__ import annotations

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


@dataclass(frozen=True, kw_only=True, slots=True)
class Ingest:
    """Takes notifications, from whatever carried them."""

    engine: Engine
    watches: Callable[[str, str], bool]  # (bucket, key) → ours to enrich
    ring: Callable[[], None]  # wakes a worker; must not raise

    def accept(self, source: str, body: bytes) -> Accepted:
        """Record what a notification hints at. When this returns, the inbox rows are committed.

        Raises:
            RejectedEventError: it cannot be parsed; it was kept under the id the error carries.
        """
        try:
            envelope = events.parse(source, body)
        except MalformedEventError as error:
            raise self._keep(source, str(error), body) from error
        ours = [hint for hint in envelope.hints if self.watches(hint.ref.bucket, hint.ref.key)]
        ignored = Counter(str(each.reason) for each in envelope.ignored)
        ignored["not-watched"] += len(envelope.hints) - len(ours)
        return Accepted(hinted=self._hint(source, ours), ignored=dict(+ignored), test=envelope.test)

    def _hint(self, source: str, hints: list[Hint]) -> int:
        if not hints:
            return 0
        with transaction(self.engine) as connection:
            hinted = inbox.hint(connection, hints)
        metrics.HINTS.labels(source=source).inc(hinted.objects)
        self.ring()
        return hinted.objects

    def _keep(self, source: str, reason: str, body: bytes) -> RejectedEventError:
        with transaction(self.engine) as connection:
            rejected_id = inbox.reject(connection, source=source, reason=reason, body=body)
        metrics.REJECTED_EVENTS.labels(source=source).inc()
        _log.warning("a notification was refused", action="reject", source=source, reason=reason, id=rejected_id)
        return RejectedEventError(reason, rejected_id)
