"""A taxonomy written as a file and read again is the same one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import yaml
from hypothesis import given

from tests.unit.tagging.languages import documents
from worker.tagging import document, load_taxonomies, parse_files
from worker.tagging.building import build
from worker.tagging.learned import Learned
from worker.tagging.taxonomy import Taxonomy


@given(documents())
def test_a_document_comes_back(given_: dict[str, Any]) -> None:
    """Whatever it uses, and through the text of a file."""
    taxonomy = build(given_)
    [read] = parse_files({"any": yaml.safe_dump(document(taxonomy), allow_unicode=True, sort_keys=False)})
    assert (taxonomy, taxonomy.version) == (read.taxonomy, read.taxonomy.version)


@pytest.mark.parametrize("taxonomy", load_taxonomies(), ids=lambda each: each.name)
def test_shipped_taxonomies_come_back(taxonomy: Taxonomy) -> None:
    """With the numbers of their models, their translations and what they call unknown."""
    [read] = parse_files({"any": yaml.safe_dump(document(taxonomy), allow_unicode=True, sort_keys=False)})
    assert taxonomy == read.taxonomy


def test_what_is_usual_is_left_out() -> None:
    """A short file stays short."""
    short = {"name": "mood", "labels": {"happy": ["a smiling face"], "sad": ["a crying face"]}}
    assert short == document(build(short))


def test_what_reviews_taught_is_no_part_of_a_file() -> None:
    """It is kept by the taxonomy that is in force."""
    taxonomy = build({"name": "mood", "labels": {"happy": ["a smiling face"]}})
    taught = replace(taxonomy, learned={"1": Learned(model="any", thresholds={"happy": 0.9})})
    assert document(taxonomy) == document(taught)


def test_a_vocabulary_has_no_document() -> None:
    """Its words are in a file of their own."""
    words = build({"name": "words", "vocabulary": "words.txt"}, words=("cat", "dog"))
    assert document(words) is None
