"""What was done to a file before it was stored is undone, within limits, or refused by the header's name."""

from __future__ import annotations

import gzip
import time
import tracemalloc
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.errors import ImageRejectedError
from worker.objects import claimed_size, codings, decode, first_bytes
from worker.types import Reason


def packed(data: bytes) -> bytes:
    """The same bytes at any time, or names of tests would differ among processes."""
    return gzip.compress(data, mtime=0)


PLAIN = bytes(range(256)) * 40
PACKED = packed(PLAIN)
MOST = 1 << 20


def deflated(data: bytes, bits: int) -> bytes:
    stream = zlib.compressobj(wbits=bits)
    return stream.compress(data) + stream.flush()


def refusal(data: bytes, applied: tuple[str, ...] = ("gzip",), most: int = MOST) -> ImageRejectedError:
    with pytest.raises(ImageRejectedError) as caught:
        decode(data, applied, most=most)
    assert "Content-Encoding is" in str(caught.value)
    return caught.value


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, ()),
        ("", ()),
        ("identity", ()),
        (" Identity , ", ()),
        ("aws-chunked", ()),
        ("GZip", ("gzip",)),
        ("  x-gzip\t", ("x-gzip",)),
        ("aws-chunked,gzip", ("gzip",)),
        ("gzip, aws-chunked", ("gzip",)),
        ("deflate, gzip", ("deflate", "gzip")),
        ("br", ("br",)),
        ("utf-8", ("utf-8",)),
    ],
)
def test_a_header_names_what_was_done(header: str | None, expected: tuple[str, ...]) -> None:
    """In whatever case and with whatever spaces; what says nothing about the bytes is left out."""
    assert expected == codings(header)


@pytest.mark.parametrize(
    ("data", "applied"),
    [
        (PACKED, ("gzip",)),
        (PACKED, ("x-gzip",)),
        (deflated(PLAIN, 15), ("deflate",)),
        (deflated(PLAIN, -15), ("deflate",)),
        (packed(deflated(PLAIN, 15)), ("deflate", "gzip")),
        (packed(PACKED), ("gzip", "gzip")),
        (packed(PLAIN[:5_000]) + packed(b"") + packed(PLAIN[5_000:]), ("gzip",)),
        (PACKED + bytes(1_000), ("gzip",)),
        (PACKED + b"trailing", ("gzip",)),
    ],
)
def test_it_is_undone(data: bytes, applied: tuple[str, ...]) -> None:
    """Members one behind the other are one file; what follows the last is none of it."""
    assert PLAIN == decode(data, applied, most=MOST)


@pytest.mark.parametrize(
    ("data", "applied", "reason", "words"),
    [
        (PACKED[:-4], ("gzip",), Reason.TRUNCATED, "upload it again"),
        (PACKED[:40], ("gzip",), Reason.TRUNCATED, "end too early"),
        (PACKED[:3], ("gzip",), Reason.TRUNCATED, "end too early"),
        (PACKED + PACKED[:30], ("gzip",), Reason.TRUNCATED, "end too early"),
        (PACKED[:-6] + b"\0\0\0\0" + PACKED[-2:], ("gzip",), Reason.CORRUPT, "incorrect"),
        (PACKED[:10] + b"\xff" * 50, ("gzip",), Reason.CORRUPT, "upload it again"),
        (PLAIN, ("gzip",), Reason.NOT_AN_IMAGE, "gzip, but its bytes are neither"),
        (PACKED, ("br",), Reason.UNSUPPORTED_FORMAT, "'br', which is not undone"),
        (PACKED, ("zstd",), Reason.UNSUPPORTED_FORMAT, "store the picture as it is, without that header"),
        (PACKED, ("gzip", "br"), Reason.UNSUPPORTED_FORMAT, "'gzip, br'"),
        (PACKED, ("gzip",) * 3, Reason.UNSUPPORTED_FORMAT, "gzip, gzip, gzip"),
        (PACKED, ("x" * 5_000,), Reason.UNSUPPORTED_FORMAT, "xxx"),
    ],
)
def test_what_cannot_be_undone_names_the_header(
    data: bytes, applied: tuple[str, ...], reason: Reason, words: str
) -> None:
    """With a reason, and what to do."""
    error = refusal(data, applied)
    assert reason == error.reason
    assert words in str(error)
    assert len(str(error)) < 400


@pytest.mark.parametrize("applied", [("gzip",), ("gzip", "gzip")])
def test_more_than_is_allowed_is_not_made(applied: tuple[str, ...]) -> None:
    """Exactly as much is."""
    data = PACKED if len(applied) == 1 else packed(PACKED)
    assert PLAIN == decode(data, applied, most=len(PLAIN))
    assert decode(data, applied, most=len(PLAIN) - 1) is None


def test_a_bomb_costs_what_is_allowed_and_no_more() -> None:
    """A gigabyte of zeros is a megabyte; it is given up early, in time and memory."""
    megabyte = packed(bytes(1 << 20))
    bomb = megabyte * 1_000
    tracemalloc.start()
    start = time.perf_counter()
    error = refusal(bomb[: 100 * len(megabyte)], most=1 << 30)
    assert decode(bomb, ("gzip",), most=1 << 22) is None
    assert time.perf_counter() - start < 5
    assert tracemalloc.get_traced_memory()[1] < 40 << 20
    tracemalloc.stop()
    assert error.reason == Reason.TOO_MANY_BYTES
    assert "bytes become more than" in str(error)


def test_members_without_end_cost_no_time() -> None:
    """A member takes 20 bytes, so a file could have millions."""
    start = time.perf_counter()
    assert refusal(packed(b"") * 200_000).reason == Reason.CORRUPT
    assert time.perf_counter() - start < 5


def test_the_first_bytes_are_of_the_file() -> None:
    """By the first bytes of the object, which end in the middle of something."""
    assert PLAIN.startswith(first := first_bytes(PACKED[:300], ("gzip",)) or b"")
    assert len(first) > 16
    assert first_bytes(packed(PACKED)[:60], ("gzip", "gzip")) is not None
    assert first_bytes(PACKED, ("br",)) is None
    assert first_bytes(PLAIN, ("gzip",)) is None
    assert len(first_bytes(packed(bytes(100_000_000))[:4096], ("gzip",)) or b"") <= 1 << 16


def test_a_size_is_claimed_by_the_last_bytes() -> None:
    """Of gzip alone; nobody has to believe it."""
    assert claimed_size(PACKED, ("gzip",)) == len(PLAIN)
    assert claimed_size(PACKED, ("deflate",)) is None
    assert claimed_size(b"\x1f\x8b", ("gzip",)) is None


@given(st.binary(max_size=300), st.sampled_from([("gzip",), ("deflate",), ("gzip", "deflate")]), st.booleans())
def test_any_bytes_are_decoded_or_refused(data: bytes, applied: tuple[str, ...], begun: bool) -> None:
    """Nothing else is ever raised."""
    data = PACKED[:10] + data if begun else data
    first_bytes(data, applied)
    try:
        decoded = decode(data, applied, most=10_000)
    except ImageRejectedError:
        return
    assert decoded is None or len(decoded) <= 10_000
