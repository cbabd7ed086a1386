"""Words of keys: the same in Python and in PostgreSQL."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from worker.catalog.key_words import key_words, key_words_sql, may_have, ordered_key_words, query_words
from worker.db import transaction

_SPLIT = text(f"""SELECT tsvector_to_array({key_words_sql('(CAST(:key AS text) COLLATE "C")')})""")


def in_postgres(engine, key: str) -> set[str]:
    with transaction(engine) as connection:
        return set(connection.execute(_SPLIT, {"key": key}).scalar_one())


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("hens/IMG_1234.JPG", {"hens", "img", "1234"}),
        ("2024/Sunset_at-theBeach12.jpg", {"2024", "sunset", "at", "the", "beach", "12", "thebeach12"}),
        ("HTMLPage.png", {"html", "page", "htmlpage"}),
        ("École/Zürich.jpeg", {"ecole", "zurich"}),
        ("ДомТам.jpg", {"дом", "там", "домтам"}),
        ("tar.gz", {"tar"}),
        ("---.jpg", set()),
        ("", set()),
        ("x" * 1024, {"x" * 200}),
        ("\ufdfa" * 341 + ".jpg", {"صلى", "الله", "عليه", "وسلمصلى", "وسلم"}),  # each becomes 18 characters
        ("\uff71" * 300, {"\u30a2" * 200}),
    ],
)
def test_a_key_s_words(engine, key: str, words: set[str]):
    """Words end at punctuation, between letters and digits, and in camel case."""
    assert words == key_words(key)
    assert words == in_postgres(engine, key)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text("aZé0ß-_./ ñÑÜЖж日本1", max_size=20))
def test_python_and_postgresql_agree(engine, key: str):
    """Otherwise an image that the index finds would have no reason."""
    assert key_words(key) == in_postgres(engine, key)
    assert all(may_have(key, [word]) and may_have(key, [word[:2]]) for word in key_words(key))


def test_a_query_s_words_are_divided_likewise():
    """In their order, each once."""
    assert ("hens", "img", "1234", "cafe") == query_words("Hens IMG_1234 hens, CAFÉ")


def test_a_query_loses_only_the_ending_of_a_picture():
    """Other words behind a dot are looked for; no key has the ending of its file among its words."""
    assert ("portrait", "of", "dr", "smith") == query_words("portrait of dr.smith")
    assert ("fig", "2", "cafe", "a") == query_words("fig.2 CAFÉ.a")
    assert ("beach",) == query_words("Beach.JPG") == query_words("beach.tiff") == ordered_key_words("Beach.JPG")
    assert ("portrait", "of", "dr", "smith") == ordered_key_words("portrait of dr.smith.jpeg")
