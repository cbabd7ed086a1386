"""Render synthetic pages of every kind the starter should tell apart, and extract their features.

python -m training.pages OUT.npz [--share 1] [--seed 7] [--show DIR]
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch
from PIL import Image, ImageFilter

from training import ink
from training.features import FeatureSet, write
from training.ink import Box, Figure, Sheet
from training.scans import lit, photographed
from training.surfaces import surface, things
from worker.encoder.starter.efficientnet import Features, join
from worker.encoder.starter.model import StarterEncoder, load

_Layout: TypeAlias = Callable[[Sheet], None]
_BATCH = 32
_WIDTH = 720
_WRITING: tuple[Figure, ...] = (ink.paragraphs, ink.paragraphs, ink.contents, ink.listing, ink.bullets)
_DRAWINGS: tuple[Figure, ...] = (ink.bars, ink.curves, ink.heatmap, ink.flow, ink.sketch, ink.sketch, ink.logos)


def _choose(page: Sheet, options: tuple[Figure, ...]) -> Figure:
    return options[page.integer(0, len(options) - 1)]


def _printed(page: Sheet) -> None:
    left, top, right, bottom = _framed(page)
    if page.chance(0.15):
        ink.title_page(page, (left, top, right, bottom))
        return
    if page.chance(0.6):
        top = ink.heading(page, (left, top, right, bottom))
    if page.chance(0.2):  # a page that ends early: a title page, the last page of a chapter
        bottom = top + (bottom - top) * page.uniform(0.05, 0.6)
    if page.chance(0.25):
        middle = (left + right) / 2
        ink.paragraphs(page, (left, top, middle - 12, bottom))
        ink.paragraphs(page, (middle + 12, top, right, bottom))
    else:
        _choose(page, _WRITING)(page, (left, top, right, bottom))


def _handwritten(page: Sheet) -> None:
    left, top, right, bottom = page.body
    ink.handwriting(page, (left, top, right, bottom * page.uniform(0.4, 1)))


def _table(page: Sheet) -> None:
    _stacked(page, _framed(page), ink.table)


def _drawing(page: Sheet) -> None:
    _illustrated(page, lambda sheet, box: (_collage if sheet.chance(0.3) else _choose(sheet, _DRAWINGS))(sheet, box))


def _photograph(page: Sheet) -> None:
    if page.chance(0.15):  # the photograph is the page, or a dark slide
        ink.photograph(page, (0, 0, *page.image.size))
        ink.heading(page, page.body)
    else:
        _illustrated(page, _album if page.chance(0.4) else ink.photograph)


def _blank(page: Sheet) -> None:
    if page.chance(0.4):
        page.draw.text((page.image.width / 2, page.image.height * 0.93), str(page.integer(1, 300)), fill=page.ink)


def _cover(page: Sheet) -> None:
    """A binding: cloth or marbled board with a label or a stamped title."""
    width, height = page.image.size
    shade = np.array(page.accent()) * page.uniform(0.4, 1.3)
    grain = ink.natural_texture(page.rng, 128, colour=False).astype(np.float32) / 128
    pixels = (shade * (1 + page.uniform(0.05, 0.8) * (grain - 1))).clip(0, 255).astype(np.uint8)
    page.image.paste(Image.fromarray(pixels).resize((width, height)))
    if page.chance(0.5):
        page.draw.rectangle((width * 0.25, height * 0.2, width * 0.75, height * 0.4), fill=(235, 228, 205))
    ink.heading(page, (width * 0.28, height * 0.25, width * 0.72, height * 0.4))


def _screenshot(page: Sheet) -> None:
    width, height = page.image.size
    page.draw.rectangle((0, 0, width, height * 0.05), fill=page.accent())
    page.draw.rectangle((0, height * 0.05, width * 0.22, height), fill=(225, 225, 228))
    ink.contents(page, (10, height * 0.1, width * 0.2, height * page.uniform(0.3, 0.9)))
    _choose(page, (ink.table, ink.listing, ink.paragraphs, ink.curves))(
        page, (width * 0.25, height * 0.12, width * 0.95, height * 0.9)
    )
    for _ in range(page.integer(1, 5)):
        x, y = page.uniform(width * 0.25, width * 0.8), page.uniform(height * 0.1, height * 0.9)
        page.draw.rounded_rectangle((x, y, x + 90, y + 28), 6, fill=page.accent())


def _framed(page: Sheet) -> Box:
    """The box to write in, below whatever bars and letterheads a slide or report puts around it."""
    left, top, right, bottom = page.body
    width, height = page.image.size
    if page.chance(0.3):
        page.draw.rectangle((0, 0, width, height * page.uniform(0.03, 0.11)), fill=page.accent())
        top = max(top, height * 0.14)
    if page.chance(0.2):
        page.draw.rectangle((0, height * 0.965, width, height), fill=page.accent())
    return left, top, right, bottom


def _illustrated(page: Sheet, figure: Figure) -> None:
    """A figure alone, above or below text, or beside the points of a slide."""
    left, top, right, bottom = _framed(page)
    if page.chance(0.3):
        top = ink.heading(page, (left, top, right, bottom))
    if page.image.width > page.image.height and page.chance(0.6):
        middle = left + (right - left) * page.uniform(0.3, 0.6)
        ink.bullets(page, (left, top, middle - 15, bottom))
        return figure(page, (middle, top, right, max(bottom, top + 60)))
    if page.chance(0.35):
        figure(page, (left, top, right, max(bottom - 30, top + 60)))
        return ink.paragraphs(page, (left + 40, bottom - 25, right - 40, bottom))
    return _stacked(page, (left, top, right, bottom), figure)


def _stacked(page: Sheet, box: Box, figure: Figure) -> None:
    """Figures and paragraphs, one below the other."""
    for is_figure, part in zip(_stack(page), _split(page, box), strict=False):
        (figure if is_figure else ink.paragraphs)(page, part)


def _stack(page: Sheet) -> tuple[bool, ...]:
    """Which parts of a page, from the top, are the figure; never none of them."""
    return ((True, False), (False, True), (False, True, False), (True,), (True, True))[page.integer(0, 4)]


def _split(page: Sheet, box: Box) -> Iterator[Box]:
    left, top, right, bottom = box
    cuts = (page.uniform(0.2, 0.45), page.uniform(0.55, 0.8)) if page.chance(0.5) else (page.uniform(0.3, 0.7),)
    bottom = max(bottom, top + 120)  # below the edge of a small sheet, if need be
    edges = (top, *(top + (bottom - top) * cut for cut in cuts), bottom)
    return ((left, start, right, end - 12) for start, end in itertools.pairwise(edges))


def _collage(page: Sheet, box: Box) -> None:
    """Small pictures of other pages in a grid, with captions."""
    _grid(page, box, (_printed, _table, _handwritten, _sketch))


def _album(page: Sheet, box: Box) -> None:
    """Several photographs, perhaps with a drawing or page among them."""
    _grid(page, box, (_snapshot, _snapshot, _snapshot, _handwritten, _cover))


def _snapshot(page: Sheet) -> None:
    ink.photograph(page, (0, 0, *page.image.size))


def _sketch(page: Sheet) -> None:
    ink.sketch(page, page.body)


def _grid(page: Sheet, box: Box, layouts: tuple[_Layout, ...]) -> None:
    left, top, right, bottom = box
    columns, rows = page.integer(1, 4), page.integer(1, 3)
    wide, high = (right - left) / columns, (bottom - top) / rows
    for row in range(rows):
        for column in range(columns):
            size = max(24, round(wide * 0.85)), max(24, round(high * 0.8))
            layout = layouts[page.integer(0, len(layouts) - 1)]
            small = _rendered(page.rng, layout, (size[0] * 3, size[1] * 3)).resize(size, Image.Resampling.BICUBIC)
            page.image.paste(small, (round(left + column * wide), round(top + row * high)))
            ink.paragraphs(
                page,
                (
                    left + column * wide,
                    top + (row + 0.84) * high,
                    left + (column + 0.85) * wide,
                    top + (row + 0.95) * high,
                ),
            )


LAYOUTS: dict[str, _Layout] = {
    "printed": _printed,
    "handwritten": _handwritten,
    "table": _table,
    "drawing": _drawing,
    "photograph": _photograph,
    "blank": _blank,
    "cover": _cover,
    "screenshot": _screenshot,
}
#: Of which any part with ink shows what the whole is.
_WRITTEN = {"printed", "handwritten", "table"}
_SURFACES = {"surface": surface, "things": things}
#: How many of each to render.
COUNTS = {
    "printed": 576, "handwritten": 240, "table": 360, "drawing": 528, "photograph": 408,
    "blank": 96, "cover": 96, "screenshot": 96, "surface": 400, "things": 400,
}  # fmt: skip


def render(kind: str, seed: tuple[int, ...]) -> Image.Image:
    """One page of this kind; the same for the same seed."""
    rng = np.random.default_rng(seed)
    if kind in _SURFACES:
        return _SURFACES[kind](rng)
    shape = rng.choice(4, p=(0.6, 0.2, 0.15, 0.05)) if kind != "screenshot" else 1
    ratio = (1.41, 0.5625, 0.71, 1.2)[shape]
    page = _rendered(rng, LAYOUTS[kind], (_WIDTH, round(_WIDTH * ratio)))
    if rng.random() < 0.3:  # noqa: PLR2004 - a scan
        page = page.rotate(float(rng.uniform(-2, 2)), fillcolor=(int(rng.choice((0, 128, 250))),) * 3)
    if rng.random() < 0.3:  # noqa: PLR2004
        page = page.filter(ImageFilter.GaussianBlur(float(rng.uniform(0.5, 2))))
    if rng.random() < 0.35:  # noqa: PLR2004 - by a camera, not a scanner
        return photographed(rng, page) if kind in _WRITTEN else lit(rng, page)
    return page.convert("L").convert("RGB") if rng.random() < 0.2 else page  # noqa: PLR2004


def _rendered(rng: np.random.Generator, layout: _Layout, size: tuple[int, int]) -> Image.Image:
    old = rng.random() < 0.3  # noqa: PLR2004
    paper = ink.PAPERS[rng.integers(0, len(ink.PAPERS)) if old else 0]
    tone = int(rng.integers(0, 70))
    page = ink.sheet(rng, size, paper, (tone, tone, tone + int(rng.integers(0, 30))))
    layout(page)
    if old:
        ink.aged(page)
    return page.image


def feature_set(share: float, seed: int, show: Path | None = None) -> FeatureSet:
    """Render this share of ``COUNTS`` and extract the features; ``files`` are ``pages/<kind>/<number>.png``."""
    encoder = load(dtype="float32")
    names = [
        f"pages/{kind}/{number:04}.png" for kind, count in COUNTS.items() for number in range(round(count * share))
    ]
    parts = [_extract(encoder, names[start : start + _BATCH], seed, show) for start in range(0, len(names), _BATCH)]
    together = join(parts)
    return FeatureSet(pooled=together.pooled.numpy(), statistics=together.statistics.numpy(), files=tuple(names))


def _extract(encoder: StarterEncoder, names: list[str], seed: int, show: Path | None) -> Features:
    pages = [render(name.split("/")[1], (seed, *name.encode())) for name in names]
    for name, page in zip(names, pages, strict=True) if show else ():
        page.save(Path(str(show), name.replace("/", "-")))
    return encoder.backbone_features([encoder.preprocess(page) for page in pages])


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m training.pages", description=__doc__.split("\n")[0])
    parser.add_argument("out", type=Path, help="feature set to write, .npz")
    parser.add_argument("--share", type=float, default=1.0, help="of the usual number")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--show", type=Path, help="also save the pages here")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    write(feature_set(arguments.share, arguments.seed, arguments.show), arguments.out)


if __name__ == "__main__":
    main()
