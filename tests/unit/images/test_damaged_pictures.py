"""Half pictures are none: what decoders make up is refused, and what only looks like damage is read."""

from __future__ import annotations

import io
import struct
import zlib
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.unit.images.corpus import CORPUS, LIMITS, encode, huge_jpeg, png_chunk, quadrants
from worker.errors import ImageRejectedError
from worker.images.reader import decode
from worker.types import Reason

pytestmark = pytest.mark.slow

FIXTURES = Path(__file__).parents[4] / "shared" / "fixtures"
DAMAGED = {Reason.CORRUPT, Reason.TRUNCATED}
KINDS: dict[str, dict[str, Any]] = {
    "baseline": {},
    "progressive": {"progressive": True},
    "optimised": {"optimize": True, "quality": 60},
    "restarts": {"restart_marker_rows": 1},
}
#: Small files are not what matters here.
FAST: dict[str, dict[str, Any]] = {"HEIF": {"enc_params": {"preset": "ultrafast"}}, "AVIF": {"speed": 10}}


@cache
def photo(width: int = 640, height: int = 480) -> Image.Image:
    """Something as irregular as a photo: noise of two scales."""
    random = np.random.default_rng(3)
    coarse = Image.fromarray(random.integers(0, 256, (height // 16, width // 16, 3), np.uint8))
    fine = Image.fromarray(random.integers(0, 256, (height, width, 3), np.uint8))
    return Image.blend(coarse.resize((width, height), Image.Resampling.BICUBIC), fine, 0.1)


def outcome(data: bytes, min_side: int | None = 32) -> Reason | None:
    try:
        decode(data, limits=LIMITS, min_side=min_side)
    except ImageRejectedError as error:
        return error.reason
    return None


def pixels(data: bytes, min_side: int | None = None) -> bytes:
    return decode(data, limits=LIMITS, min_side=min_side).pixels.tobytes()


def zeroed(data: bytes, start: int, length: int) -> bytes:
    stop = min(start + length, len(data) - 2)
    return data[:start] + bytes(stop - start) + data[stop:]


def first_scan(data: bytes) -> int:
    at = data.index(b"\xff\xda")
    return at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("min_side", [None, 32])
def test_a_jpeg_that_was_cut_and_given_an_end_is_damaged(kind, min_side):
    """An end of image behind the cut makes half a picture no whole one, at any size it is decoded at."""
    data = encode(photo(), "JPEG", **KINDS[kind])
    scan = first_scan(data)
    for share in range(5, 100, 5):
        cut = scan + (len(data) - scan) * share // 100
        assert outcome(data[:cut] + b"\xff\xd9", min_side) in DAMAGED, share


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("length", [1_024, 4_096, 16_384])
def test_a_jpeg_with_a_hole_of_zeros_is_damaged(kind, length):
    """Blocks of a file that were never written are zeros, which are codes like any other."""
    data = encode(photo(), "JPEG", **KINDS[kind])
    scan = first_scan(data)
    for share in range(5, 100, 5):
        assert outcome(zeroed(data, scan + (len(data) - scan) * share // 100, length)) in DAMAGED, share


@pytest.mark.parametrize(
    ("format_name", "options"),
    [
        ("HEIF", FAST["HEIF"]),
        ("HEIF", FAST["HEIF"] | {"quality": -1, "chroma": 444}),
        ("AVIF", FAST["AVIF"]),
        ("AVIF", FAST["AVIF"] | {"quality": 95}),
        ("JPEG2000", {}),
        ("JPEG2000", {"tile_size": (128, 128)}),
        ("JPEG2000", {"precinct_size": (64, 64)}),
        ("JPEG2000", {"irreversible": True, "quality_mode": "rates", "quality_layers": [20]}),
        ("PNG", {}),
    ],
)
def test_a_half_of_zeros_is_damaged(format_name, options):
    """Decoders of these formats make a picture of the zeros, or of what is in front of them, without a word."""
    data = encode(photo(), format_name, **options)
    assert outcome(data) is None
    for start, length in ((len(data) // 2, len(data)), (len(data) // 2, len(data) // 4), (len(data) * 3 // 4, 4_096)):
        assert outcome(zeroed(data, start, length)) in DAMAGED, (start, length)


@pytest.mark.parametrize("colour", ["white", "black", (200, 30, 30)])
@pytest.mark.parametrize(
    ("format_name", "options"),
    [
        *[("JPEG", options) for options in KINDS.values()],
        ("JPEG", {"optimize": True, "quality": 20}),
        ("HEIF", FAST["HEIF"]),
        ("AVIF", FAST["AVIF"]),
        ("JPEG2000", {}),
        ("JPEG2000", {"precinct_size": (64, 64)}),
        ("PNG", {}),
    ],
)
def test_a_picture_of_one_colour_is_in_order(colour, format_name, options):
    """In a blank page zeros are data: its blocks end at once, with the shortest code."""
    assert outcome(encode(Image.new("RGB", (2_000, 1_500), colour), format_name, **options)) is None


def test_a_giant_of_one_row_of_blocks_is_in_order():
    """What restarts in every row, with the least data that a row can have."""
    assert outcome(huge_jpeg(2_048)) is None


@pytest.mark.parametrize("min_side", [None, 32])
@pytest.mark.parametrize("size", [(640, 480), (641, 479), (17, 33), (1, 2), (333, 8)])
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}, {"subsampling": 1}])
def test_the_pixels_of_a_jpeg_are_pillows(min_side, size, mode, options):
    """Vectors of a space are made of Pillow's pixels: the decoder that is heard must give the same ones."""
    data = encode(photo().resize(size).convert(mode), "JPEG", **options)
    with Image.open(io.BytesIO(data)) as image:
        image.draft("RGB", (64, 64) if min_side else image.size)
        expected = image.convert("RGB")
    factor = min(expected.size) // 64 if min_side else 1
    assert (expected.reduce(factor) if factor > 1 else expected).tobytes() == pixels(data, min_side)


def _insert(data: bytes, marker: bytes, extra: bytes) -> bytes:
    at = data.index(marker)
    return data[:at] + extra + data[at:]


def _forged(data: bytes, at: int, value: bytes) -> bytes:
    return data[:at] + value + data[at + len(value) :]


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data + b"\0" * 5_000,
        lambda data: data + b"MotionPhoto_Data" + b"\0\0\0\x18ftypmp42" + bytes(range(256)) * 99,
        lambda data: data[:-2],
        lambda data: data[:-2] + b"\xff" * 100 + data[-2:],
        lambda data: data[:-2] + b"\x00" * 7 + data[-2:],
        lambda data: data[:-2] + b"\x7f" + data[-2:],
        lambda data: _insert(data, b"\xff\xdb", b"\0" * 300),
        lambda data: _insert(data, b"\xff\xdb", b"camera"),
        lambda data: _insert(data, b"\xff\xdb", b"\xff" * 64),
        lambda data: _insert(data, b"\xff\xda", b"\xff" * 9),
        lambda data: _insert(data, b"\xff\xdb", b"\xff\xe1\x02\x02Exif\0\0" + bytes(506)),
        lambda data: _insert(data, b"\xff\xdb", b"\xff\xe2\x00\x30ICC_PROFILE\0\x03\x02" + bytes(32)),
        lambda data: _insert(data, b"\xff\xdb", b"\xff\xee\x00\x0eAdobe\0\x64\0\0\0\0\x07"),
        lambda data: _forged(data, data.index(b"JFIF\0") + 5, b"\x02"),
        lambda data: _forged(data, first_scan(data) - 3, b"\x00\x00\x00"),
    ],
)
def test_what_a_decoder_warns_of_need_not_be_damage(change):
    """Trailers, padding, numbers that nobody defined: every viewer shows the picture, and so it is whole."""
    whole = encode(photo(), "JPEG")
    assert pixels(whole) == pixels(change(whole))


@pytest.mark.parametrize("change", [lambda data: _insert(data, b"\xff\xdb", b"padding"), lambda data: data])
def test_something_harmless_does_not_hide_damage(change):
    """The decoder names its first warning only."""
    data = encode(photo(), "JPEG")
    assert outcome(change(data[: len(data) // 2] + b"\xff\xd9")) in DAMAGED


def test_a_decoder_of_jpegs_without_memory_is_a_size_problem(monkeypatch):
    """libjpeg-turbo says so in words."""

    def exhausted(*_args: object, **_options: object) -> None:
        raise ValueError("Insufficient memory (case 4)")

    monkeypatch.setattr("simplejpeg.decode_jpeg", exhausted)
    assert outcome(CORPUS["jpeg"].build()) == Reason.TOO_MANY_PIXELS


@pytest.mark.parametrize("kind", [b"tEXt", b"iCCP", b"eXIf", b"pHYs", b"gAMA"])
def test_a_broken_chunk_beside_the_picture_costs_only_itself(kind):
    """Every viewer shows a PNG whose text or profile has a wrong checksum."""
    whole = encode(quadrants(), "PNG")
    broken = png_chunk(kind, b"a\0" + bytes(9))[:-4] + b"oops"
    for at in (33, len(whole) - 12):  # behind the header, and in front of the end
        assert pixels(whole) == pixels(whole[:at] + broken + whole[at:])


def test_a_broken_checksum_of_the_picture_is_damage():
    """Even if it can be unpacked: its pixels are not those that were written."""
    raw = b"".join(b"\0" + bytes(range(64)) * 3 for _ in range(64))
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", 64, 64, 8, 2, 0, 0, 0))
    body = png_chunk(b"IDAT", zlib.compress(raw, 0))
    start, end = b"\x89PNG\r\n\x1a\n" + header, png_chunk(b"IEND", b"")
    assert outcome(start + body + end) is None
    assert outcome(start + _forged(body, 900, b"\xaa") + end) == Reason.CORRUPT


@pytest.mark.skipif(not FIXTURES.exists(), reason="files beside the repository")
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("attacks/jpeg_sof_65500x3816.jpg", Reason.CORRUPT),
        ("cases/jpg-baseline-half-eoi.jpg", Reason.CORRUPT),
        ("cases/jpg-baseline-half-zero-filled.jpg", Reason.TRUNCATED),
        ("cases/png-iccp-bad-crc.png", None),
        ("cases/png-text-bad-crc.png", None),
        ("cases/date-only-digitized.jpg", None),
    ],
)
def test_files_as_they_were_found(name, expected):
    """Half pictures that were once tagged, and whole ones that were once refused."""
    assert expected == outcome((FIXTURES / name).read_bytes())


@pytest.mark.parametrize("damage", [(b"rdf+xml", b"rdf+xm\xec"), (b"Exif\x00", b"Ex\xecf\x00")])
def test_an_item_s_type_that_is_no_text_is_damage(damage):
    """pi_heif crashes on it, when it opens the file."""
    exif = Image.Exif()
    exif[271] = "Camera"
    options = {"exif": exif.tobytes(), "xmp": b"<x:xmpmeta/>"}
    data = encode(Image.new("RGB", (64, 64), "teal"), "HEIF", **options)
    assert (64, 64) == decode(data, limits=LIMITS, min_side=None).pixels.size
    assert damage[0] in data
    with pytest.raises(ImageRejectedError, match="no text") as refused:
        decode(data.replace(damage[0], damage[1], 1), limits=LIMITS, min_side=None)
    assert Reason.CORRUPT is refused.value.reason
