"""Tells a store that is away from an object that cannot be had: by what the rest of its batch met."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial

from worker.inbox import ClaimedObject
from worker.pipeline.prepare import Ended, Prepared, Preparer, again
from worker.types import RetryReason

#: The store, or whoever checks our credentials for it, gives no answer about any object.
_AWAY = frozenset({RetryReason.STORE_AWAY, RetryReason.MISCONFIGURED})
#: Nothing can be said: the error may have come before the store was asked.
_SILENT = frozenset({RetryReason.UNEXPECTED})


class Tally:
    """Prepares one batch and counts what the store answered. Called from several threads."""

    def __init__(
        self, preparer: Preparer, *, hopeless: int, before_decoding: Callable[[ClaimedObject, bytes], None]
    ) -> None:
        """Nothing was asked yet. After ``hopeless`` failures without one answer, the rest is not tried."""
        self._preparer, self._hopeless, self._before_decoding = preparer, hopeless, before_decoding
        self._asked: list[bool] = []  # for each answer and each failure; lists append atomically
        self.why = ""  # the newest failure

    @property
    def answered(self) -> int:
        """How many objects the store said something about, if only that we may not have them."""
        return self._asked.count(True)

    @property
    def failed(self) -> int:
        """How many it said nothing about."""
        return self._asked.count(False)

    def prepare(self, claimed: ClaimedObject, etag: str | None) -> Prepared | Ended:
        """As ``Preparer.prepare``, unless the store is away by what the others met: a stalling one costs one wait."""
        if self.failed >= self._hopeless and not self.answered:
            return again(claimed, f"not tried, because of others: {self.why}", RetryReason.STORE_AWAY, counted=False)
        found = self._preparer.prepare(claimed, etag, partial(self._before_decoding, claimed))
        reason = found.retry if isinstance(found, Ended) else None
        if reason in _AWAY and isinstance(found, Ended):
            self.why = found.error or ""
        if reason not in _SILENT:
            self._asked.append(reason not in _AWAY)
        return found

    def judged(self, found: Iterable[Prepared | Ended]) -> Sequence[Prepared | Ended]:
        """Results with attempts counted where the store answered others: then it is the object that cannot be had."""
        if not self.answered:
            return list(found)
        return [self._counted(each) if isinstance(each, Ended) else each for each in found]

    def _counted(self, ended: Ended) -> Ended:
        if ended.retry is not RetryReason.STORE_AWAY:
            return ended
        return self._preparer.failed(ended.claimed, ended.error or "", retry=RetryReason.STORE_AWAY)
