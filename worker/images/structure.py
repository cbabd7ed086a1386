"""Walks a file's structure without decoding it: does it end too early, and how many frames does it have?

Decoders say "truncated" and "broken" in a dozen ways and mix them up. The person who has to act needs to know which it
is: a truncated file is uploaded again, a corrupt one is looked for elsewhere. So the bytes themselves are asked.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Final

from worker.errors import ImageRejectedError
from worker.images.jpeg import jpeg_ends_early
from worker.images.tiff import Directory, Tiff
from worker.types import Reason

#: More frames are not counted: a file can hold millions of empty ones.
MOST_FRAMES: Final = 10_000
_MOST_GIF_BLOCKS: Final = 1 << 20  # and padding; 256 MB of full ones
#: In front of a GIF's first picture, where Pillow joins a comment's blocks one by one.
_MOST_GIF_PRELUDE: Final = 8_192
#: Chunks of a PNG: as many as anyone writes into a small one, and one for each so many bytes of a large one.
_MOST_PNG_CHUNKS, _BYTES_OF_A_PNG_CHUNK = 16_384, 256
_MOST_BOXES: Final = 1 << 16

_STRIPS: Final = ((273, 279), (324, 325))  # offsets and byte counts of strips, of tiles
_WEBP_HEADER: Final = 10  # bytes of an extended or lossy header
_END_OF_CODESTREAM: Final = b"\xff\xd9"


def ends_early(format_name: str, data: bytes) -> bool:
    """Whether a file of a readable format lacks its end, by its own markers, lengths and offsets."""
    check = _ENDS_EARLY.get(format_name)
    return check(data) if check else False


def gif_frames(data: bytes) -> int:
    """Pictures in a GIF, at most ``MOST_FRAMES``."""
    return min(sum(block == b"," for block in _gif_blocks(data)), MOST_FRAMES)


def gif_prelude(data: bytes) -> int:
    """Blocks, and bytes of padding, in front of a GIF's first picture.

    Raises:
        ImageRejectedError: ``CORRUPT``; more than any encoder writes.
    """
    at, budget = _gif_start(data), _MOST_GIF_PRELUDE
    while at < len(data) and budget > 0 and data[at : at + 1] not in {b",", b";"}:
        at, budget = _gif_skip(data, at + 2, budget - 1) if data[at : at + 1] == b"!" else (at + 1, budget - 1)
    if budget <= 0:
        raise _absurd(f"more than {_MOST_GIF_PRELUDE:,} blocks in front of the first picture of a GIF")
    return _MOST_GIF_PRELUDE - budget


def png_chunks(data: bytes) -> int:
    """How many chunks a PNG has.

    Raises:
        ImageRejectedError: ``CORRUPT``; more than any encoder writes.
    """
    most = _MOST_PNG_CHUNKS + len(data) // _BYTES_OF_A_PNG_CHUNK
    count = sum(1 for _ in islice(_png_chunks(data), most + 1))
    if count > most:
        raise _absurd(f"more than {most:,} chunks in one PNG")
    return count


def tiff_frames(data: bytes) -> int:
    """Directories in a TIFF's chain, at most ``MOST_FRAMES``."""
    tiff = Tiff.parse(data)
    return tiff.count_directories(MOST_FRAMES) if tiff else 0


def webp_canvas(data: bytes) -> tuple[int, int]:
    """Width and height of a WebP's canvas as its first chunk gives them. Source: RFC 9649; RFC 6386, 9.1.

    Asked before the decoder is: it gets memory for the whole canvas when it opens a file, not when it decodes.

    Raises:
        ValueError: the first chunk is no picture's; a decoder might find one behind it.
    """
    kind, first = data[12:16], data[20:30]
    if kind == b"VP8X" and len(first) == _WEBP_HEADER:
        return int.from_bytes(first[4:7], "little") + 1, int.from_bytes(first[7:10], "little") + 1
    if kind == b"VP8L" and first[:1] == b"\x2f":
        sides = int.from_bytes(first[1:5], "little")
        return (sides & 0x3FFF) + 1, (sides >> 14 & 0x3FFF) + 1
    if kind == b"VP8 " and first[3:6] == b"\x9d\x01\x2a":
        return int.from_bytes(first[6:8], "little") & 0x3FFF, int.from_bytes(first[8:10], "little") & 0x3FFF
    raise ValueError("the first chunk does not give the picture's size")


def without_png_text(data: bytes) -> bytes:
    """A PNG without its text chunks and colour profile, which may decompress to any size."""
    dropped = (b"tEXt", b"zTXt", b"iTXt", b"iCCP")
    return data[:8] + b"".join(data[at:end] for kind, at, end in _png_chunks(data) if kind not in dropped)


