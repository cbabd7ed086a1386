"""Walks the markers of a JPEG with limits, before any decoder does so without.

Pillow reads headers in Python, byte by byte where they are padded; libjpeg goes over the whole picture for every scan
of a progressive one. Source: ITU-T T.81, annex B.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from worker.errors import ImageRejectedError
from worker.types import Reason

#: Neither padding, escaped data nor a marker that has no length.
_MARKER: Final = re.compile(rb"\xff[^\x00\x01\xff\xd0-\xd8]")
_END_OF_IMAGE, _START_OF_SCAN, _APP1, _APP2 = 0xD9, 0xDA, 0xE1, 0xE2
_FRAMES: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
#: Frames that are Huffman-coded: baseline, extended and progressive. What others take is not known from their headers.
_HUFFMAN: Final = frozenset((0xC0, 0xC1, 0xC2))
_PROGRESSIVE: Final = frozenset((0xC2, 0xCA))
_EXIF, _MULTI_PICTURE = b"Exif\0\0", b"MPF\0"
_APP0, _APP14, _JFIF, _ADOBE, _PROFILE = 0xE0, 0xEE, b"JFIF\0", b"Adobe", b"ICC_PROFILE\0"
_HUFFMAN_TABLES, _AC_TABLE, _TABLE_HEAD = 0xC4, 0x10, 17
_END: Final = b"\xff\xd9"
#: Frames of which a scan has all coefficients of its blocks.
_SEQUENTIAL: Final = frozenset((0xC0, 0xC1))
#: Bytes that no picture has one after the other, unless zeros are how it says "nothing more in this block".
_ZEROS: Final = bytes(256)

#: Encoders write some ten segments, and one for each 64 KiB of profiles, previews and depth maps.
_MOST_SEGMENTS: Final = 4_096
#: Encoders write some ten scans, and at most four times as many other segments between them.
_MOST_SCANS: Final = 1_000
#: Bytes between the segments in front of the first scan, which mean nothing.
_MOST_PADDING: Final = 1 << 16
#: Pillow joins all EXIF segments and reads the resolution from them.
_MOST_EXIF_SEGMENTS: Final = 16


@dataclass(frozen=True, kw_only=True, slots=True)
class JpegStructure:
    """Facts from a JPEG's markers."""

    huffman: bool  # and not arithmetic or lossless
    buffered: bool  # every sample's coefficient is kept until the last scan
    components: int  # 1 to 4
    samples: int  # of all components together, with what pads the last blocks
    segments: int  # in front of the first scan
    metadata: int  # bytes of these
    scans: int
    directories: tuple[bytes, ...]  # TIFF structures in front of the first scan: EXIF, and an index of pictures

    @property
    def opening_seconds(self) -> float:
        """What Pillow may take to go over the metadata, some of which it takes apart in Python."""
        return self.segments * 20e-6 + self.metadata * 200e-9


def jpeg_structure(data: bytes) -> JpegStructure:
    """Walk over all segments before the first scan; and over all scans of a picture with several.

    Raises:
        ImageRejectedError: ``CORRUPT`` or ``TOO_MUCH_WORK``; more of something than any encoder writes.
    """
    walk = _markers(data)
    head = list(_head(walk))
    last, scan = head[-1] if head else (0, 0)
    if last != _START_OF_SCAN:
        message = f"the JPEG file ends before its picture begins ({len(data):,} bytes); upload it again"
        raise ImageRejectedError(Reason.TRUNCATED, message)
    marker, frame = next(((kind, data[at + 4 : at + 22]) for kind, at in head if kind in _FRAMES), (0, b""))
    components = frame[5] if len(frame) > 5 else 0  # noqa: PLR2004 - precision, height, width, components
    several = marker in _PROGRESSIVE or data[scan + 4 : scan + 5] < bytes([components])
    return JpegStructure(
        huffman=marker in _HUFFMAN,
        buffered=several,
        components=components,
        samples=_samples(frame, components),
        segments=len(head),
        metadata=scan,
        scans=_scans(walk) if several else 1,
        directories=_directories(data, head),
    )


def jpeg_ends_early(data: bytes) -> bool:
    """Whether the picture's end is missing."""
    scan = next((at for kind, at in _head(_markers(data)) if kind == _START_OF_SCAN), None)
    return scan is None or data.find(_END, scan) < 0


def plain_jpeg(data: bytes) -> bytes:
    """The same picture without what decoders warn of though its data are in order; the data themselves if that is all.

    Left out are bytes between the segments in front of the picture, and profiles. Mended are revisions of JFIF and
    colours of Adobe that nobody defined, numbers of coefficients where a scan always has all, and a missing end.
    """
    head = list(_head(_markers(data)))
    bounds = [(at, _end(data, at)) for _, at in head]
    segments = [data[at:end] for at, end in bounds]
    frame = next((segment for segment in segments if segment[1] in _FRAMES), b"")
    plain = [_plain_segment(segment, frame) for segment in segments]
    picture = bounds[-1][1] if bounds else len(data)
    unbroken = [2, *(end for _, end in bounds[:-1])] == [at for at, _ in bounds]
    ended = data.endswith(_END) or data.rfind(_END, picture) >= 0
    if ended and unbroken and plain == segments:
        return data
    return b"".join((data[:2], *plain, memoryview(data)[picture:], b"" if ended else _END))


