"""Tells a store that is away from an object that cannot be had, by what the rest of its bucket met in the same batch.

Buckets are judged apart: one may be on a disk that is lost, and say nothing about its neighbours.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial

from worker.errors import StoreUnavailableError
from worker.ledger.claims import ClaimedObject
from worker.pipeline.enrichment.prepare import FinalOutcome, Prepared, Preparer, again
from worker.pipeline.pictures.read_failure import failure_of
from worker.types import Reason, RetryReason

#: The store, or whoever checks our credentials for it, gives no answer about any object.
_AWAY = frozenset({RetryReason.STORE_AWAY, RetryReason.MISCONFIGURED})
#: Nothing can be said: the error may have come before the store was asked, or is a redirection that anybody can give.
_SILENT = frozenset({RetryReason.UNEXPECTED, RetryReason.WRONG_REGION, RetryReason.NOT_WATCHED})


def _was_not_asked(found: Prepared | FinalOutcome) -> bool:
    return (
        isinstance(found, FinalOutcome)
        and found.quarantine is not None
        and found.quarantine.reason is Reason.NOT_WATCHED
    )


class BatchReader:
    """Prepares one batch and counts what the store answered. Called from several threads."""

    def __init__(self, preparer: Preparer, *, hopeless: int, before_decoding: Callable[[ClaimedObject], None]) -> None:
        """Nothing was asked yet. After ``hopeless`` failures without one answer, the rest of a bucket is not tried."""
        self._preparer, self._hopeless, self._before_decoding = preparer, hopeless, before_decoding
        self._answers: list[tuple[str, bool]] = []  # bucket, and whether it was an answer; lists append atomically
        self._untried: list[int] = []
        self.why = ""  # the newest failure
        self._reason = RetryReason.STORE_AWAY  # its code

    @property
    def answered(self) -> int:
        """How many objects the store said something about, if only that we may not have them."""
        return sum(is_answer for _, is_answer in self._answers)

    @property
    def failed(self) -> int:
        """How many it said nothing about."""
        return len(self._answers) - self.answered

    def prepare(self, claimed: ClaimedObject, etag: str | None) -> Prepared | FinalOutcome:
        """As ``Preparer.prepare``, unless the others show that the bucket is away: a stalling store costs one wait."""
        bucket = claimed.ref.bucket
        if self._answers.count((bucket, False)) >= self._hopeless and (bucket, True) not in self._answers:
            self._untried.append(claimed.id)
            return again(claimed, f"not tried, because of others: {self.why}", self._reason, counted=False)
        found = self._preparer.prepare(claimed, etag, partial(self._before_decoding, claimed))
        reason = found.retry if isinstance(found, FinalOutcome) else None
        if reason is not None and reason in _AWAY and isinstance(found, FinalOutcome):
            self.why, self._reason = found.error or "", reason
        if reason not in _SILENT and not _was_not_asked(found):
            self._answers.append((bucket, reason not in _AWAY))
        return found

    def judged(self, found: Iterable[Prepared | FinalOutcome]) -> Sequence[Prepared | FinalOutcome]:
        """Results with attempts counted where the store answered for others of the bucket: then it is the object."""
        answered = {bucket for bucket, is_answer in self._answers if is_answer}
        return [
            self._counted(each) if isinstance(each, FinalOutcome) and each.claimed.ref.bucket in answered else each
            for each in found
        ]

    def _counted(self, ended: FinalOutcome) -> FinalOutcome:
        if ended.retry is not RetryReason.STORE_AWAY or ended.claimed.id in self._untried:
            return ended
        failure = failure_of(StoreUnavailableError(ended.error), ended.claimed.ref)
        return self._preparer.failed(ended.claimed, replace(failure, counted=True))
