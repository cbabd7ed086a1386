"""Small intact files of every accepted format, in as many kinds of each as can be made: what gets mutated."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from functools import cache
from typing import Any, Final

import numpy as np
import pillow_heif
from PIL import Image, ImageCms, TiffImagePlugin

from tests.fuzz.containers import png_chunk
from tests.unit.images.corpus import encode, learn_to_write_heif, photo_exif, rotated

WIDTH, HEIGHT = 40, 24
_PHOTO: Final = np.random.default_rng(11).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)


def _picture(mode: str = "RGB") -> Image.Image:
    """Half noise, half even: runs, literals and long codes all occur."""
    pixels = _PHOTO.copy()
    pixels[: HEIGHT // 2] = (200, 40, 90)
    picture = Image.fromarray(pixels)
    if mode.endswith("A"):
        picture = picture.convert("RGBA")
        picture.putalpha(Image.fromarray(_PHOTO[..., 0]))
    return picture.convert(mode)


def _deep() -> Image.Image:
    return Image.fromarray(_PHOTO[..., 0].astype(np.uint16) * 257)


def _frames(count: int = 3) -> list[Image.Image]:
    return [Image.new("RGB", (WIDTH, HEIGHT), (n * 60, 0, 99)) for n in range(count)]


def _profile() -> bytes:
    """A colour profile without the time of its making."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return profile[:24] + bytes(12) + profile[36:]


def _several(format_name: str, **options: Any) -> bytes:
    return encode(_picture(), format_name, save_all=True, append_images=_frames(), duration=50, **options)


# -- written by hand: what Pillow reads but does not write -------------------------------------------------------------
def _hand_png(depth: int, colour: int, *, interlaced: bool = False, before: bytes = b"") -> bytes:
    """A PNG of 8 × 8 noise of any bit depth and colour type."""
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    raw = b"".join(_rows(columns, rows, depth * channels) for columns, rows in (_ADAM7 if interlaced else [(8, 8)]))
    header = struct.pack(">IIBBBBB", 8, 8, depth, colour, 0, 0, int(interlaced))
    palette = png_chunk(b"PLTE", _PHOTO.tobytes()[: 3 << depth]) if colour == 3 else b""
    chunks = png_chunk(b"IHDR", header) + palette + before + png_chunk(b"IDAT", zlib.compress(raw))
    return b"\x89PNG\r\n\x1a\n" + chunks + png_chunk(b"IEND", b"")


_ADAM7: Final = ((1, 1), (1, 1), (2, 1), (2, 2), (4, 2), (4, 4), (8, 4))


def _rows(columns: int, rows: int, bits: int) -> bytes:
    noise = _PHOTO.tobytes()
    width = (columns * bits + 7) // 8
    return b"".join(bytes((row % 5,)) + noise[row * width : (row + 1) * width] for row in range(rows))


def _hand_bmp(header: bytes, bits: int, pixels: bytes, *, compression: int = 0, palette: bytes = b"") -> bytes:
    """A BMP of 8 × 8; ``header`` is what follows the common 40 bytes."""
    size = 40 + len(header)
    common = struct.pack(
        "<IiiHHIIiiII", size, 8, 8, 1, bits, compression, len(pixels), 2835, 2835, len(palette) // 4, 0
    )
    offset = 14 + size + len(palette)
    return b"BM" + struct.pack("<IHHI", offset + len(pixels), 0, 0, offset) + common + header + palette + pixels


def _os2_bmp() -> bytes:
    pixels = _PHOTO.tobytes()[: 24 * 8]
    return b"BM" + struct.pack("<IHHI", 26 + len(pixels), 0, 0, 26) + struct.pack("<IHHHH", 12, 8, 8, 1, 24) + pixels


_RLE_END: Final = b"\x00\x02\x04\x00\x04\x09\x00\x01"  # a step to the right, a run, the end
_RLE8: Final = (
    b"\x08\x05\x00\x00" * 6 + b"\x00\x04\x01\x02\x03\x04\x04\x07\x00\x00" + b"\x00\x02\x04\x00\x04\x09\x00\x01"
)
_RLE4: Final = b"\x08\x53\x00\x00" * 6 + b"\x00\x04\x12\x34\x04\x77\x00\x00" + _RLE_END
_MASKS: Final = struct.pack("<III", 0xF800, 0x07E0, 0x001F)
_COLOURS: Final = b"".join(bytes((n, 255 - n, n, 0)) for n in range(256))

