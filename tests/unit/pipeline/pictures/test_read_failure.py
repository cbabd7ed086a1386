"""What an error means for the picture that it kept us from."""

from __future__ import annotations

import pytest

from worker.errors import (
    AccessDeniedError,
    BucketElsewhereError,
    BucketNotFoundError,
    ConfigurationError,
    DecoderLostError,
    DeviceMemoryError,
    ImageRejectedError,
    LeaseLostError,
    NotWatchedError,
    ObjectArchivedError,
    ObjectUnreadableError,
    StoreUnavailableError,
)
from worker.pipeline.pictures.read_failure import failure_of
from worker.types import ObjectRef, Reason, RetryReason

REF = ObjectRef(bucket="b", key="folder/a.jpg")
CLIMBING = ObjectRef(bucket="b", key="../a.jpg")


@pytest.mark.parametrize(
    ("error", "retry"),
    [
        (StoreUnavailableError("no answer"), RetryReason.STORE_AWAY),
        (BucketNotFoundError("no bucket"), RetryReason.NO_SUCH_BUCKET),
        (BucketElsewhereError("another region"), RetryReason.WRONG_REGION),
        (ConfigurationError("no credentials"), RetryReason.MISCONFIGURED),
        (LeaseLostError("its lease was lost"), RetryReason.UNEXPECTED),
    ],
)
def test_errors_that_say_nothing_about_the_object_do_not_count_against_it(error, retry):
    """They come from the store, the settings or the claim, however often."""
    failure = failure_of(error, REF)
    assert (retry, False, str(error)) == (failure.retry, failure.counted, failure.message)


@pytest.mark.parametrize(
    ("error", "retry", "reason"),
    [
        (NotWatchedError("not watched"), RetryReason.NOT_WATCHED, Reason.NOT_WATCHED),
        (AccessDeniedError(REF), RetryReason.ACCESS_DENIED, Reason.ACCESS_DENIED),
        (ObjectUnreadableError("encrypted"), RetryReason.NOT_READABLE, Reason.NOT_READABLE),
        (DeviceMemoryError("no memory"), RetryReason.DEVICE_MEMORY, Reason.ATTEMPTS_EXHAUSTED),
    ],
)
def test_errors_of_the_object_are_retried_and_count(error, retry, reason):
    """Each has the reason that the object is quarantined with in the end."""
    failure = failure_of(error, REF)
    assert (retry, reason, True, str(error)) == (failure.retry, failure.reason, failure.counted, failure.message)


def test_an_unexpected_error_is_named():
    """The sentence has the class: its message alone may say nothing."""
    failure = failure_of(DecoderLostError("gone"), REF)
    assert (RetryReason.UNEXPECTED, "DecoderLostError: gone") == (failure.retry, failure.message)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ImageRejectedError(Reason.CORRUPT, "no end"), Reason.CORRUPT),
        (ObjectArchivedError("restore it"), Reason.ARCHIVED),
    ],
)
def test_what_no_other_try_changes_is_not_retried(error, reason):
    """The bytes stay what they are; what is archived has to be restored first."""
    failure = failure_of(error, REF)
    assert (None, reason, str(error)) == (failure.retry, failure.reason, failure.message)


def test_a_refused_key_that_leads_out_of_the_bucket_is_not_retried():
    """Stores refuse it by its name, and the sentence says what to do."""
    failure = failure_of(ObjectUnreadableError("refused"), CLIMBING)
    assert (None, Reason.NOT_READABLE) == (failure.retry, failure.reason)
    assert "copy the object to a plain key" in failure.message


@pytest.mark.parametrize(
    ("error", "ref", "may_be_absent"),
    [
        (AccessDeniedError(REF), REF, True),
        (NotWatchedError("not watched"), REF, True),
        (ObjectArchivedError("restore it"), REF, False),
        (ObjectUnreadableError("encrypted"), REF, False),
        (ObjectUnreadableError("refused"), CLIMBING, True),
        (StoreUnavailableError("no answer"), REF, False),
    ],
)
def test_some_refusals_leave_open_whether_there_is_an_object(error, ref, may_be_absent):
    """What is archived or encrypted is there; access is denied to what is not there, too."""
    assert may_be_absent == failure_of(error, ref).may_be_absent
