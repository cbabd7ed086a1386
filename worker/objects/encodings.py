"""``Content-Encoding``: decodes, within limits, what was encoded before it was stored.

Stores hand over what they have. Browsers undo gzip by themselves, so the uploader of such a picture does not notice.
Sources: RFC 9110, 8.4; RFC 1952; RFC 1950.
"""

from __future__ import annotations

import zlib
from typing import Final

from worker.errors import ImageRejectedError
from worker.types import Reason

#: They say nothing about the bytes. SDKs leave ``aws-chunked`` there, which applied to the upload, not to the object.
_NOTHING: Final = frozenset(("", "identity", "aws-chunked", "none"))
_GZIP: Final = frozenset(("gzip", "x-gzip"))
_DEFLATE: Final = "deflate"
_MOST_CODINGS: Final = 2  # each may be undone to as much as is allowed

_MAGIC: Final = b"\x1f\x8b"
_OF_GZIP, _OF_ZLIB, _RAW = 31, 15, -15  # zlib's "window bits"
_PIECE: Final = 1 << 16  # zlib copies what is left of one behind each member
_MOST_MEMBERS: Final = 1 << 14  # of one gzip file; ``bgzip`` begins a new one every 64 KiB
#: Only pictures of a single colour compress further; small results are not checked.
_MOST_RATIO, _UNSUSPECTED = 250, 16 << 20


def codings(header: str | None) -> tuple[str, ...]:
    """The encodings applied to the bytes, in order; empty if none matters."""
    names = (name.strip().lower() for name in (header or "").split(","))
    return tuple(name for name in names if name not in _NOTHING)


def first_bytes(head: bytes, applied: tuple[str, ...]) -> bytes | None:
    """The first bytes of the file, decoded from the first bytes of the object; None if that fails."""
    for coding in reversed(applied[-_MOST_CODINGS:]):
        bits = _window(coding, head)
        if bits is None:
            return None
        try:
            head = zlib.decompressobj(bits).decompress(head, _PIECE)
        except zlib.error:
            return None
    return head


def claimed_size(data: bytes, applied: tuple[str, ...]) -> int | None:
    """The length that the file claims for itself, which may be wrong; None if it claims none."""
    known = len(applied) == 1 and applied[0] in _GZIP and len(data) >= 18  # noqa: PLR2004 - header and trailer
    return int.from_bytes(data[-4:], "little") if known else None


def decode(data: bytes, applied: tuple[str, ...], *, most: int) -> bytes | None:
    """The file as it was before these encodings.

    Args:
        data: the object's bytes.
        applied: see ``codings``.
        most: bytes that the file may have, and what it is at a stage between. Memory is twice that.

    Returns:
        None where it has more.

    Raises:
        ImageRejectedError: ``UNSUPPORTED_FORMAT``, ``NOT_AN_IMAGE``, ``TRUNCATED``, ``CORRUPT``, or ``TOO_MANY_BYTES``
            for what is made to explode. Names the header.
    """
    header = ", ".join(applied)
    if len(applied) > _MOST_CODINGS or not {*_GZIP, _DEFLATE}.issuperset(applied):
        message = f"the object's Content-Encoding is {header[:100]!r}, which is not undone here (gzip and deflate are)"
        raise ImageRejectedError(Reason.UNSUPPORTED_FORMAT, f"{message}; {_STORE_PLAIN}")
    for coding in reversed(applied):
        bits = _window(coding, data)
        if bits is None:
            message = f"the object's Content-Encoding is {header}, but its bytes are neither that nor an image"
            raise ImageRejectedError(Reason.NOT_AN_IMAGE, f"{message}; {_STORE_PLAIN}")
        try:
            plain = _inflated(data, bits, most, header)
        except zlib.error as error:
            message = f"the object's Content-Encoding is {header}, and decompressing it fails: {error}"
            raise ImageRejectedError(Reason.CORRUPT, f"{message}; upload it again, or without that header") from error
        if plain is None:
            return None
        data = plain
    return data


_STORE_PLAIN: Final = "store the picture as it is, without that header"


def _window(coding: str, data: bytes) -> int | None:
    if coding in _GZIP:
        return _OF_GZIP if data.startswith(_MAGIC) else None
    if coding != _DEFLATE or not data:
        return None
    # Deflate without zlib's header is what some servers call so, against the RFC.
    wrapped = data[0] & 15 == zlib.DEFLATED and int.from_bytes(data[:2], "big") % 31 == 0
    return _OF_ZLIB if wrapped else _RAW


def _inflated(data: bytes, bits: int, most: int, header: str) -> bytes | None:
    """All members, concatenated. Trailing data are not an error: tools pad with zeros."""
    parts: list[bytes] = []
    size = at = 0
    for _ in range(_MOST_MEMBERS):
        stream = zlib.decompressobj(bits)
        while not stream.eof:
            piece = memoryview(data)[at : at + _PIECE]
            if not piece:
                message = f"the object's Content-Encoding is {header}, and its {len(data):,} bytes end too early"
                raise ImageRejectedError(Reason.TRUNCATED, f"{message}; the upload was incomplete, upload it again")
            parts.append(stream.decompress(piece, most - size + 1))
            size += len(parts[-1])
            at += len(piece) - len(stream.unused_data)
            if size > most:
                return None
            if size > max(_UNSUSPECTED, _MOST_RATIO * len(data)):
                message = f"the object's Content-Encoding is {header}: {len(data):,} bytes become more than {size:,}"
                raise ImageRejectedError(Reason.TOO_MANY_BYTES, f"{message}; {_STORE_PLAIN}")
        if bits != _OF_GZIP or data[at : at + 2] != _MAGIC:
            return b"".join(parts)
    message = f"the object's Content-Encoding is {header}, in more than {_MOST_MEMBERS:,} members; {_STORE_PLAIN}"
    raise ImageRejectedError(Reason.CORRUPT, message)
