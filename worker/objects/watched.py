"""A store that gives access only to what is watched, for worker, scheduler and commands alike."""

from __future__ import annotations

from collections.abc import Iterator

from worker.objects.store import ObjectStore
from worker.objects.values import Answer, ListedObject, WorthReading
from worker.types import ObjectInfo, ObjectRef
from worker.watched_buckets import Watched


class WatchedStore:
    """An `ObjectStore`. Every method that names a bucket raises `NotWatchedError` without asking the store."""

    def __init__(self, store: ObjectStore, watched: Watched) -> None:
        """Wrap a store, and say what is watched."""
        self._store, self._watched = store, watched

    def get(
        self, ref: ObjectRef, *, etag: str | None, max_bytes: int, worth_reading: WorthReading | None = None
    ) -> Answer:
        """See `ObjectStore.get`."""
        self._watched.require(ref.bucket, ref.key)
        return self._store.get(ref, etag=etag, max_bytes=max_bytes, worth_reading=worth_reading)

    def head(self, ref: ObjectRef) -> ObjectInfo | None:
        """See `ObjectStore.head`."""
        self._watched.require(ref.bucket, ref.key)
        return self._store.head(ref)

    def list(self, bucket: str, prefix: str = "", start_after: str = "") -> Iterator[ListedObject]:
        """See `ObjectStore.list`; everything below the prefix has to be watched."""
        self._watched.require(bucket, prefix)
        return self._store.list(bucket, prefix=prefix, start_after=start_after)

    def put(self, ref: ObjectRef, data: bytes, content_type: str = "application/octet-stream") -> str:
        """See `ObjectStore.put`."""
        self._watched.require(ref.bucket, ref.key)
        return self._store.put(ref, data, content_type)

    def presigned(self, ref: ObjectRef, *, seconds: int) -> str:
        """See `ObjectStore.presigned`."""
        self._watched.require(ref.bucket, ref.key)
        return self._store.presigned(ref, seconds=seconds)

    def delete(self, ref: ObjectRef) -> None:
        """See `ObjectStore.delete`."""
        self._watched.require(ref.bucket, ref.key)
        self._store.delete(ref)

    def create_bucket(self, bucket: str) -> None:
        """See `ObjectStore.create_bucket`; a part of it has to be watched."""
        if not self._watched.touches(bucket):
            self._watched.require(bucket)
        self._store.create_bucket(bucket)

    def buckets(self) -> tuple[str, ...]:
        """See `ObjectStore.buckets`; those of which a part is watched."""
        return tuple(bucket for bucket in self._store.buckets() if self._watched.touches(bucket))

    def close(self) -> None:
        """See `ObjectStore.close`."""
        self._store.close()
