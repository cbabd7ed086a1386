"""Requester-pays buckets: every request for one of them accepts the charges.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/ObjectsinRequesterPaysBuckets.html
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

#: Signed with the request, like every AWS header.
HEADER: Final = "x-amz-request-payer"
_EVERY_BUCKET: Final = "*"
_AGREED: Final = {HEADER: "requester"}
_MARK: Final = "enrich_requester_pays"


@dataclass(frozen=True, slots=True)
class RequesterPays:
    """The buckets that ``ENRICH_S3_REQUESTER_PAYS`` names."""

    names: frozenset[str]  # of buckets; or `*`

    def covers(self, bucket: str) -> bool:
        """Whether we pay for a bucket's requests."""
        return bool(bucket) and (bucket in self.names or _EVERY_BUCKET in self.names)

    def headers(self, bucket: str) -> Mapping[str, str]:
        """The headers that a request for the bucket or an object in it must send."""
        return _AGREED if self.covers(bucket) else {}

    def parameters(self, bucket: str) -> dict[str, str]:
        """The same for a URL that boto3 signs."""
        return {"RequestPayer": "requester"} if self.covers(bucket) else {}

    def register(self, client: Any) -> None:
        """Make boto3 send the header with every call; some have no parameter for it (HeadBucket)."""
        client.meta.events.register("before-parameter-build.s3", self._note)
        client.meta.events.register("before-call.s3", self._send)

    def _note(self, params: Mapping[str, Any], context: dict[str, Any], **_: Any) -> None:
        context[_MARK] = self.covers(params.get("Bucket", ""))

    def _send(self, params: dict[str, Any], context: Mapping[str, Any], **_: Any) -> None:
        if context.get(_MARK):
            params["headers"].update(_AGREED)
