"""Tables that show everything at any width: long cells are folded, or rows become blocks. Nothing is cut off."""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil

from rich.cells import cell_len
from rich.console import Console, Group, RenderableType
from rich.measure import Measurement
from rich.table import Column, Table
from rich.text import Text

#: The most lines into which a cell or a long word, such as a file name, is folded, and the least length of such a line:
#: more or shorter lines are hard to read.
_LINES, _LEAST = 3, 12
_UNBOUNDED = 1_000_000


def fitted(table: Table, console: Console) -> RenderableType:
    """The table unchanged if it fits; else with long cells folded; else each row as a block, one line per cell."""
    if _width(console, table) <= console.width:
        return table
    for column in table.columns:
        column.header = Text("\n".join(str(column.header).split(" ")))
    widths = [_column_width(console, column) for column in table.columns]
    around = _width(console, table) - sum(widths)
    least = [min(width, _least(column)) for column, width in zip(table.columns, widths, strict=True)]
    shrunk = _shrunk(widths, least, console.width - around)
    if shrunk is None:
        return Group(*_blocks(table))
    for column, width, natural in zip(table.columns, shrunk, widths, strict=True):
        column.overflow = "fold"
        column.no_wrap = width == natural
        column.min_width = column.max_width = width
    return table


def _width(console: Console, what: RenderableType) -> int:
    return Measurement.get(console, console.options.update(max_width=_UNBOUNDED), what).maximum


def _column_width(console: Console, column: Column) -> int:
    return max((_width(console, cell) for cell in (column.header, *column.cells)), default=0)


def _least(column: Column) -> int:
    """The least width to which its cells can be folded."""
    texts = [str(cell) for cell in (column.header, *column.cells)]
    word = max((cell_len(word) for text in texts for word in text.split()), default=0)
    longest = max(map(cell_len, texts), default=0)
    return max(min(word, max(_LEAST, ceil(word / _LINES))), ceil(longest / _LINES))


def _shrunk(widths: list[int], least: list[int], room: int) -> list[int] | None:
    """Column widths with the widest ones narrowed, as far as they can be folded; None if they still do not fit."""
    if sum(least) > room:
        return None
    shrunk = list(widths)
    while sum(shrunk) > room:
        shrunk[max((n for n in range(len(shrunk)) if shrunk[n] > least[n]), key=shrunk.__getitem__)] -= 1
    return shrunk


def _blocks(table: Table) -> Iterator[RenderableType]:
    """Each row's first cell as a headline; below it, indented, the other cells that are not empty, with their names."""
    if table.title is not None:
        yield Text(str(table.title), style=table.title_style or "table.title", overflow="fold")
    names = [" ".join(str(column.header).split("\n")) for column in table.columns]
    cells = zip(*(column.cells for column in table.columns), strict=True)
    for row, (first, *others) in zip(table.rows, cells, strict=True):
        yield Text(str(first), style=row.style or "bold", overflow="fold")
        block = Table.grid(padding=(0, 2, 0, 0))
        block.add_column(no_wrap=True)
        block.add_column(overflow="fold")
        for name, cell in zip(names[1:], others, strict=True):
            if str(cell):
                block.add_row(f"  {name}", cell, style=row.style)
        yield block
