"""Classifies a store's refusals: the cause is the object, our credentials, the bucket or the store.

Status and code decide together. A 4xx without one of the store's codes may come from a proxy, so it says nothing about
the object; a code that is not known here is taken by its status.
"""

from __future__ import annotations

from http import HTTPStatus

from worker.errors import (
    AccessDeniedError,
    BucketElsewhereError,
    BucketNotFoundError,
    ConfigurationError,
    EnrichError,
    ObjectArchivedError,
    ObjectUnreadableError,
    StoreUnavailableError,
)
from worker.types import ObjectRef

_WRONG_CREDENTIALS = (
    "the store refuses our credentials ({said}); check ENRICH_S3_ACCESS_KEY_ID, its secret and the region"
)
_EXPIRED = "our temporary credentials have expired ({said}); renew them, or leave them to boto3's chain, which does"

# docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
_CREDENTIALS = frozenset({
    "AccountProblem",
    "AuthorizationHeaderMalformed",
    "AuthorizationQueryParametersError",
    "InvalidAccessKeyId",
    "InvalidSecurity",
    "InvalidToken",
    "MissingSecurityHeader",
    "NotSignedUp",
    "SignatureDoesNotMatch",
})  # fmt: skip
#: Together with a region they concern the bucket's region.
_OF_THE_REGION = frozenset({
    "AuthorizationHeaderMalformed", "AuthorizationQueryParametersError", "IllegalLocationConstraintException",
})  # fmt: skip
_EXPIRED_CREDENTIALS = frozenset({"ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired"})
#: With any status, sometimes below 400.
_BUSY = frozenset({
    "BandwidthLimitExceeded",
    "KMS.ThrottlingException",
    "RequestLimitExceeded",
    "RequestTimeout",
    "SlowDown",
    "Throttling",
    "ThrottlingException",
    "TooManyRequests",
})  # fmt: skip
_BY_CODE: dict[str, tuple[type[EnrichError], str]] = {
    **dict.fromkeys(_CREDENTIALS, (ConfigurationError, _WRONG_CREDENTIALS)),
    **dict.fromkeys(_EXPIRED_CREDENTIALS, (ConfigurationError, _EXPIRED)),
    **dict.fromkeys(_BUSY, (StoreUnavailableError, "{what}: the store answers {said}")),
    "NoSuchBucket": (
        BucketNotFoundError,
        "{bucket}: the store has no such bucket; check ENRICH_BUCKETS and ENRICH_S3_ENDPOINT_URL",
    ),
    "RequestTimeTooSkewed": (
        ConfigurationError,
        "the store's clock and ours differ by minutes; set this machine's clock",
    ),
    "InvalidObjectState": (
        ObjectArchivedError,
        "{what}: the object is archived; restore it to a storage class that can be read",
    ),
}
#: AWS answers an ordinary 403 to a request that does not accept requester-pays charges.
_PERHAPS_PAYS = "; if it is a requester-pays bucket and you agree to pay, name {bucket} in ENRICH_S3_REQUESTER_PAYS"
_REDIRECTS = range(300, 400)
_CLIENT_ERRORS = range(400, 500)
#: Client errors that are temporary and do not concern the request itself.
_PASSING = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS})


def failure(
    status: int,
    code: str,
    *,
    bucket: str,
    key: str | None,
    region: str = "",
    location: str = "",
    pays: bool = False,
) -> EnrichError:
    """The error for a store's answer.

    Args:
        status: of the HTTP response.
        code: the store's name for what is wrong; empty where it gives none.
        bucket: asked for; empty for the list of buckets.
        key: asked for; None where the request was about the bucket.
        region: where the store says that the bucket is.
        location: where it sends us instead.
        pays: whether we agreed to pay for the request.
    """
    what = bucket if key is None else f"{bucket}/{key}"
    said = f"{status} {code}".strip()
    if status in _REDIRECTS or (code in _OF_THE_REGION and region):
        return BucketElsewhereError(_elsewhere(bucket, said, region, location))
    if code in _BY_CODE:
        kind, message = _BY_CODE[code]
        return kind(message.format(bucket=bucket, what=what, said=said))
    if status == HTTPStatus.UNAUTHORIZED:
        return ConfigurationError(_WRONG_CREDENTIALS.format(said=said))
    if status == HTTPStatus.FORBIDDEN:
        return _denied(bucket, key, pays=pays)
    if status in _CLIENT_ERRORS and status not in _PASSING and code and key is not None:
        return ObjectUnreadableError(f"{what}: the store answers {said}")
    return StoreUnavailableError(f"{what}: the store answers {said}")


def _elsewhere(bucket: str, said: str, region: str, location: str) -> str:
    if region:
        return f"{bucket}: the bucket is in another region ({said}); set ENRICH_S3_REGION={region}"
    if location:
        return f"{bucket}: the store redirects to {location} ({said}); set ENRICH_S3_ENDPOINT_URL and ENRICH_S3_REGION"
    return f"{bucket}: the bucket is in another region ({said}); set ENRICH_S3_REGION and ENRICH_S3_ENDPOINT_URL"


def _denied(bucket: str, key: str | None, *, pays: bool) -> EnrichError:
    hint = "" if pays or not bucket else _PERHAPS_PAYS.format(bucket=bucket)
    if key is not None:
        return AccessDeniedError(ObjectRef(bucket=bucket, key=key), hint)
    where = f"{bucket}: " if bucket else ""
    return ConfigurationError(f"{where}the store denies access; check the credentials' policy for s3:ListBucket{hint}")