_BMP: Final[dict[str, Callable[[], bytes]]] = {
    "bmp": lambda: encode(_picture(), "BMP"),
    "bmp 1": lambda: encode(_picture("1"), "BMP"),
    "bmp grey": lambda: encode(_picture("L"), "BMP"),
    "bmp palette": lambda: encode(_picture().quantize(16), "BMP"),
    "bmp rgba": lambda: encode(_picture("RGBA"), "BMP"),
    "bmp rle8": lambda: _hand_bmp(b"", 8, _RLE8, compression=1, palette=_COLOURS),
    "bmp rle4": lambda: _hand_bmp(b"", 4, _RLE4, compression=2, palette=_COLOURS[:64]),
    "bmp 16": lambda: _hand_bmp(b"", 16, _PHOTO.tobytes()[:128]),
    "bmp 4": lambda: _hand_bmp(b"", 4, _PHOTO.tobytes()[:32], palette=_COLOURS[:64]),
    "bmp masks": lambda: _hand_bmp(_MASKS, 16, _PHOTO.tobytes()[:128], compression=3),
    "bmp v5": lambda: _hand_bmp(_MASKS + bytes(72), 16, _PHOTO.tobytes()[:128], compression=3),
    "bmp os/2": _os2_bmp,
}

_JPEG: Final[dict[str, Callable[[], bytes]]] = {
    "jpeg": lambda: encode(_picture(), "JPEG", quality=90),
    "jpeg 4:4:4": lambda: encode(_picture(), "JPEG", subsampling=0, optimize=True),
    "jpeg 4:2:2": lambda: encode(_picture(), "JPEG", subsampling=1),
    "jpeg progressive": lambda: encode(_picture(), "JPEG", progressive=True),
    "jpeg progressive cmyk": lambda: encode(_picture("CMYK"), "JPEG", progressive=True),
    "jpeg grey": lambda: encode(_picture("L"), "JPEG"),
    "jpeg cmyk": lambda: encode(_picture("CMYK"), "JPEG"),
    "jpeg restarts": lambda: encode(_picture(), "JPEG", restart_marker_blocks=2),
    "jpeg photo": lambda: encode(_picture(), "JPEG", exif=photo_exif(), icc_profile=_profile(), comment=b"c" * 40),
    "jpeg turned": lambda: rotated(6),
    "jpeg xmp": lambda: encode(_picture(), "JPEG", xmp=b"<x:xmpmeta tiff:Orientation='6'/>", dpi=(300, 300)),
    "jpeg large": lambda: encode(_picture().resize((320, 240)), "JPEG", quality=30),  # draft reduces it
    "mpo": lambda: encode(_picture(), "MPO", save_all=True, append_images=_frames()),
}

_PNG: Final[dict[str, Callable[[], bytes]]] = {
    "png": lambda: encode(_picture(), "PNG"),
    "png rgba": lambda: encode(_picture("RGBA"), "PNG", icc_profile=_profile()),
    "png grey alpha": lambda: encode(_picture("LA"), "PNG"),
    "png palette": lambda: encode(_picture().quantize(200), "PNG", transparency=3),
    "png palette alphas": lambda: encode(_picture().quantize(9), "PNG", transparency=bytes(range(9))),
    "png 1": lambda: encode(_picture("1"), "PNG"),
    "png 2": lambda: _hand_png(2, 0),
    "png 4": lambda: _hand_png(4, 3),
    "png 16": lambda: encode(_deep(), "PNG"),
    "png rgb 16": lambda: _hand_png(16, 2, before=png_chunk(b"tRNS", b"\0\1\0\2\0\3")),
    "png rgba 16": lambda: _hand_png(16, 6),
    "png grey alpha 16": lambda: _hand_png(16, 4),
    "png interlaced": lambda: _hand_png(8, 2, interlaced=True),
    "png interlaced palette": lambda: _hand_png(2, 3, interlaced=True),
    "png photo": lambda: encode(_picture(), "PNG", exif=photo_exif(), dpi=(72, 72)),
    "png text": lambda: _hand_png(8, 0, before=_png_texts()),
    "png animated": lambda: _several("PNG", disposal=1, blend=1),
    "png animated default": lambda: _several("PNG", default_image=True),
}


def _png_texts() -> bytes:
    compressed = zlib.compress(b"words " * 50)
    profile = b"exif\n      12\n" + b"49492a0008000000".ljust(72, b"0") + b"\n"
    return (
        png_chunk(b"tEXt", b"Comment\0plain")
        + png_chunk(b"zTXt", b"Long\0\0" + compressed)
        + png_chunk(b"iTXt", b"International\0\1\0de\0Titel\0" + compressed)
        + png_chunk(b"tEXt", b"Raw profile type exif\0\n" + profile)
        + png_chunk(b"gAMA", b"\0\0\xb1\x8f")
        + png_chunk(b"cHRM", bytes(range(32)))
        + png_chunk(b"iCCP", b"p\0\0" + zlib.compress(_profile()))
    )


