"""Small files built to take minutes or gigabytes: every way that is known, for every format that is read.

A builder gets the length of the file, which some ignore; the same length is the same file. Headers are forged and parts
repeated, so that no encoder has anything to do.
"""

from __future__ import annotations

import struct
import zlib
from typing import Final

import numpy as np
from PIL import Image

from tests.fuzz.boxes import grid, overlay, with_boxes, with_items, with_metadata
from tests.fuzz.giants import HIGH, SQUARE, WIDE, Build, zeros
from tests.fuzz.tiff_bombs import TIFF
from tests.unit.images.corpus import encode, jpeg, png_chunk

# -- JPEG --------------------------------------------------------------------------------------------------------------
_SCAN, _END = b"\xff\xda", b"\xff\xd9"


def _segment(marker: int, payload: bytes = b"") -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(payload) + 2) + payload


def _in_front(data: bytes, parts: bytes) -> bytes:
    return data[:2] + parts + data[2:]


def _repeated(part: bytes, length: int) -> bytes:
    return part * (length // len(part))


def _sized(data: bytes, width: int, height: int, marker: int = 0) -> bytes:
    """With another size in the frame's header, and perhaps another coding."""
    at = next(at for at in range(len(data)) if data[at] == 0xFF and data[at + 1] in (0xC0, 0xC1, 0xC2))
    kind = marker or data[at + 1]
    return data[: at + 1] + bytes([kind]) + data[at + 2 : at + 5] + struct.pack(">HH", height, width) + data[at + 9 :]


def _photoshop() -> bytes:
    return _segment(0xED, b"Photoshop 3.0\0" + b"8BIM\4\4\0\0\0\0\0\0" * 5_400)


def _overlapping_directory() -> bytes:
    entries = b"".join(struct.pack(">HHII", 0x9000 + number, 7, 60_000, 8) for number in range(5_000))
    return b"MM\0*\0\0\0\x08" + struct.pack(">H", 5_000) + entries + bytes(4)


def _scans(count: int, width: int = 2_000, height: int = 2_000) -> bytes:
    """A progressive picture whose first scan, of no coefficients, is repeated."""
    data = _sized(jpeg(progressive=True), width, height)
    start = data.index(_SCAN)
    header = data[start : start + 2 + int.from_bytes(data[start + 2 : start + 4], "big")]
    return data[:start] + header * count + data[start:]


def _flat_scans(*, mode: str, width: int, height: int, progressive: bool = True) -> bytes:
    return _sized(encode(Image.new(mode, (64, 64), 9), "JPEG", progressive=progressive, subsampling=0), width, height)


def _one_by_one() -> bytes:
    """A baseline picture whose components come one after the other."""
    data = _sized(jpeg(), WIDE, HIGH)
    start = data.index(_SCAN)
    single = b"".join(_SCAN + b"\0\x08\1" + bytes([component, 0, 0, 63, 0]) for component in (1, 2, 3))
    return data[:start] + single + _END


def _restarts() -> bytes:
    data = _sized(jpeg(), WIDE, HIGH)
    start = data.index(_SCAN)
    return data[:start] + _segment(0xDD, b"\0\1") + data[start:-2] + b"\xff\xd0\xff\xd1" * 100_000 + _END


def _index_of_pictures() -> bytes:
    entries = b"".join(struct.pack(">HHII", 0x9000 + number, 7, 60_000, 8) for number in range(5_000))
    head = b"MM\0*\0\0\0\x08" + struct.pack(">HHHIIHHII", 5_002, 0xB001, 4, 1, 4_000, 0xB002, 7, 60_000, 8)
    return _segment(0xE2, (b"MPF\0" + head + entries)[:65_000])


_JPEG: Final[dict[str, Build]] = {
    "jpeg empty segments": lambda length: _in_front(jpeg(), _repeated(_segment(0xE1), length)),
    "jpeg comments": lambda length: _in_front(jpeg(), _repeated(_segment(0xFE, b"x"), length)),
    "jpeg photoshop resources": lambda length: _in_front(jpeg(), _repeated(_photoshop(), length)),
    "jpeg profile": lambda length: _in_front(
        jpeg(), _repeated(_segment(0xE2, b"ICC_PROFILE\0\1\1" + bytes(65_000)), length)
    ),
    "jpeg xmp": lambda length: _in_front(
        jpeg(), _repeated(_segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + bytes(65_000)), length)
    ),
    "jpeg fill bytes": lambda length: _in_front(jpeg(), b"\xff" * length),
    "jpeg fill bytes to the end": lambda length: jpeg()[:20] + b"\xff" * length,
    "jpeg junk": lambda length: _in_front(jpeg(), b"A" * length),
    "jpeg escaped junk": lambda length: _in_front(jpeg(), b"\xff\0" * (length // 2)),
    "jpeg tables": lambda length: _in_front(jpeg(), _repeated(_segment(0xDB, b"\0" + b"\1" * 64), length)),
    "jpeg overlapping tags": lambda _: _in_front(jpeg(), _segment(0xE1, b"Exif\0\0" + _overlapping_directory())),
    "jpeg index of pictures": lambda _: _in_front(jpeg(), _index_of_pictures()),
    "jpeg 20,000 scans": lambda _: _scans(20_000),
    "jpeg 900 scans": lambda _: _scans(900, WIDE, HIGH),
    "jpeg progressive cmyk": lambda _: _flat_scans(mode="CMYK", width=SQUARE, height=SQUARE),
    "jpeg progressive": lambda _: _flat_scans(mode="RGB", width=SQUARE, height=SQUARE),
    "jpeg one component after the other": lambda _: _one_by_one(),
    "jpeg restarts": lambda _: _restarts(),
    "jpeg arithmetic": lambda _: _sized(jpeg(), WIDE, HIGH, 0xC9),
    "jpeg progressive arithmetic": lambda _: _sized(jpeg(progressive=True), WIDE, HIGH, 0xCA),
    "jpeg lossless": lambda _: _sized(jpeg(), WIDE, HIGH, 0xC3),
    "jpeg end of pictures between": lambda length: jpeg() + _repeated(jpeg(), length),
}


# -- PNG ---------------------------------------------------------------------------------------------------------------
def png_of(
    chunks: bytes = b"", *, width: int = 8, height: int = 8, depth: int = 8, colour: int = 2, lace: int = 0
) -> bytes:
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, lace))
    pixels = png_chunk(b"IDAT", zeros(height * (width * 8 + 1)))
    return b"\x89PNG\r\n\x1a\n" + header + chunks + pixels + png_chunk(b"IEND", b"")


