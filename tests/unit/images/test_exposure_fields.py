"""The camera's settings: what a camera can have is kept, anything else is None, and nothing raises."""

from __future__ import annotations

import math
import struct
from dataclasses import astuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.images.test_exif_fields import block, rationals, text
from worker.images.exif import read_exif
from worker.images.exposure import Exposure

Tag = tuple[int, bytes]


def exposure(tags: dict[int, Tag]) -> Exposure:
    return read_exif(block(main={}, exif=tags, gps={})).exposure


def short(*values: int) -> Tag:
    return 3, struct.pack(f">{len(values)}H", *values)


def long(*values: int) -> Tag:
    return 4, struct.pack(f">{len(values)}I", *values)


def test_a_camera_says_how_it_took_the_picture() -> None:
    """All fields, as a camera writes them."""
    tags = {
        0x829A: rationals((1, 250)),
        0x829D: rationals((28, 10)),
        0x8827: short(400),
        0x920A: rationals((350, 10)),
        0xA405: short(52),
        0xA433: text(b"Acme"),
        0xA434: text(b"Acme 35 mm f/2"),
    }
    expected = Exposure(
        iso=400,
        exposure_time=0.004,
        f_number=2.8,
        focal_length=35.0,
        focal_length_35mm=52,
        lens_make="Acme",
        lens_model="Acme 35 mm f/2",
    )
    assert expected == exposure(tags)


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ({0x8827: short(100)}, 100),
        ({0x8827: short(800, 0)}, 800),  # a list
        ({0x8827: long(102_400)}, 102_400),
        ({0x8827: short(65_535), 0x8832: long(204_800)}, 204_800),
        ({0x8827: short(65_535), 0x8831: long(409_600)}, 409_600),
        ({0x8827: short(65_535)}, 65_535),
        ({0x8827: short(0), 0x8832: long(320)}, 320),
        ({0x8832: long(0), 0x8831: long(640)}, 640),
        ({0x8827: short(0)}, None),
        ({0x8827: long(4_294_967_295)}, None),
        ({0x8827: rationals((100, 1))}, None),
        ({0x8827: text(b"100")}, None),
        ({}, None),
    ],
)
def test_a_sensitivity_that_does_not_fit_is_in_another_tag(tags: dict[int, Tag], expected: int | None) -> None:
    """65,535 means "or more"."""
    assert expected == exposure(tags).iso


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ({0x829A: rationals((30, 1))}, 30.0),
        ({0x829A: rationals((1, 0))}, None),
        ({0x829A: rationals((0, 0))}, None),
        ({0x829A: rationals((0, 1))}, None),
        ({0x829A: rationals((-1, 60), kind=10)}, None),
        ({0x829A: rationals((4_294_967_295, 1))}, None),
        ({0x9201: rationals((8, 1), kind=10)}, 0.00391),
        ({0x9201: rationals((-5, 1), kind=10)}, 32.0),
        ({0x9201: rationals((-2_147_483_648, 1), kind=10)}, None),
        ({0x829A: rationals((0, 0)), 0x9201: rationals((0, 1), kind=10)}, None),
        ({0x829A: long(2)}, 2.0),
    ],
)
def test_an_exposure_takes_some_time(tags: dict[int, Tag], expected: float | None) -> None:
    """In seconds, from its own tag or else from the logarithm; never none, infinite or before it began."""
    assert expected == exposure(tags).exposure_time


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ({0x829D: rationals((18, 10))}, 1.8),
        ({0x9202: rationals((3, 1))}, 2.83),
        ({0x829D: rationals((0, 1)), 0x9202: rationals((0, 1))}, None),  # a lens without contacts
        ({0x829D: rationals((4_294_967_295, 1))}, None),
        ({0x9202: rationals((4_294_967_295, 1))}, None),
        ({0x9202: rationals((0, 0))}, None),
    ],
)
def test_an_aperture_is_a_number_that_lenses_have(tags: dict[int, Tag], expected: float | None) -> None:
    """From its own tag, or else from the logarithm."""
    assert expected == exposure(tags).f_number


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ({0x920A: rationals((0, 1)), 0xA405: short(0)}, (None, None)),
        ({0x920A: rationals((0, 0)), 0xA405: short(65_535)}, (None, None)),
        ({0x920A: rationals((4_294_967_295, 1)), 0xA405: short(28)}, (None, 28)),
        ({0x920A: rationals((-50, 1), kind=10)}, (None, None)),
    ],
)
def test_a_focal_length_is_a_length(tags: dict[int, Tag], expected: tuple[float | None, int | None]) -> None:
    """0 means unknown."""
    found = exposure(tags)
    assert expected == (found.focal_length, found.focal_length_35mm)


def test_a_lens_is_clean_text() -> None:
    """As a camera is: Latin-1 is read, terminators and control characters are not."""
    found = exposure({0xA433: text(b"Sch\xf6n\0\0junk"), 0xA434: text(b"\0\0\0\0")})
    assert ("Schön", None) == (found.lens_make, found.lens_model)


@given(st.dictionaries(st.sampled_from((0x829A, 0x829D, 0x8827, 0x9201, 0x9202, 0x920A, 0xA405)), st.binary(
    min_size=8, max_size=8), max_size=7), st.sampled_from((3, 4, 5, 10)))  # fmt: skip
def test_any_numbers_are_some_settings(values: dict[int, bytes], kind: int) -> None:
    """Whatever is written there: finite and positive, or None."""
    for value in astuple(exposure({tag: (kind, data) for tag, data in values.items()})):
        assert value is None or (math.isfinite(value) and value > 0)
