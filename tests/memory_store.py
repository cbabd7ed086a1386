"""The object store's fake: in memory, with the behaviour that the contract tests check on both."""

from __future__ import annotations

import hashlib
import threading
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import quote

from worker.errors import BucketNotFoundError, EnrichError
from worker.objects.values import (
    HEAD_BYTES,
    Answer,
    Fetched,
    Gone,
    ListedObject,
    NotModified,
    NotRead,
    WorthReading,
)
from worker.types import ObjectInfo, ObjectRef


@dataclass(frozen=True, slots=True)
class _Stored:
    info: ObjectInfo
    data: bytes


@dataclass(slots=True)
class _Bucket:
    versioned: bool = False
    objects: dict[str, _Stored] = field(default_factory=dict)  # by key


class MemoryStore:
    """An `ObjectStore` for tests. Thread-safe. Only current versions can be read, as in the protocol."""

    def __init__(self, *buckets: str) -> None:
        self._lock = threading.Lock()
        self._buckets = {bucket: _Bucket() for bucket in buckets}
        self._errors: dict[ObjectRef, EnrichError] = {}
        self.gets: list[ObjectRef] = []  # every GET, in order

    def fail(self, ref: ObjectRef, error: EnrichError | None) -> None:
        """Raise ``error`` whenever this object is read, until None is given."""
        with self._lock:
            self._errors.pop(ref, None)
            if error is not None:
                self._errors[ref] = error

    def enable_versioning(self, bucket: str) -> None:
        """Give every object written from now on a version id."""
        with self._lock:
            self._bucket(bucket).versioned = True

    def get(
        self, ref: ObjectRef, *, etag: str | None, max_bytes: int, worth_reading: WorthReading | None = None
    ) -> Answer:
        """See `ObjectStore.get`."""
        self.gets.append(ref)
        stored = self._read(ref)
        if stored is None:
            return Gone()
        if etag and etag == stored.info.etag:
            return NotModified()
        head = stored.data[:HEAD_BYTES]
        if worth_reading is not None and not worth_reading(stored.info, head):
            return NotRead(info=stored.info, head=head, why="refused")
        if stored.info.size > max_bytes:
            return NotRead(info=stored.info, head=head, why="too-large")
        return Fetched(info=stored.info, data=stored.data)

    def head(self, ref: ObjectRef) -> ObjectInfo | None:
        """See `ObjectStore.head`."""
        stored = self._read(ref)
        return None if stored is None else stored.info

    def list(self, bucket: str, prefix: str = "", start_after: str = "") -> Iterator[ListedObject]:
        """See `ObjectStore.list`."""
        with self._lock:
            objects = dict(self._bucket(bucket).objects)
        for key in sorted(objects, key=str.encode):
            if key.startswith(prefix) and key.encode() > start_after.encode():
                yield _listed(objects[key].info)

    def put(
        self,
        ref: ObjectRef,
        data: bytes,
        content_type: str = "application/octet-stream",
        *,
        content_encoding: str | None = None,
    ) -> str:
        """See `ObjectStore.put`."""
        with self._lock:
            bucket = self._bucket(ref.bucket)
            info = ObjectInfo(
                ref=ref,
                etag=hashlib.md5(data, usedforsecurity=False).hexdigest(),
                size=len(data),
                last_modified=datetime.now(UTC),
                version_id=uuid.uuid4().hex if bucket.versioned else None,
                content_type=content_type,
                content_encoding=content_encoding,
            )
            bucket.objects[ref.key] = _Stored(info, data)
        return info.etag

    def presigned(self, ref: ObjectRef, *, seconds: int) -> str:
        """See `ObjectStore.presigned`."""
        return f"memory://{ref.bucket}/{quote(ref.key)}?seconds={seconds}"

    def delete(self, ref: ObjectRef) -> None:
        """See `ObjectStore.delete`."""
        with self._lock:
            self._bucket(ref.bucket).objects.pop(ref.key, None)

    def create_bucket(self, bucket: str) -> None:
        """See `ObjectStore.create_bucket`."""
        with self._lock:
            self._buckets.setdefault(bucket, _Bucket())

    def buckets(self) -> tuple[str, ...]:
        """See `ObjectStore.buckets`."""
        with self._lock:
            return tuple(sorted(self._buckets))

    def close(self) -> None:
        """Nothing to close."""

    def _read(self, ref: ObjectRef) -> _Stored | None:
        with self._lock:
            if ref in self._errors:
                raise self._errors[ref]
            return self._bucket(ref.bucket).objects.get(ref.key)

    def _bucket(self, name: str) -> _Bucket:
        if name not in self._buckets:
            raise BucketNotFoundError(f"{name}: the store has no such bucket")
        return self._buckets[name]


def _listed(info: ObjectInfo) -> ListedObject:
    modified = info.last_modified or datetime.now(UTC)
    return ListedObject(key=info.ref.key, etag=info.etag, size=info.size, last_modified=modified)
