"""The object store: get, head, list, put. Its answers are the truth; events are only hints."""

from __future__ import annotations

from worker.objects.encodings import claimed_size, codings, decode, first_bytes
from worker.objects.s3 import S3Store
from worker.objects.store import ObjectStore
from worker.objects.values import (
    HEAD_BYTES,
    Answer,
    Fetched,
    Gone,
    ListedObject,
    NotModified,
    NotRead,
    WorthReading,
    climbs_out,
)
from worker.objects.watched import WatchedStore

__all__ = [
    "HEAD_BYTES",
    "Answer",
    "Fetched",
    "Gone",
    "ListedObject",
    "NotModified",
    "NotRead",
    "ObjectStore",
    "S3Store",
    "WatchedStore",
    "WorthReading",
    "claimed_size",
    "climbs_out",
    "codings",
    "decode",
    "first_bytes",
]
