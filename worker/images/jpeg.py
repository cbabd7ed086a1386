"""Walking the markers of a JPEG, up to a bound, before any decoder walks them without one.

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
    """What a JPEG's markers say."""

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
    """Walk over all segments in front of the first scan; and over all scans of a picture that has several.

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
    return scan is None or data.find(b"\xff\xd9", scan) < 0


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
