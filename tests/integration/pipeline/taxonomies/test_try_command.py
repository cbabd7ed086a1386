"""``enrich taxonomy try``: histograms in text, and the same answer as the API for programs."""

from __future__ import annotations

import json

import pytest

from tests.integration.pipeline.taxonomies.example import FILES, write
from worker.cli.taxonomy_try import histogram
from worker.errors import ChoiceError, TaxonomyError


def test_a_person_sees_a_line_for_each_label(enrich):
    """With its threshold in the histogram, how many images would get it, and what differs from now."""
    write(FILES[1])
    before = enrich.archive.tags()
    shown = enrich("try", "./car-colour.yaml", "--label", "green", "--images", "2").output
    plan = json.loads(enrich("plan", "--json").stdout)
    labels = {each["label"]: each["after"]["about"] for each in plan["taxonomies"][0]["labels"]}
    for label, images in labels.items():
        assert any(line.split()[:1] == [label] and str(images) in line.split() for line in shown.splitlines())
    assert "tried on all 300 images, by tiny" in shown
    assert f"{plan['changed']['about']} images would gain or lose a label" in shown
    assert "likeliest: photos/" in shown
    assert before == enrich.archive.tags()


def test_a_program_gets_what_the_api_answers(enrich):
    """Of a sample, with intervals."""
    found = json.loads(enrich("try", "./car-colour.yaml", "--sample", "50", "--json").stdout)
    assert ("car-colour", {"images": 50, "total": 300, "exact": True}) == (found["name"], found["sampling"])
    assert {40} == {len(each["histogram"]) for each in found["labels"]}
    assert found["labels"][0]["strips"]["best"][0]["links"]["image"].startswith("/v1/images/photos/")


def test_what_is_wrong_is_said(enrich):
    """A label that is not there, and a folder with several files."""
    assert isinstance(enrich("try", "./car-colour.yaml", "--label", "gren").exception, ChoiceError)
    assert isinstance(enrich("try", "./missing.yaml").exception, TaxonomyError)


@pytest.mark.parametrize(
    ("counts", "threshold", "expected"),
    [
        ((0, 0, 0, 0), 0.5, "  |  "),
        ((1, 0, 0, 1), 0.5, "@ | @"),
        ((1_000_000, 1, 0, 0), 0.0, "|@.  "),
        ((0, 0, 0, 9), 1.0, "   @|"),
    ],
)
def test_a_bar_is_as_high_as_the_logarithm(counts, threshold, expected):
    """Few images beside very many are still seen; the line stands at the threshold."""
    assert expected == histogram(counts, threshold, plain=True)
