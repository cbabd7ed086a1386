"""Taxonomies as data: what is kept comes back, and what another release kept is not guessed at."""

from __future__ import annotations

import json

import pytest
from hypothesis import given

from tests.unit.tagging.languages import sets_of_taxonomies
from worker.errors import TaxonomyError
from worker.tagging import Label, Taxonomy, definition, edits, load_taxonomies, restore


@given(sets_of_taxonomies())
def test_what_is_kept_as_json_comes_back_equal(taxonomies):
    """Any of the language: labels, levels, conditions, models, translations."""
    for taxonomy in taxonomies:
        kept = json.loads(json.dumps(definition(taxonomy), sort_keys=True))
        assert taxonomy == restore(kept, version=taxonomy.version)


@pytest.mark.parametrize("taxonomy", load_taxonomies(), ids=lambda each: each.name)
def test_shipped_taxonomies_come_back(taxonomy):
    """With every word for people."""
    assert taxonomy == restore(json.loads(json.dumps(definition(taxonomy))), version=taxonomy.version)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda kept: kept.update(aggregate="median"),
        lambda kept: kept["labels"][0].update(weight=2),
        lambda kept: kept.pop("labels"),
        lambda kept: kept["calibration"].update(threshold="high"),
    ],
    ids=["another rule", "an unknown field", "no labels", "no number"],
)
def test_what_this_release_would_decide_otherwise_is_refused(spoil):
    """Nothing is tagged by half of a taxonomy."""
    taxonomy = Taxonomy(name="light", labels=(Label(name="day", prompts=("day",)),), background=("x",))
    kept = json.loads(json.dumps(definition(taxonomy)))
    spoil(kept)
    with pytest.raises(TaxonomyError, match=r"'light' was stored by another release"):
        restore(kept, version=taxonomy.version)


def test_edits_are_told_place_by_place():
    """Labels are compared with themselves wherever they stand; what is the same is not mentioned."""
    day, night = Label(name="day", prompts=("a day", "noon")), Label(name="night", prompts=("a night",))
    before = Taxonomy(name="light", labels=(day, night), background=("a wall",))
    after = Taxonomy(
        name="light",
        labels=(
            Label(name="dusk", prompts=("dusk",)),
            Label(name="day", prompts=("noon", "a sunny day"), title="Day"),
        ),
        background=("a wall",),
        aggregate="max",
    )
    assert [
        'labels.day.prompts: - "a day"',
        'labels.day.prompts: + "a sunny day"',
        'labels.day.title: + "Day"',
        'labels.night: - {"prompts": ["a night"]}',
        'labels.dusk: + {"prompts": ["dusk"]}',
        'aggregate: "mean" → "max"',
    ] == [line for line in edits(definition(before), json.loads(json.dumps(definition(after)))) if line]


def test_a_taxonomy_is_no_edit_of_itself():
    """Also after a stay in the database."""
    for taxonomy in load_taxonomies():
        kept = json.loads(json.dumps(definition(taxonomy), sort_keys=True))
        assert [] == edits(kept, definition(taxonomy))
