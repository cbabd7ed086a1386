"""EXIF: what makes sense is kept, nonsense is None, and nothing raises."""

from __future__ import annotations

import struct
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.images.corpus import photo_exif
from worker.images.exif import ExifFields, read_exif

Rational = tuple[int, int]
GOOD = ((22, 1), (54, 1), (3600, 100))


def block(
    *, main: dict[int, tuple[int, bytes]], exif: dict[int, tuple[int, bytes]], gps: dict[int, tuple[int, bytes]]
) -> bytes:
    """A big-endian EXIF block: directories of tag to type and packed values."""
    sizes = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 10: 8, 129: 1}
    data = bytearray(b"MM\0*\0\0\0\x08")
    pointers = {0x8769: exif, 0x8825: gps}

    def directory(at: int, tags: dict[int, tuple[int, bytes]]) -> None:
        assert at == len(data)
        data.extend(bytes(2 + 12 * len(tags) + 4))
        struct.pack_into(">H", data, at, len(tags))
        for number, (tag, (kind, values)) in enumerate(sorted(tags.items())):
            where = at + 2 + 12 * number
            struct.pack_into(">HHI", data, where, tag, kind, len(values) // sizes[kind])
            if tag in pointers and kind == 4:
                struct.pack_into(">I", data, where + 8, len(data))
                directory(len(data), pointers[tag])
            elif len(values) <= 4:
                data[where + 8 : where + 8 + len(values)] = values
            else:
                struct.pack_into(">I", data, where + 8, len(data))
                data.extend(values)

    directory(8, main | {0x8769: (4, b"\0" * 4), 0x8825: (4, b"\0" * 4)})
    return b"Exif\0\0" + bytes(data)


def rationals(*pairs: Rational, kind: int = 5) -> tuple[int, bytes]:
    return kind, b"".join(struct.pack(">II" if kind == 5 else ">ii", *pair) for pair in pairs)


def text(value: bytes) -> tuple[int, bytes]:
    return 2, value + b"\0"


def taken_at(value: bytes, offset: bytes | None = None) -> datetime | None:
    tags = {0x9003: text(value)} | ({0x9011: text(offset)} if offset is not None else {})
    return read_exif(block(main={}, exif=tags, gps={})).taken_at


def position(
    latitude: tuple[Rational, ...] = GOOD, longitude: tuple[Rational, ...] = GOOD, refs: bytes = b"NE", kind: int = 5
) -> tuple[float | None, float | None]:
    tags = {
        1: text(refs[:1]),
        2: rationals(*latitude, kind=kind),
        3: text(refs[1:2]),
        4: rationals(*longitude, kind=kind),
    }
    fields = read_exif(block(main={}, exif={}, gps=tags))
    return fields.latitude, fields.longitude


def altitude(pair: Rational, ref: tuple[int, bytes] | None) -> float | None:
    tags = {6: rationals(pair)} | ({5: ref} if ref else {})
    return read_exif(block(main={}, exif={}, gps=tags)).altitude


@pytest.mark.parametrize(
    ("value", "offset", "expected"),
    [
        (b"2024:02:29 23:59:58", None, datetime(2024, 2, 29, 23, 59, 58)),  # noqa: DTZ001 - EXIF gives no zone
        (b"2024-02-29T23:59:58", None, datetime(2024, 2, 29, 23, 59, 58)),  # noqa: DTZ001
        (b"2024:02:29 23:59:58", b"Z", datetime(2024, 2, 29, 23, 59, 58, tzinfo=UTC)),
        (
            b"2024:02:29 23:59:58",
            b"+05:45",
            datetime(2024, 2, 29, 23, 59, 58, tzinfo=timezone(timedelta(hours=5, minutes=45))),
        ),
        (b"2024:02:29 23:59:58", b"+99:00", datetime(2024, 2, 29, 23, 59, 58)),  # noqa: DTZ001
        (b"2024:02:29 23:59:58", b"   :  ", datetime(2024, 2, 29, 23, 59, 58)),  # noqa: DTZ001
        (b"2024:02:29 23:59:58", b"+0130", datetime(2024, 2, 29, 23, 59, 58, tzinfo=timezone(timedelta(minutes=90)))),
        (b"2024:02:29 23:59:58Z", None, datetime(2024, 2, 29, 23, 59, 58, tzinfo=UTC)),
        (b"2024:02:29 23:59:58+01:30", b"Z", datetime(2024, 2, 29, 23, 59, 58, tzinfo=timezone(timedelta(minutes=90)))),
        (
            b"2024:02:29 23:59:58.25-0230",
            None,
            datetime(2024, 2, 29, 23, 59, 58, tzinfo=timezone(-timedelta(minutes=150))),
        ),
        (b"2024:02:29 23:59:58+99:99", None, datetime(2024, 2, 29, 23, 59, 58)),  # noqa: DTZ001
        (b"2023:02:29 23:59:58", None, None),
        (b"0000:00:00 00:00:00", None, None),
        (b"    :  :     :  :  ", None, None),
        (b"0001:01:01 00:00:00", b"+14:00", None),
        (b"9999:12:31 23:59:59", b"-12:00", None),
        (b"2024:13:01 00:00:00", None, None),
        (b"2024:01:01 24:00:60", None, None),
        (b"\xff\xfe\0\0", None, None),
        (b"", None, None),
    ],
)
def test_a_time_is_kept_if_it_exists(value, offset, expected):
    """Aware only with a sound offset; days and years that cannot be are None."""
    actual = taken_at(value, offset)
    assert expected == actual
    assert (expected and expected.utcoffset()) == (actual and actual.utcoffset())


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        ({0x9003: b"2024:01:01 00:00:00", 0x9004: b"2024:02:02 00:00:00", 0x0132: b"2024:03:03 00:00:00"}, 1),
        ({0x9003: b"0000:00:00 00:00:00", 0x9004: b"2024:02:02 00:00:00", 0x0132: b"2024:03:03 00:00:00"}, 2),
        ({0x9004: b"    :  :     :  :  ", 0x0132: b"2024:03:03 00:00:00"}, 3),
        ({0x0132: b"2024:03:03 00:00:00"}, 3),
        ({}, None),
    ],
)
def test_the_first_time_that_exists_counts(times: dict[int, bytes], expected: int | None) -> None:
    """Taken, else digitized, else changed; each with an offset of its own, in minutes here."""
    offsets = {0x9011: text(b"+00:01"), 0x9012: text(b"+00:02"), 0x9010: text(b"+00:03")}
    main = {tag: text(value) for tag, value in times.items() if tag == 0x0132}
    exif = {tag: text(value) for tag, value in times.items() if tag != 0x0132} | offsets
    found = read_exif(block(main=main, exif=exif, gps={})).taken_at
    zone = None if expected is None else timezone(timedelta(minutes=expected))
    assert (expected and datetime(2024, expected, expected, tzinfo=zone)) == found
    assert zone == (found and found.tzinfo)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({}, (22.91, 22.91)),
        ({"latitude": ((22, 1), (30, 1), (0, 0))}, (22.5, 22.91)),
        ({"latitude": ((22, 1), (0, 0), (0, 0))}, (22.0, 22.91)),
        ({"latitude": ((22, 1), (30, 1), (5, 0))}, (None, None)),
        ({"latitude": ((0, 0), (30, 1), (0, 1))}, (None, None)),
        ({"refs": b"SW"}, (-22.91, -22.91)),
        ({"refs": b"sw"}, (-22.91, -22.91)),
        ({"refs": b"XE"}, (None, None)),
        ({"refs": b"\0\0"}, (None, None)),
        ({"latitude": ((91, 1),)}, (None, None)),
        ({"latitude": ((90, 1),), "longitude": ((180, 1),)}, (90, 180)),
        ({"longitude": ((181, 1), (0, 1), (0, 1))}, (None, None)),
        ({"latitude": ((22, 0), (0, 0), (0, 0))}, (None, None)),
        ({"latitude": ((22, 1), (61, 1), (0, 1))}, (None, None)),
        ({"latitude": ((0, 1),), "longitude": ((0, 1),)}, (None, None)),
        ({"latitude": GOOD * 2}, (None, None)),
        ({"latitude": ((-22, 1), (0, 1), (0, 1)), "kind": 10}, (None, None)),
        ({"latitude": ((45, 2),)}, (22.5, 22.91)),
    ],
)
def test_a_position_is_kept_if_it_is_on_earth(arguments, expected):
    """Signed degrees; half a position, an impossible one and the null island are none."""
    assert expected == pytest.approx(position(**arguments))


