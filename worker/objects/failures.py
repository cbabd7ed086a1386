"""What a store's refusals mean, in our terms."""

from __future__ import annotations

from http import HTTPStatus

from worker.errors import (
    AccessDeniedError,
    BucketNotFoundError,
    ConfigurationError,
    EnrichError,
    ObjectArchivedError,
    StoreUnavailableError,
)
from worker.types import ObjectRef

_WRONG_CREDENTIALS = (
    "the store refuses our credentials ({said}); check ENRICH_S3_ACCESS_KEY_ID, its secret and the region"
)

# docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
_BY_CODE: dict[str, tuple[type[EnrichError], str]] = {
    "AuthorizationHeaderMalformed": (ConfigurationError, _WRONG_CREDENTIALS),
    "AuthorizationQueryParametersError": (ConfigurationError, _WRONG_CREDENTIALS),
    "InvalidAccessKeyId": (ConfigurationError, _WRONG_CREDENTIALS),
    "InvalidToken": (ConfigurationError, _WRONG_CREDENTIALS),
    "SignatureDoesNotMatch": (ConfigurationError, _WRONG_CREDENTIALS),
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
_REDIRECTS = frozenset({HTTPStatus.MOVED_PERMANENTLY, HTTPStatus.TEMPORARY_REDIRECT, HTTPStatus.PERMANENT_REDIRECT})


def failure(status: int, code: str, *, bucket: str, key: str | None, region: str = "") -> EnrichError:
    """The error that an answer of the store amounts to.

    Args:
        status: of the HTTP response.
        code: the store's name for what is wrong; empty where it gives none.
        bucket: asked for; empty for the list of buckets.
        key: asked for; None where the request was about the bucket.
        region: where the store says that the bucket is.
    """
    what = bucket if key is None else f"{bucket}/{key}"
    said = f"{status} {code}".strip()
    if code in _BY_CODE:
        kind, message = _BY_CODE[code]
        return kind(message.format(bucket=bucket, what=what, said=said))
    if status in _REDIRECTS:
        where = f"ENRICH_S3_REGION={region}" if region else "ENRICH_S3_REGION and ENRICH_S3_ENDPOINT_URL"
        return ConfigurationError(f"{bucket}: the bucket is in another region ({said}); set {where}")
    if status == HTTPStatus.FORBIDDEN:
        return _denied(bucket, key)
    return StoreUnavailableError(f"{what}: the store answers {said}")


def _denied(bucket: str, key: str | None) -> EnrichError:
    if key is not None:
        return AccessDeniedError(ObjectRef(bucket=bucket, key=key))
    where = f"{bucket}: " if bucket else ""
    return ConfigurationError(f"{where}the store denies access; check the credentials' policy for s3:ListBucket")
