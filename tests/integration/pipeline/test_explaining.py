"""Explanations from the stored vector, and searches by other words, on real servers."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from tests.fakes import ColourEncoder
from tests.integration.pipeline.conftest import COLOURS, SMALL
from tests.ledger import ref
from tests.pictures import picture
from worker import bootstrap, catalog
from worker.catalog import TagFilter
from worker.db import transaction
from worker.errors import NotFoundError
from worker.pipeline.explain import explain, seen
from worker.pipeline.query import ImageNotFoundError, Search
from worker.tagging import Label, Tagger, Taxonomy


@pytest.fixture
def red(world):
    """A world with one red picture, enriched."""
    world.upload("red.jpg", picture("red", (32, 32)))
    world.run()
    return world


def test_an_explanation_gives_the_numbers_that_are_in_the_catalog(red):
    """To the last digit that the catalog keeps; the object store is not asked."""
    red.store.delete(ref("red.jpg"))
    told = explain(red.engine, ref("red.jpg"), encoder=red.encoder, tagger=red.enricher.tagger)
    [tag] = told.record.tags
    [one] = told.taxonomies
    label = next(each for each in one.labels if each.holds)
    assert told.current
    assert (tag.label, tag.taxonomy_version) == (label.label, one.version)
    assert (np.float32(tag.score), np.float32(tag.probability)) == (
        np.float32(label.similarity), np.float32(label.probability),
    )  # fmt: skip


def test_another_version_is_told_apart_from_what_is_stored(red):
    """What a file would say now is not what the catalog says."""
    edited = Taxonomy(name=COLOURS.name, labels=COLOURS.labels[:2])
    tagger = Tagger((edited,), red.encoder.encode_texts, logit_scale=20.0, model="tiny")
    assert not explain(red.engine, ref("red.jpg"), encoder=red.encoder, tagger=tagger).current


def test_an_image_that_is_not_there_is_explained_by_the_ledger(red):
    """As `enrich show` does."""
    with pytest.raises(ImageNotFoundError, match="no event ever named it"):
        explain(red.engine, ref("green.jpg"), encoder=red.encoder, tagger=red.enricher.tagger)


def test_an_image_without_a_vector_of_this_model_is_refused(red):
    """Vectors of two models are never compared."""
    other = ColourEncoder("other")
    tagger = Tagger((COLOURS,), other.encode_texts, logit_scale=20.0, model="other")
    with pytest.raises(NotFoundError, match=r"has no vector of other: set ENRICH_MODEL"):
        explain(red.engine, ref("red.jpg"), encoder=other, tagger=tagger)


def test_what_the_model_sees_is_a_picture(red):
    """As large as the model takes it, with the etag of the bytes it was made of."""
    shown = seen(red.store, ref("red.jpg"), encoder=ColourPlanes(), limits=SMALL)
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
        seen(red.store, ref("red.jpg"), encoder=ColourPlanes(), limits=SMALL)


class ColourPlanes(ColourEncoder):
    """Takes its pixels as most models do: one plane per colour."""

    def preprocess(self, image):
        small = image.convert("RGB").resize((4, 4))
        return np.ascontiguousarray(np.asarray(small).transpose(2, 0, 1))


@pytest.mark.parametrize(("word", "found"), [("red", 1), ("Crimson", 1), ("ROT", 1), ("green", 0), ("unicorn", 0)])
def test_searches_find_labels_by_title_and_alias(red, word, found):
    """In any case and language, by the words the catalog has."""
    named = Taxonomy(
        name="colour",
        labels=(Label(name="red", title="Rot", aliases=("crimson",), prompts=("red",)), *COLOURS.labels[1:]),
    )
    with transaction(red.engine) as connection:
        catalog.remember_taxonomies(connection, bootstrap.taxonomy_versions([named]))
    search = Search(red.engine, lambda: red.encoder)
    assert found == len(search("red", limit=5, tags=[TagFilter(taxonomy="colour", label=word)]))
