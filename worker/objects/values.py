"""Results of object store requests."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypeAlias

from worker.types import ObjectInfo

#: Bytes of an object that `WorthReading` sees. They include every image format's signature.
HEAD_BYTES = 4096

#: Decides from the store's headers and the first bytes (up to `HEAD_BYTES`) whether to read on.
WorthReading: TypeAlias = Callable[[ObjectInfo, bytes], bool]


@dataclass(frozen=True, kw_only=True, slots=True)
class Fetched:
    """The whole object."""

    info: ObjectInfo
    data: bytes  # exactly info.size bytes, as they are stored: see ``encodings``


@dataclass(frozen=True, slots=True)
class NotModified:
    """The object still has the etag of the request (304)."""


@dataclass(frozen=True, slots=True)
class Gone:
    """There is no such object in the bucket, or its current version is a delete marker (404)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NotRead:
    """The object exists and was not read completely."""

    info: ObjectInfo  # size is what was seen so far where the store did not announce one
    head: bytes  # its first bytes, up to HEAD_BYTES
    why: Literal["too-large", "refused"]  # more than max_bytes; or not worth reading


#: The results of a GET.
Answer: TypeAlias = Fetched | NotModified | Gone | NotRead


@dataclass(frozen=True, kw_only=True, slots=True)
class ListedObject:
    """One line of a listing."""

    key: str
    etag: str  # without quotes; weak prefix removed
    size: int  # bytes
    last_modified: datetime  # aware


def normalize_etag(header: str | None) -> str:
    """An etag without weak prefix and quotes; empty if there is none."""
    return (header or "").removeprefix("W/").strip('"')


def climbs_out(key: str) -> bool:
    """Whether a key has more ``..`` than folders before them, which AWS and most stores refuse outright.

    docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html: "if, when parsed left-to-right, the cumulative count
    of relative path segments never exceeds the number of non-relative path elements encountered", they are valid.
    """
    depth = 0
    for part in key.split("/"):
        depth += -1 if part == ".." else 1
        if depth < 0:
            return True
    return False
