"""Signed URLs, at a tenth of what boto3 takes for them: a third of what a GET costs under the interpreter's lock.

https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol
from urllib.parse import parse_qs, quote, urlsplit

from worker.objects.requester_pays import HEADER
from worker.types import ObjectRef

_ALGORITHM = "AWS4-HMAC-SHA256"
#: What a URL of boto3 says at least, and what it may say besides. Others (of directory buckets) are left to boto3.
_EXPECTED = {f"X-Amz-{name}" for name in ("Algorithm", "Credential", "Date", "Expires", "SignedHeaders", "Signature")}
_OPTIONAL = {"X-Amz-Security-Token"}
_SIGNED = (("host",), ("host", HEADER))
_MOST_BUCKETS = 1_000
_KEY = "key"  # of the object in the URL that shows how those of its bucket look


class Keys(Protocol):
    """botocore's frozen credentials."""

    access_key: str
    secret_key: str
    token: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class _Pattern:
    """How URLs of one bucket's objects look."""

    base: str  # before the key
    path: str  # of it, before the key
    host: str  # as it is signed
    region: str
    headers: tuple[str, ...]  # that are signed: the host, and where we pay, that we do


class Signer:
    """Signs GETs as boto3 would, to the letter: where objects are and how keys are written is learnt from its URLs.

    Safe to use from any thread.
    """

    def __init__(
        self,
        by_boto: Callable[[ObjectRef], str],
        keys: Callable[[], Keys],
        *,
        seconds: int,
        now: Callable[[], datetime],
    ) -> None:
        """Learn nothing yet.

        Args:
            by_boto: a URL that boto3 signed.
            keys: the credentials as of now; those that expire are renewed by it.
            seconds: for how long URLs are valid.
            now: the time in UTC.
        """
        self._by_boto, self._keys, self._seconds, self._now = by_boto, keys, seconds, now
        self._patterns: dict[str, _Pattern | None] = {}
        self._signing_key: tuple[tuple[str, str, str], bytes] = (("", "", ""), b"")

    def url(self, ref: ObjectRef) -> str:
        """A URL to GET an object by. What boto3 raises is raised for the first object of a bucket."""
        if not ref.key:
            return self._by_boto(ref)  # which says what is wrong with it
        if ref.bucket not in self._patterns:
            self._learn(ref.bucket)
        pattern = self._patterns.get(ref.bucket)
        return self._by_boto(ref) if pattern is None else self._signed(pattern, quote(ref.key, safe="/~"))

    def forget(self, bucket: str) -> None:
        """Have boto3 say anew where a bucket is: it may have learnt better."""
        self._patterns.pop(bucket, None)

    def _learn(self, bucket: str) -> None:
        if len(self._patterns) >= _MOST_BUCKETS:
            self._patterns.clear()
        self._patterns[bucket] = _pattern(self._by_boto(ObjectRef(bucket=bucket, key=_KEY)))

    def _signed(self, pattern: _Pattern, key: str) -> str:
        keys, moment = self._keys(), self._now().strftime("%Y%m%dT%H%M%SZ")
        scope = f"{moment[:8]}/{pattern.region}/s3/aws4_request"
        token = f"&X-Amz-Security-Token={quote(keys.token, safe='-._~')}" if keys.token else ""
        first = (
            f"X-Amz-Algorithm={_ALGORITHM}&X-Amz-Credential={quote(f'{keys.access_key}/{scope}', safe='-._~')}"
            f"&X-Amz-Date={moment}&X-Amz-Expires={self._seconds}"
        )
        names, lines = ";".join(pattern.headers), f"host:{pattern.host}\n"
        lines += f"{HEADER}:requester\n" if HEADER in pattern.headers else ""
        headers = f"&X-Amz-SignedHeaders={quote(names)}"
        request = (  # its parameters in alphabetical order, which is not the order of boto3's URLs
            f"GET\n{pattern.path}{key}\n{first}{token}{headers}\n{lines}\n{names}\nUNSIGNED-PAYLOAD"
        )
        digest = hashlib.sha256(request.encode()).hexdigest()
        signing_key = self._key_of(keys.secret_key, moment[:8], pattern.region)
        signature = hmac.digest(signing_key, f"{_ALGORITHM}\n{moment}\n{scope}\n{digest}".encode(), "sha256").hex()
        return f"{pattern.base}{key}?{first}{headers}{token}&X-Amz-Signature={signature}"

    def _key_of(self, secret: str, day: str, region: str) -> bytes:
        """The key of a day, a region and a secret; kept, because it takes four rounds to derive."""
        wanted = (secret, day, region)
        known, kept = self._signing_key
        if known != wanted:
            kept = f"AWS4{secret}".encode()
            for part in (day, region, "s3", "aws4_request"):
                kept = hmac.digest(kept, part.encode(), "sha256")
            self._signing_key = (wanted, kept)
        return kept


def utc_now() -> datetime:
    """The clock of signatures."""
    return datetime.now(UTC)


def _pattern(url: str) -> _Pattern | None:
    """What a URL of boto3 tells about its bucket's others; None if they are signed in another way than ours."""
    parts, query = urlsplit(url), parse_qs(urlsplit(url).query)
    headers = tuple(query.get("X-Amz-SignedHeaders", [""])[0].split(";"))
    usual = set(query) - _OPTIONAL == _EXPECTED and headers in _SIGNED
    if not (usual and query["X-Amz-Algorithm"] == [_ALGORITHM] and parts.path.endswith(f"/{_KEY}")):
        return None
    path = parts.path.removesuffix(_KEY)
    region, service = query["X-Amz-Credential"][0].split("/")[-3:-1]
    if service != "s3":
        return None
    return _Pattern(
        base=f"{parts.scheme}://{parts.netloc}{path}", path=path, host=_host(parts), region=region, headers=headers
    )


def _host(parts: Any) -> str:
    """As it is sent: without the port that goes without saying."""
    name = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    usual = {"http": 80, "https": 443}[parts.scheme]
    return str(name if parts.port in (None, usual) else f"{name}:{parts.port}")