def sound_png(data: bytes) -> bytes:
    """A PNG without the ancillary chunks whose checksum is wrong, as viewers show it; the data themselves if none is.

    Pillow refuses such a file, and on the other hand reads no checksum of the picture's data.

    Raises:
        ValueError: the checksum of a chunk is wrong without which there is no picture.
    """
    broken = []
    for kind, at, end in _png_chunks(data):
        if end > len(data) or not kind.isalpha():  # cut short, or a broken length led into the middle of a chunk
            break
        if zlib.crc32(memoryview(data)[at + 4 : end - 4]) != int.from_bytes(data[end - 4 : end], "big"):
            if kind[:1].isupper() and kind != b"IEND":
                raise ValueError(f"the checksum of its {kind.decode('ascii')} is wrong")
            broken.append((at, end))
    if not broken:
        return data
    kept = zip([0, *(end for _, end in broken)], [*(at for at, _ in broken), len(data)], strict=True)
    return b"".join(data[start:stop] for start, stop in kept)


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Kind, start and end of every chunk, also of one that goes beyond the data."""
    at = 8
    while at + 8 <= len(data):
        end = at + 12 + int.from_bytes(data[at : at + 4], "big")
        yield data[at + 4 : at + 8], at, end
        at = end


def _png_ends_early(data: bytes) -> bool:
    for kind, _, end in _png_chunks(data):
        if not kind.isalpha():  # a broken length led into the middle of a chunk
            return False
        if kind == b"IEND":
            return end > len(data)
    return True


def _gif_blocks(data: bytes) -> Iterator[bytes]:
    """Introducers of a GIF's blocks that are complete: ``,`` a picture, ``!`` an extension, ``;`` the end."""
    at, budget = _gif_start(data), _MOST_GIF_BLOCKS
    while at < len(data) and budget > 0:
        kind = data[at : at + 1]
        budget -= 1
        if kind == b",":
            at += 11 + (_gif_palette(data[at + 9]) if at + 9 < len(data) else 0)
        elif kind == b"!":
            at += 2
        elif kind == b";":
            yield kind
            return
        else:
            at += 1  # padding; decoders skip it
            continue
        at, budget = _gif_skip(data, at, budget)
        if at <= len(data):
            yield kind


def _gif_start(data: bytes) -> int:
    """Behind the header, the screen's descriptor and its palette."""
    return 13 + _gif_palette(data[10]) if len(data) > 13 else len(data)  # noqa: PLR2004


def _gif_palette(flags: int) -> int:
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _gif_skip(data: bytes, at: int, budget: int) -> tuple[int, int]:
    """Where a chain of sub-blocks ends; beyond the data where it does not."""
    while at < len(data) and data[at] and budget > 0:
        at += 1 + data[at]
        budget -= 1
    return at + 1, budget


def _gif_ends_early(data: bytes) -> bool:
    return b";" not in set(_gif_blocks(data))


def _webp_ends_early(data: bytes) -> bool:
    return len(data) < 12 or int.from_bytes(data[4:8], "little") + 8 > len(data)  # noqa: PLR2004 - RIFF header


def _bmp_ends_early(data: bytes) -> bool:
    return len(data) < 26 or int.from_bytes(data[2:6], "little") > len(data)  # noqa: PLR2004 - the shortest headers


def _heif_ends_early(data: bytes) -> bool:
    return _boxes_end_early(data, {b"mdat"}) or not re.search(rb"meta|moov", data)


def _jpeg2000_ends_early(data: bytes) -> bool:
    boxed = not data.startswith(b"\xff\x4f")
    return (boxed and _boxes_end_early(data, {b"jp2c"})) or data.rfind(_END_OF_CODESTREAM) < 0


def _boxes_end_early(data: bytes, needed: set[bytes]) -> bool:
    """Whether top-level boxes go beyond the file, or a needed one is missing. Source: ISO/IEC 14496-12, 4.2."""
    at, missing, budget = 0, set(needed), _MOST_BOXES
    while at + 8 <= len(data) and budget > 0:
        budget -= 1
        size, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        missing.discard(kind)
        if size == 1:
            size = int.from_bytes(data[at + 8 : at + 16], "big")
        if size < 8:  # noqa: PLR2004 - 0 is "to the end of the file"; others are impossible: broken, not short
            return bool(missing) and size == 0
        at += size
    return (at != len(data) and budget > 0) or bool(missing)


def _tiff_ends_early(data: bytes) -> bool:
    tiff = Tiff.parse(data)
    if tiff is None:
        return len(data) < 16  # noqa: PLR2004 - the longest header
    main = tiff.directory(tiff.first)
    beyond = any(entry.offset + entry.size > len(data) for entry in main.entries.values())
    return not main.complete or beyond or _strips_end(tiff, main) > len(data)


def _strips_end(tiff: Tiff, main: Directory) -> int:
    ends = [0]
    for offsets_tag, sizes_tag in _STRIPS:
        offsets, sizes = main.entries.get(offsets_tag), main.entries.get(sizes_tag)
        ends += map(sum, zip(tiff.integers(offsets), tiff.integers(sizes), strict=False))
    return max(ends)


def _absurd(what: str) -> ImageRejectedError:
    message = f"{what}, which is more than any encoder writes; save the picture again without metadata"
    return ImageRejectedError(Reason.CORRUPT, message)


_ENDS_EARLY: Final[dict[str, Callable[[bytes], bool]]] = {
    "JPEG": jpeg_ends_early,
    "PNG": _png_ends_early,
    "GIF": _gif_ends_early,
    "WEBP": _webp_ends_early,
    "BMP": _bmp_ends_early,
    "TIFF": _tiff_ends_early,
    "HEIF": _heif_ends_early,
    "AVIF": _heif_ends_early,
    "JPEG2000": _jpeg2000_ends_early,
}