_GIF: Final[dict[str, Callable[[], bytes]]] = {
    "gif": lambda: encode(_picture(), "GIF"),
    "gif plain": lambda: encode(_picture("L"), "GIF", interlace=0),
    "gif see-through": lambda: encode(_picture().quantize(8), "GIF", transparency=2),
    "gif animated": lambda: _several("GIF", disposal=2, loop=0, comment=b"hello"),
    "gif moving": lambda: _several("GIF", disposal=3, optimize=False),
    "gif 87a": lambda: b"GIF87a\4\0\4\0\x80\0\0\0\0\0\xff\xff\xff,\0\0\0\0\4\0\4\0\0\2\5\x84\x8f\xa9\xcb\5\0;",
}

_WEBP: Final[dict[str, Callable[[], bytes]]] = {
    "webp": lambda: encode(_picture(), "WEBP", quality=80),
    "webp lossless": lambda: encode(_picture(), "WEBP", lossless=True),
    "webp alpha": lambda: encode(_picture("RGBA"), "WEBP", quality=50),
    "webp lossless alpha": lambda: encode(_picture("RGBA"), "WEBP", lossless=True),
    "webp photo": lambda: encode(_picture(), "WEBP", exif=photo_exif(), icc_profile=_profile(), xmp=b"<x/>"),
    "webp animated": lambda: _several("WEBP"),
    "webp animated lossless": lambda: _several("WEBP", lossless=True, background=(1, 2, 3, 4)),
}


def _tiff(mode: str = "RGB", **options: Any) -> Callable[[], bytes]:
    return lambda: encode(_picture(mode), "TIFF", **options)


def _tags(**values: int) -> dict[str, Any]:
    """Options of Pillow's writer: tags by number, as ``t317=2``."""
    directory = TiffImagePlugin.ImageFileDirectory_v2()
    for name, value in values.items():
        directory[int(name[1:])] = value
    return {"tiffinfo": directory}


def _swapped() -> bytes:
    """A big-endian TIFF of 8 × 8 grey, tiled, with a chain of two directories."""
    entries = {256: (3, 8 << 16), 257: (3, 8 << 16), 258: (3, 8 << 16), 259: (3, 1 << 16), 262: (3, 1 << 16)}
    entries |= {277: (3, 1 << 16), 322: (3, 16 << 16), 323: (3, 16 << 16), 324: (4, 0), 325: (4, 256)}
    size = 2 + 12 * len(entries) + 4
    entries[324] = (4, 8 + 2 * size)
    packed = b"".join(struct.pack(">HHII", tag, kind, 1, value) for tag, (kind, value) in sorted(entries.items()))
    directory = struct.pack(">H", len(entries)) + packed
    first, second = directory + struct.pack(">I", 8 + size), directory + bytes(4)
    return b"MM\0*\0\0\0\x08" + first + second + _PHOTO.tobytes()[:256]


_TIFF: Final[dict[str, Callable[[], bytes]]] = {
    "tiff": _tiff(),
    "tiff lzw": _tiff(compression="tiff_lzw"),
    "tiff lzw differences": _tiff(compression="tiff_lzw", **_tags(t317=2)),
    "tiff deflate": _tiff(compression="tiff_adobe_deflate"),
    "tiff packbits": _tiff("L", compression="packbits"),
    "tiff jpeg": _tiff(compression="jpeg"),
    "tiff jpeg grey": _tiff("L", compression="jpeg"),
    "tiff group 3": _tiff("1", compression="group3"),
    "tiff group 4": _tiff("1", compression="group4"),
    "tiff ccitt": _tiff("1", compression="tiff_ccitt"),
    "tiff lzma": _tiff(compression="lzma"),
    "tiff zstd": _tiff(compression="zstd"),
    "tiff big": _tiff(big_tiff=True, compression="tiff_lzw"),
    "tiff strips": _tiff(strip_size=WIDTH * 3, compression="tiff_lzw"),
    "tiff 16": lambda: encode(_deep(), "TIFF"),
    "tiff 16 lzw": lambda: encode(_deep(), "TIFF", compression="tiff_lzw"),
    "tiff 32": lambda: encode(_picture("I"), "TIFF"),
    "tiff float": lambda: encode(_picture("F"), "TIFF", compression="tiff_deflate"),
    "tiff cmyk": _tiff("CMYK", compression="tiff_lzw"),
    "tiff lab": lambda: encode(Image.frombytes("LAB", (WIDTH, HEIGHT), _PHOTO.tobytes()), "TIFF"),
    "tiff ycbcr": _tiff("YCbCr"),
    "tiff alpha": _tiff("RGBA", compression="tiff_lzw"),
    "tiff grey alpha": _tiff("LA"),
    "tiff palette": lambda: encode(_picture().quantize(16), "TIFF", compression="tiff_lzw"),
    "tiff pages": lambda: _several("TIFF"),
    "tiff photo": _tiff(exif=photo_exif(), icc_profile=_profile(), compression="tiff_lzw"),
    "tiff turned": lambda: rotated(8, "TIFF"),
    "tiff big-endian tiles": _swapped,
}

