"""What an AVIF file has coded, found before a decoder gets memory for it."""

from __future__ import annotations

import io
import struct
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.unit.images.corpus import LIMITS
from worker.errors import ImageRejectedError
from worker.images import read_image
from worker.images.av1 import coded_sizes
from worker.types import Reason

FINDINGS = Path(__file__).parents[2] / "fixtures" / "images" / "findings"
LIAR = (FINDINGS / "larger-than-the-header.avif").read_bytes()

#: 65,262 × 4,113 pixels, as fuzzing found it.
GIANT = LIAR[LIAR.index(b"mdat") + 4 :][:30]


def avif(size=(40, 24), mode="RGB", **options) -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, size, "teal").save(buffer, "AVIF", speed=10, **options)
    return buffer.getvalue()


def box(kind: bytes, *contents: bytes) -> bytes:
    body = b"".join(contents)
    return struct.pack(">I", 8 + len(body)) + kind + body


def with_items(coded: bytes, *, before: bytes = b"", pieces: list[int] | None = None, version: int = 1) -> bytes:
    """A file whose one item is ``coded``, kept in the meta box itself, in pieces of these lengths."""
    lengths = pieces or [len(coded)]
    starts = [sum(lengths[:number]) for number in range(len(lengths))]
    wide = ">I" if version == 2 else ">H"
    extents = b"".join(struct.pack(">II", *each) for each in zip(starts, lengths, strict=True))
    item = struct.pack(wide, 1) + b"\0\1" + b"\0\0" + struct.pack(">H", len(lengths)) + extents
    iloc = box(b"iloc", bytes([version, 0, 0, 0, 0x44, 0]), struct.pack(wide, 1), item)
    infe = box(b"infe", b"\2\0\0\0", struct.pack(">HH", 1, 0), b"av01", b"\0")
    iinf = box(b"iinf", b"\0\0\0\0", struct.pack(">H", 1), infe)
    return box(b"ftyp", b"avif\0\0\0\0") + before + box(b"meta", b"\0\0\0\0", iloc, iinf, box(b"idat", coded))


@pytest.mark.parametrize("size", [(1, 1), (40, 24), (65, 513), (1_000, 3)])
@pytest.mark.parametrize("options", [{}, {"mode": "RGBA"}, {"quality": 100}, {"subsampling": "4:0:0"}])
def test_an_encoder_s_files_have_the_size_they_say(size, options):
    """Of the picture, and of its alpha channel."""
    assert {size} == set(coded_sizes(avif(size, **options)))


def test_frames_of_an_animation_have_their_size_too():
    """Tracks are found as well as items."""
    frames = [Image.new("RGB", (40, 24), colour) for colour in ("red", "blue")]
    buffer = io.BytesIO()
    frames[0].save(buffer, "AVIF", save_all=True, append_images=frames[1:], speed=10)
    data = buffer.getvalue()
    assert {(40, 24)} == set(coded_sizes(data))
    without_items = data.replace(b"meta", b"skip", 1)
    assert [(40, 24)] == list(coded_sizes(without_items))


def test_a_giant_in_a_small_frame_is_refused_before_the_decoder_is_asked(monkeypatch):
    """40 × 24 outside, 65,262 × 4,113 inside: 788 bytes that cost half a gigabyte."""
    monkeypatch.setattr("PIL.Image.open", lambda *_args, **_options: pytest.fail("the decoder was asked first"))
    with pytest.raises(ImageRejectedError, match=r"65,262 × 4,113 pixels") as rejected:
        read_image(LIAR, limits=LIMITS, min_side=8)
    assert rejected.value.reason in {Reason.SIDE_TOO_LONG, Reason.TOO_MANY_PIXELS}


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("pieces", [None, [1, 1, 1, 27], [5, 25]])
def test_it_is_found_wherever_it_is_kept(version, pieces):
    """In the meta box, and in pieces."""
    assert [(65_262, 4_113)] == list(coded_sizes(with_items(GIANT, pieces=pieces, version=version)))


def sizes_or_reason(data: bytes):
    try:
        return list(coded_sizes(data))
    except ImageRejectedError as rejected:
        return rejected.reason


PADDING = b"\x7a\x00"


@pytest.mark.parametrize(
    "data",
    [
        with_items(PADDING * 70 + GIANT),
        with_items(b"\x7a\x80\x80\x08" + bytes(1 << 17) + GIANT),
        with_items(GIANT, before=box(b"free") * 5_000),
        with_items(GIANT, pieces=[0] * 5_000 + [30]),
    ],
    ids=["many units", "a long unit", "many boxes", "many pieces"],
)
def test_what_hides_it_is_refused(data):
    """Encoders write three units, and some ten boxes."""
    with pytest.raises(ImageRejectedError, match="than any encoder writes; save it again") as rejected:
        list(coded_sizes(data))
    assert Reason.CORRUPT == rejected.value.reason


@pytest.mark.parametrize(
    "data",
    [
        box(b"moov") * 100_000,
        b"".join(struct.pack(">I", 0) + b"moov" for _ in range(100_000)),
        box(b"meta", b"\0\0\0\0", box(b"iinf", b"\0" * 6), box(b"iloc", b"\1\0\0\0\0\0\xff\xff", b"\xff" * 1_000_000)),
        with_items(b"\x0a\x81" * 500_000),
    ],
    ids=["boxes", "boxes in boxes", "pieces of nothing", "half a header"],
)
def test_nothing_keeps_it_busy(data):
    """Whatever the numbers say: refused or passed over, at once."""
    started = time.process_time()
    sizes_or_reason(data)
    assert time.process_time() - started < 1


WITH_ALPHA = avif(mode="RGBA")


@settings(deadline=None)
@given(at=st.integers(0, 2_000), put=st.binary(max_size=6), coded=st.binary(max_size=60))
def test_anything_is_read_or_passed_over_or_refused(at, put, coded):
    """Damage in the boxes, and in what is coded: nothing but a refusal comes out."""
    for whole in (WITH_ALPHA, with_items(coded), with_items(GIANT)):
        data = whole[: at % len(whole)] + put + whole[at % len(whole) + len(put) :]
        found = sizes_or_reason(data)
        assert found is Reason.CORRUPT or all(1 <= side <= 1 << 16 for size in found for side in size)
