"""Tells a store outage from one unreadable object by the rest of the bucket's objects in the same batch.

Each bucket is assessed separately: one may be on a failed disk, which says nothing about the others.
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

#: The store, or the service that checks our credentials, gives no answer about any object.
_AWAY = frozenset({RetryReason.STORE_AWAY, RetryReason.MISCONFIGURED})
#: Inconclusive: the error may have come before the store was asked, or is a redirect that anyone can send.
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
        """Start counting. After ``hopeless`` failures without one answer, the rest of a bucket is not tried."""
        self._preparer, self._hopeless, self._before_decoding = preparer, hopeless, before_decoding
        self._answers: list[tuple[str, bool]] = []  # bucket, and whether it was an answer; lists append atomically
        self._untried: list[int] = []
        self.why = ""  # the newest failure
        self._reason = RetryReason.STORE_AWAY  # its code

    @property
    def answered(self) -> int:
        """For how many objects the store gave an answer, even a refusal."""
        return sum(is_answer for _, is_answer in self._answers)

    @property
    def failed(self) -> int:
        """For how many objects it gave none."""
        return len(self._answers) - self.answered

    def prepare(self, claimed: ClaimedObject, etag: str | None) -> Prepared | FinalOutcome:
        """Like ``Preparer.prepare``, unless others show that the bucket is down: a stalled store costs one wait."""
        bucket = claimed.ref.bucket
        if self._answers.count((bucket, False)) >= self._hopeless and (bucket, True) not in self._answers:
            self._untried.append(claimed.id)
            return again(
                claimed, f"not tried, because others in the batch failed: {self.why}", self._reason, counted=False
            )
        found = self._preparer.prepare(claimed, etag, partial(self._before_decoding, claimed))
        reason = found.retry if isinstance(found, FinalOutcome) else None
        if reason is not None and reason in _AWAY and isinstance(found, FinalOutcome):
            self.why, self._reason = found.error or "", reason
        if reason not in _SILENT and not _was_not_asked(found):
            self._answers.append((bucket, reason not in _AWAY))
        return found

    def judged(self, found: Iterable[Prepared | FinalOutcome]) -> Sequence[Prepared | FinalOutcome]:
        """Results; an attempt counts if the store answered for others of the bucket: then the object is the cause."""
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
