"""One claimed object → pixels ready for the encoder, or an outcome. No transaction is open here."""

from __future__ import annotations

from dataclasses import dataclass

from worker.encoder import Encoder
from worker.ledger.claims import ClaimedObject
from worker.ledger.completion import QuarantineRecord
from worker.objects import Gone, NotModified, NotRead
from worker.pipeline.pictures.read_failure import ReadFailure
from worker.pipeline.pictures.read_picture import BeforeDecoding, PictureReader, StoredPicture
from worker.pipeline.resilience.retry_policy import RetryPolicy
from worker.types import Outcome, RetryReason


@dataclass(frozen=True, kw_only=True, slots=True)
class Prepared:
    """An image that is ready for the encoder."""

    claimed: ClaimedObject
    picture: StoredPicture


@dataclass(frozen=True, kw_only=True, slots=True)
class FinalOutcome:
    """The outcome of an object that does not go to the encoder."""

    claimed: ClaimedObject
    outcome: Outcome
    etag: str | None = None
    quarantine: QuarantineRecord | None = None
    retry: RetryReason | None = None  # with RETRY: why, as a code
    error: str | None = None  # with RETRY: why, as a sentence
    counted: bool = True  # with RETRY: False if the attempt was not the object's fault


def again(claimed: ClaimedObject, error: str, reason: RetryReason, *, counted: bool = True) -> FinalOutcome:
    """The outcome of an object that will be retried."""
    return FinalOutcome(claimed=claimed, outcome=Outcome.RETRY, retry=reason, error=error, counted=counted)


@dataclass(frozen=True, kw_only=True, slots=True)
class Preparer:
    """Reads claimed objects and turns failures into outcomes. Called from many threads at once."""

    reader: PictureReader
    encoder: Encoder
    policy: RetryPolicy

    def prepare(
        self, claimed: ClaimedObject, etag: str | None, before_decoding: BeforeDecoding
    ) -> Prepared | FinalOutcome:
        """Fetch, decode and preprocess one object. Errors become outcomes.

        Raises:
            DBAPIError: from ``before_decoding``, when the database is away; nothing else is raised.
        """
        match self.reader.read(claimed.ref, self.encoder, etag, before_decoding=before_decoding):
            case StoredPicture() as picture:
                return Prepared(claimed=claimed, picture=picture)
            case NotModified():
                return FinalOutcome(claimed=claimed, outcome=Outcome.UNCHANGED, etag=etag)
            case Gone():
                return FinalOutcome(claimed=claimed, outcome=Outcome.GONE)
            case NotRead(info=info):
                return FinalOutcome(claimed=claimed, outcome=Outcome.EXCLUDED, etag=info.etag)
            case ReadFailure() as failure:
                return self.failed(claimed, failure)

    def failed(self, claimed: ClaimedObject, failure: ReadFailure) -> FinalOutcome:
        """Retry, or quarantine: at once, or once the attempts are used up."""
        if claimed.guess and failure.may_be_absent:
            return FinalOutcome(claimed=claimed, outcome=Outcome.GONE)
        if failure.retry is None:
            return _quarantined(claimed, failure, failure.message)
        if failure.counted and self.policy.exhausted(claimed.tries):
            return _quarantined(claimed, failure, f"{failure.message} (after {claimed.tries} attempts)")
        return again(claimed, failure.message, failure.retry, counted=failure.counted)


def _quarantined(claimed: ClaimedObject, failure: ReadFailure, message: str) -> FinalOutcome:
    """The outcome of an object that cannot be enriched, with what a person needs to see why."""
    return FinalOutcome(
        claimed=claimed,
        outcome=Outcome.QUARANTINED,
        etag=failure.info.etag if failure.info else None,
        quarantine=QuarantineRecord(
            reason=failure.reason,
            message=message,
            attempts=claimed.attempts,
            size=failure.info.size if failure.info else None,
            first_bytes=failure.head or None,
        ),
    )