@pytest.mark.parametrize(
    ("pair", "ref", "expected"),
    [
        ((3, 2), None, 1.5),
        ((3, 2), (1, b"\0"), 1.5),
        ((3, 2), (1, b"\1"), -1.5),
        ((3, 2), (1, b"\x09"), None),
        ((3, 0), (1, b"\0"), None),
        ((4_000_000_000, 1), None, None),
        ((20_000, 1), (1, b"\1"), None),
    ],
)
def test_an_altitude_has_a_sign_and_bounds(pair, ref, expected):
    """Below sea level is negative; what no camera reaches is None."""
    assert expected == altitude(pair, ref)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (text(b"Canon"), "Canon"),
        (text(b"\0\0 NIKON CORPORATION  \0\0\0"), "NIKON CORPORATION"),
        (text(b"Canon\0secret"), "Canon"),
        (text(b"L\xc3\xa9ica\n"), "Léica"),
        (text(b"L\xe9ica"), "Léica"),  # Latin-1
        (text(b"Caf\xe9"), "Café"),  # which might be UTF-8 that was cut
        (text(b"\xe5\xb0\xbc\xe5\xba\xb7\xe5"), "尼康"),  # and this is
        ((129, "Léica".encode() + b"\0"), "Léica"),
        (text(b"\xff\xff\xff\xff\xff"), None),  # memory that nobody wrote to
        (text(b"\xff\x01\x02"), None),
        (text(b""), None),
        (rationals((1, 1)), None),
        ((3, b"\0\1\0\2"), None),
    ],
)
def test_a_camera_is_clean_text(value, expected):
    """Padding, terminators and control characters go; what is not text is None."""
    assert expected == read_exif(block(main={0x010F: value}, exif={}, gps={})).camera_make


