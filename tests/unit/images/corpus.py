"""Every kind of file an upload can be: how to make it, and how it must end. Other tests import this too.

Nothing is stored: each sample is built, so that a reader sees what is wrong with it. ``CORPUS`` holds under the default
limits of ``worker.settings``, given here as ``LIMITS``.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pillow_heif
from PIL import Image, ImageDraw, TiffImagePlugin

from worker.images import ImageLimits, readable_formats
from worker.types import Reason

LIMITS = ImageLimits(max_bytes=256 << 20, max_pixels=250_000_000, max_side=65_500)

RED, GREEN, BLUE, WHITE, GREY = (255, 0, 0), (0, 160, 0), (0, 0, 255), (255, 255, 255), (128, 128, 128)
#: Upright, clockwise from the top left corner.
QUADRANTS = (RED, GREEN, WHITE, BLUE)
WIDTH, HEIGHT = 96, 64
TRANSPOSED = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """A file and its fate."""

    build: Callable[[], bytes]
    key: str  # as an uploader would name it
    reason: Reason | None = None  # None: it becomes a picture
    quadrants: bool = False  # the picture is ``quadrants()``, upright


def quadrants(width: int = WIDTH, height: int = HEIGHT) -> Image.Image:
    """Four coloured rectangles: whatever is turned, mirrored or miscoloured shows."""
    image = Image.new("RGB", (width, height))
    draw = ImageDraw.Draw(image)
    x, y = width // 2, height // 2
    corners = ((0, 0, x, y), (x, 0, width, y), (x, y, width, height), (0, y, x, height))
    for (left, top, right, bottom), colour in zip(corners, QUADRANTS, strict=True):
        draw.rectangle((left, top, right - 1, bottom - 1), fill=colour)
    return image


def encode(image: Image.Image, format_name: str, **options: Any) -> bytes:
    """A file of the picture."""
    if format_name == "HEIF":
        learn_to_write_heif()
    buffer = io.BytesIO()
    image.save(buffer, format_name, **options)
    return buffer.getvalue()


@cache
def learn_to_write_heif() -> None:
    """By pillow-heif, which tests alone have; what reads HEIF stays what reads it in the product."""
    readable_formats()
    reader = Image.OPEN["HEIF"]
    pillow_heif.register_heif_opener()
    Image.OPEN["HEIF"] = reader


def jpeg(**options: Any) -> bytes:
    """A JPEG of ``quadrants()`` without chroma subsampling, so that colours stay where they are."""
    return encode(quadrants(), "JPEG", **{"quality": 95, "subsampling": 0, **options})


def rotated(orientation: int, format_name: str = "JPEG") -> bytes:
    """``quadrants()`` stored turned, with the EXIF orientation that makes it upright again."""
    method = TRANSPOSED[orientation]
    stored = quadrants() if method is None else quadrants().transpose(method)
    exif = Image.Exif()
    exif[0x0112] = orientation
    exact: dict[str, dict[str, Any]] = {"JPEG": {"quality": 95, "subsampling": 0}, "WEBP": {"lossless": True}}
    return encode(stored, format_name, exif=exif, **exact.get(format_name, {}))


def photo_exif() -> Image.Exif:
    """EXIF as a telephone writes it."""
    exif = Image.Exif()
    exif[0x010F], exif[0x0110] = "Canon\0\0 ", " EOS R5\0junk"
    exif.get_ifd(0x8769).update({0x9003: "2024:02:29 23:59:58", 0x9011: "-03:30"})
    ratio = TiffImagePlugin.IFDRational
    exif.get_ifd(0x8825).update(
        {
            1: "S",
            2: (ratio(22), ratio(54), ratio(3600, 100)),
            3: "W",
            4: (ratio(43), ratio(10), ratio(12)),
            5: b"\x01",
            6: ratio(15, 10),
        }
    )
    return exif


def huge_jpeg(side: int) -> bytes:
    """A square JPEG of any size, made without ever holding its pixels: one row of blocks, repeated."""
    row = encode(quadrants(side, 8), "JPEG", quality=50, subsampling=0, restart_marker_rows=1)
    frame, scan = row.index(b"\xff\xc0"), row.index(b"\xff\xda")
    start = scan + 2 + int.from_bytes(row[scan + 2 : scan + 4], "big")
    header = _forged(row[:start], frame + 5, struct.pack(">H", side))
    rows = b"".join(row[start:-2] + bytes((0xFF, 0xD0 + number % 8)) for number in range(side // 8))
    return header + rows[:-2] + b"\xff\xd9"


def png_chunk(kind: bytes, data: bytes) -> bytes:
    """One PNG chunk with its checksum."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, *, before: bytes = b"", after: bytes = b"", pixels: bytes | None = None) -> bytes:
    """A one-bit black PNG, with other chunks before and after its pixels."""
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    raw = b"\0" * ((width + 7) // 8 + 1) * height if pixels is None else pixels
    body = png_chunk(b"IDAT", zlib.compress(raw, 9))
    start = b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header)
    return start + before + body + after + png_chunk(b"IEND", b"")


