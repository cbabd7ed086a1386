"""Finds the page of a TIFF that is the picture, its white level, and kinds that Pillow would get wrong."""

from __future__ import annotations

import struct
from typing import Final

from worker.errors import ImageRejectedError
from worker.images.pixels import Depth
from worker.images.tiff import Directory, Tiff
from worker.types import Reason

_NEW_SUBFILE_TYPE, _SUB_DIRECTORIES, _DNG_VERSION = 254, 330, 50706
_BITS, _COMPRESSION, _PHOTOMETRIC, _SAMPLES, _PLANAR, _FORMAT = 258, 259, 262, 277, 284, 339
_UNCOMPRESSED, _WHITE_IS_ZERO, _SEPARATE, _UNSIGNED, _SIGNED, _FLOAT = 1, 0, 2, 1, 2, 3
_MOST_PREVIEWS: Final = 64
#: By kind and bits of a sample; numpy's names.
_SWAPPED_TWICE: Final = {(_SIGNED, 16): "i2", (_SIGNED, 32): "i4", (_FLOAT, 32): "f4"}

#: White by the bits of a sample. Cameras and scanners have 12, 14 or 16 bits in 16.
_WHITES: Final = {12: (4_095,), 16: (4_095, 16_383, 65_535)}
_OTHER_WHITES: Final = (255, 65_535)


def picture_first(data: bytes) -> bytes:
    """The file as if it began with its first page that is not a reduced version of another; unchanged if it does.

    Pages of a camera's raw file stay as they are: there the picture is somewhere else.
    """
    tiff = Tiff.parse(data)
    if tiff is None:
        return data
    page, offset = tiff.directory(tiff.first), tiff.first
    if not _is_reduced(tiff, page) or {_SUB_DIRECTORIES, _DNG_VERSION} & page.entries.keys():
        return data
    for _ in range(_MOST_PREVIEWS):
        offset = tiff.next_directory(offset)
        page = tiff.directory(offset)
        if not offset or not page.entries:
            break
        if not _is_reduced(tiff, page):
            at, pointer = (8, "Q") if tiff.big else (4, "I")
            start = struct.pack(tiff.order + pointer, offset)
            return data[:at] + start + data[at + len(start) :]
    return data


def refuse_what_pillow_gets_wrong(tiff: Tiff, page: Directory, advice: str) -> None:
    """Some kinds are in order, and Pillow cannot open them or mixes up their samples.

    Raises:
        ImageRejectedError: ``UNSUPPORTED_FORMAT``.
    """
    bits = max((1, *tiff.integers(page.entries.get(_BITS))))
    separate = _first(tiff, page, _PLANAR, 1) == _SEPARATE
    kind = None
    if tiff.big and tiff.order == ">":
        kind = "BigTIFF with its high bytes first"
    elif separate and bits > 8 and (_first(tiff, page, _SAMPLES, 1) == 1 or not _compressed(tiff, page)):  # noqa: PLR2004
        kind = f"{bits} bits in separate planes"
    elif bits == 8 and _first(tiff, page, _FORMAT, _UNSIGNED) == _SIGNED:  # noqa: PLR2004
        kind = "8 bits with a sign"
    if kind:
        raise ImageRejectedError(
            Reason.UNSUPPORTED_FORMAT, f"a TIFF of this rare kind, {kind}, is not supported; {advice}"
        )


def depth_of(data: bytes) -> Depth:
    """What deep samples of a TIFF's first page mean."""
    tiff = Tiff.parse(data)
    if tiff is None:
        return Depth()
    page = tiff.directory(tiff.first)
    bits, kind = _first(tiff, page, _BITS, 1), _first(tiff, page, _FORMAT, _UNSIGNED)
    return Depth(
        whites=_WHITES.get(bits, _OTHER_WHITES),
        stretched=kind == _SIGNED and bits == 16,  # noqa: PLR2004 - heights
        inverted=_first(tiff, page, _PHOTOMETRIC, 1) == _WHITE_IS_ZERO,
        unsigned=kind == _UNSIGNED and bits == 32,  # noqa: PLR2004
        # libtiff has already swapped what it unpacked; Pillow does so again.
        swapped=_SWAPPED_TWICE.get((kind, bits)) if tiff.order == ">" and _compressed(tiff, page) else None,
        void=-(1 << bits - 1) if kind == _SIGNED and bits in {16, 32} else None,
    )


def _is_reduced(tiff: Tiff, page: Directory) -> bool:
    return bool(_first(tiff, page, _NEW_SUBFILE_TYPE, 0) & 1)


def _compressed(tiff: Tiff, page: Directory) -> bool:
    return _first(tiff, page, _COMPRESSION, _UNCOMPRESSED) != _UNCOMPRESSED


def _first(tiff: Tiff, page: Directory, tag: int, default: int) -> int:
    return next(iter(tiff.integers(page.entries.get(tag))), default)
