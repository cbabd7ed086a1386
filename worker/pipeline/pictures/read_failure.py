"""Maps errors of reading a picture to retry or quarantine. Decided here, and nowhere else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from worker.errors import (
    AccessDeniedError,
    BucketElsewhereError,
    BucketNotFoundError,
    ConfigurationError,
    DeviceMemoryError,
    ImageRejectedError,
    LeaseLostError,
    NotWatchedError,
    ObjectArchivedError,
    ObjectRefusedError,
    ObjectUnreadableError,
    StoreUnavailableError,
)
from worker.objects import climbs_out
from worker.types import ObjectInfo, ObjectRef, Reason, RetryReason

#: Why to retry (None: another try would meet the same), and the reason to quarantine with once the attempts are used
#: up (None: the error says nothing about the object, however often it comes). The first class that fits counts.
_MEANINGS: Final[tuple[tuple[type[Exception], RetryReason | None, Reason | None], ...]] = (
    (LeaseLostError, RetryReason.UNEXPECTED, None),
    (StoreUnavailableError, RetryReason.STORE_AWAY, None),
    (BucketNotFoundError, RetryReason.NO_SUCH_BUCKET, None),
    (BucketElsewhereError, RetryReason.WRONG_REGION, None),
    (ConfigurationError, RetryReason.MISCONFIGURED, None),
    (NotWatchedError, RetryReason.NOT_WATCHED, Reason.NOT_WATCHED),
    (AccessDeniedError, RetryReason.ACCESS_DENIED, Reason.ACCESS_DENIED),
    (ObjectArchivedError, None, Reason.ARCHIVED),
    (ObjectRefusedError, RetryReason.NOT_READABLE, Reason.NOT_READABLE),
    (DeviceMemoryError, RetryReason.DEVICE_MEMORY, Reason.ATTEMPTS_EXHAUSTED),
    (Exception, RetryReason.UNEXPECTED, Reason.ATTEMPTS_EXHAUSTED),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class ReadFailure:
    """Why there is no picture or no vector, and what may help."""

    error: Exception
    message: str
    retry: RetryReason | None  # None: a retry would fail the same way
    reason: Reason  # to quarantine with, at once or once the attempts are used up
    counted: bool  # False: the attempt was not the object's fault
    may_be_absent: bool  # without the right to list, AWS denies access to what is not there
    info: ObjectInfo | None  # of what was read before it failed, if anything was
    head: bytes  # first of the file, for people


def failure_of(error: Exception, ref: ObjectRef, info: ObjectInfo | None = None, head: bytes = b"") -> ReadFailure:
    """Classify ``error`` for an object; ``info`` and ``head`` were read before it."""
    message, climbs = str(error), climbs_out(ref.key)
    is_there = isinstance(error, ObjectArchivedError | ObjectUnreadableError) and not climbs
    retry, reason = next((retry, reason) for fits, retry, reason in _MEANINGS if isinstance(error, fits))
    if isinstance(error, ImageRejectedError):
        retry, reason = None, error.reason
    elif reason is Reason.NOT_READABLE and climbs:
        retry, message = None, f"{error}: by its `..` the key leads out of the bucket; copy the object to a plain key"
    elif retry is RetryReason.UNEXPECTED and reason is not None:
        message = f"{type(error).__name__}: {error}"
    return ReadFailure(
        error=error,
        message=message,
        retry=retry,
        reason=reason or Reason.ATTEMPTS_EXHAUSTED,
        counted=reason is not None,
        may_be_absent=isinstance(error, NotWatchedError | ObjectRefusedError) and not is_there,
        info=info,
        head=head,
    )
