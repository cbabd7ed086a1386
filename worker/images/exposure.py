"""Exposure and lens from EXIF. A value that no camera can have is None.

Source of tags and units: CIPA DC-008 (Exif 3.0), 4.6.6 and annex C (APEX).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from worker.images.tiff import Directory, Tiff

_EXPOSURE_TIME, _F_NUMBER, _SENSITIVITY = 0x829A, 0x829D, 0x8827
_STANDARD_OUTPUT_SENSITIVITY, _RECOMMENDED_EXPOSURE_INDEX, _ISO_SPEED = 0x8831, 0x8832, 0x8833
_SHUTTER_SPEED, _APERTURE, _FOCAL_LENGTH, _FOCAL_LENGTH_35MM = 0x9201, 0x9202, 0x920A, 0xA405
_LENS_MAKE, _LENS_MODEL = 0xA433, 0xA434

#: What a sensitivity of two bytes says when it does not fit: it is in one of these.
_BEYOND: Final = 65_535
_LONG_SENSITIVITIES: Final = (_RECOMMENDED_EXPOSURE_INDEX, _STANDARD_OUTPUT_SENSITIVITY, _ISO_SPEED)

# From the least to the most, with room beyond what was ever built.
_SENSITIVITIES: Final = (1, 100_000_000)
_SECONDS: Final = (1e-9, 1e7)  # months are exposures, too
_F_NUMBERS: Final = (0.1, 10_000)  # pinholes are beyond 300
_MILLIMETRES: Final = (0.01, 1_000_000)
_MILLIMETRES_35: Final = (1, _BEYOND - 1)
_MOST_APEX: Final = 64


@dataclass(frozen=True, kw_only=True, slots=True)
class Exposure:
    """The camera's settings."""

    iso: int | None = None  # sensitivity
    exposure_time: float | None = None  # seconds
    f_number: float | None = None
    focal_length: float | None = None  # millimetres
    focal_length_35mm: int | None = None  # millimetres that give the same angle on 35 mm film
    lens_make: str | None = None
    lens_model: str | None = None


def read_exposure(tiff: Tiff, exif: Directory) -> Exposure:
    """The settings in an EXIF directory. Never raises."""
    return Exposure(
        iso=_iso(tiff, exif),
        exposure_time=_exposure_time(tiff, exif),
        f_number=_f_number(tiff, exif),
        focal_length=_within(_MILLIMETRES, _quotient(tiff, exif, _FOCAL_LENGTH)),
        focal_length_35mm=_whole(_MILLIMETRES_35, _first(tiff, exif, _FOCAL_LENGTH_35MM)),
        lens_make=tiff.text(exif.entries.get(_LENS_MAKE)),
        lens_model=tiff.text(exif.entries.get(_LENS_MODEL)),
    )


def _iso(tiff: Tiff, exif: Directory) -> int | None:
    short = _first(tiff, exif, _SENSITIVITY)
    if short is not None and 0 < short < _BEYOND:
        return _whole(_SENSITIVITIES, short)
    found = (_whole(_SENSITIVITIES, _first(tiff, exif, tag)) for tag in _LONG_SENSITIVITIES)
    long = next((each for each in found if each is not None), None)
    return long if long is not None else _whole(_SENSITIVITIES, short)


def _exposure_time(tiff: Tiff, exif: Directory) -> float | None:
    seconds = _within(_SECONDS, _quotient(tiff, exif, _EXPOSURE_TIME))
    if seconds is not None or _EXPOSURE_TIME in exif.entries:
        return seconds
    value = _within((-_MOST_APEX, _MOST_APEX), _quotient(tiff, exif, _SHUTTER_SPEED))
    return None if value is None else _within(_SECONDS, _rounded(2**-value))


def _f_number(tiff: Tiff, exif: Directory) -> float | None:
    number = _within(_F_NUMBERS, _quotient(tiff, exif, _F_NUMBER))
    if number is not None or _F_NUMBER in exif.entries:  # 0 is a lens without contacts: the other tag is no better
        return number
    value = _within((-_MOST_APEX, _MOST_APEX), _quotient(tiff, exif, _APERTURE))
    return None if value is None else _within(_F_NUMBERS, _rounded(2 ** (value / 2)))


def _quotient(tiff: Tiff, exif: Directory, tag: int) -> float | None:
    """The first value of a rational tag; of an integer one, too, as some write it."""
    entry = exif.entries.get(tag)
    pair = next(iter(tiff.rationals(entry)), None)
    if pair is None:
        return next(iter(tiff.integers(entry)), None)
    return pair[0] / pair[1] if pair[1] else None


def _first(tiff: Tiff, exif: Directory, tag: int) -> int | None:
    return next(iter(tiff.integers(exif.entries.get(tag))), None)


def _within(bounds: tuple[float, float], value: float | None) -> float | None:
    return float(value) if value is not None and bounds[0] <= value <= bounds[1] else None


def _whole(bounds: tuple[int, int], value: int | None) -> int | None:
    return value if value is not None and bounds[0] <= value <= bounds[1] else None


def _rounded(value: float) -> float:
    """Round to the precision of a logarithm with a few digits."""
    return float(f"{value:.3g}")
