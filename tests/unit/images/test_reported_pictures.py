"""Files of kinds that people reported of other products: each says what its viewers say."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.unit.images.corpus import LIMITS
from worker.images import DecodedImage, read_image

REPORTED = Path(__file__).parents[2] / "fixtures/images/reported"


def read(data: bytes) -> DecodedImage:
    return read_image(data, limits=LIMITS, min_side=None)


def reported(name: str) -> DecodedImage:
    return read((REPORTED / name).read_bytes())


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("date-only-digitized.jpg", datetime(2003, 5, 6, 7, 8, 9)),  # noqa: DTZ001 - EXIF gives no zone
        ("date-zeros-created-valid.jpg", datetime(2007, 2, 19)),  # noqa: DTZ001
        ("date-zone-inside.jpg", datetime(2025, 1, 14, 18, 31, 30, tzinfo=UTC)),
    ],
)
def test_the_time_is_found_where_the_camera_left_it(name: str, expected: datetime) -> None:
    """Also if only the second of three times is one, or the zone stands behind the time."""
    taken = reported(name).metadata.taken_at
    assert expected == taken
    assert expected.utcoffset() == (taken and taken.utcoffset())


def test_a_position_without_seconds_is_one() -> None:
    """0/0 seconds are unknown; degrees and minutes are not."""
    metadata = reported("gps-sec-zero-den.jpg").metadata
    assert pytest.approx((48.855, 2.295)) == (metadata.latitude, metadata.longitude)


def test_umlauts_in_latin_1_are_umlauts() -> None:
    """EXIF says nothing of how letters beyond ASCII are written."""
    assert "Köln Kamera" == reported("text-latin1.jpg").metadata.camera_make


def test_a_heic_of_an_unknown_brand_is_read() -> None:
    """It is compatible with one that is known, and the same picture under that brand."""
    data = (REPORTED / "heic-unknown-brand.heic").read_bytes()
    known = data.replace(b"ftypMiHE", b"ftypheic")
    assert known != data
    actual, expected = read(data), read(known)
    assert np.array_equal(np.asarray(actual.pixels), np.asarray(expected.pixels))
    assert ("HEIF", 256, 192) == (actual.metadata.format, actual.metadata.width, actual.metadata.height)


def test_a_heic_is_turned_by_its_container_alone() -> None:
    """Without a rotation there it lies as it is coded, whatever its EXIF says (ISO/IEC 23008-12, A.2.1)."""
    turned = reported("heic-exif6-no-irot.heic")
    assert (256, 192) == turned.pixels.size == (turned.metadata.width, turned.metadata.height)
    assert 6 == turned.metadata.orientation


def test_a_png_whose_exif_comes_last_is_turned() -> None:
    """The chunk may stand behind the picture's data."""
    path = REPORTED / "png-exif6-after.png"
    turned = reported(path.name)
    with Image.open(path) as stored:
        expected = stored.convert("RGB").transpose(Image.Transpose.ROTATE_270)
    assert np.array_equal(np.asarray(expected), np.asarray(turned.pixels))
    assert (192, 256) == (turned.metadata.width, turned.metadata.height)
