"""No file of up to 64 MB takes more than five seconds of a processor, nor a gigabyte more than was reserved for it."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any, Final

import numpy as np
import pytest
from PIL import Image

from tests.fuzz.bombs import BOMBS, png_of
from tests.fuzz.giants import LENGTH, MB, MOST_BEYOND, MOST_SECONDS, zeros
from tests.fuzz.harness import ROOT, price
from tests.fuzz.targets import DOCUMENTED, PIXELS
from tests.fuzz.tiff_bombs import strip, tiles
from tests.unit.images.corpus import encode, huge_jpeg
from worker.images import readable_formats
from worker.types import Reason


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_costs_little_beyond_its_reservation(name: str) -> None:
    """Whether it is refused or read: at most five seconds and one gigabyte."""
    data = BOMBS[name](LENGTH)
    assert len(data) <= 64 * MB
    cost = price(data)
    assert cost["seconds"] <= MOST_SECONDS
    assert cost["memory"] <= cost["reserved"] + MOST_BEYOND
    assert cost["outcome"] in {PIXELS, *DOCUMENTED}


def test_a_stream_larger_than_its_header_gets_no_memory_for_it() -> None:
    """An AVIF of 788 bytes, 40 × 24 pixels outside and 65,262 × 4,113 inside: half a gigabyte to libavif alone."""
    cost = price((ROOT / "tests" / "fixtures" / "images" / "findings" / "larger-than-the-header.avif").read_bytes())
    assert Reason.CORRUPT == cost["outcome"]
    assert cost["seconds"] <= 1
    assert cost["memory"] <= cost["reserved"] + 48 * MB


def test_there_are_bombs_of_every_format() -> None:
    """What docs/reference/images.md lists is attacked."""
    families = {name.split()[0].upper() for name in BOMBS}
    assert {name.replace("JPEG2000", "JP2") for name in readable_formats()} <= families


def _photo(width: int, height: int) -> Image.Image:
    """Grain and shapes, so that encoders have something to do."""
    coarse = np.random.default_rng(5).integers(0, 256, (max(1, height // 16), max(1, width // 16), 3), np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BILINEAR)


def _save(picture: Image.Image, format_name: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format_name, **options)
    return buffer.getvalue()


LARGE: Final[dict[str, Callable[[], bytes]]] = {
    "50 MP progressive": lambda: _save(_photo(8_660, 5_774), "JPEG", quality=88, progressive=True),
    "100 MP progressive": lambda: _save(_photo(12_000, 8_334), "JPEG", quality=88, progressive=True),
    "250 MP baseline": lambda: huge_jpeg(15_808),
    "100 MP png": lambda: png_of(width=10_000, height=10_000),
    "panorama": lambda: _save(_photo(65_500, 1_500), "JPEG", quality=88),
    "100 MP deflated tiff": lambda: strip(zeros(10_000**2), 8, 10_000, 10_000),
    "40 MP tiled tiff": lambda: tiles(400 * 400),
    "48 MP webp": lambda: _save(_photo(8_000, 6_000), "WEBP", method=0),
    "48 MP heic": lambda: encode(_photo(8_000, 6_000), "HEIF", quality=50, enc_params={"preset": "ultrafast"}),
    "48 MP avif": lambda: _save(_photo(8_000, 6_000), "AVIF", speed=10),
    "24 MP jpeg 2000": lambda: _save(_photo(6_000, 4_000), "JPEG2000", irreversible=True, quality_layers=[20]),
}


@pytest.mark.parametrize("name", LARGE)
def test_a_large_photo_is_still_read(name: str) -> None:
    """What people have is not what bombs are."""
    cost = price(LARGE[name]())
    assert PIXELS == cost["outcome"]
    assert cost["memory"] <= cost["reserved"] + 256 * MB


def _flat(mode: str, **options: Any) -> Callable[[str], bytes]:
    return lambda format_name: encode(_photo(3_000, 3_000).convert(mode), format_name, **options)


MODES: Final[dict[str, tuple[str, Callable[[str], bytes]]]] = {
    "png": ("PNG", _flat("RGB", compress_level=1)),
    "png alpha": ("PNG", _flat("RGBA", compress_level=1)),
    "png key": ("PNG", _flat("RGB", compress_level=1, transparency=(1, 2, 3))),
    "png palette": ("PNG", _flat("P", compress_level=1, transparency=3)),
    "png grey alpha": ("PNG", _flat("LA", compress_level=1)),
    "png 16": ("PNG", _flat("I;16", compress_level=1)),
    "png bit": ("PNG", _flat("1", compress_level=1)),
    "gif": ("GIF", _flat("P")),
    "webp": ("WEBP", _flat("RGB", method=0)),
    "webp alpha": ("WEBP", _flat("RGBA", method=0)),
    "bmp": ("BMP", _flat("RGB")),
    "tiff cmyk": ("TIFF", _flat("CMYK", compression="tiff_lzw")),
    "tiff lab": ("TIFF", _flat("LAB")),
    "tiff float": ("TIFF", _flat("F", compression="tiff_lzw")),
    "tiff integers": ("TIFF", _flat("I", compression="tiff_lzw")),
    "tiff jpeg": ("TIFF", _flat("RGB", compression="jpeg")),
    "jpeg cmyk": ("JPEG", _flat("CMYK", progressive=True, subsampling=0)),
    "jp2 alpha": ("JPEG2000", _flat("RGBA", irreversible=True, quality_layers=[20])),
    "avif alpha": ("AVIF", _flat("RGBA", speed=10)),
    "heif alpha": ("HEIF", _flat("RGBA", quality=50)),
}


@pytest.mark.parametrize("name", MODES)
def test_what_is_reserved_is_what_is_taken(name: str) -> None:
    """Of every format and mode: less than the file and 48 MiB beyond it."""
    format_name, build = MODES[name]
    data = build(format_name)
    cost = price(data)
    assert PIXELS == cost["outcome"]
    assert cost["memory"] <= cost["reserved"] + 4 * len(data) + 48 * MB
