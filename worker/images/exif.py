"""EXIF of a picture. Cameras and editors write a lot of nonsense: a field that makes no sense is None.

Source of tags and their meaning: CIPA DC-008 (Exif 3.0).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import Final

from worker.images.exposure import Exposure, read_exposure
from worker.images.tiff import Directory, Entry, Tiff

_MAKE, _MODEL, _ORIENTATION = 0x010F, 0x0110, 0x0112
_EXIF_DIRECTORY, _GPS_DIRECTORY = 0x8769, 0x8825
#: Of the three times of a picture, the tags of the time and of its offset: taken, digitized, changed.
_ORIGINAL, _DIGITIZED, _CHANGED = (0x9003, 0x9011), (0x9004, 0x9012), (0x0132, 0x9010)
_LATITUDE_REF, _LATITUDE, _LONGITUDE_REF, _LONGITUDE, _ALTITUDE_REF, _ALTITUDE = range(1, 7)
_SEA_LEVEL_REFERENCES: Final = {(): 1.0, (0,): 1.0, (1,): -1.0, (2,): 1.0, (3,): -1.0}

_PREFIX: Final = b"Exif\0\0"
#: The seconds may have a fraction, and some write the offset behind them instead of into a tag of its own.
_DATE: Final = re.compile(
    r"(\d{4})[:-](\d\d)[:-](\d\d)[ T](\d\d):(\d\d):(\d\d)(?:[.,]\d*)? ?(?P<zone>Z|[+-]\d\d:?\d\d)?", re.ASCII
)
_OFFSET: Final = re.compile(r"([+-])(\d\d):?([0-5]\d)", re.ASCII)
#: The oldest photograph that survives is of about 1826; year 9999 cannot be moved to another time zone.
_YEARS: Final = range(1826, 9999)
_MOST_OFFSET: Final = timedelta(hours=14)
_ALTITUDES: Final = (-12_000.0, 1_000_000.0)  # metres: below the deepest trench, above the highest aircraft
_NO_EXPOSURE: Final = Exposure()


@dataclass(frozen=True, kw_only=True, slots=True)
class ExifFields:
    """The fields of EXIF that are kept."""

    orientation: int = 1  # 1..8
    taken_at: datetime | None = None  # aware only where EXIF gives an offset
    camera_make: str | None = None
    camera_model: str | None = None
    latitude: float | None = None  # degrees, south negative
    longitude: float | None = None  # degrees, west negative
    altitude: float | None = None  # metres above sea level
    exposure: Exposure = _NO_EXPOSURE


def read_exif(data: bytes | None) -> ExifFields:
    """The fields of an EXIF block (or of a TIFF file, which is one). Never raises."""
    tiff = Tiff.parse(data.removeprefix(_PREFIX).removeprefix(_PREFIX)) if data else None
    if tiff is None:
        return ExifFields()
    main = tiff.directory(tiff.first)
    exif = tiff.child(main, _EXIF_DIRECTORY)
    latitude, longitude, altitude = _position(tiff, tiff.child(main, _GPS_DIRECTORY))
    return ExifFields(
        orientation=_orientation(tiff, main),
        taken_at=_taken_at(tiff, main, exif),
        camera_make=tiff.text(main.entries.get(_MAKE)),
        camera_model=tiff.text(main.entries.get(_MODEL)),
        latitude=latitude,
        longitude=longitude,
        altitude=altitude,
        exposure=read_exposure(tiff, exif),
    )


def _orientation(tiff: Tiff, main: Directory) -> int:
    values = tiff.integers(main.entries.get(_ORIENTATION))
    return values[0] if values and values[0] in range(1, 9) else 1


def _taken_at(tiff: Tiff, main: Directory, exif: Directory) -> datetime | None:
    """When the picture was taken; else digitized, which cameras do at once; else last changed."""
    places = ((exif, _ORIGINAL), (exif, _DIGITIZED), (main, _CHANGED))
    found = (_time(tiff, there.entries.get(time), exif.entries.get(offset)) for there, (time, offset) in places)
    return next((each for each in found if each is not None), None)


def _time(tiff: Tiff, time: Entry | None, offset: Entry | None) -> datetime | None:
    match = _DATE.match(tiff.text(time) or "")
    if match is None or int(match[1]) not in _YEARS:
        return None
    year, month, day, hour, minute, second = map(int, match.groups()[:6])
    zone = _zone(match["zone"]) or _zone(tiff.text(offset))
    try:
        return datetime(year, month, day, hour, minute, second, tzinfo=zone)
    except ValueError:  # a month 13, a second 60
        return None


def _zone(text: str | None) -> timezone | None:
    if text == "Z":
        return UTC
    match = _OFFSET.fullmatch(text or "")
    if match is None:
        return None
    offset = timedelta(hours=int(match[2]), minutes=int(match[3]))
    return timezone(-offset if match[1] == "-" else offset) if offset <= _MOST_OFFSET else None


def _position(tiff: Tiff, gps: Directory) -> tuple[float | None, float | None, float | None]:
    entries = gps.entries
    latitude = _angle(tiff, entries.get(_LATITUDE), entries.get(_LATITUDE_REF), signs={"N": 1, "S": -1}, most=90)
    longitude = _angle(tiff, entries.get(_LONGITUDE), entries.get(_LONGITUDE_REF), signs={"E": 1, "W": -1}, most=180)
    altitude = _altitude(tiff, gps)
    # Half a position is none, and receivers without a fix write 0° 0°, a point in the Atlantic.
    if latitude is None or longitude is None or latitude == longitude == 0:
        return None, None, altitude
    return latitude, longitude, altitude


def _angle(tiff: Tiff, entry: Entry | None, ref: Entry | None, *, signs: dict[str, int], most: int) -> float | None:
    sign = signs.get((tiff.text(ref) or "").upper())
    pairs = tiff.rationals(entry)
    if sign is None or not 1 <= len(pairs) <= 3:  # noqa: PLR2004 - degrees, minutes, seconds
        return None
    # 0/0 is "unknown": of minutes and seconds, the degrees say where it was all the same.
    parts = [_quotient(pairs[0]), *(0.0 if pair == (0, 0) else _quotient(pair) for pair in pairs[1:])]
    degrees, minutes, seconds = (*parts, 0.0, 0.0)[:3]
    if degrees is None or minutes is None or seconds is None:
        return None
    if min(degrees, minutes, seconds) < 0 or max(minutes, seconds) > 60:  # noqa: PLR2004 - some receivers round up to 60
        return None
    value = degrees + minutes / 60 + seconds / 3600
    return sign * value if value <= most else None


def _altitude(tiff: Tiff, gps: Directory) -> float | None:
    pairs = tiff.rationals(gps.entries.get(_ALTITUDE))
    metres = _quotient(pairs[0]) if pairs else None
    sign = _SEA_LEVEL_REFERENCES.get(tiff.integers(gps.entries.get(_ALTITUDE_REF))[:1])
    if metres is None or sign is None:
        return None
    low, high = _ALTITUDES
    return sign * metres if low <= sign * metres <= high else None


def _quotient(pair: tuple[int, int]) -> float | None:
    numerator, denominator = pair
    return numerator / denominator if denominator else None
