"""Explanations from the stored vector, and searches by other words, on real servers."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from sqlalchemy import text

from tests.active_taxonomies import put_into_force
from tests.fakes import ColourEncoder
from tests.integration.pipeline.conftest import COLOURS, SMALL, World
from tests.ledger import ref
from tests.pictures import picture
from worker import catalog
from worker.catalog.image_filter import TagFilter
from worker.db import transaction
from worker.errors import NotFoundError
from worker.pipeline.reading.explain import Explainer, NewerVersionResult
from worker.pipeline.reading.image_lookup import ImageNotFoundError
from worker.pipeline.reading.model_input import model_input_of
from worker.pipeline.reading.text_search import NothingEmbeddedError, TextSearch
from worker.pipeline.spaces.model_loading import space_spec
from worker.pipeline.taxonomies import active_taxonomies
from worker.tagging import Calibration, Label, LabelReason, Requirement, Taxonomy, restore


@pytest.fixture
def red(world: World):
    """A world with one red picture, enriched."""
    remember(world.engine, COLOURS)
    world.upload("red.jpg", picture("red", (32, 32)))
    world.run()
    return world


@pytest.fixture
def explain(red):
    """Explains by what the catalog has."""
    return Explainer(red.engine, TextSearch(red.engine, lambda: red.encoder).model)


def remember(engine, *taxonomies: Taxonomy) -> None:
    """Put these into force beside what is; nothing is tagged anew."""
    with transaction(engine) as connection:
        kept = [each for each in catalog.taxonomies.kept(connection) if each.in_force]
    beside = {each.name: restore(each.definition, version=each.version) for each in kept}
    beside |= {each.name: each for each in taxonomies}
    put_into_force(engine, *beside.values())


def test_an_explanation_gives_the_numbers_that_are_in_the_catalog(red, explain):
    """To the last digit that the catalog keeps; the object store is not asked."""
    red.store.delete(ref("red.jpg"))
    [one] = explain(ref("red.jpg")).taxonomies
    [tag] = one.written
    label = next(each for each in one.numbers.labels if each.holds)
    assert ("current", "decided", None, ()) == (one.standing, one.numbers.because, one.newer, one.human)
    assert (tag.label, tag.taxonomy_version, tag.space, tag.source) == (label.label, COLOURS.version, 1, "zero-shot")
    assert (np.float32(tag.score), np.float32(tag.probability)) == (
        np.float32(label.similarity), np.float32(label.probability),
    )  # fmt: skip


def test_tags_of_an_older_version_are_explained_by_it(red, explain):
    """Which a newer one in the catalog does not change; what that would say is told beside it."""
    edited = replace(COLOURS, calibration=Calibration(temperature=100))
    remember(red.engine, edited)
    [one] = explain(ref("red.jpg")).taxonomies
    assert (one.standing, one.numbers.version, one.numbers.decided) == ("older-version", COLOURS.version, ("red",))
    assert one.newer == NewerVersionResult(version=edited.version, labels=(), applies=True)


def test_versions_that_cannot_be_asked_together_are_explained_by_the_newest(red, explain):
    """Each was in use, but now they wait for each other: said, and not a failure."""
    size = Taxonomy(name="size", labels=(Label(name="small", prompts=("red",)), Label(name="big", prompts=("blue",))))
    first = replace(COLOURS, when=((Requirement(taxonomy="size", labels=("small",)),),))
    remember(red.engine, first, size)
    with transaction(red.engine) as connection:
        connection.execute(text("UPDATE tags SET taxonomy_version = :version"), {"version": first.version})
    remember(red.engine, COLOURS, replace(size, when=((Requirement(taxonomy="colour", labels=("red",)),),)))
    with transaction(red.engine) as connection:
        connection.execute(
            text("UPDATE taxonomies SET first_used = now() + '1 s' WHERE version = :version"),
            {"version": COLOURS.version},
        )
    told = explain(ref("red.jpg"))
    assert [True] == ["cannot be asked together" in note for note in told.notes]
    colour = told.taxonomies[0]
    assert (colour.numbers.version, colour.standing) == (COLOURS.version, "differs")


def test_a_version_that_is_gone_is_said(red, explain):
    """Its numbers cannot be had any more."""
    with transaction(red.engine) as connection:
        connection.execute(text("UPDATE tags SET taxonomy_version = 'gone'"))
    told = explain(ref("red.jpg"))
    assert (
        "colour: version gone, which decided, is not in the catalog any more; explained by the newest one",
    ) == told.notes
    assert "differs" == told.taxonomies[0].standing


def test_a_person_s_decision_is_told_apart(red, explain):
    """The model's numbers are given all the same."""
    with transaction(red.engine) as connection:
        connection.execute(
            text(
                "INSERT INTO tags (image_id, taxonomy, taxonomy_version, label, source) "
                "SELECT id, 'colour', 'v', 'blue', 'human' FROM images"
            )
        )
    [one] = explain(ref("red.jpg")).taxonomies
    assert [("blue", None)] == [(tag.label, tag.space) for tag in one.human]
    assert (("red",), "current") == (one.numbers.decided, one.standing)


