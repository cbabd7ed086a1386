"""One claimed object → pixels ready for the encoder, or the end of its claim. No transaction is open here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from PIL import Image

from worker import images, logs, metrics
from worker.db import is_unavailable
from worker.encoder import Encoder, Pixels
from worker.errors import (
    AccessDeniedError,
    BucketElsewhereError,
    BucketNotFoundError,
    ConfigurationError,
    EnrichError,
    ImageRejectedError,
    LeaseLostError,
    NotWatchedError,
    ObjectArchivedError,
    ObjectRefusedError,
    ObjectUnreadableError,
    StoreUnavailableError,
)
from worker.images import ImageLimits
from worker.ledger.claims import ClaimedObject
from worker.ledger.completion import QuarantineRecord
from worker.objects import Fetched, Gone, NotModified, NotRead, ObjectStore, climbs_out
from worker.pipeline.common.content_encoding import plain_head, unpacked
from worker.pipeline.resilience.memory_budget import ByteBudget, DecodeSlots, Reservation
from worker.pipeline.resilience.retry_policy import RetryPolicy
from worker.types import ImageMetadata, ObjectInfo, Outcome, Reason, RetryReason

_log = logs.get("pipeline")
_KEPT_BYTES = 512

#: Called with a file right before it is decoded; raises what is to become of it instead.
BeforeDecoding: TypeAlias = Callable[[], None]

#: Errors that say nothing about the object, however often they come.
_NOTHING_LEARNT = (StoreUnavailableError, BucketNotFoundError, ConfigurationError)


@dataclass(frozen=True, kw_only=True, slots=True)
class Prepared:
    """An image that only waits for the encoder."""

    claimed: ClaimedObject
    info: ObjectInfo
    metadata: ImageMetadata
    pixels: Pixels
    head: bytes  # first of the file, for people, should it fail from here on


@dataclass(frozen=True, kw_only=True, slots=True)
class FinalOutcome:
    """An object that needs no encoder any more."""

    claimed: ClaimedObject
    outcome: Outcome
    etag: str | None = None
    quarantine: QuarantineRecord | None = None
    retry: RetryReason | None = None  # with RETRY: why, as a code
    error: str | None = None  # with RETRY: why, as a sentence
    counted: bool = True  # with RETRY: False if the attempt was not the object's fault


def _nothing() -> None:
    """Most images may be decoded at once."""


def again(claimed: ClaimedObject, error: str, reason: RetryReason, *, counted: bool = True) -> FinalOutcome:
    """The end of an object that is to be tried again."""
    return FinalOutcome(claimed=claimed, outcome=Outcome.RETRY, retry=reason, error=error, counted=counted)


def _why(error: EnrichError) -> RetryReason:
    if isinstance(error, BucketNotFoundError):
        return RetryReason.NO_SUCH_BUCKET
    if isinstance(error, BucketElsewhereError):
        return RetryReason.WRONG_REGION
    return RetryReason.MISCONFIGURED if isinstance(error, ConfigurationError) else RetryReason.STORE_AWAY


@dataclass(frozen=True, kw_only=True, slots=True)
class Preparer:
    """Fetch, decode and preprocess; called from many threads at once."""

    store: ObjectStore
    encoder: Encoder
    limits: ImageLimits
    budget: ByteBudget
    decoders: DecodeSlots
    policy: RetryPolicy

    def prepare(
        self, claimed: ClaimedObject, etag: str | None, before_decoding: BeforeDecoding = _nothing
    ) -> Prepared | FinalOutcome:
        """Bring one object to the encoder's door. Every error is somebody's outcome.

        Raises:
            DBAPIError: from ``before_decoding``, when the database is away; from nothing else.
        """
        try:
            with self.budget.lease() as reservation:
                return self._prepare(claimed, etag, reservation, before_decoding)
        except LeaseLostError as error:  # nothing of it is written: its claim is void
            return again(claimed, str(error), RetryReason.UNEXPECTED, counted=False)
        except _NOTHING_LEARNT as error:
            # The attempt does not count against the object.
            return again(claimed, str(error), _why(error), counted=False)
        except (NotWatchedError, ObjectRefusedError) as error:
            return self._refused(claimed, error)
        except Exception as error:  # one bad image costs one image
            if is_unavailable(error):
                raise
            return self._unexpected(claimed, error)

    def failed(
        self,
        claimed: ClaimedObject,
        error: str,
        reason: Reason = Reason.ATTEMPTS_EXHAUSTED,
        *,
        retry: RetryReason = RetryReason.UNEXPECTED,
        info: ObjectInfo | None = None,
        data: bytes = b"",
    ) -> FinalOutcome:
        """Retry because of ``retry``, or quarantine with ``reason`` once the attempts are used up.

        ``info`` and ``data`` are what was read before it failed, if anything was.
        """
        if not self.policy.exhausted(claimed.tries):
            return again(claimed, error, retry)
        rejected = ImageRejectedError(reason, f"{error} (after {claimed.tries} attempts)")
        return self.quarantined(claimed, rejected, info, data)

    def _refused(self, claimed: ClaimedObject, error: ObjectRefusedError | NotWatchedError) -> FinalOutcome:
        is_there = isinstance(error, ObjectArchivedError | ObjectUnreadableError) and not climbs_out(claimed.ref.key)
        if claimed.guess and not is_there:  # without the right to list, AWS denies access to what is not there
            return FinalOutcome(claimed=claimed, outcome=Outcome.GONE)
        if isinstance(error, NotWatchedError):
            return self.failed(claimed, str(error), Reason.NOT_WATCHED, retry=RetryReason.NOT_WATCHED)
        if isinstance(error, ObjectArchivedError):
            return self.quarantined(claimed, ImageRejectedError(Reason.ARCHIVED, str(error)))
        if isinstance(error, AccessDeniedError):
            return self.failed(claimed, str(error), Reason.ACCESS_DENIED, retry=RetryReason.ACCESS_DENIED)
        if climbs_out(claimed.ref.key):
            message = f"{error}: by its `..` the key leads out of the bucket; copy the object to a plain key"
            return self.quarantined(claimed, ImageRejectedError(Reason.NOT_READABLE, message))
        return self.failed(claimed, str(error), Reason.NOT_READABLE, retry=RetryReason.NOT_READABLE)

    def _unexpected(
        self, claimed: ClaimedObject, error: Exception, info: ObjectInfo | None = None, data: bytes = b""
    ) -> FinalOutcome:
        _log.exception("an image failed in an unexpected way", action="prepare", ref=str(claimed.ref))
        return self.failed(claimed, f"{type(error).__name__}: {error}", info=info, data=data)

    def _prepare(
        self, claimed: ClaimedObject, etag: str | None, reservation: Reservation, before_decoding: BeforeDecoding
    ) -> Prepared | FinalOutcome:
        def worth_reading(info: ObjectInfo, head: bytes) -> bool:
            worth = images.is_worth_reading(info.ref.key, info.content_type, plain_head(info, head))
            if worth and info.size <= self.limits.max_bytes:  # what is larger is not read
                reservation.draw(info.size)
            return worth

        with metrics.FETCH_SECONDS.time():
            got = self.store.get(claimed.ref, etag=etag, max_bytes=self.limits.max_bytes, worth_reading=worth_reading)
        match got:
            case NotModified():
                return FinalOutcome(claimed=claimed, outcome=Outcome.UNCHANGED, etag=etag)
            case Gone():
                return FinalOutcome(claimed=claimed, outcome=Outcome.GONE)
            case NotRead():
                return self._not_read(claimed, got)
            case Fetched():
                return self._unpack(claimed, got, before_decoding)

    def _not_read(self, claimed: ClaimedObject, got: NotRead) -> FinalOutcome:
        info = got.info
        if not images.is_worth_reading(info.ref.key, info.content_type, plain_head(info, got.head)):
            return FinalOutcome(claimed=claimed, outcome=Outcome.EXCLUDED, etag=info.etag)
        message = f"{info.size:,} bytes; the limit is {self.limits.max_bytes:,} (ENRICH_MAX_BYTES)"
        return self.quarantined(claimed, ImageRejectedError(Reason.TOO_MANY_BYTES, message), info, got.head)

    def _unpack(self, claimed: ClaimedObject, got: Fetched, before_decoding: BeforeDecoding) -> Prepared | FinalOutcome:
        metrics.FETCH_BYTES.inc(len(got.data))
        try:
            with unpacked(got, self.limits, self.decoders.unpack) as data:
                return self._decode(claimed, got.info, data, before_decoding)
        except ImageRejectedError as rejected:
            return self.quarantined(claimed, rejected, got.info, got.data)

    def _decode(
        self, claimed: ClaimedObject, info: ObjectInfo, data: bytes, before_decoding: BeforeDecoding
    ) -> Prepared | FinalOutcome:
        try:
            before_decoding()
        except ImageRejectedError as rejected:
            return self.quarantined(claimed, rejected, info, data)
        try:
            with self.decoders.turn(), metrics.DECODE_SECONDS.time():
                decoded = images.read_image(
                    data, limits=self.limits, min_side=self.encoder.shrink_to, reserve=self.decoders.reserve
                )
                pixels = self._preprocess(decoded.pixels)
        except ImageRejectedError as rejected:
            return self.quarantined(claimed, rejected, info, data)
        except Exception as error:  # noqa: BLE001  # one bad image costs one image
            return self._unexpected(claimed, error, info, data)
        return Prepared(claimed=claimed, info=info, metadata=decoded.metadata, pixels=pixels, head=data[:_KEPT_BYTES])

    def _preprocess(self, picture: Image.Image) -> Pixels:
        with picture:
            return self.encoder.preprocess(picture)

    def quarantined(
        self, claimed: ClaimedObject, rejected: ImageRejectedError, info: ObjectInfo | None = None, data: bytes = b""
    ) -> FinalOutcome:
        """The end of an object that cannot be enriched, with what a person needs to see why."""
        return FinalOutcome(
            claimed=claimed,
            outcome=Outcome.QUARANTINED,
            etag=info.etag if info else None,
            quarantine=QuarantineRecord(
                reason=rejected.reason,
                message=str(rejected),
                attempts=claimed.attempts,
                size=info.size if info else None,
                first_bytes=data[:_KEPT_BYTES] or None,
            ),
        )
