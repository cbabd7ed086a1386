"""Decodes objects stored with a ``Content-Encoding``, in reserved memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from worker import images
from worker.errors import ImageRejectedError
from worker.images import ImageLimits, Reserve
from worker.objects import HEAD_BYTES, Fetched, claimed_size, codings, decode, first_bytes
from worker.types import ObjectInfo, Reason


def plain_head(info: ObjectInfo, head: bytes) -> bytes:
    """The first bytes of the file in an object; the object's own where they are an image, or cannot be decoded."""
    applied = _applied(info, head)
    return (first_bytes(head, applied) if applied else None) or head


@contextmanager
def unpacked(got: Fetched, limits: ImageLimits, reserve: Reserve) -> Iterator[bytes]:
    """The file in an object. Bytes that already are an image are not decoded, whatever the header says.

    Raises:
        ImageRejectedError: see ``objects.decode``; and ``TOO_MANY_BYTES``.
    """
    applied = _applied(got.info, got.data)
    if not applied or not got.data:
        yield got.data
        return
    claimed = claimed_size(got.data, applied)
    # First what it says that it has. One that has more is decoded again, with room for as much as may be.
    for most in sorted({min(claimed or limits.max_bytes, limits.max_bytes), limits.max_bytes}):
        with reserve(2 * most):
            data = decode(got.data, applied, most=most)
            if data is not None:
                yield data
                return
    message = f"its Content-Encoding is {', '.join(applied)}, and it has more than {limits.max_bytes:,} bytes without"
    raise ImageRejectedError(
        Reason.TOO_MANY_BYTES, f"{message}; upload a smaller copy, or raise ENRICH_MAX_BYTES and retry"
    )


def _applied(info: ObjectInfo, data: bytes) -> tuple[str, ...]:
    applied = codings(info.content_encoding)
    return () if applied and images.sniff(data[:HEAD_BYTES]) is not None else applied