def test_a_decision_that_outlives_its_taxonomy_is_no_obstacle(red, explain):
    """Nor is what the taxonomy's condition asked in force any more: that is said, and the rest is explained."""
    shade = replace(COLOURS, name="shade", when=((Requirement(taxonomy="size", labels=("small",)),),))
    size = Taxonomy(name="size", labels=(Label(name="small", prompts=("red",)), Label(name="big", prompts=("blue",))))
    put_into_force(red.engine, COLOURS, size, shade)
    with transaction(red.engine) as connection:
        connection.execute(
            text(
                "INSERT INTO tags (image_id, taxonomy, taxonomy_version, label, source) "
                "SELECT id, 'shade', :version, 'blue', 'human' FROM images"
            ),
            {"version": shade.version},
        )
    put_into_force(red.engine, COLOURS)
    told = explain(ref("red.jpg"))
    assert ["colour"] == [each.numbers.taxonomy for each in told.taxonomies]
    assert ("shade: not in force any more, nor is what its condition asks; its tags cannot be explained",) == told.notes


def test_where_nothing_decides_nothing_is_explained(red, explain):
    """Vocabularies alone are in force: no mistake, and said."""
    words = Taxonomy(name="words", labels=(Label(name="rose", prompts=("rose",)),), mode="vocabulary")
    put_into_force(red.engine, words)
    with transaction(red.engine) as connection:
        connection.execute(text("DELETE FROM tags"))
    by_catalog, by_file = explain(ref("red.jpg")), explain(ref("red.jpg"), [words])
    said = ("no taxonomy decides about images: there is nothing to explain",)
    assert ((), (), said, said) == (by_catalog.taxonomies, by_file.taxonomies, by_catalog.notes, by_file.notes)


def test_prompts_are_those_that_decided(red, explain):
    """The vectors in the catalog, though this machine's model would make others."""
    expected = explain(ref("red.jpg")).taxonomies[0].numbers
    red.encoder.encode_texts = lambda texts: ColourEncoder().encode_texts(["blue"] * len(texts))
    anew = Explainer(red.engine, TextSearch(red.engine, lambda: red.encoder).model)
    assert expected == anew(ref("red.jpg")).taxonomies[0].numbers


def test_a_taxonomy_that_was_not_asked_says_why(red, explain):
    """It has no tag, because another one decided otherwise."""
    shade = replace(COLOURS, name="shade", when=((Requirement(taxonomy="colour", labels=("blue",)),),))
    remember(red.engine, shade)
    colour, other = explain(ref("red.jpg")).taxonomies
    assert ("shade", False, "current") == (other.numbers.taxonomy, other.numbers.applies, other.standing)
    assert other.numbers.because == LabelReason.CONDITION_NOT_MET
    assert "current" == colour.standing