def _texts(kind: bytes, before: bytes, length: int) -> bytes:
    bomb = png_chunk(kind, before + zlib.compress(b"A" * 1_000_000, 9))
    return _repeated(bomb, length)


_PNG_FILES: Final[dict[str, Build]] = {
    "png empty pixels": lambda length: png_of(_repeated(png_chunk(b"IDAT", b""), length)),
    "png empty texts": lambda length: png_of(_repeated(png_chunk(b"tEXt", b""), length)),
    "png unknown chunks": lambda length: png_of(_repeated(png_chunk(b"abCd", b""), length)),
    "png texts": lambda length: png_of(_texts(b"zTXt", b"k\0\0", length)),
    "png international texts": lambda length: png_of(_texts(b"iTXt", b"k\0\1\0\0\0", length)),
    "png profile": lambda _: png_of(png_chunk(b"iCCP", b"p\0\0" + zeros(1 << 32))),
    "png large exif": lambda length: png_of(png_chunk(b"eXIf", b"MM\0*\0\0\0\x08" + bytes(length))),
    "png animated": lambda length: png_of(
        png_chunk(b"acTL", struct.pack(">II", 1 << 20, 0)) + _repeated(png_chunk(b"fcTL", bytes(26)), length)
    ),
    "png deep": lambda _: png_of(width=WIDE, height=HIGH, depth=16, colour=6),
    "png deep laced": lambda _: png_of(width=WIDE, height=HIGH, depth=16, colour=6, lace=1),
    "png keyed": lambda _: png_of(png_chunk(b"tRNS", bytes(6)), width=SQUARE, height=SQUARE),
    "png one bit": lambda _: png_of(width=WIDE, height=HIGH, depth=1, colour=0),
}


# -- GIF ---------------------------------------------------------------------------------------------------------------
def _gif(
    before: bytes = b"", *, width: int = 1, height: int = 1, pixels: bytes = b"\2\2D\1\0", after: bytes = b""
) -> bytes:
    screen = struct.pack("<HH", width, height)
    picture = b",\0\0\0\0" + screen + b"\0" + pixels
    return b"GIF89a" + screen + b"\x80\0\0\0\0\0\xff\xff\xff" + before + picture + after + b";"