@pytest.mark.parametrize(
    ("value", "expected"),
    [((3, b"\0\6"), 6), ((4, b"\0\0\0\x08"), 8), ((3, b"\0\0"), 1), ((3, b"\0\x09"), 1), (text(b"6"), 1)],
)
def test_an_orientation_is_one_to_eight(value, expected):
    """Anything else means upright."""
    assert expected == read_exif(block(main={0x0112: value}, exif={}, gps={})).orientation


@pytest.mark.parametrize("data", [None, b"", b"Exif\0\0", b"II*\0", b"MM\0*\xff\xff\xff\xff", b"MM\0*\0\0\0\0"])
def test_no_exif_is_no_error(data):
    """Absent and empty blocks give the defaults."""
    assert ExifFields() == read_exif(data)


@given(st.data())
def test_damaged_exif_never_raises(data):
    """Any bytes of a real block may be anything, and it may end anywhere."""
    damaged = bytearray(photo_exif().tobytes())
    places = st.tuples(st.integers(6, len(damaged) - 1), st.integers(0, 255))
    for at, value in data.draw(st.lists(places, max_size=8)):
        damaged[at] = value
    fields = read_exif(bytes(damaged[: data.draw(st.integers(0, len(damaged)))]))
    assert fields.orientation in range(1, 9)
    assert fields.latitude is None or -90 <= fields.latitude <= 90
    assert fields.longitude is None or -180 <= fields.longitude <= 180
    assert fields.taken_at is None or 1826 <= fields.taken_at.year < 9999
    assert "\0" not in (fields.camera_make or "") + (fields.camera_model or "")


@given(st.binary(max_size=200))
def test_any_bytes_are_some_exif(data):
    """Reading is total."""
    assert read_exif(b"MM\0*\0\0\0\x08" + data).orientation in range(1, 9)
