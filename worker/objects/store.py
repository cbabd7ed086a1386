"""The interface of an object store."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from worker.objects.values import Answer, ListedObject, WorthReading
from worker.types import ObjectInfo, ObjectRef


class ObjectStore(Protocol):
    """An S3-compatible store, or the fake of one. All methods may be called from any thread.

    Every method raises `StoreUnavailableError` where nothing was learnt and a later try may succeed,
    `BucketNotFoundError` where the bucket does not exist, and `ConfigurationError` where credentials, region or
    endpoint are wrong, which no retry fixes.
    """

    def get(
        self, ref: ObjectRef, *, etag: str | None, max_bytes: int, worth_reading: WorthReading | None = None
    ) -> Answer:
        """Read an object, unless it is unchanged, too large or not worth reading.

        A body that is shorter than announced is never returned: that is `StoreUnavailableError`.

        Args:
            ref: the object.
            etag: of the bytes already known; the store compares.
            max_bytes: larger objects are not read.
            worth_reading: asked before the rest of the body is read. Its refusal wins over ``max_bytes``.

        Raises:
            ObjectRefusedError: the store refuses this object and may give others. `AccessDeniedError` is 403, which
                AWS also answers for objects that do not exist, without s3:ListBucket.
        """
        ...

    def head(self, ref: ObjectRef) -> ObjectInfo | None:
        """What the store says about an object, without reading it; None if it is gone.

        Raises:
            ObjectRefusedError: as for `get`.
        """
        ...

    def list(self, bucket: str, prefix: str = "", start_after: str = "") -> Iterator[ListedObject]:
        """All current objects under a prefix, page by page, in the store's own order.

        AWS orders by the keys' UTF-8 bytes; SeaweedFS by folder, so that ``a/b`` comes before ``a!``.

        Args:
            bucket: where.
            prefix: of keys.
            start_after: a key of an earlier listing to continue behind.
        """
        ...

    def put(self, ref: ObjectRef, data: bytes, content_type: str = "application/octet-stream") -> str:
        """Write an object; returns its etag."""
        ...

    def presigned(self, ref: ObjectRef, *, seconds: int) -> str:
        """A URL under which anyone can GET the object for a time; the store is not asked, so it may not exist."""
        ...

    def delete(self, ref: ObjectRef) -> None:
        """Delete an object; deleting a missing one is not an error."""
        ...

    def create_bucket(self, bucket: str) -> None:
        """Create a bucket; one that exists and is ours is not an error."""
        ...

    def buckets(self) -> tuple[str, ...]:
        """Names of all buckets that the credentials may list, sorted."""
        ...

    def close(self) -> None:
        """Close idle connections. The store may not be used afterwards."""
        ...
