"""Relevance of hits on a real PostgreSQL: relative to a sample of the catalog and to random texts."""

from __future__ import annotations

import numpy as np
import pytest

from tests.factories import DIMENSION, enriched_image, spec
from worker import catalog
from worker.db import transaction
from worker.errors import ModelUnavailableError
from worker.pipeline.reading.relevance import DEFAULT_CUT, IMAGE, TEXT, QueryMix, Relevance
from worker.tagging.relevance import FEWEST_IMAGES


class Texts:
    """Random directions for texts; counts the texts that it encodes."""

    def __init__(self) -> None:
        self.encoded = 0

    def __call__(self, _, texts):
        self.encoded += len(texts)
        return random_units(len(texts), seed=9)


class Clock:
    """Seconds that pass only when told."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def random_units(count: int, *, seed: int):
    rows = np.random.default_rng(seed).normal(size=(count, DIMENSION)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def store(engine, vectors, *, first: int = 0):
    images = [enriched_image(f"{first + number}.jpg", vector=vector) for number, vector in enumerate(vectors)]
    with transaction(engine) as connection:
        space = catalog.spaces.ensure(connection, spec())
        catalog.write.save_images(connection, space_id=space.id, images=images)
    return space


def scale(engine, relevance: Relevance, space, query, mix=TEXT):
    with transaction(engine) as connection:
        return relevance.scale(connection, space, query, mix)


def same(one, other) -> bool:
    return (one.middle, one.spread, one.null.top) == (other.middle, other.spread, other.null.top)


@pytest.fixture
def subject():
    """What a tenth of the images show."""
    return random_units(1, seed=5)[0]


@pytest.fixture
def space(engine, subject):
    shown = subject + 0.1 * random_units(30, seed=6)
    shown /= np.linalg.norm(shown, axis=1, keepdims=True)
    return store(engine, np.concatenate([random_units(270, seed=1), shown]))


@pytest.mark.parametrize("mix", [TEXT, IMAGE, QueryMix(words=3, images=1), QueryMix(images=2, unlike_words=1)])
def test_what_shows_it_is_relevant_and_the_rest_is_not(engine, space, subject, mix):
    """For a text, an image, and mixes."""
    relevance = Relevance(engine, Texts())
    with transaction(engine) as connection:
        found = relevance.scale(connection, space, subject, mix)
        assert found is not None
        images, vectors = catalog.bulk_read.read_vectors(connection, space, range(1, 301))
        cosines = dict(zip(images.tolist(), (vectors @ subject).tolist(), strict=True))
        relevances = relevance.of_images(connection, space, found, cosines)
    assert 300 == len(relevances)
    assert {each for each in relevances if each > 270} == {i for i, each in relevances.items() if each >= DEFAULT_CUT}


def test_an_image_without_a_vector_has_no_relevance(engine, space, subject):
    """It was deleted since it was found."""
    relevance = Relevance(engine, Texts())
    with transaction(engine) as connection:
        found = relevance.scale(connection, space, subject)
        assert found is not None
        assert [1] == list(relevance.of_images(connection, space, found, {1: 0.5, 9999: 0.5}))


def test_random_texts_are_encoded_once_for_all_processes(engine, space, subject):
    """The second process reads them from the database, and decides by the same numbers."""
    first, second = Texts(), Texts()
    scales = [scale(engine, Relevance(engine, texts), space, subject) for texts in (first, second)]
    assert first.encoded > 100
    assert 0 == second.encoded
    assert same(*scales)


def test_a_query_by_image_encodes_no_text(engine, space, subject):
    """So the model need not be there."""
    texts = Texts()
    assert scale(engine, Relevance(engine, texts), space, subject, IMAGE) is not None
    assert 0 == texts.encoded


def test_without_the_model_hits_have_no_relevance(engine, space, subject):
    """A search by a label needs no model, and still works. It is tried again after a minute, not with each search."""
    texts, clock, tried = Texts(), Clock(), []

    def missing(_, wanted):
        tried.append(len(wanted))
        raise ModelUnavailableError("its files are not here")

    relevance = Relevance(engine, missing, clock=clock)
    assert scale(engine, relevance, space, subject) is None
    assert scale(engine, relevance, space, subject) is None
    assert scale(engine, relevance, space, subject, IMAGE) is not None
    clock.now = 61
    assert scale(engine, relevance, space, subject) is None
    assert 2 == len(tried)
    assert scale(engine, Relevance(engine, texts), space, subject) is not None


def test_a_small_catalog_has_no_relevance(engine, subject):
    """A sample of too few images says nothing; the image that makes it large enough counts at once."""
    space = store(engine, random_units(FEWEST_IMAGES - 1, seed=1))
    relevance = Relevance(engine, Texts(), clock=Clock())
    assert scale(engine, relevance, space, subject) is None
    store(engine, random_units(1, seed=2), first=FEWEST_IMAGES)
    assert scale(engine, relevance, space, subject) is not None


def test_copies_of_one_image_do_not_count_again(engine, space, subject):
    """A picture that is stored a thousand times says no more about what is usual than once."""
    before = scale(engine, Relevance(engine, Texts()), space, subject)
    store(engine, np.repeat(random_units(1, seed=1), 300, axis=0), first=300)
    assert same(before, scale(engine, Relevance(engine, Texts()), space, subject))


def test_the_sample_is_drawn_anew_after_a_while(engine, space, subject):
    """Images that came since count then; until then a repeated search has the same answer."""
    clock = Clock()
    relevance = Relevance(engine, Texts(), clock=clock)
    before = scale(engine, relevance, space, subject)
    store(engine, random_units(200, seed=8), first=300)
    clock.now = 179
    assert same(before, scale(engine, relevance, space, subject))
    clock.now = 181
    assert not same(before, scale(engine, relevance, space, subject))
