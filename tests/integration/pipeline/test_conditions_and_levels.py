"""Several labels and conditions, from the object to the catalog."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.integration.pipeline.conftest import COLOURS
from tests.pictures import picture
from worker.tagging import Calibration, Label, Requirement, Tagger, Taxonomy
from worker.types import Outcome

WARM = Label(name="warm", children=(Label(name="red", prompts=("red",)),), background=("green",))
LEVELS = Taxonomy(name="levels", labels=(WARM, Label(name="cold", prompts=("blue",))))
ONLY_RED = Taxonomy(
    name="only-red",
    labels=(Label(name="bright", prompts=("red",)), Label(name="dull", prompts=("blue",))),
    calibration=Calibration(threshold=0.0),
    when=((Requirement(taxonomy="colour", labels=("red",)),),),
)


@pytest.fixture
def several(world):
    """A world with levels and a condition."""
    encoder = world.encoder
    tagger = Tagger((ONLY_RED, COLOURS, LEVELS), encoder.encode_texts, logit_scale=encoder.logit_scale, model="tiny")
    world.enricher = replace(world.enricher, tagger=tagger)
    return world


def labels(world, key: str) -> set[tuple[str, str | None]]:
    return {(tag.taxonomy, tag.label) for tag in world.image(key).tags}


def test_parents_children_and_conditions_reach_the_catalog(several):
    """A red picture has what holds for red; a blue one nothing of what is asked of red ones only."""
    several.upload("red.jpg", picture("red", (32, 32)))
    several.upload("blue.jpg", picture("blue", (32, 32)))
    assert {Outcome.ENRICHED: 2} == several.run()
    assert {("colour", "red"), ("levels", "warm"), ("levels", "red"), ("only-red", "bright")} == labels(
        several, "red.jpg"
    )
    assert {("colour", "blue"), ("levels", "cold")} == labels(several, "blue.jpg")


def test_a_taxonomy_that_does_not_apply_does_not_make_work(several):
    """Its absence is what the taxonomies say: an event for such an image is answered by its etag."""
    several.upload("blue.jpg", picture("blue", (32, 32)))
    several.run()
    several.hint("blue.jpg")
    assert {Outcome.UNCHANGED: 1} == several.run()


def test_a_tag_goes_when_its_condition_falls(several):
    """A red picture that is overwritten by a blue one."""
    several.upload("a.jpg", picture("red", (32, 32)))
    several.run()
    several.upload("a.jpg", picture("blue", (32, 32)))
    assert {Outcome.ENRICHED: 1} == several.run()
    assert {("colour", "blue"), ("levels", "cold")} == labels(several, "a.jpg")


def test_a_new_condition_makes_the_bytes_wanted_again(several):
    """A taxonomy that applies to an image and has not decided about it is work."""
    several.upload("red.jpg", picture("red", (32, 32)))
    first = several.enricher
    encoder = several.encoder
    plain = Tagger((COLOURS,), encoder.encode_texts, logit_scale=encoder.logit_scale, model="tiny")
    several.enricher = replace(first, tagger=plain)
    several.run()
    several.enricher = first
    several.hint("red.jpg")
    assert {Outcome.ENRICHED: 1} == several.run()
    assert ("only-red", "bright") in labels(several, "red.jpg")
