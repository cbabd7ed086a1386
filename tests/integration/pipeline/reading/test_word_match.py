"""Words of a query in keys and labels, on a real PostgreSQL."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import text

from tests.factories import enriched_image, spec
from worker import catalog
from worker.catalog import word_search
from worker.catalog.image_filter import ImageFilter
from worker.db import snapshot, transaction
from worker.pipeline.reading.word_match import MatchedWord, WordMatcher
from worker.pipeline.taxonomies.active_taxonomies import keep
from worker.tagging import Label, Taxonomy
from worker.types import Tag

LIGHT = Taxonomy(
    name="light",
    labels=(
        Label(name="golden-hour", title="Golden hour", aliases=("sunset", "evening sun"), prompts=("sunset",)),
        Label(name="noon", prompts=("noon",)),
    ),
)
KEYS = {
    "hens/IMG_1234.jpg": None,
    "hens/brownHen.jpg": "noon",
    "2024/Zürich/Beach-at-Sunset.jpg": "noon",
    "2024/other.jpg": "golden-hour",
    "2024/IMG_1299.jpg": "golden-hour",
    "2023/НашаЁлка.jpg": "noon",
}


@pytest.fixture
def site(engine):
    """Six images; ids are the places in KEYS, from 1."""
    keep(engine, [LIGHT])
    images = [
        replace(
            enriched_image(key),
            tags=(Tag(taxonomy="light", version=LIGHT.version, label=label, score=0.5, probability=0.9),),
        )
        for key, label in KEYS.items()
    ]
    with transaction(engine) as connection:
        space = catalog.spaces.ensure(connection, spec())
        for each in images:
            catalog.write.save_images(connection, space_id=space.id, images=[each])
        assert list(KEYS) == connection.execute(text("SELECT key FROM images ORDER BY id")).scalars().all()
    return engine


def found(engine, query: str, **given):
    with snapshot(engine) as connection:
        return WordMatcher()(connection, query, **given).matches


def test_words_are_found_in_keys(site):
    """Divided at camel case, without accents, in upper or lower case; with why."""
    assert {3} == set(found(site, "ZURICH"))
    assert {6} == set(found(site, "ёлка"))
    assert {2} == set(found(site, "a photo of a brown hen")) - {1}
    assert (MatchedWord(word="beach", key=True),) == found(site, "beach")[3].words


def test_a_longer_word_that_begins_so_is_found(site):
    """From four letters on: not every key with "im" for "im"."""
    assert {3} == set(found(site, "zuri"))
    assert {} == found(site, "zur")


def test_a_label_is_found_by_its_title_and_aliases(site):
    """A tag says what the key does not."""
    images = found(site, "golden hour")
    assert {4, 5} == set(images)
    assert (MatchedWord(word="golden hour", tag=("light", "golden-hour")),) == images[4].words
    assert {3, 4, 5} == set(found(site, "sunset"))
    assert {4, 5} == set(found(site, "Evening Sun"))


def test_a_rejected_label_is_not_found(site):
    """Tags are those in force."""
    with transaction(site) as connection:
        connection.execute(
            text(
                "INSERT INTO tags (image_id, taxonomy, taxonomy_version, label, source) "
                "VALUES (4, 'light', 'v', 'golden-hour', 'rejected')"
            )
        )
    assert {5} == set(found(site, "golden hour"))


def test_the_share_says_how_many_words_an_image_has(site):
    """Words that say nothing, such as "of", are not counted."""
    images = found(site, "beach at sunset")
    assert (1.0, 0.5) == (images[3].share, images[4].share)


def test_a_file_is_found_by_its_name(site):
    """Whatever stands between its words; with or without its ending and its folder."""
    for name in ("IMG_1234", "img 1234.jpg", "hens/IMG_1234.jpg"):
        images = found(site, name)
        assert [1] == [image for image, match in images.items() if match.exact]
    assert not any(each.exact for each in found(site, "1234 hens").values())


def test_a_filter_holds(site):
    """Only its images are found."""
    assert {3} == set(found(site, "sunset", filter_=ImageFilter(bucket="photos", prefix="2024/Z")))
    assert {} == found(site, "sunset", filter_=ImageFilter(bucket="elsewhere"))


def test_images_found_by_meaning_are_checked_too(site, monkeypatch):
    """So that none that has the words goes without, however many have them."""
    monkeypatch.setattr(word_search, "MOST_FOUND", 1)
    with snapshot(site) as connection:
        few = WordMatcher()(connection, "golden hour")
        all_ = WordMatcher()(connection, "golden hour", among=[1, 4, 5])
    assert (1, False) == (len(few.matches), few.complete)
    assert {4, 5} == set(all_.matches)


@pytest.mark.parametrize(
    "query", ["", "  ", "a photo of the", "?!", "'; DROP TABLE images; --", "\\' & | ! :*", "x" * 9999]
)
def test_what_has_no_words_or_strange_ones_finds_nothing(site, query):
    """And is no error."""
    assert {} == found(site, query)


def test_words_are_found_by_an_index(site):
    """As the planner sees it where a scan is not allowed: the index is on just this expression."""
    with transaction(site) as connection:
        connection.execute(text("SET LOCAL enable_seqscan = off"))
        query = "EXPLAIN (FORMAT JSON) " + word_search.with_words("'beach'")
        assert "images_key_words" in str(connection.execute(text(query)).scalar_one())


def test_words_that_very_many_keys_have_are_found_together(site, monkeypatch):
    """Neither is looked for by itself; both together are few. What is left out is said."""
    monkeypatch.setattr(word_search, "_COMMON", 0.5)
    monkeypatch.setattr(
        word_search.WordSearch, "_estimates", lambda _, queries: [0 if "&" in q else 9 for q in queries]
    )
    with snapshot(site) as connection:
        together = WordMatcher()(connection, "beach zurich")
        alone = WordMatcher()(connection, "beach")
    assert ({3}, False) == (set(together.matches), together.complete)
    assert (set(), False) == (set(alone.matches), alone.complete)


def test_estimates_come_in_the_order_of_the_words(site):
    """From one statement for all."""
    with transaction(site) as connection:
        connection.execute(text("ANALYZE images"))
        search = word_search.WordSearch(connection)
        estimates = search._estimates(["'2024'", "'beach'", "'2024'"])
    assert estimates[0] == estimates[2] > estimates[1]