def tiff(entries: dict[int, tuple[int, int, int]], *, rest: bytes = b"") -> bytes:
    """A little-endian TIFF of one directory: tag to type, count and value or offset."""
    packed = b"".join(struct.pack("<HHII", tag, *entries[tag]) for tag in sorted(entries))
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(entries)) + packed + b"\0\0\0\0" + rest


def _palette_with_alpha() -> bytes:
    image = quadrants().quantize(8)
    entry = image.getpixel((WIDTH * 3 // 4, HEIGHT * 3 // 4))  # the white quadrant: let it be a see-through hole
    image.putpalette([7 if i // 3 == entry else v for i, v in enumerate(image.getpalette() or [])])
    return encode(image, "PNG", transparency=entry)


def _see_through() -> bytes:
    image = quadrants().convert("RGBA")
    image.paste((9, 9, 9, 0), (WIDTH // 2, HEIGHT // 2, WIDTH, HEIGHT))
    return encode(image, "PNG")


def _animated(format_name: str) -> bytes:
    other = Image.new("RGB", (WIDTH, HEIGHT), GREY)
    options = {"lossless": True} if format_name == "WEBP" else {}
    return encode(quadrants(), format_name, save_all=True, append_images=[other, quadrants()], duration=80, **options)


def _grey16(format_name: str) -> bytes:
    return encode(Image.fromarray(np.full((HEIGHT, WIDTH), 0x8000, np.uint16)), format_name)


def _text_bomb() -> bytes:
    bomb = png_chunk(b"zTXt", b"Comment\0\0" + zlib.compress(b"A" * (70 << 20), 1))
    return png(WIDTH, HEIGHT, before=bomb, after=bomb)


def _tag_bomb() -> bytes:
    values = b"\1\0\0\0" * (4 << 20)
    size = {256: (3, 1, 8), 257: (3, 1, 8), 258: (3, 1, 8), 262: (3, 1, 1), 273: (4, 1, 8), 279: (4, 1, 64)}
    offset = 8 + 2 + 12 * (len(size) + 1) + 4
    return tiff(size | {282: (5, len(values) // 8, offset)}, rest=values)


def _camera_raw() -> bytes:
    preview = {254: (4, 1, 1), 256: (3, 1, 8), 257: (3, 1, 8), 258: (3, 1, 8), 262: (3, 1, 1)}
    return tiff(preview | {273: (4, 1, 8), 279: (4, 1, 64), 330: (4, 1, 8)}, rest=bytes(64))


def _forged(data: bytes, offset: int, replacement: bytes) -> bytes:
    return data[:offset] + replacement + data[offset + len(replacement) :]


def _bomb_webp() -> bytes:
    """Thirty bytes that claim a canvas of 60,000 × 60,000."""
    side = (60_000 - 1).to_bytes(3, "little")
    return b"RIFF\x16\0\0\0WEBPVP8X\x0a\0\0\0" + bytes(4) + side + side


def _many_scans() -> bytes:
    """A progressive JPEG whose first scan, of nothing, is repeated a thousand times."""
    data = jpeg(progressive=True)
    scan = data.index(b"\xff\xda")
    return data[:scan] + data[scan : scan + 14] * 1_001 + data[scan:]


def _ok(build: Callable[[], bytes], key: str, *, upright: bool = True) -> Sample:
    return Sample(build=cache(build), key=key, quadrants=upright)


def _bad(build: Callable[[], bytes], key: str, reason: Reason) -> Sample:
    return Sample(build=cache(build), key=key, reason=reason)


def _constant(data: bytes) -> Callable[[], bytes]:
    return lambda: data


_HTML = b"<!-- error --><!DOCTYPE html><html><body>403 Forbidden <svg></svg></body></html>"
_SVG = b'<?xml version="1.0"?>\n<!-- drawing -->\n<svg xmlns="http://www.w3.org/2000/svg" width="8" height="8"/>'
_EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\nshowpage\n"

CORPUS: dict[str, Sample] = {
    # -- ordinary ----------------------------------------------------------------------------------------------------
    "jpeg": _ok(jpeg, "photo.jpg"),
    "progressive jpeg": _ok(lambda: jpeg(progressive=True), "photo.jpeg"),
    "grey jpeg": _ok(lambda: encode(quadrants().convert("L"), "JPEG"), "grey.jpg", upright=False),
    "several pictures in a jpeg": _ok(
        lambda: encode(quadrants(), "MPO", save_all=True, append_images=[quadrants()], quality=95, subsampling=0),
        "phone.jpg",
    ),
    "png": _ok(lambda: encode(quadrants(), "PNG"), "shot.png"),
    "webp": _ok(lambda: encode(quadrants(), "WEBP", lossless=True), "shot.webp"),
    "tiff": _ok(lambda: encode(quadrants(), "TIFF"), "scan.tif"),
    "compressed tiff": _ok(lambda: encode(quadrants(), "TIFF", compression="tiff_lzw"), "scan.tiff"),
    "big tiff": _ok(lambda: encode(quadrants(), "TIFF", big_tiff=True), "scan.tiff"),
    "bmp": _ok(lambda: encode(quadrants(), "BMP"), "old.bmp"),
    "jpeg 2000": _ok(lambda: encode(quadrants(), "JPEG2000"), "archive.jp2"),
    "heic": _ok(lambda: encode(quadrants(), "HEIF", quality=95, chroma=444), "IMG_0001.HEIC"),
    "avif": _ok(lambda: encode(quadrants(), "AVIF", quality=95, subsampling="4:4:4"), "shot.avif"),
    # -- unusual, and still pictures ---------------------------------------------------------------------------------
    **{f"jpeg turned {i}": _ok(lambda i=i: rotated(i), f"turned-{i}.jpg") for i in TRANSPOSED},  # type: ignore[misc]
    "png turned": _ok(lambda: rotated(6, "PNG"), "turned.png"),
    "webp turned": _ok(lambda: rotated(7, "WEBP"), "turned.webp"),
    "tiff turned": _ok(lambda: rotated(8, "TIFF"), "turned.tif"),
    "gps": _ok(lambda: jpeg(exif=photo_exif()), "holiday.jpg"),
    "cmyk jpeg": _ok(lambda: encode(quadrants().convert("CMYK"), "JPEG", quality=95, subsampling=0), "print.jpg"),
    "cmyk tiff": _ok(lambda: encode(quadrants().convert("CMYK"), "TIFF"), "print.tif"),
    "lab tiff": _ok(lambda: encode(_lab(), "TIFF"), "lab.tif"),
    "palette": _ok(lambda: encode(quadrants().quantize(8), "PNG"), "palette.png"),
    "palette with alpha": _ok(_palette_with_alpha, "logo.png"),
    "alpha": _ok(_see_through, "cut-out.png"),
    "16-bit png": _ok(lambda: _grey16("PNG"), "deep.png", upright=False),
    "16-bit tiff": _ok(lambda: _grey16("TIFF"), "deep.tif", upright=False),
    "float tiff": _ok(
        lambda: encode(Image.fromarray(np.full((HEIGHT, WIDTH), 0.5, np.float32)), "TIFF"), "hdr.tif", upright=False
    ),
    "one bit": _ok(lambda: encode(quadrants().convert("1"), "PNG"), "fax.png", upright=False),
    "animated gif": _ok(lambda: _animated("GIF"), "loop.gif"),
    "animated webp": _ok(lambda: _animated("WEBP"), "loop.webp"),
    "animated png": _ok(lambda: _animated("PNG"), "loop.png"),
    "multi-page tiff": _ok(lambda: _animated("TIFF"), "fax.tif"),
    "one pixel": _ok(lambda: encode(Image.new("RGB", (1, 1)), "PNG"), "pixel.png", upright=False),
    "20,000 pixels wide": _ok(lambda: encode(quadrants(20_000, 40), "JPEG", quality=95), "panorama.jpg"),
    "text bomb around a picture": _ok(_text_bomb, "comment.png", upright=False),
    "png named jpg": _ok(lambda: encode(quadrants(), "PNG"), "misnamed.jpg"),
    "garbage behind a jpeg": _ok(lambda: jpeg() + b"\0trailer" * 99, "trailer.jpg"),
    "garbage colour profile": _ok(lambda: jpeg(icc_profile=b"\xff" * 300), "profile.jpg"),
    "garbage exif": _ok(lambda: jpeg(exif=b"Exif\0\0II*\0\xff\xff\xff\x7f" + b"\xff" * 99), "exif.jpg"),
    # -- no picture --------------------------------------------------------------------------------------------------
    "zero bytes": _bad(_constant(b""), "empty.jpg", Reason.EMPTY),
    "text named jpg": _bad(_constant(b"hello, world\n"), "hello.jpg", Reason.NOT_AN_IMAGE),
    "html named jpg": _bad(_constant(_HTML), "error.jpg", Reason.NOT_AN_IMAGE),
    "pdf named jpg": _bad(_constant(b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n"), "paper.jpg", Reason.NOT_AN_IMAGE),
    "video named jpg": _bad(_constant(b"\0\0\0\x18ftypisom" + bytes(99)), "clip.jpg", Reason.NOT_AN_IMAGE),
    "zeros named png": _bad(_constant(bytes(5000)), "zeros.png", Reason.NOT_AN_IMAGE),
    "svg": _bad(_constant(_SVG), "logo.svg", Reason.UNSUPPORTED_FORMAT),
    "eps": _bad(_constant(_EPS), "logo.eps", Reason.UNSUPPORTED_FORMAT),
    "psd": _bad(_constant(b"8BPS\0\1" + bytes(40)), "layers.psd", Reason.UNSUPPORTED_FORMAT),
    "ico": _bad(lambda: encode(quadrants(), "ICO"), "favicon.ico", Reason.UNSUPPORTED_FORMAT),
    "camera raw": _bad(_camera_raw, "DSC_0001.NEF", Reason.UNSUPPORTED_FORMAT),
    "truncated jpeg": _bad(lambda: jpeg()[:-400], "cut.jpg", Reason.TRUNCATED),
    "jpeg header only": _bad(lambda: jpeg()[:100], "cut.jpg", Reason.TRUNCATED),
    "truncated png": _bad(lambda: encode(_noise(), "PNG")[:-900], "cut.png", Reason.TRUNCATED),
    "truncated gif": _bad(lambda: encode(_noise(), "GIF")[:-900], "cut.gif", Reason.TRUNCATED),
    "truncated webp": _bad(lambda: encode(_noise(), "WEBP")[:-900], "cut.webp", Reason.TRUNCATED),
    "truncated tiff": _bad(lambda: encode(_noise(), "TIFF")[:-900], "cut.tif", Reason.TRUNCATED),
    "truncated bmp": _bad(lambda: encode(_noise(), "BMP")[:-900], "cut.bmp", Reason.TRUNCATED),
    "truncated jpeg 2000": _bad(lambda: encode(_noise(), "JPEG2000")[:60], "cut.jp2", Reason.TRUNCATED),
    "truncated heic": _bad(lambda: encode(_noise(), "HEIF")[:-900], "cut.heic", Reason.TRUNCATED),
    "truncated avif": _bad(lambda: encode(_noise(), "AVIF")[:-900], "cut.avif", Reason.TRUNCATED),
    "corrupt png": _bad(lambda: png(WIDTH, HEIGHT, pixels=b"\0" * 99), "broken.png", Reason.CORRUPT),
    "broken checksum": _bad(lambda: _forged(png(8, 8), 16, b"\0\0\1\1"), "broken.png", Reason.CORRUPT),
    "gif without a frame": _bad(_constant(b"GIF89a\x08\0\x08\0\0\0\0;"), "none.gif", Reason.CORRUPT),
    "tag bomb": _bad(_tag_bomb, "tags.tif", Reason.CORRUPT),
    "bomb": _bad(lambda: png(20_000, 20_000), "bomb.png", Reason.TOO_MANY_PIXELS),
    "bomb of few bytes": _bad(_bomb_webp, "bomb.webp", Reason.TOO_MANY_PIXELS),
    "bomb gif": _bad(
        lambda: _forged(encode(quadrants(), "GIF"), 6, b"\x60\xea\x60\xea"), "bomb.gif", Reason.TOO_MANY_PIXELS
    ),
    "too many scans": _bad(_many_scans, "scans.jpg", Reason.TOO_MUCH_WORK),
    "70,000 pixels wide": _bad(lambda: png(70_000, 2), "line.png", Reason.SIDE_TOO_LONG),
}


def _noise() -> Image.Image:
    return Image.fromarray(np.random.default_rng(7).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8))


def _lab() -> Image.Image:
    from PIL import ImageCms

    srgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    converted = ImageCms.applyTransform(quadrants(), ImageCms.buildTransform(srgb, lab, "RGB", "LAB"))
    assert converted is not None
    return converted
