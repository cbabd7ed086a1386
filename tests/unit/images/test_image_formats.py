"""Telling images from other files by their first bytes, names and declared types."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.images.corpus import CORPUS
from worker.images import claims_to_be_image, is_worth_reading, sniff

NO_IMAGES = [name for name, sample in CORPUS.items() if sample.reason in {"not-an-image", "empty"}]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("jpeg", "JPEG"),
        ("several pictures in a jpeg", "JPEG"),
        ("png", "PNG"),
        ("animated gif", "GIF"),
        ("webp", "WEBP"),
        ("tiff", "TIFF"),
        ("big tiff", "TIFF"),
        ("bmp", "BMP"),
        ("heic", "HEIF"),
        ("avif", "AVIF"),
        ("jpeg 2000", "JPEG2000"),
        ("svg", "SVG"),
        ("eps", "EPS"),
        ("psd", "PSD"),
        ("ico", "ICO"),
    ],
)
def test_a_format_is_told_by_its_first_bytes(name, expected):
    """The name of the object plays no part."""
    assert expected == sniff(CORPUS[name].build()[:4096])


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (b"\0\0\0\x1cftypmif1\0\0\0\0mif1avif", "AVIF"),
        (b"\0\0\0\x1cftypmif1\0\0\0\0mif1heic", "HEIF"),
        (b"\0\0\0\x1cftypMiHE\0\0\0\0mif1heic", "HEIF"),
        (b"\0\0\0\x1cftypnew1\0\0\0\0miafMiHB", "HEIF"),
        (b"\0\0\0\x1cftypMA1B\0\0\0\0mif1miaf", "AVIF"),
        (b"\0\0\0\x1cftypnew1\0\0\0\0mif1avif", "AVIF"),
        (b"\0\0\0\x1cftypheic\0\0\0\0mif1avif", "HEIF"),
        (b"\0\0\0\x1cftypmif2\0\0\0\0mif2unif", "HEIF"),
        (b"\0\0\0\x1cftypqt  \0\0\0\0mif1heic", None),  # a film with a picture on its sleeve
        (b"\0\0\0\x1cftypisom\0\0\0\0iso2avc1", None),
        (b"\0\0\0\x14ftypnew1\0\0\0\0new1heic", None),  # beyond the box
        (b"\0\0\0\x18ftypcrx \0\0\0\1", "CR3"),
        (b"\0\0\0\x18ftypmp42\0\0\0\0", None),
        (b"II*\0\x10\0\0\0CR\2\0", "CR2"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "JXL"),
        (b"BMW owners' manual, 1987\n", None),
        (b"P6\n# made by hand\n8 8\n255\n", "NETPBM"),
        (b"\xef\xbb\xbf<?xml version='1.0'?><!DOCTYPE svg PUBLIC 'x'><svg>", "SVG"),
        (b"<html><body><svg></svg></body></html>", None),
        (b"<?xml version='1.0'?><note/>", None),
        (b"%!PS-Adobe-3.0\n", None),
        (b"RIFF\0\0\0\0WAVEfmt ", None),
        (b"", None),
    ],
)
def test_near_misses_are_told_apart(head, expected):
    """Containers and texts that only look alike get their own answer."""
    assert expected == sniff(head)


@given(st.binary(max_size=64))
def test_any_bytes_can_be_sniffed(head):
    """Sniffing is total."""
    assert sniff(head) is None or isinstance(sniff(head), str)


@pytest.mark.parametrize(
    "hostile", [b"<!-- -->" * 512, b"<?xml ?>" * 512, b"\n" * 4096, b"<!DOCTYPE svg [ ]" * 240, b"P6 " + b"#\n" * 2046]
)
def test_a_hostile_prologue_costs_no_time(hostile):
    """Patterns do not backtrack: 4 KiB are answered at once."""
    start = time.perf_counter()
    sniff(hostile)
    assert time.perf_counter() - start < 0.5


@pytest.mark.parametrize(
    ("key", "content_type", "expected"),
    [
        ("a/photo.JPG", None, True),
        ("a/photo.jpg", "text/html", True),
        ("scan", "image/tiff", True),
        ("scan", " Image/PNG; charset=binary", True),
        ("DSC_1.NEF", "application/octet-stream", True),
        ("notes.txt", "text/plain", False),
        ("archive.jpg.zip", None, False),
        ("photos.jpg/notes", None, False),
        ("photos.jpg/", None, False),
        (".jpg", None, False),
        ("jpg", None, False),
        ("", None, False),
    ],
)
def test_a_claim_is_an_extension_or_a_declared_type(key, content_type, expected):
    """Either is enough; only the last part of the key counts."""
    assert expected == claims_to_be_image(key, content_type)


@pytest.mark.parametrize("name", NO_IMAGES)
def test_what_is_no_image_is_read_only_if_it_claims_to_be_one(name):
    """Without a claim it is excluded after its first bytes; with one it is fetched, to be refused with a reason."""
    head = CORPUS[name].build()[:4096]
    assert not is_worth_reading("backup.bin", "application/octet-stream", head)
    assert is_worth_reading("backup.jpg", None, head)


@pytest.mark.parametrize("name", [name for name in CORPUS if name not in NO_IMAGES])
def test_image_bytes_are_read_whatever_they_are_called(name):
    """An image without an extension is an image."""
    assert is_worth_reading("blob", None, CORPUS[name].build()[:4096])
