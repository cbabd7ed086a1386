"""Tables on narrow terminals: everything is shown, and no line is wider than the terminal."""

from __future__ import annotations

import io
import re
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.box import HEAVY_HEAD
from rich.console import Console
from rich.table import Table

from worker.cli import context, tables

_BOX = re.compile(r"[\s─━│┃┏┓┗┛└┘┳┻┡┩╇┴┼┬├┤]")
KEY = "customers/ACME Corporation/2026/november/holiday-in-portugal/originals/IMG_20261120_103045_HDR.jpg"


def printed(table: Table, width: int) -> str:
    console = Console(file=io.StringIO(), width=width, markup=False, highlight=False, emoji=False)
    console.print(tables.fitted(table, console))
    file = console.file
    assert isinstance(file, io.StringIO)
    return file.getvalue()


def characters(text: str) -> Counter[str]:
    return Counter(_BOX.sub("", text))


def table(headers, rows, *, boxed: bool = False) -> Table:
    made = Table(*headers, box=HEAVY_HEAD if boxed else None, pad_edge=False)
    for row in rows:
        made.add_row(*row)
    return made


_HEADERS = st.lists(st.from_regex(r"[a-z]{1,9}( [a-z]{1,9})?", fullmatch=True), min_size=1, max_size=9, unique=True)
_CELLS = st.from_regex(r"[a-zA-Z0-9_./:-]{0,90}( [a-z]{1,12}){0,6}", fullmatch=True)


@pytest.mark.slow
@given(st.data(), _HEADERS, st.integers(60, 200), st.booleans())
def test_nothing_is_cut_off(data, headers, width, boxed):
    """All characters of all cells are there, however narrow the terminal is, and no line is wider than it."""
    rows = data.draw(st.lists(st.lists(_CELLS, min_size=len(headers), max_size=len(headers)), min_size=1, max_size=4))
    shown = printed(table(headers, rows, boxed=boxed), width)
    assert all(len(line) <= width for line in shown.splitlines())
    missing = sum((characters(cell) for row in rows for cell in row), Counter()) - characters(shown)
    assert not missing


@pytest.mark.parametrize("boxed", [False, True])
def test_a_long_name_is_folded_beside_short_cells(boxed):
    """One file of a folder is told from another."""
    shown = printed(table(["file", "setting", "subject"], [[KEY, "outdoor 99%", "cat 80%"]], boxed=boxed), 80)
    assert "outdoor 99%" in shown
    assert "HDR.jpg" in shown
    assert len(shown.splitlines()) > 2


def test_what_can_be_folded_a_little_stays_a_table():
    """That of `enrich demo`: names of files in two lines, several labels one below the other."""
    headers = ["image", "time of day", "setting", "page type", "subject", "searchable after"]
    rows = [["motorcycle_left_and_right.png", "day", "outdoor", "–", "motorcycle, vehicle", "0.6 s"]]
    shown = printed(table(headers, rows, boxed=True), 80)
    assert shown.startswith("┏")
    assert "motorcycle," in shown
    assert "vehicle" in shown


def test_many_long_cells_become_blocks():
    """A headline, and a line for each other cell."""
    headers = ["object", "reason", "message", "attempts", "since", "now"]
    row = [f"photos/{KEY}", "truncated", "the JPEG file ends before its picture does", "1", "2026-11-29 21:46:15", ""]
    lines = [line.strip() for line in printed(table(headers, [row]), 80).splitlines()]
    headline, others = lines[:-4], lines[-4:]
    assert f"photos/{KEY}".replace(" ", "") == "".join(headline).replace(" ", "")
    assert ["reason", "message", "attempts", "since"] == [line.split()[0] for line in others]


def test_what_fits_is_left_alone():
    """As rich prints it."""
    made = table(["space", "model"], [["1", "starter"]])
    assert "space  model  \n1      starter\n" == printed(made, 80)


def test_pipes_have_no_edge():
    """A key of a thousand characters is one line for grep."""
    made = table(["similarity", "image"], [["0.5", "k" * 1_000]])
    assert "k" * 1_000 in printed(made, context._WIDE)


def test_a_title_stays_when_rows_become_blocks():
    """It is above the first block."""
    wide = Table("image", *(f"column {n}" for n in range(9)), title="What was found")
    wide.add_row(KEY, *("a word" for _ in range(9)))
    lines = [line.strip() for line in printed(wide, 60).splitlines()]
    assert "What was found" == lines[0]
    assert "column 8  a word" in lines


def test_an_address_is_never_broken(monkeypatch):
    """Sentences are broken between words; a line with too long a word is left whole."""
    shown = io.StringIO()
    monkeypatch.setattr(context, "err", Console(file=shown, width=30))
    address = "http://127.0.0.1:8700/login#" + "x" * 40
    context.say(f"a sentence of more than thirty characters\n{address}")
    assert ["a sentence of more than thirty", "characters", address] == shown.getvalue().splitlines()
