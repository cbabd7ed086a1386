"""Pictures in a terminal: what its answers mean, and what is written to it."""

from __future__ import annotations

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

from worker.cli import terminal_pictures
from worker.cli.terminal_pictures import picture, sixel, understood


def gradient(height: int = 50, width: int = 70) -> np.ndarray:
    rows, columns = np.mgrid[:height, :width]
    return np.stack([rows * 255 // height, columns * 255 // width, (rows + columns) % 256], axis=2).astype(np.uint8)


def webp(pixels: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "WEBP", lossless=True)
    return out.getvalue()


@pytest.mark.parametrize(
    ("answer", "protocol"),
    [
        (b"\x1b_Gi=31;OK\x1b\\\x1b[?62;c", "kitty"),
        (b"\x1b_Gi=31;EINVAL:no\x1b\\\x1b[?62;4;6c", "sixel"),
        (b"\x1b[?62;4;6;9;15;22;29c", "sixel"),
        (b"\x1b[?64;1;2;6;22c", "none"),
        (b"\x1b[?4c", "none"),  # a VT132, which has no pictures
        (b"\x1b[?1;2c", "none"),
        (b"", "none"),
        (b"yyn\xff", "none"),
    ],
)
def test_a_terminal_says_what_it_shows(answer, protocol):
    """kitty's protocol before sixel; who answers nothing, or something else, shows no pictures."""
    assert protocol == understood(answer)


@pytest.mark.parametrize("size", [(50, 70), (6, 1), (1, 9), (13, 300)])
def test_sixels_are_the_picture(size):
    """Decoded by the rules of the terminal's manual, they are the picture with fewer colours."""
    pixels = gradient(*size)
    decoded = sixels_of(sixel(pixels))
    assert pixels.shape == decoded.shape
    assert np.abs(decoded.astype(int) - pixels).mean() < 12


def test_kitty_gets_a_png_in_parts():
    """All parts but the last say that more follow; together they are the picture."""
    pixels = np.random.default_rng(0).integers(0, 255, (64, 64, 3)).astype(np.uint8)
    parts = re.findall(rb"\x1b_G([^;]*);([^\x1b]*)\x1b\\", picture(webp(pixels), "kitty", rows=40))
    assert [b"1"] * (len(parts) - 1) + [b"0"] == [re.findall(rb"m=(\d)", keys)[0] for keys, _ in parts]
    assert len(parts) > 2
    assert parts[0][0].startswith(b"a=T,f=100,q=2,r=20,")
    shown = Image.open(io.BytesIO(base64.b64decode(b"".join(data for _, data in parts))))
    assert (pixels == np.asarray(shown)).all()


def test_no_picture_is_nothing():
    """Where the terminal has none."""
    assert b"" == picture(webp(gradient()), "none", rows=24)
    assert terminal_pictures.picture(webp(gradient()), "sixel", rows=24).endswith(b"\x1b\\\n")


def sixels_of(data: bytes) -> np.ndarray:
    """A decoder of the part of sixel that is used."""
    body = re.fullmatch(rb"\x1bP0;1q(.*)\x1b\\", data, re.DOTALL)
    assert body is not None
    raster = re.match(rb'"1;1;(\d+);(\d+)', body.group(1))
    assert raster is not None
    width, height = int(raster.group(1)), int(raster.group(2))
    out = np.zeros((height, width, 3), dtype=np.uint8)
    palette: dict[int, list[int]] = {}
    colour = top = left = 0
    for token in re.findall(rb"#\d+;2;\d+;\d+;\d+|#\d+|!\d+[?-~]|[?-~]|\$|-", body.group(1)[raster.end() :]):
        if token.startswith(b"#") and b";" in token:
            number, _, *rgb = (int(part) for part in token[1:].split(b";"))
            palette[number] = [part * 255 // 100 for part in rgb]
        elif token.startswith(b"#"):
            colour = int(token[1:])
        elif token == b"$":
            left = 0
        elif token == b"-":
            left, top = 0, top + 6
        else:
            count = int(token[1:-1]) if token.startswith(b"!") else 1
            for row in range(6):
                if (token[-1] - ord("?")) >> row & 1:
                    out[top + row, left : left + count] = palette[colour]
            left += count
    return out
