"""Detects which bytes are an image, which objects claim to be one, and which formats can be read."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from typing import Final

#: Pillow's names of the formats that are decoded. Everything else is never handed to a decoder: some of Pillow's run
#: other programs (EPS starts Ghostscript).
_ALWAYS_READABLE: Final = ("JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "JPEG2000")

_SUPPORTED_EXTENSIONS: Final = (
    "jpg jpeg jpe jfif jif pjpeg pjp mpo png apng gif webp tif tiff bmp dib heic heif heics heifs hif avif avifs "
    "jp2 j2k jpf jpx j2c jpc"
)
_OTHER_EXTENSIONS: Final = (
    "svg psd psb ico cur jxl eps tga exr dds xcf qoi pbm pgm ppm pnm icns wmf emf djvu "
    "dng cr2 cr3 nef nrw arw srf sr2 raf orf rw2 pef srw rwl 3fr iiq"
)
_IMAGE_EXTENSIONS: Final = frozenset(f"{_SUPPORTED_EXTENSIONS} {_OTHER_EXTENSIONS}".split())

# Source: mp4ra.org, "Brands"; ISO/IEC 23008-12, 10; ISO/IEC 23000-22 (MIAF); AVIF, 6.
_AVIF_BRANDS: Final = frozenset((b"avif", b"avis", b"MA1A", b"MA1B"))
_HEVC_BRANDS: Final = frozenset(
    (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"MiHA", b"MiHB", b"MiHE")
)
#: Of HEIF, whatever the pictures are coded with.
_STRUCTURAL_BRANDS: Final = frozenset((b"mif1", b"mif2", b"msf1", b"miaf"))
#: Major brands of films and of raw files, whatever else they say that they are compatible with.
_OTHER_BRANDS: Final = re.compile(rb"iso.|mp4.|mp7.|avc1|hvc1|qt  |M4.|m4.|3g..|f4v |F4.|dash|msdh|mmp4|MSNV|crx ")
#: By which Pillow's plugins know their own.
_MAJOR_BRANDS: Final = {
    "AVIF": (b"avif", b"avis", b"mif1", b"msf1"),
    "HEIF": (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"),
}
_DIB_HEADER_SIZES: Final = frozenset((12, 16, 40, 52, 56, 64, 108, 124))
# Atomic groups and possessive repeats: a hostile prologue must not make the matcher backtrack.
_MARKUP: Final = rb"(?:\xef\xbb\xbf)?+(?>\s|<\?xml.*?\?>|<!--.*?-->|<!DOCTYPE\s+svg[^>\[]*+(?:\[.*?\]\s*+)?+>)*+"
_SVG: Final = re.compile(_MARKUP + rb"<(?:\w+:)?svg[\s>]", re.DOTALL)
_HTML: Final = re.compile(
    rb"(?:\xef\xbb\xbf)?+\s*+(?><!--.*?-->\s*+)*+<(?:!doctype\s+html|html|head|body)\b", re.IGNORECASE | re.DOTALL
)
_NETPBM: Final = re.compile(rb"P[1-6]\s(?>\s*+#.*\n)*+\s*+\d+\s+\d+\s")

_heif_lock = threading.Lock()
_heif_registered: bool | None = None


def sniff(head: bytes) -> str | None:
    """The image format whose signature ``head`` carries, by Pillow's name where Pillow has one.

    Args:
        head: the first bytes of the object; 4 KiB are plenty, fewer are fine.

    Returns:
        A name, also for image formats that cannot be read ("SVG", "PSD", "CR3" …); None for anything else.
    """
    return next((name for name, matches in _SIGNATURES if matches(head)), None)


def claims_to_be_image(key: str, content_type: str | None) -> bool:
    """Whether an object's name or declared type says "image", whatever its bytes are."""
    declared = (content_type or "").strip().lower()
    name = key.rpartition("/")[2]
    stem, dot, extension = name.rpartition(".")
    return declared.startswith("image/") or (bool(stem and dot) and extension.lower() in _IMAGE_EXTENSIONS)


def is_worth_reading(key: str, content_type: str | None, head: bytes) -> bool:
    """Whether to go on streaming an object after its first bytes.

    False means: not an image, and it never said so; the object is excluded. True means that ``read_image`` is to have
    it: it becomes a picture, or a quarantine row that says why not.
    """
    return sniff(head) is not None or claims_to_be_image(key, content_type)


def readable_formats() -> frozenset[str]:
    """Pillow's names of the formats this installation decodes. Registers the HEIF plugin on the first call."""
    from PIL import features

    avif = ("AVIF",) if features.check("avif") else ()
    heif = ("HEIF",) if _register_heif() else ()
    return frozenset((*_ALWAYS_READABLE, *avif, *heif))


def describe(head: bytes) -> str:
    """Describes bytes that are not an image, to help a person find the mistake."""
    if _HTML.match(head):
        return "an HTML page, often an error page saved under an image's name"
    for signature, name in _NOT_IMAGES.items():
        if head.startswith(signature):
            return name
    if head[4:8] == b"ftyp":
        return "a video or audio file"
    return "text" if _is_text(head[:512]) else "data without the signature of any image format known here"


