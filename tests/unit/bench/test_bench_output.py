"""What the benchmark prints and writes, from made-up figures."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from bench import __main__ as command
from bench import intake, table
from bench.plots import Plot
from bench.table import Found, Note, Row
from worker import events

ROW = Row(what="640 px", unit="images/s", ours=60.0, other="a peer", theirs=40.0, goal=1.2)
PLOT = Plot(name="p", title="A & B", x="workers", y="images/s", lines={"ours": [(1, 10), (2, 19), (4, 30)]})


def test_a_ratio_says_how_many_times_better():
    """More images are better, fewer seconds are."""
    slower = Row(what="claim", unit="ms", ours=2.0, other="empty", theirs=1.0, less_is_better=True)
    assert (1.5, 0.5) == (ROW.ratio, slower.ratio)


def test_goals_are_judged():
    """Each goal stands beside what came of it."""
    missed = Row(what="x", unit="", ours=1.0, other="y", theirs=1.0, goal=1.2)
    assert ("≥ 1.2 ×: yes", "≥ 1.2 ×: no") == (ROW.aim, missed.aim)


def test_a_plot_is_a_picture():
    """Well-formed SVG with every point and the title, whatever characters it has."""
    picture = ET.fromstring(PLOT.svg())
    assert 3 == len(list(picture.iter("{http://www.w3.org/2000/svg}circle")))
    assert "A & B" in {element.text for element in picture.iter("{http://www.w3.org/2000/svg}text")}


def test_points_lie_within_the_picture():
    """Larger values are further right and further up."""
    circles = list(ET.fromstring(PLOT.svg()).iter("{http://www.w3.org/2000/svg}circle"))
    xs, ys = ([float(circle.attrib[name]) for circle in circles] for name in ("cx", "cy"))
    assert xs == sorted(xs)
    assert ys == sorted(ys, reverse=True)
    assert min(xs + ys) > 0
    assert max(xs) < 560


def test_names_of_lines_do_not_cover_each_other():
    """Where lines end close together, the names are moved apart, the lower line's below."""
    close = replace(PLOT, lines={"under": [(1, 10), (2, 11)], "over": [(1, 10), (2, 11.2)]})
    texts = ET.fromstring(close.svg()).iter("{http://www.w3.org/2000/svg}text")
    at = {element.text: float(element.attrib["y"]) for element in texts}
    assert at["under"] - at["over"] >= 12


@pytest.fixture
def page(tmp_path, monkeypatch):
    """A page of an earlier run, and nothing measured so far."""
    page = tmp_path / "benchmarks.md"
    page.write_text("old")
    monkeypatch.setattr(table, "_DOCS", tmp_path)
    monkeypatch.setattr(table, "_PAGE", page)
    monkeypatch.setattr(table, "_JSON", tmp_path / "results.json")
    return page


def test_results_take_the_place_of_the_page(page, tmp_path):
    """Table, notes and plots are on the page, and as JSON beside."""
    table.write({"end": [ROW, Note(sentence="open_clip is left out"), PLOT]}, "a machine", order=["end"])
    text = page.read_text()
    assert text.startswith("# Benchmark results\n")
    assert "old" not in text
    assert "| 640 px | 60 images/s | a peer | 40 images/s | 1.50 × | ≥ 1.2 ×: yes |" in text
    assert "- open_clip is left out" in text
    assert "![A & B](benchmarks/p.svg)" in text
    assert (tmp_path / "benchmarks" / "p.svg").is_file()
    assert 1.5 == pytest.approx(json.loads((tmp_path / "results.json").read_text())["end"]["rows"][0]["ratio"])


def test_a_part_that_is_measured_again_replaces_its_own_figures(page):
    """Other parts stay, in their place, and it is said which was measured where."""
    again = replace(ROW, ours=80.0)
    before: dict[str, list[Found]] = {"b": [ROW, PLOT], "a": [ROW]}
    for found, where in ((before, "one machine"), ({"a": [again]}, "another")):
        table.write(found, where, order=["a", "b"])
    text = page.read_text()
    assert 1 == text.count("| 2.00 × |") == text.count("| 1.50 × |")
    assert text.index("2.00 ×") < text.index("1.50 ×")
    assert "`a`: measured" in text
    assert "another." in text
    assert "![A & B](benchmarks/p.svg)" in text


def test_a_part_that_is_no_more_is_forgotten(page):
    """Figures of what nobody can measure again do not stay for ever."""
    table.write({"gone": [ROW]}, "a machine", order=["gone"])
    table.write({"a": [replace(ROW, ours=80.0)]}, "a machine", order=["a"])
    assert "1.50 ×" not in page.read_text()


def test_every_part_can_be_asked_for(tmp_path):
    """The names that the command takes are those of the parts, in the order of the page."""
    site: Any = None  # nothing is measured
    assert list(command.PARTS) == list(command.parts(site, command.QUICK, tmp_path, None))


def test_the_load_is_made_of_real_notifications():
    """What the benchmark posts is what the intake understands."""
    head, _, body = intake.request([("photos", "a b.jpg"), ("photos", "c.jpg")], 8700).partition(b"\r\n\r\n")
    assert f"Content-Length: {len(body)}".encode() in head
    assert ["a b.jpg", "c.jpg"] == [hint.ref.key for hint in events.parse("s3", body).hints]
