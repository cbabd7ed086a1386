"""TIFFs of every depth, layout, compression and byte order show what tifffile wrote, or say that they are not read."""

from __future__ import annotations

import io
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tifffile
from PIL import Image

from tests.unit.images.corpus import LIMITS, tiff
from worker.errors import ImageRejectedError
from worker.images.reader import decode
from worker.types import Reason

FIXTURES = Path(__file__).parents[4] / "shared" / "fixtures" / "cases"
HEIGHT, WIDTH = 48, 64
KINDS = ("u1", "u2", "u4", "i2", "i4", "f4")


def ramps() -> npt.NDArray[np.float64]:
    """From left to right, from top to bottom, and from right to left."""
    across, down = np.meshgrid(np.linspace(0, 1, WIDTH), np.linspace(0, 1, HEIGHT))
    return np.stack([across, down, 1 - across], -1)


def stored(shares: npt.NDArray[np.float64], kind: str) -> npt.NDArray[np.generic]:
    dtype = np.dtype(kind)
    if dtype.kind == "f":
        return shares.astype(dtype)
    low, high = np.iinfo(dtype).min + (dtype.kind == "i"), np.iinfo(dtype).max
    return np.rint(low + shares * (float(high) - low)).clip(low, high).astype(dtype)


def tiff_of(samples: npt.NDArray[np.generic], *, order: Any = "<", big: bool = False, **options: Any) -> bytes:
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer, byteorder=order, bigtiff=big) as writer:
        writer.write(samples, metadata=None, **options)
    return buffer.getvalue()


def shown(data: bytes) -> npt.NDArray[np.float64]:
    return np.asarray(decode(data, limits=LIMITS, min_side=None).pixels) / 255


def refusal(data: bytes) -> Reason:
    with pytest.raises(ImageRejectedError) as caught:
        decode(data, limits=LIMITS, min_side=None)
    return caught.value.reason


#: Kinds that Pillow does not open, in one byte order or both.
RARE = {
    *((">", "u4", "minisblack"), (">", "u2", "miniswhite"), ("u4", "miniswhite")),
    *(("i2", "miniswhite"), ("i4", "miniswhite")),
}
LAYOUTS = list(product("<>", (False, True), (None, "zlib"), ({"rowsperstrip": 16}, {"tile": (16, 16)})))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("photometric", ["minisblack", "miniswhite"])
def test_grey_is_as_it_was_written_or_unsupported(kind, layout, photometric):
    """Never scrambled, never negative, never black, and never called damaged."""
    shares = ramps()[..., 0]
    order, big, compression, pieces = layout
    samples = stored(shares, kind)
    data = tiff_of(samples, order=order, big=big, compression=compression, photometric=photometric, **pieces)
    expected = 1 - shares if photometric == "miniswhite" else shares
    if (order == ">" and big) or {(kind, photometric), (order, kind, photometric)} & RARE:
        assert refusal(data) == Reason.UNSUPPORTED_FORMAT
    else:
        assert np.abs(shown(data) - expected[..., None]).max() < 0.01


@pytest.mark.parametrize("kind", ["u1", "u2"])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("planes", ["contig", "separate"])
def test_colours_are_as_they_were_written_or_unsupported(kind, layout, planes):
    """Planes of 16 bits that are not compressed are mixed up by Pillow: they are not read."""
    order, big, compression, pieces = layout
    samples = stored(ramps(), kind)
    if planes == "separate":
        samples = np.ascontiguousarray(np.moveaxis(samples, -1, 0))
    options = {"photometric": "rgb", "planarconfig": planes, "compression": compression, **pieces}
    data = tiff_of(samples, order=order, big=big, **options)
    if (big and order == ">") or (kind == "u2" and planes == "separate" and compression is None):
        assert refusal(data) == Reason.UNSUPPORTED_FORMAT
    else:
        assert np.abs(shown(data) - ramps()).max() < 0.01


def test_one_channel_of_16_bits_in_planes_is_unsupported():
    """Nothing is wrong with it, so nobody is to look for an intact copy."""
    tags = {256: (3, 1, 8), 257: (3, 1, 8), 258: (3, 1, 16), 262: (3, 1, 1), 273: (4, 1, 110), 277: (3, 1, 1)}
    data = tiff(tags | {279: (4, 1, 128), 284: (3, 1, 2)}, rest=bytes(128))
    assert refusal(data) == Reason.UNSUPPORTED_FORMAT


@pytest.mark.parametrize(("largest", "white"), [(4_095, 1), (16_383, 1), (65_535, 1), (20_000, 20_000 / 65_535)])
def test_twelve_or_fourteen_bits_in_sixteen_are_not_black(largest, white):
    """White is the depth that no sample exceeds."""
    samples = np.rint(ramps()[..., 0] * largest).astype(np.uint16)
    assert np.abs(shown(tiff_of(samples, photometric="minisblack"))[..., 0] - ramps()[..., 0] * white).max() < 0.01


@pytest.mark.parametrize("lowest", [-400, 0, 900])
def test_heights_go_from_the_lowest_to_the_highest(lowest):
    """Also beside places of which no height is known."""
    samples = np.rint(lowest + ramps()[..., 0] * 2_000).astype(np.int16)
    samples[:4] = -32_768
    actual = shown(tiff_of(samples, photometric="minisblack"))[..., 0]
    assert np.abs(actual[4:] - ramps()[4:, :, 0]).max() < 0.01
    assert 0 == actual[:4].max()


def two_pages(*, big: bool = False) -> bytes:
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer, bigtiff=big) as writer:
        writer.write(np.full((12, 16, 3), 9, np.uint8), photometric="rgb", subfiletype=1, metadata=None)
        writer.write(stored(ramps(), "u1"), photometric="rgb", metadata=None)
    return buffer.getvalue()


@pytest.mark.parametrize("big", [False, True])
def test_a_reduced_version_on_the_first_page_is_not_the_picture(big):
    """The picture is the first page that is none; both are counted."""
    decoded = decode(two_pages(big=big), limits=LIMITS, min_side=None)
    assert (WIDTH, HEIGHT, 2) == (decoded.metadata.width, decoded.metadata.height, decoded.metadata.frames)
    assert np.abs(np.asarray(decoded.pixels) / 255 - ramps()).max() < 0.01


def test_a_file_of_reduced_versions_only_gives_the_first():
    """There is nothing larger to show."""
    data = tiff_of(stored(ramps(), "u1"), photometric="rgb", subfiletype=1)
    assert Image.open(io.BytesIO(data)).size == decode(data, limits=LIMITS, min_side=None).pixels.size


@pytest.mark.skipif(not FIXTURES.exists(), reason="files beside the repository")
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("tiff-rgb16-planar.tif", Reason.UNSUPPORTED_FORMAT),
        ("bigtiff-big-endian.tif", Reason.UNSUPPORTED_FORMAT),
        ("tiff-grey16-miniswhite.tif", (0, 255)),
        ("tiff-g16-12bit-range.tif", (0, 255)),
        ("tiff-s16-srtm.tif", (0, 255)),
        ("tiff-thumb-first.tif", (20, 240)),
    ],
)
def test_files_as_they_were_found(name, expected):
    """What came out scrambled, negative, black or as its thumbnail, or was called damaged."""
    data = (FIXTURES / name).read_bytes()
    if isinstance(expected, Reason):
        assert expected == refusal(data)
        return
    actual = shown(data)
    assert expected == (round(actual.min() * 255), round(actual.max() * 255))