def test_a_file_can_be_tried_before_it_is_in_use(red, explain):
    """Compared with what the catalog has."""
    edited = Taxonomy(name=COLOURS.name, labels=COLOURS.labels[1:])
    [one] = explain(ref("red.jpg"), [edited]).taxonomies
    assert (one.numbers.version, one.standing) == (edited.version, "differs")


def test_prompts_are_encoded_once(red, explain):
    """An API that explains often does not ask the model again and again."""
    texts: list[str] = []
    encode = red.encoder.encode_texts

    def counted(some):
        texts.extend(some)
        return encode(some)

    red.encoder.encode_texts = counted
    tried = Taxonomy(name="tried", labels=(*COLOURS.labels, Label(name="wool", prompts=("wool",))))
    explain(ref("red.jpg"), [tried])
    explain(ref("red.jpg"), [tried])
    assert ["wool"] == texts, "and what workers have encoded, not at all"


def test_taxonomies_nobody_chose_numbers_for_are_named(red, explain):
    """For the model that answers."""
    calibrated = replace(COLOURS, name="shade", models={"tiny": Calibration()})
    remember(red.engine, calibrated)
    assert ("colour",) == explain(ref("red.jpg")).uncalibrated


def test_an_image_that_is_not_there_is_explained_by_the_ledger(explain):
    """As `enrich show` does."""
    with pytest.raises(ImageNotFoundError, match="nothing is known about it"):
        explain(ref("green.jpg"))


def test_an_image_without_a_vector_of_this_model_is_refused(red):
    """Vectors of two models are never compared."""
    other = ColourEncoder("other")
    with transaction(red.engine) as connection:
        catalog.spaces.activate(connection, catalog.spaces.ensure(connection, space_spec(other)).id)
    with pytest.raises(NothingEmbeddedError, match="has no vector of other"):
        Explainer(red.engine, TextSearch(red.engine, lambda: other).model)(ref("red.jpg"))


def test_nothing_is_explained_in_an_empty_catalog(engine):
    """There is no such image."""
    with pytest.raises(NothingEmbeddedError, match="no image was embedded yet"):
        TextSearch(engine, ColourEncoder).model()


def test_what_the_model_sees_is_a_picture(red):
    """As large as the model takes it, with the etag of the bytes it was made of."""
    shown = model_input_of(red.store, ref("red.jpg"), encoder=ColourPlanes(), limits=SMALL)
    with Image.open(io.BytesIO(shown.png)) as image:
        assert ("PNG", (4, 4)) == (image.format, image.size)
        reddest = np.asarray(image).reshape(-1, 3).mean(axis=0)
    assert reddest[0] > 200
    assert reddest[2] < 60
    assert red.image("red.jpg").etag == shown.etag


def test_what_is_gone_cannot_be_shown(red):
    """The sentence says which object."""
    red.store.delete(ref("red.jpg"))
    with pytest.raises(NotFoundError, match=r"red\.jpg cannot be read"):
        model_input_of(red.store, ref("red.jpg"), encoder=ColourPlanes(), limits=SMALL)


class ColourPlanes(ColourEncoder):
    """Takes its pixels as most models do: one plane per colour."""

    def preprocess(self, image):
        small = image.convert("RGB").resize((4, 4))
        return np.ascontiguousarray(np.asarray(small).transpose(2, 0, 1))


@pytest.mark.parametrize(("word", "found"), [("red", 1), ("Crimson", 1), ("ROT", 1), ("green", 0)])
def test_searches_find_labels_by_title_and_alias(red, word, found):
    """In any case and language, by the words the catalog has."""
    named = Taxonomy(
        name="colour",
        labels=(Label(name="red", title="Rot", aliases=("crimson",), prompts=("red",)), *COLOURS.labels[1:]),
    )
    active_taxonomies.keep(red.engine, [named])
    search = TextSearch(red.engine, lambda: red.encoder)
    assert found == len(search("red", limit=5, tags=[TagFilter(taxonomy="colour", label=word)]).hits)
