"""The object store: get, head, list, put. Its answers are the truth; events are only hints.

``S3Store`` is imported at its first use: boto3 takes most of a second, and most of what imports this needs only values.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from worker.objects.encodings import claimed_size, codings, decode, first_bytes
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

if TYPE_CHECKING:
    from worker.objects.s3 import S3Store

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


def __getattr__(name: str) -> Any:
    if name == "S3Store":
        from worker.objects.s3 import S3Store

        return S3Store
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