def has_hole(data: bytes) -> bool:
    """Whether zeros stand where a scan's data should: with its tables they would mean blocks that no picture has.

    Zeros repeat the shortest code. Unless that is the end of a block, as in flat pictures, it is the same coefficient
    in every place of a block, in block after block.
    """
    first = next((_end(data, at) for kind, at in _head(_markers(data)) if kind == _START_OF_SCAN), len(data))
    if data.find(_ZEROS, first) < 0:
        return False
    meanings: dict[int, int] = {}
    scan = None  # where the data begin of one in which zeros have no place
    for kind, at, _ in _markers(data):
        if scan is not None and data.find(_ZEROS, scan, at) >= 0:
            return True
        segment, scan = data[at : _end(data, at)], None
        if kind == _HUFFMAN_TABLES:
            meanings |= _shortest_codes(segment[4:])
        elif kind == _START_OF_SCAN and any(meanings.get(table, 0) & 15 for table in _tables_of(segment)):
            scan = _end(data, at)
    end = -1 if scan is None else data.find(_END, scan)
    return scan is not None and data.find(_ZEROS, scan, end if end >= 0 else len(data)) >= 0


def _tables_of(scan: bytes) -> set[int]:
    """The tables of coefficients that a scan uses; none where it has only the blocks' means. Source: T.81, B.2.3."""
    return {_AC_TABLE | packed & 15 for packed in scan[6:-3:2]} if scan[-2:-1] != b"\0" else set()


def _shortest_codes(tables: bytes) -> dict[int, int]:
    """What the code of zeros means, by table: a run and, in the lower half, a size. Source: T.81, B.2.4.2, C.2."""
    found, at = {}, 0
    while at + _TABLE_HEAD < len(tables):
        found[tables[at]] = tables[at + _TABLE_HEAD]
        at += _TABLE_HEAD + sum(tables[at + 1 : at + _TABLE_HEAD])
    return found


def _plain_segment(segment: bytes, frame: bytes) -> bytes:
    if segment[1] == _APP0 and segment.startswith(_JFIF, 4):
        return segment[:9] + b"\1" + segment[10:]
    if segment[1] == _APP2 and segment.startswith(_PROFILE, 4):
        return b""
    if segment[1] == _APP14 and segment.startswith(_ADOBE, 4) and segment[15:16] != b"\0":
        return segment[:15] + (b"\2" if frame[9:10] == b"\4" else b"\1") + segment[16:]
    if segment[1] == _START_OF_SCAN and frame[1:2] in {b"\xc0", b"\xc1"}:
        return segment[:-3] + b"\0\x3f\0"
    return segment


def _markers(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Every segment up to the end of the picture: its marker, where it is, and how many bytes before it mean nothing.

    The bytes before a segment that follows a scan are the scan.
    """
    at = 2
    while (match := _MARKER.search(data, at)) and data[match.start() + 1] != _END_OF_IMAGE:
        yield data[match.start() + 1], match.start(), match.start() - at
        at = _end(data, match.start())


def _end(data: bytes, at: int) -> int:
    return at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")


def _head(walk: Iterator[tuple[int, int, int]]) -> Iterator[tuple[int, int]]:
    """The segments up to the first scan, and that one."""
    padding = 0
    for number, (marker, at, between) in enumerate(walk, 1):
        padding += between
        if number > _MOST_SEGMENTS:
            raise _absurd(f"more than {_MOST_SEGMENTS:,} segments")
        if padding > _MOST_PADDING:
            raise _absurd(f"{padding:,} bytes between segments")
        yield marker, at
        if marker == _START_OF_SCAN:
            return


def _scans(walk: Iterator[tuple[int, int, int]]) -> int:
    """Of a picture whose first scan has been walked over."""
    scans = 1
    for number, (marker, _, _) in enumerate(walk):
        scans += marker == _START_OF_SCAN
        if scans > _MOST_SCANS or number > 5 * _MOST_SCANS:
            message = f"more than {_MOST_SCANS:,} scans in one JPEG; save it again as a baseline JPEG"
            raise ImageRejectedError(Reason.TOO_MUCH_WORK, message)
    return scans


def _directories(data: bytes, head: list[tuple[int, int]]) -> tuple[bytes, ...]:
    def payloads(marker: int, name: bytes) -> list[bytes]:
        start = 4 + len(name)
        return [
            data[at + start : _end(data, at)] for kind, at in head if kind == marker and data.startswith(name, at + 4)
        ]

    exif = payloads(_APP1, _EXIF)
    if len(exif) > _MOST_EXIF_SEGMENTS:
        raise _absurd(f"{len(exif):,} EXIF segments")
    return (b"".join(exif), *payloads(_APP2, _MULTI_PICTURE)[-1:])


def _samples(frame: bytes, components: int) -> int:
    """Source: T.81, A.2.4: what is coded ends with whole units of all components."""
    height, width = int.from_bytes(frame[1:3], "big"), int.from_bytes(frame[3:5], "big")
    factors = [(packed >> 4, packed & 15) for packed in frame[7 : 6 + 3 * components : 3]]
    across, down = (max((1, *side)) for side in zip(*factors, strict=True)) if factors else (1, 1)
    units = -(-width // (8 * across)) * -(-height // (8 * down))
    return 64 * units * sum(a * b for a, b in factors)


def _absurd(what: str) -> ImageRejectedError:
    return ImageRejectedError(Reason.CORRUPT, f"{what} in one JPEG; save the picture again without metadata")
