"""``enrich explain`` for people: the printed numbers, worked out anew."""

from __future__ import annotations

import math
import re
from dataclasses import replace

import pytest

from tests.unit.tagging.fake_texts import FakeTexts, vector
from tests.unit.tagging.test_modes_and_levels import AXES, KINDS, THINGS, _picture
from worker.cli import context
from worker.cli import explain as command
from worker.tagging import Tagger, Taxonomy, neutral
from worker.tagging.explain import explain

#: Texts on axes of their own, and neutral prompts in any direction.
TEXTS = {each: vector(each, len(AXES["cat"])) for each in neutral.PROMPTS} | AXES


def number(pattern: str, page: str) -> float:
    found = re.search(pattern, page)
    assert found is not None, pattern
    return float(found[1])


def printed(taxonomy: Taxonomy, capsys, **cosines: float) -> str:
    tagger = Tagger((taxonomy,), FakeTexts(TEXTS), logit_scale=10.0, model="any")
    [numbers] = explain(tagger, _picture(**cosines), FakeTexts(TEXTS))
    for line in command.lines_below(numbers):
        context.line(line)
    context.out.print(command.table(numbers))
    return str(capsys.readouterr().out)


@pytest.fixture(autouse=True)
def wide(monkeypatch):
    """Nothing is cut."""
    monkeypatch.setattr(context.out, "width", 250)


def row(page: str, label: str) -> list[float]:
    """probability, threshold, lead, margin, similarity, rival"""
    [line] = [line for line in page.splitlines() if re.match(rf"\s*{label} ", line)]
    return [float(number) for number in re.findall(r"(?<= )-?\d\.\d+", line)[:6]]


def test_the_rival_and_the_rule_are_printed(capsys):
    """What lost to the background shows how near that was; the formula below the table gives the probability."""
    page = printed(THINGS, capsys, dog=0.25, wolf=0.375)
    probability, _, lead, _, similarity, rival = row(page, "dog")
    assert (0.25, 0.375) == (similarity, rival)
    assert probability == pytest.approx(1 / (1 + math.exp(10 * (rival - similarity))), abs=0.005)
    assert lead == pytest.approx(2 * probability - 1, abs=0.015)
    assert "probability: 1 / (1 + exp(10 × (rival - similarity)))" in page
    assert "not dog: 0.3750, of 0.375 wolf" in page


def test_the_background_is_printed_with_the_number_that_counts(capsys):
    """Of the top and of kinds."""
    page = printed(KINDS, capsys, horse=0.5, wall=0.25)
    assert "background of all: 0.2500, of 0.250 wall" in page
    assert "background of animal: 0.5000, of 0.500 horse" in page
    assert "probability: exp(10 × similarity), divided by the sum of that over all candidates" in page


def test_the_neutral_level_is_printed(capsys):
    """With the lead of each label over it, and the prompts that it follows from."""
    page = printed(replace(THINGS, neutral=neutral.EDITION), capsys, dog=0.25, wolf=0.375)
    level = number(r"neutral level of all: (\d\.\d+)", page)
    mean, deviation = number(r"mean (-?\d\.\d+),", page), number(r"deviation (\d\.\d+),", page)

    assert level >= mean + 2.33 * deviation - 0.001
    assert (0.25 - level) / deviation == pytest.approx(number(r"dog .*([+-]\d+\.\d\d)", page), abs=0.01)
