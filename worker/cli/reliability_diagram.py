"""A reliability diagram as inline SVG: probabilities against the share of labels that is right."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from worker.pipeline.evaluation.metrics import Bin

#: Of the square, in pixels, and of the space for names at its left and below.
_SIDE, _LEFT, _BELOW, _ABOVE = 280, 44, 42, 8


def diagram(bins: Sequence[Bin]) -> str:
    """A point for each bin with images, with its interval and the number of images."""
    width, height = _LEFT + _SIDE + 12, _ABOVE + _SIDE + _BELOW
    label = "; ".join(
        f"{each.low:g} to {each.high:g}: {each.right.seen} of {each.right.of} right" for each in bins if each.right.of
    )
    return (
        f'<svg viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" '
        f'aria-label="Reliability: {label}">{"".join(_parts(bins))}</svg>'
    )


def _parts(bins: Sequence[Bin]) -> Iterator[str]:
    for tick in (0.0, 0.25, 0.5, 0.75, 1.0):
        x, y = _x(tick), _y(tick)
        yield _line(_x(0), y, _x(1), y, "var(--line)") + _line(x, _y(0), x, _y(1), "var(--line)")
        yield _text(_x(0) - 6, y + 4, f"{tick:g}", "end") + _text(x, _y(0) + 16, f"{tick:g}", "middle")
    yield _line(_x(0), _y(0), _x(1), _y(1), "var(--dim)", dashed=True)
    for each in bins:
        yield from _bin(each)
    yield _text(_x(0.5), _y(0) + 34, "probability that was given", "middle")
    yield f'<g transform="rotate(-90 12 {_y(0.5)})">{_text(12, _y(0.5), "share that is right", "middle")}</g>'


def _bin(one: Bin) -> Iterator[str]:
    if one.right.share is None:
        return
    x, y = _x(one.mean), _y(one.right.share)
    yield (
        f'<line x1="{x:.1f}" y1="{_y(one.right.low):.1f}" x2="{x:.1f}" y2="{_y(one.right.high):.1f}" '
        'stroke="var(--band)" stroke-width="6" stroke-linecap="round"/>'
    )
    yield (
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4.5" fill="var(--bar)"><title>{one.low:g}–{one.high:g}: '
        f"{one.right.seen} of {one.right.of} right</title></circle>"
    )


def _x(share: float) -> float:
    return _LEFT + share * _SIDE


def _y(share: float) -> float:
    return _ABOVE + (1 - share) * _SIDE


def _line(x1: float, y1: float, x2: float, y2: float, colour: str, *, dashed: bool = False) -> str:
    dash = ' stroke-dasharray="5 4"' if dashed else ""
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}"{dash}/>'


def _text(x: float, y: float, words: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="var(--dim)">{words}</text>'