_JPEG2000: Final[dict[str, Callable[[], bytes]]] = {
    "jp2": lambda: encode(_picture(), "JPEG2000"),
    "j2k": lambda: encode(_picture(), "JPEG2000", no_jp2=True),
    "jp2 lossy": lambda: encode(_picture(), "JPEG2000", irreversible=True, quality_layers=[20, 5]),
    "jp2 tiles": lambda: encode(_picture(), "JPEG2000", tile_size=(16, 16), progression="RPCL"),
    "jp2 alpha": lambda: encode(_picture("RGBA"), "JPEG2000"),
    "jp2 grey alpha": lambda: encode(_picture("LA"), "JPEG2000"),
    "jp2 grey": lambda: encode(_picture("L"), "JPEG2000", num_resolutions=2, codeblock_size=(16, 16)),
    "jp2 16": lambda: encode(_deep(), "JPEG2000"),
    "jp2 ycbcr": lambda: encode(_picture("YCbCr"), "JPEG2000", mct=0),
    "j2k markers": lambda: encode(_picture(), "JPEG2000", no_jp2=True, plt=True, comment="c" * 30),
}


def _heif(**options: Any) -> bytes:
    return encode(_picture(), "HEIF", **{"quality": 60, **options})


def _deep_heif() -> bytes:
    """Ten bits a sample."""
    learn_to_write_heif()
    samples = np.repeat(_PHOTO.astype(np.uint16) * 257, 2, axis=0)
    picture = pillow_heif.from_bytes("RGB;16", (WIDTH, 2 * HEIGHT), samples.tobytes())
    buffer = io.BytesIO()
    picture.save(buffer, quality=60)
    return buffer.getvalue()


_HEIF: Final[dict[str, Callable[[], bytes]]] = {
    "heif": _heif,
    "heif 4:4:4": lambda: _heif(chroma=444),
    "heif lossless": lambda: _heif(quality=-1),
    "heif alpha": lambda: encode(_picture("RGBA"), "HEIF", quality=50),
    "heif grey": lambda: encode(_picture("L"), "HEIF"),
    "heif deep": _deep_heif,
    "heif photo": lambda: _heif(exif=photo_exif().tobytes(), icc_profile=_profile(), xmp=b"<x/>"),
    "heif turned": lambda: rotated(6, "HEIF"),
    "heif pages": lambda: _heif(save_all=True, append_images=_frames()),
}


def _timeless(data: bytes) -> bytes:
    """A sequence without the time of its making. Source: ISO/IEC 14496-12, 8.2.2 (version 1: 64-bit times)."""
    for kind in (b"mvhd", b"tkhd", b"mdhd"):
        at = data.index(kind) + 8
        data = data[:at] + bytes(16) + data[at + 16 :]
    return data


_AVIF: Final[dict[str, Callable[[], bytes]]] = {
    "avif": lambda: encode(_picture(), "AVIF", speed=9),
    "avif 4:4:4": lambda: encode(_picture(), "AVIF", subsampling="4:4:4", speed=9),
    "avif grey": lambda: encode(_picture(), "AVIF", subsampling="4:0:0", speed=9),
    "avif lossless": lambda: encode(_picture(), "AVIF", quality=100, speed=9),
    "avif alpha": lambda: encode(_picture("RGBA"), "AVIF", speed=9),
    "avif photo": lambda: encode(_picture(), "AVIF", exif=photo_exif().tobytes(), icc_profile=_profile(), speed=9),
    "avif animated": lambda: _timeless(_several("AVIF", speed=9)),
    "avif tiles": lambda: encode(_picture().resize((160, 96)), "AVIF", tile_rows=1, tile_cols=1, speed=9),
}

_FAMILIES: Final = {
    "JPEG": _JPEG,
    "PNG": _PNG,
    "GIF": _GIF,
    "WEBP": _WEBP,
    "TIFF": _TIFF,
    "BMP": _BMP,
    "JPEG2000": _JPEG2000,
    "HEIF": _HEIF,
    "AVIF": _AVIF,
}


@cache
def seeds() -> dict[str, dict[str, bytes]]:
    """Files by format and name. Built once per process; the same releases of the libraries build the same bytes."""
    return {name: {kind: build() for kind, build in family.items()} for name, family in _FAMILIES.items()}
