"""What synthetic pages are made of: paper, print, handwriting, tables, figures and things that look like photographs.

Nothing here is copied from anywhere: words are Python's own documentation topics, fonts are those of matplotlib, and
photographs are noise with the spectrum of natural images.
"""

from __future__ import annotations

import functools
import math
import pydoc_data.topics
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

Colour: TypeAlias = tuple[int, int, int]
#: Left, top, right, bottom in pixels.
Box: TypeAlias = tuple[float, float, float, float]
Pixels: TypeAlias = npt.NDArray[np.uint8]
Figure: TypeAlias = Callable[["Sheet", Box], None]

WORDS = [word for word in re.findall(r"[A-Za-z]{2,12}", " ".join(pydoc_data.topics.topics.values())) if word.isascii()]
_FONTS = ("DejaVuSans", "DejaVuSans-Bold", "DejaVuSerif", "DejaVuSansMono", "STIXGeneral", "cmr10", "cmss10", "cmtt10")
PAPERS: tuple[Colour, ...] = ((255, 255, 255), (250, 248, 240), (243, 234, 212), (228, 215, 185), (236, 236, 236))
ACCENTS: tuple[Colour, ...] = (
    (160, 70, 50),
    (235, 125, 40),
    (40, 80, 160),
    (40, 120, 80),
    (120, 60, 140),
    (90, 90, 90),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Sheet:
    """A page in the making and its source of chance."""

    image: Image.Image
    draw: ImageDraw.ImageDraw
    rng: np.random.Generator
    ink: Colour

    @property
    def body(self) -> Box:
        """The page without its margins."""
        margin = self.uniform(0.05, 0.16) * self.image.width
        return margin, margin, self.image.width - margin, self.image.height - margin

    def uniform(self, low: float, high: float) -> float:
        """Between the two; ``low`` where there is no room between them."""
        return float(self.rng.uniform(low, max(low, high)))

    def chance(self, probability: float) -> bool:
        return bool(self.rng.random() < probability)

    def integer(self, low: int, high: int) -> int:
        """From low up to and including high."""
        return int(self.rng.integers(low, high + 1))

    def accent(self) -> Colour:
        return ACCENTS[self.integer(0, len(ACCENTS) - 1)]

    def words(self, count: int) -> str:
        return " ".join(WORDS[index] for index in self.rng.integers(0, len(WORDS), count))


def sheet(rng: np.random.Generator, size: tuple[int, int], paper: Colour, ink: Colour = (20, 20, 25)) -> Sheet:
    """An empty page."""
    image = Image.new("RGB", size, paper)
    return Sheet(image=image, draw=ImageDraw.Draw(image), rng=rng, ink=ink)


@functools.cache
def font(name: str, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(Path(mpl.get_data_path(), "fonts", "ttf", f"{name}.ttf")), size)


def some_font(page: Sheet, size: float) -> ImageFont.FreeTypeFont:
    return font(_FONTS[page.integer(0, len(_FONTS) - 1)], max(6, round(size)))


# -- writing ----------------------------------------------------------------------------------------------------------


def paragraphs(page: Sheet, box: Box) -> None:
    """Running text, now and then with boxed links as LaTeX draws them."""
    left, top, right, bottom = box
    size = page.image.width * page.uniform(0.014, 0.024)
    face, leading = some_font(page, size), size * page.uniform(1.2, 1.7)
    letters = int((right - left) / face.getlength("n"))
    links, link = page.chance(0.25), page.accent()
    while top + leading < bottom:
        full = 1.0 if page.chance(0.85) else page.uniform(0.2, 0.9)
        page.draw.text((left, top), page.words(letters // 4)[: int(letters * full)], font=face, fill=page.ink)
        if links and page.chance(0.3):
            start = page.uniform(left, right - 60)
            page.draw.rectangle((start, top, start + page.uniform(15, 60), top + size), outline=link)
        top += leading * (1.6 if full < 1 else 1)


def heading(page: Sheet, box: Box) -> float:
    """A title at the top of the box; returns where it ends."""
    left, top, right, _ = box
    size = page.image.width * page.uniform(0.028, 0.05)
    face = some_font(page, size)
    text = page.words(6)[: int((right - left) / face.getlength("n"))]
    page.draw.text((left, top), text, font=face, fill=page.accent() if page.chance(0.4) else page.ink)
    return top + size * 2


def title_page(page: Sheet, box: Box) -> None:
    """Few centred lines, large and small, far apart, in several colours."""
    left, top, right, bottom = box
    while top < bottom:
        face = some_font(page, page.image.width * page.uniform(0.016, 0.07))
        text = page.words(5)[: max(4, int((right - left) / face.getlength("n")))]
        colour = page.accent() if page.chance(0.3) else page.ink
        page.draw.text(((left + right) / 2, top), text, font=face, fill=colour, anchor="ma")
        top += face.size * (page.uniform(1.2, 2) if page.chance(0.7) else page.uniform(2, 6))


def contents(page: Sheet, box: Box) -> None:
    """Lines with leaders and numbers: a table of contents, a list of figures, references."""
    left, top, right, bottom = box
    size = page.image.width * 0.018
    face, indent = some_font(page, size), page.uniform(0, 30)
    while top + size < bottom:
        start = left + indent * page.integer(0, 2)
        page.draw.text((start, top), page.words(page.integer(2, 7)), font=face, fill=page.ink)
        page.draw.text((right - 60, top), f". . .  {page.integer(1, 180)}", font=face, fill=page.ink)
        top += size * 1.6


def bullets(page: Sheet, box: Box) -> None:
    """The points of a slide."""
    left, top, right, bottom = box
    size = page.image.width * page.uniform(0.02, 0.034)
    face, bold = some_font(page, size), font("DejaVuSans-Bold", round(size))
    accent, letters = page.accent(), int((right - left) / face.getlength("n"))
    while top + size < bottom:
        page.draw.text((left, top), page.words(2) + ":", font=bold, fill=accent if page.chance(0.5) else page.ink)
        for _ in range(page.integer(1, 3)):
            top += size * 1.4
            page.draw.text((left + size, top), page.words(8)[:letters], font=face, fill=page.ink)
        top += size * 1.8


def listing(page: Sheet, box: Box) -> None:
    """Source code or markup, coloured."""
    left, top, right, bottom = box
    size = page.image.width * page.uniform(0.011, 0.016)
    face = font("DejaVuSansMono", round(size))
    while top + size < bottom:
        start, length = left + size * 2 * page.integer(0, 5), page.integer(2, 9)
        text = f"<{page.words(length)}>"[: int((right - start) / face.getlength("n"))]
        page.draw.text((start, top), text, font=face, fill=page.accent() if page.chance(0.6) else page.ink)
        top += size * 1.4


def handwriting(page: Sheet, box: Box) -> None:
    """Joined loops on wavering lines."""
    left, top, right, bottom = box
    size = page.image.width * page.uniform(0.014, 0.03)
    slant, width = page.uniform(-0.2, 0.6), page.integer(1, 3)
    top += size
    while top + size < bottom:
        x, drift = left + page.uniform(0, size * 3), page.uniform(-0.02, 0.02)
        while x < right - size * 4:
            count = page.integer(3, 12) * 4
            phase = np.arange(count) * 1.6 + page.uniform(0, 6)
            high = page.rng.choice((1.2, 0.4), count, p=(0.2, 0.8)) * size  # ascenders and the rest
            ys = top + drift * (x - left) - np.abs(np.sin(phase)) * high + page.rng.normal(0, size * 0.06, count)
            xs = x + np.arange(count) * size * 0.16 + slant * (top - ys)
            page.draw.line(list(zip(xs.tolist(), ys.tolist(), strict=True)), fill=page.ink, width=width, joint="curve")
            x += count * size * 0.16 + size * page.uniform(0.5, 1.1)
        top += size * page.uniform(1.6, 2.1)


def table(page: Sheet, box: Box) -> None:
    """Rows and columns, fully ruled, ruled between rows, or only at head and foot."""
    left, top, right, bottom = box
    columns, height = page.integer(2, 8), page.image.width * page.uniform(0.024, 0.05)
    rows, face = max(2, int((bottom - top) / height)), some_font(page, page.image.width * page.uniform(0.012, 0.018))
    rule, width, shaded = page.integer(0, 2), (right - left) / columns, page.chance(0.3)
    if shaded:
        page.draw.rectangle(
            (left, top, right, top + height), fill=(225, 210, 190) if page.chance(0.5) else (210, 220, 235)
        )
    for row in range(rows + 1):
        if rule < 2 or row in (0, 1, rows):  # noqa: PLR2004 - kinds of rules
            page.draw.line((left, top + row * height, right, top + row * height), fill=page.ink)
    for column in range(columns + 1 if rule == 0 else 0):
        page.draw.line((left + column * width, top, left + column * width, top + rows * height), fill=page.ink)
    letters, handwritten = max(2, int(width / face.getlength("n")) - 1), page.chance(0.15)
    for row in range(rows):
        for column in range(columns):
            cell = (
                left + column * width + 3,
                top + row * height,
                left + (column + 1) * width,
                top + (row + 1) * height,
            )
            if page.chance(0.8) and handwritten:
                handwriting(page, cell)
            elif page.chance(0.9):
                text = (
                    page.words(3)
                    if column == 0 or page.chance(0.3)
                    else f"{page.uniform(0, 9999):.{page.integer(0, 2)}f}"
                )
                page.draw.text((cell[0], cell[1] + height * 0.2), text[:letters], font=face, fill=page.ink)


# -- figures ----------------------------------------------------------------------------------------------------------


def bars(page: Sheet, box: Box) -> None:
    left, top, right, bottom = box
    page.draw.line([(left, top), (left, bottom), (right, bottom)], fill=page.ink, width=2)
    count, colours = page.integer(4, 40), [page.accent() for _ in range(page.integer(1, 4))]
    width = (right - left) / count
    for index in range(count):
        high = (bottom - top) * page.uniform(0.05, 0.95)
        start = left + index * width
        page.draw.rectangle(
            (start + 1, bottom - high, start + width * 0.8 + 1, bottom), fill=colours[index % len(colours)]
        )


def curves(page: Sheet, box: Box) -> None:
    left, top, right, bottom = box
    page.draw.rectangle(box, outline=page.ink)
    for _ in range(page.integer(1, 5)):
        walk = np.cumsum(page.rng.normal(0, 1, 30))
        walk = (walk - walk.min()) / (np.ptp(walk) + 1e-6)
        points = zip(np.linspace(left, right, 30).tolist(), (bottom - walk * (bottom - top)).tolist(), strict=True)
        page.draw.line(list(points), fill=page.accent(), width=page.integer(1, 4))


def heatmap(page: Sheet, box: Box) -> None:
    """A confusion matrix: dark or light ground, a bright diagonal."""
    left, top, right, bottom = box
    side, count = min(right - left, bottom - top), page.integer(4, 12)
    low, high = ((5, 5, 20), (240, 220, 90)) if page.chance(0.6) else ((245, 248, 255), (20, 60, 140))
    for row in range(count):
        for column in range(count):
            level = page.uniform(0.6, 1) if row == column else page.uniform(0, 0.35)
            fill = tuple(round(a + (b - a) * level) for a, b in zip(low, high, strict=True))
            x, y = left + column * side / count, top + row * side / count
            page.draw.rectangle((x, y, x + side / count, y + side / count), fill=fill)


def flow(page: Sheet, box: Box) -> None:
    """Boxes with words, joined by lines."""
    left, top, right, bottom = box
    columns, rows = page.integer(2, 5), page.integer(2, 5)
    face, accents = some_font(page, (right - left) / columns / 9), [page.accent() for _ in range(3)]
    filled, wide, high = page.chance(0.6), (right - left) / columns, (bottom - top) / rows
    for row in range(rows):
        for column in range(columns):
            x, y = left + column * wide, top + row * high
            page.draw.line((x + wide * 0.4, y, x + wide * page.uniform(0.4, 1.4), y + high), fill=page.ink, width=2)
            if page.chance(0.85):
                colour = accents[page.integer(0, 2)]
                page.draw.rounded_rectangle(
                    (x + wide * 0.08, y + high * 0.15, x + wide * 0.92, y + high * 0.8),
                    wide * 0.08, fill=_pale(colour) if filled else None, outline=colour, width=2,
                )  # fmt: skip
                page.draw.text((x + wide * 0.15, y + high * 0.35), page.words(1)[:8], font=face, fill=page.ink)


def sketch(page: Sheet, box: Box) -> None:
    """Pen strokes: curves, hatching, outlines; from nearly nothing to a dense map."""
    left, top, right, bottom = box
    for _ in range(page.integer(6, 60)):
        reach, width = (right - left) * page.uniform(0.03, 0.35), page.integer(1, 3)
        x, y = page.uniform(left, right - reach), page.uniform(top, bottom - reach * 0.8)
        kind = page.integer(0, 3)
        if kind == 0:
            page.draw.arc(
                (x, y, x + reach, y + reach * 0.8), page.integer(0, 180), page.integer(181, 360), page.ink, width
            )
        elif kind == 1:
            page.draw.ellipse((x, y, x + reach, y + reach * page.uniform(0.3, 0.8)), outline=page.ink, width=width)
        else:
            walk = np.cumsum(page.rng.normal(0, reach / 8, (page.integer(4, 30), 2)), 0)
            steps = np.clip(walk + np.array((x + reach / 2, y + reach / 2)), (left, top), (right, bottom))
            page.draw.line([(float(a), float(b)) for a, b in steps], fill=page.ink, width=width, joint="curve")


def logos(page: Sheet, box: Box) -> None:
    """Rows of small coloured emblems."""
    left, top, right, bottom = box
    size = (right - left) / page.integer(4, 7)
    for y in np.arange(top, bottom - size * 0.6, size):
        for x in np.arange(left, right - size * 0.9, size):
            shape = page.draw.ellipse if page.chance(0.5) else page.draw.rectangle
            shape((x, y, x + size * page.uniform(0.2, 0.5), y + size * 0.4), fill=page.accent())
            page.draw.text(
                (x + size * 0.5, y), page.words(1)[:7], font=some_font(page, size * 0.14), fill=page.accent()
            )


def _pale(colour: Colour) -> Colour:
    red, green, blue = ((channel + 3 * 255) // 4 for channel in colour)
    return red, green, blue


def photograph(page: Sheet, box: Box) -> None:
    """Noise whose amplitude falls with frequency as it does in photographs, with large shapes, shaded and toned."""
    width, height = (max(8, round(end - start)) for start, end in ((box[0], box[2]), (box[1], box[3])))
    pixels = natural_texture(page.rng, 96, colour=page.chance(0.4))
    tile = Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC)
    page.image.paste(tile, (round(box[0]), round(box[1])))
    if page.chance(0.3):
        page.draw.rectangle((box[0], box[1], box[0] + width, box[1] + height), outline=(0, 0, 0), width=2)


def natural_texture(rng: np.random.Generator, side: int, *, colour: bool) -> Pixels:
    """uint8 (side, side, 3): a random field with a 1/f spectrum over a horizon, occluders and a vignette."""
    frequency = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.fftfreq(side)[None])
    spectrum = 1 / np.maximum(frequency, 1 / side) ** rng.uniform(0.9, 1.6)
    fields = [np.fft.ifft2(np.fft.fft2(rng.normal(size=(side, side))) * spectrum).real for _ in range(3)]
    light = fields[0] / fields[0].std()
    rows, columns = np.mgrid[0:side, 0:side] / side
    light += rng.uniform(0, 2.5) * (rows < rng.uniform(0.2, 0.6))  # sky
    for _ in range(rng.integers(0, 6)):
        y, x, high, wide = rng.uniform(0, 1, 4) * (1, 1, 0.4, 0.25) + (0, 0, 0.05, 0.05)
        inside = ((rows - y) / high) ** 2 + ((columns - x) / wide) ** 2 < 1
        light = np.where(inside, light * 0.4 + rng.uniform(-2.5, 1.5), light)
    light -= rng.uniform(0, 2) * ((rows - 0.5) ** 2 + (columns - 0.5) ** 2)
    light = rng.uniform(80, 150) + rng.uniform(30, 60) * (light - light.mean()) / light.std()
    tone = np.array([1.0, rng.uniform(0.85, 1), rng.uniform(0.7, 1)]) if rng.random() < 0.6 else np.ones(3)  # noqa: PLR2004
    chroma = np.stack([field / field.std() for field in fields], 2) * rng.uniform(5, 30) if colour else 0.0
    pixels: Pixels = (light[..., None] * tone + chroma).clip(0, 255).astype(np.uint8)
    return pixels


def aged(page: Sheet) -> None:
    """Noise, stains and dark edges, in place."""
    width, height = page.image.size
    small = natural_texture(page.rng, 64, colour=False)[..., :1].astype(np.float32)
    stains = np.asarray(Image.fromarray(small[..., 0]).resize((width, height)))[..., None]
    pixels = np.asarray(page.image).astype(np.float32) - page.uniform(0, 0.25) * np.maximum(0, 140 - stains)
    pixels += page.rng.normal(0, page.uniform(0, 6), (height, width, 1))
    page.image.paste(Image.fromarray(pixels.clip(0, 255).astype(np.uint8)))


def angle(page: Sheet, degrees: float) -> float:
    """A small random tilt."""
    return math.copysign(page.uniform(0, degrees), page.uniform(-1, 1))
