"""CSV with a header line, and JSON lines."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from typing import TextIO

from worker.pipeline.review.formats import fields
from worker.pipeline.review.formats.rows import BadRow, Note, Parts, Place, ReadOptions

#: Most characters of one line.
MOST = 1 << 20
_DELIMITERS = ",;\t"


def read_csv(text: TextIO, options: ReadOptions) -> Parts:
    """Rows of a CSV file; commas, semicolons or tabs."""
    csv.field_size_limit(MOST)
    lines = _lines(text)
    header_line = next(lines, "")
    delimiter = max(_DELIMITERS, key=header_line.count)
    header = [name.strip().lower() for name in next(csv.reader([header_line], delimiter=delimiter), [])]
    problems, ignored = _header_problems(header)
    yield from ignored
    if problems:
        yield from problems
        return
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    line = 2
    while True:
        try:
            cells = next(reader, None)
        except csv.Error as error:
            why = f"not CSV: {error}; is a quotation mark missing?"
            yield BadRow(place=Place(line=line), message=why, damaged=True)
            return
        if cells is None:
            return
        if len(cells) > len(header) or (cells and len(cells) < len(header)):
            yield BadRow(place=Place(line=line), message=f"{len(cells)} cells, but the header has {len(header)}")
        elif any(cell.strip() for cell in cells):
            yield fields.row(dict(zip(header, cells, strict=True)), Place(line=line), options)
        line = 2 + reader.line_num


def _header_problems(header: list[str]) -> tuple[list[BadRow], list[Note]]:
    place = Place(line=1)
    mistakes, others = fields.unknown(name for name in header if name)
    problems = [BadRow(place=place, message=each, damaged=True) for each in mistakes]
    if len(set(header)) < len(header):
        problems.append(BadRow(place=place, message="two columns have one name", damaged=True))
    if not {"key", *fields.ADDRESSES} & set(header):
        names = ", ".join(("key", *fields.ADDRESSES))
        why = f"no column names the image; the first line must have one of {names}"
        problems.append(BadRow(place=place, message=why, damaged=True))
    what = "column that is" if len(others) == 1 else "columns that are"
    return problems, [Note(what=f"{what} not read: {', '.join(others)}") for _ in others]


def _lines(text: TextIO) -> Iterator[str]:
    while line := text.readline(MOST + 1):
        yield line


def read_jsonl(text: TextIO, options: ReadOptions) -> Parts:
    """One JSON object a line."""
    for number, line in enumerate(_lines(text), 1):
        place = Place(line=number)
        if len(line) > MOST:
            yield BadRow(place=place, message=f"longer than {MOST:,} characters", damaged=True)
            return
        if not line.strip():
            continue
        try:
            values = json.loads(line)
        except (ValueError, RecursionError):
            cut = "" if line.endswith("\n") else ": it may be cut off"
            yield BadRow(place=place, message=f"not a JSON object{cut}", damaged=bool(cut))
            continue
        if not isinstance(values, dict):
            yield BadRow(place=place, message="not a JSON object")
            continue
        mistakes, _ = fields.unknown(values)
        if mistakes:
            yield BadRow(place=place, message=mistakes[0].replace("column", "field"))
        else:
            yield fields.row(values, place, options)