def _register_heif() -> bool:
    global _heif_registered  # noqa: PLW0603 - registered once per process; Pillow's registry is process-wide too
    with _heif_lock:
        if _heif_registered is None:
            _heif_registered = _try_to_register_heif()
        return _heif_registered


def _try_to_register_heif() -> bool:
    try:
        import pi_heif
    except ImportError:  # no wheel for this platform: HEIC is then quarantined as unsupported
        return False
    # Threads come from the caller; depth maps and auxiliary images are never looked at.
    pi_heif.register_heif_opener(decode_threads=1, thumbnails=False, depth_images=False, aux_images=False)
    return True


def _starts(*signatures: bytes) -> Callable[[bytes], bool]:
    return lambda head: head.startswith(signatures)


def _brands(head: bytes) -> tuple[bytes, ...]:
    """Major and compatible brands of an ISO base media file; empty for other files."""
    if head[4:8] != b"ftyp":
        return ()
    end = min(int.from_bytes(head[:4], "big"), len(head), 256)
    return (head[8:12], *(head[at : at + 4] for at in range(16, end - 3, 4)))


def with_known_brand(data: bytes, format_name: str) -> bytes:
    """A HEIF or AVIF file under a major brand by which its decoder knows it; itself where that is so."""
    known = _MAJOR_BRANDS.get(format_name, ())
    return data if not known or data[8:12] in known else data[:8] + known[0] + data[12:]


def _isobmff_format(head: bytes) -> str | None:
    """HEIF or AVIF: by the major brand, and where that says neither, by those that the file is compatible with."""
    major, *compatible = _brands(head) or (b"",)
    if _OTHER_BRANDS.match(major):
        return None
    for brands in ({major}, set(compatible)):
        if brands & _AVIF_BRANDS and not brands & _HEVC_BRANDS:
            return "AVIF"
        if brands & _HEVC_BRANDS:
            return "HEIF"
    return "HEIF" if {major, *compatible} & _STRUCTURAL_BRANDS else None


def _is_bmp(head: bytes) -> bool:
    return head[:2] == b"BM" and len(head) >= 18 and int.from_bytes(head[14:18], "little") in _DIB_HEADER_SIZES  # noqa: PLR2004


def _is_icon(head: bytes) -> bool:
    return head[:4] in {b"\0\0\1\0", b"\0\0\2\0"} and head[4:6] != b"\0\0" and head[9:10] == b"\0"


def _is_eps(head: bytes) -> bool:
    return head.startswith(b"\xc5\xd0\xd3\xc6") or (head.startswith(b"%!PS") and b"EPSF" in head[:64])


def _is_text(head: bytes) -> bool:
    printable = sum(byte >= 32 or byte in b"\t\n\r\f" for byte in head)  # noqa: PLR2004 - below are control characters
    return bool(head) and printable == len(head)


#: In order: a camera's raw format that is a TIFF underneath comes before TIFF.
_SIGNATURES: Final[tuple[tuple[str, Callable[[bytes], bool]], ...]] = (
    ("JPEG", _starts(b"\xff\xd8\xff")),
    ("PNG", _starts(b"\x89PNG\r\n\x1a\n")),
    ("GIF", _starts(b"GIF87a", b"GIF89a")),
    ("WEBP", lambda head: head[:4] == b"RIFF" and head[8:12] == b"WEBP"),
    ("CR2", lambda head: head[:4] == b"II*\0" and head[8:10] == b"CR"),
    ("TIFF", _starts(b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")),
    ("BMP", _is_bmp),
    ("AVIF", lambda head: _isobmff_format(head) == "AVIF"),
    ("HEIF", lambda head: _isobmff_format(head) == "HEIF"),
    ("JPEG2000", _starts(b"\0\0\0\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51")),
    ("SVG", lambda head: _SVG.match(head[:4096]) is not None),
    ("PSD", _starts(b"8BPS")),
    ("EPS", _is_eps),
    ("ICO", _is_icon),
    ("JXL", _starts(b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n")),
    ("CR3", lambda head: _brands(head)[:1] == (b"crx ",)),
    ("RAF", _starts(b"FUJIFILMCCD-RAW")),
    ("ORF", _starts(b"IIRO", b"IIRS", b"MMOR")),
    ("RW2", _starts(b"IIU\0")),
    ("QOI", _starts(b"qoif")),
    ("EXR", _starts(b"v/1\x01")),
    ("DDS", _starts(b"DDS ")),
    ("XCF", _starts(b"gimp xcf ")),
    ("ICNS", _starts(b"icns")),
    ("DJVU", _starts(b"AT&TFORM")),
    ("NETPBM", lambda head: _NETPBM.match(head) is not None),
)

_NOT_IMAGES: Final = {
    b"%PDF-": "a PDF document",
    b"%!PS": "a PostScript document",
    b"PK\x03\x04": "a ZIP archive or an office document",
    b"\x1f\x8b": "gzip-compressed data (which is decompressed if its Content-Encoding is gzip)",
    b"\x1aE\xdf\xa3": "a video file",
    b"ID3": "an audio file",
    b"version https://git-lfs": "a Git LFS pointer, not the file it points to",
    b"{": "JSON text",
    b"<?xml": "an XML document",
}
