"""Small line plots as SVG: nothing to install, and legible on light and dark pages."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

_WIDTH, _HEIGHT, _LEFT, _TOP, _BOTTOM = 560, 260, 64, 34, 44
_RIGHT = 130  # for the names of the lines
_NAME_HEIGHT = 13
_COLOURS = ("#2f6fb3", "#c4572b", "#3b8f4a", "#8a4fa3")

#: (x, y) in the units of the axes.
Points = Sequence[tuple[float, float]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Plot:
    """Lines over one axis. The y axis begins at zero; the x axis is logarithmic."""

    name: str  # of the file
    title: str
    x: str
    y: str
    lines: Mapping[str, Points]

    def svg(self) -> str:
        """The whole picture."""
        points = [point for line in self.lines.values() for point in line]
        scale = _Scale(points)
        parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" font-size="11">',
            "<style>text {font-family: sans-serif}</style>",
            f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#ffffff"/>',
            _text(_LEFT, 18, self.title, weight="bold"),
            _text((_LEFT + _WIDTH - _RIGHT) / 2, _HEIGHT - 8, self.x, anchor="middle"),
            _text(_LEFT, _TOP - 4, self.y),
            *scale.axes(),
        ]
        ends = _apart([scale.y(line[-1][1]) for line in self.lines.values()])
        for colour, (name, line), end in zip(_COLOURS, self.lines.items(), ends, strict=False):
            parts += _line(scale, line, colour)
            parts.append(_text(scale.x(line[-1][0]) + 8, end + 4, name, fill=colour))
        return "\n".join([*parts, "</svg>\n"])


class _Scale:
    """From the units of the axes to the picture's."""

    def __init__(self, points: Points) -> None:
        self._xs = sorted({x for x, _ in points})
        self._top = _round_up(max(y for _, y in points))

    def x(self, value: float) -> float:
        first, last = math.log(self._xs[0]), math.log(self._xs[-1])
        share = (math.log(value) - first) / (last - first) if last > first else 0.5
        return _LEFT + share * (_WIDTH - _RIGHT - _LEFT)

    def y(self, value: float) -> float:
        return _HEIGHT - _BOTTOM - value / self._top * (_HEIGHT - _BOTTOM - _TOP)

    def axes(self) -> list[str]:
        right = _WIDTH - _RIGHT
        parts = []
        for step in range(5):
            value = self._top * step / 4
            y = self.y(value)
            parts.append(f'<path d="M{_LEFT} {y:.1f}H{right}" stroke="#dddddd"/>')
            parts.append(_text(_LEFT - 6, y + 4, f"{value:,.4g}", anchor="end"))
        parts += [_text(self.x(x), _HEIGHT - _BOTTOM + 16, f"{x:,.0f}", anchor="middle") for x in self._xs]
        return parts


def _line(scale: _Scale, line: Points, colour: str) -> list[str]:
    placed = [(scale.x(x), scale.y(y)) for x, y in line]
    path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in placed)
    dots = [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in placed]
    return [f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="2"/>', *dots]


def _apart(heights: Sequence[float]) -> list[float]:
    """The same heights, from the lowest on moved up as far as names need not to cover each other."""
    found = list(heights)
    below = math.inf
    for index in sorted(range(len(found)), key=lambda each: -found[each]):
        below = found[index] = min(found[index], below - _NAME_HEIGHT)
    return found


def _text(x: float, y: float, words: str, *, anchor: str = "start", weight: str = "normal", fill: str = "#333") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-weight="{weight}" fill="{fill}">'
        f"{escape(words)}</text>"
    )


def _round_up(value: float) -> float:
    """The next of 1, 2, 4, 5, 8, 10 × a power of ten."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 4, 5, 8, 10, 20) if step * power >= value)