_FRAME: Final = b",\0\0\0\0\1\0\1\0\0\2\2D\1\0"
_GIF: Final[dict[str, Build]] = {
    "gif comment": lambda length: _gif(b"!\xfe" + _repeated(b"\xff" + b"c" * 255, length) + b"\0"),
    "gif comment of single bytes": lambda length: _gif(b"!\xfe" + _repeated(b"\1c", length) + b"\0"),
    "gif comments": lambda length: _gif(_repeated(b"!\xfe\1c\0", length)),
    "gif application blocks": lambda length: _gif(b"!\xff\x0bXMP DataXMP" + _repeated(b"\1x", length) + b"\0"),
    "gif control blocks": lambda length: _gif(_repeated(b"!\xf9\4\0\0\0\0\0", length)),
    "gif padding": lambda length: _gif(bytes(length)),
    "gif frames": lambda length: _gif(after=_repeated(_FRAME, length)),
    "gif pixels of single bytes": lambda length: _gif(pixels=b"\2" + _repeated(b"\1D", length) + b"\0"),
    "gif wide": lambda length: _gif(
        width=WIDE, height=HIGH, pixels=b"\2" + _repeated(b"\xff" + bytes(255), length) + b"\0"
    ),
}


# -- WebP --------------------------------------------------------------------------------------------------------------
def _riff(*chunks: tuple[bytes, bytes]) -> bytes:
    body = b"".join(kind + struct.pack("<I", len(data)) + data + bytes(len(data) % 2) for kind, data in chunks)
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


def _canvas(flags: int, width: int, height: int) -> tuple[bytes, bytes]:
    return b"VP8X", bytes([flags, 0, 0, 0]) + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")


def _webp_picture() -> bytes:
    return encode(Image.new("RGB", (16, 16), 9), "WEBP", lossless=True)[12:]


def _webp_frame() -> tuple[bytes, bytes]:
    return b"ANMF", bytes(6) + (15).to_bytes(3, "little") * 2 + b"\x0a\0\0\0" + _webp_picture()


def _webp_animation(canvas: int, frames: int = 1) -> bytes:
    return _riff(_canvas(2, canvas, canvas), (b"ANIM", bytes(6)), *[_webp_frame()] * frames)


