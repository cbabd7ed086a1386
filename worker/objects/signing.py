"""Signed URLs for GETs: botocore's signer alone, because a client's whole call takes more than twice as long."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qs, quote

from botocore.auth import S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest

from worker.types import ObjectRef

_MOST_BUCKETS = 1_000
_KEY = "key"  # of the object in the URL that shows how those of its bucket look


@dataclass(frozen=True, kw_only=True, slots=True)
class _Place:
    """The address of a bucket's objects."""

    base: str  # of URLs, before the key
    region: str


class Signer:
    """Signs GETs exactly as boto3 does; learns addresses from a URL that boto3 signs.

    Safe to use from any thread.
    """

    def __init__(self, by_boto: Callable[[ObjectRef], str], credentials: Callable[[], Any], *, seconds: int) -> None:
        """Know no address yet.

        Args:
            by_boto: a URL that boto3 signed.
            credentials: botocore's frozen ones as of now; those that expire are renewed by it.
            seconds: for how long URLs are valid.
        """
        self._by_boto, self._credentials, self._seconds = by_boto, credentials, seconds
        self._place = lru_cache(_MOST_BUCKETS)(lambda bucket: _place(by_boto(ObjectRef(bucket=bucket, key=_KEY))))

    def url(self, ref: ObjectRef, headers: Mapping[str, str]) -> str:
        """A URL to GET an object with these headers. The first URL of a bucket may raise boto3's errors."""
        place = self._place(ref.bucket) if ref.key else None  # boto3 says what is wrong with an empty key
        if place is None:
            return self._by_boto(ref)
        request = AWSRequest("GET", place.base + quote(ref.key, safe="/~"), headers=headers)
        S3SigV4QueryAuth(self._credentials(), "s3", place.region, expires=self._seconds).add_auth(request)
        return str(request.url)

    def forget(self) -> None:
        """Ask boto3 for addresses again, because they may have changed."""
        self._place.cache_clear()


def _place(url: str) -> _Place | None:
    """What one of boto3's URLs says about all of its bucket; None if signed differently (directory buckets)."""
    base, _, query = url.partition("?")
    scope = parse_qs(query).get("X-Amz-Credential", [""])[0].split("/")
    usual = "X-Amz-Algorithm=AWS4-HMAC-SHA256" in query and scope[-2:] == ["s3", "aws4_request"]
    if not usual or not base.endswith(f"/{_KEY}"):
        return None
    return _Place(base=base.removesuffix(_KEY), region=scope[-3])