_WEBP: Final[dict[str, Build]] = {
    "webp canvas": lambda _: _webp_animation(SQUARE),
    "webp frames": lambda length: _webp_animation(16, length // (len(_webp_frame()[1]) + 8)),
    "webp chunks": lambda length: _riff(
        _canvas(0, 16, 16), (b"VP8L", _webp_picture()[8:]), *[(b"abcd", b"")] * (length // 8)
    ),
    "webp exif": lambda length: _riff(_canvas(8, 16, 16), (b"VP8L", _webp_picture()[8:]), (b"EXIF", bytes(length))),
    "webp flat": lambda _: encode(Image.new("RGB", (8_000, 8_000), 9), "WEBP", lossless=True, quality=0, method=0),
}


# -- BMP ---------------------------------------------------------------------------------------------------------------
def _bmp(pixels: bytes, *, width: int, height: int, depth: int = 8, compression: int = 1) -> bytes:
    header = struct.pack(
        "<IiiHHIIiiII", 40, width, height, 1, depth, compression, len(pixels), 0, 0, 1 << min(depth, 8), 0
    )
    palette = bytes(4) * (1 << depth if depth <= 8 else 0)
    start = 14 + len(header) + len(palette)
    return b"BM" + struct.pack("<IHHI", start + len(pixels), 0, 0, start) + header + palette + pixels


_BMP: Final[dict[str, Build]] = {
    "bmp ends of lines": lambda _: _bmp(b"\0\0" * 8_000, width=WIDE, height=HIGH),
    "bmp ends of lines after a pixel": lambda _: _bmp(b"\1\1\0\0" * 4_000, width=WIDE, height=HIGH),
    "bmp long runs": lambda _: _bmp(b"\xff\1" * (WIDE * HIGH // 255), width=WIDE, height=HIGH),
    "bmp four bits": lambda _: _bmp(
        b"\xff\x12" * (WIDE * HIGH // 255), width=WIDE, height=HIGH, depth=4, compression=2
    ),
    "bmp short runs": lambda length: _bmp(b"\1\1" * (length // 2), width=WIDE, height=HIGH),
    "bmp empty jumps": lambda length: _bmp(b"\0\2\0\0" * (length // 4), width=WIDE, height=HIGH),
    "bmp runs beyond the line": lambda length: _bmp(b"\xff\1" * (length // 2), width=8, height=WIDE),
    "bmp many": lambda length: _bmp(bytes(length), width=length // 8 // 8, height=8, depth=8, compression=0),
}


# -- JPEG 2000 ---------------------------------------------------------------------------------------------------------
def _codestream(**options: object) -> bytes:
    return encode(Image.new("RGB", (64, 64), 9), "JPEG2000", no_jp2=True, **options)


def _j2k(width: int, height: int, *, tile: tuple[int, int] | None = None, layers: int = 1, **options: object) -> bytes:
    """With another size, other tiles and layers in its headers. Source: ITU-T T.800, A.5.1 and A.6.1."""
    data = bytearray(_codestream(**options))
    size, style = data.index(b"\xff\x51"), data.index(b"\xff\x52")
    struct.pack_into(">II", data, size + 6, width, height)
    struct.pack_into(">II", data, size + 22, *(tile or (width, height)))
    struct.pack_into(">H", data, style + 6, layers)
    return bytes(data)


def _j2k_components(count: int) -> bytes:
    data = _codestream()
    at = data.index(b"\xff\x51")
    length = int.from_bytes(data[at + 2 : at + 4], "big")
    head = struct.pack(">H", 38 + 3 * count) + data[at + 4 : at + 38] + struct.pack(">H", count) + b"\7\1\1" * count
    return data[: at + 2] + head + data[at + 2 + length :]


def _j2k_many_tiles(length: int) -> bytes:
    """The first tile's part again and again."""
    data = _codestream(tile_size=(32, 32))
    start = data.index(b"\xff\x90")
    return data[:start] + _repeated(data[start:-2], length) + _END


def _j2k_noise(length: int) -> bytes:
    noise = np.random.default_rng(3).integers(0, 256, (1_000, 1_000, 3), np.uint8)
    del length
    return encode(Image.fromarray(noise).resize((5_000, 5_000), Image.Resampling.NEAREST), "JPEG2000", no_jp2=True)


_JPEG2000: Final[dict[str, Build]] = {
    "jp2 size": lambda _: _j2k(SQUARE, SQUARE),
    "jp2 tiles": lambda _: _j2k(WIDE, HIGH, tile=(64, 64)),
    "jp2 tiny tiles": lambda _: _j2k(250, 250, tile=(1, 1)),
    "jp2 layers": lambda _: _j2k(SQUARE, SQUARE, layers=65_535),
    "jp2 precincts": lambda _: _j2k(SQUARE, SQUARE, precinct_size=(64, 64), codeblock_size=(4, 4)),
    "jp2 tiles and layers": lambda _: _j2k(WIDE, HIGH, tile=(256, 256), layers=65_535, precinct_size=(64, 64)),
    "jp2 components": lambda _: _j2k_components(16_384),
    "jp2 parts of a tile": _j2k_many_tiles,
    "jp2 noise": _j2k_noise,
    "jp2 comments": lambda length: (
        _codestream()[:2]
        + _codestream()[2:-2].replace(b"\xff\x90", _repeated(_segment(0x64, b"\0\1x"), length) + b"\xff\x90", 1)
        + _END
    ),
}


# -- HEIF and AVIF -----------------------------------------------------------------------------------------------------
def _boxed(name: str, format_name: str) -> dict[str, Build]:
    return {
        f"{name} grid": lambda _: grid(format_name, 245),
        f"{name} grid of larger tiles": lambda _: grid(format_name, 40, side=384),
        f"{name} grid of few tiles": lambda _: grid(format_name, 15, side=1_024),
        f"{name} overlay": lambda _: overlay(format_name, 60_000),
        f"{name} overlay of larger pictures": lambda _: overlay(format_name, 200, side=1_024),
        f"{name} items": lambda _: with_items(format_name, 60_000),
        f"{name} boxes": lambda length: with_boxes(format_name, length),
        f"{name} exif": lambda length: with_metadata(format_name, length),
    }


#: By name; the name begins with the format's.
BOMBS: Final[dict[str, Build]] = (
    _JPEG | _PNG_FILES | _GIF | _WEBP | TIFF | _BMP | _JPEG2000 | _boxed("heif", "HEIF") | _boxed("avif", "AVIF")
)
