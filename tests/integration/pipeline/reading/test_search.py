"""Searches by examples on a real PostgreSQL, page by page, while others write."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from tests.examples import search_of
from tests.factories import DIMENSION, enriched_image, unit
from tests.fakes import ColourEncoder
from tests.ledger import ref
from worker import catalog
from worker.catalog.image_filter import ImageFilter, TagFilter
from worker.catalog.write import EnrichedImage
from worker.db import Engine, transaction
from worker.encoder import unit_rows
from worker.errors import ChoiceError, CursorError
from worker.pipeline.common.tag_filters import UnknownNameError
from worker.pipeline.reading.examples import Given, Stored, Uploaded, Words
from worker.pipeline.reading.image_lookup import ImageNotFoundError
from worker.pipeline.reading.saved_queries import OutdatedQueryError
from worker.pipeline.reading.search import Search
from worker.pipeline.reading.search_values import SearchAnswer, SearchQuery
from worker.pipeline.reading.text_search import TextSearch
from worker.pipeline.spaces.model_loading import space_spec
from worker.tagging.relevance import RelevanceScale
from worker.types import Floats

RED, GREEN, BLUE = (Words(text=name) for name in ("red", "green", "blue"))


def picture(key: str, vector: Floats, *, number: int, sha256: str | None = None, label: str = "day") -> EnrichedImage:
    """An image with bytes and a hash of its own."""
    made = enriched_image(key, vector=vector, label=label)
    phash = int(np.random.default_rng(number).integers(-(1 << 63), 1 << 63))
    return replace(made, metadata=replace(made.metadata, sha256=sha256 or f"{number:064x}", phash=phash))


def save(engine: Engine, *images: EnrichedImage) -> None:
    with transaction(engine) as connection:
        space = catalog.spaces.ensure(connection, space_spec(ColourEncoder()))
        catalog.write.save_images(connection, space_id=space.id, images=images)


def mixed(*amounts: float) -> Floats:
    """Of red, green and blue, with a little of everything, as the fake model sees pictures."""
    vector = np.full(DIMENSION, 0.01, dtype=np.float32)
    vector[: len(amounts)] += np.array(amounts, dtype=np.float32)
    row: Floats = unit_rows(vector[np.newaxis])[0]
    return row


@pytest.fixture
def search(engine: Engine) -> Search:
    return search_of(engine, TextSearch(engine, ColourEncoder))


@pytest.fixture
def gallery(engine: Engine) -> None:
    """Colours and what lies between them."""
    colours = {
        "red": mixed(1), "green": mixed(0, 1), "blue": mixed(0, 0, 1), "yellow": mixed(1, 1), "violet": mixed(1, 0, 1),
        "cyan": mixed(0, 1, 1), "white": mixed(1, 1, 1), "pink": mixed(1, 0.5, 0.5), "orange": mixed(1, 0.4),
        "brown": mixed(0.6, 0.3, 0.1), "grey": mixed(0.3, 0.3, 0.3), "lime": mixed(0.4, 1),
    }  # fmt: skip
    images = [
        picture(name, vector, number=number, label="night" if name == "violet" else "day")
        for number, (name, vector) in enumerate(colours.items())
    ]
    save(engine, *images)


def keys(answer: SearchAnswer) -> list[str]:
    return [hit.key for hit in answer.hits]


def all_pages(search: Search, query: SearchQuery, between: Sequence[object] = ()) -> list[str]:
    """Follows a search to its end; between pages, calls one of ``between`` after the other."""
    shown: list[str] = []
    writes = iter(between)
    while True:
        answer = search(query)
        shown += keys(answer)
        if answer.next is None:
            return shown
        query = replace(query, after=answer.next)
        write = next(writes, None)
        if callable(write):
            write()


# -- examples ---------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("gallery")
def test_several_examples_find_what_is_like_all_of_them_together(search):
    """Words and images mixed."""
    assert "yellow" == keys(search(SearchQuery(like=(RED, GREEN), limit=1)))[0]
    assert "violet" == keys(search(SearchQuery(like=(Stored(ref=ref("red")), BLUE), limit=1)))[0]


@pytest.mark.usefixtures("gallery")
def test_the_best_strategy_finds_what_is_like_any_of_them(search):
    """Pure colours before their mixture, which the average finds first."""
    found = search(SearchQuery(like=(RED, GREEN), strategy="best", limit=4))
    assert {"red", "green"} <= set(keys(found))
    assert "yellow" not in keys(found)
    assert {"red": 0, "green": 1}.items() <= {hit.key: hit.like.example for hit in found.hits if hit.like}.items()
    assert found.exact


@pytest.mark.usefixtures("gallery")
@pytest.mark.parametrize("strategy", ["average", "best"])
def test_negative_examples_push_away_and_say_so(search, strategy):
    """Each hit names the nearest example of either side, with its cosine."""
    found = search(SearchQuery(like=(RED,), unlike=(GREEN, BLUE), strategy=strategy, limit=12))
    order = keys(found)
    assert "red" == order[0]
    assert order.index("violet") > order.index("brown")
    assert {"green", "blue", "cyan"} <= set(order[-4:])
    violet = next(hit for hit in found.hits if hit.key == "violet")
    assert (0, 1) == (violet.like.example, violet.unlike.example)
    assert violet.similarity == violet.like.similarity == pytest.approx(float(mixed(1) @ mixed(1, 0, 1)), abs=1e-2)
    scores = [hit.score for hit in found.hits]
    assert sorted(scores, reverse=True) == scores


@pytest.mark.usefixtures("gallery")
def test_only_negative_examples_find_what_is_unlike_them(search):
    """The images that stand apart from all that is given."""
    assert "blue" == keys(search(SearchQuery(unlike=(RED, GREEN), limit=1)))[0]


@pytest.mark.usefixtures("gallery")
def test_an_example_and_its_copies_are_no_hits(engine, search):
    """Unless they are asked for; they are counted."""
    save(engine, picture("again", mixed(1), number=99, sha256=f"{0:064x}"))
    query = SearchQuery(like=(Stored(ref=ref("red")),), limit=3)
    found = search(query)
    assert ({"red", "again"} & set(keys(found)), 2) == (set(), found.left_out)
    assert "red" in keys(search(replace(query, include_examples=True)))


@pytest.mark.usefixtures("gallery")
def test_filters_hold_for_every_strategy(search):
    """An image without the tag is no hit."""
    night = ImageFilter(tags=(TagFilter(taxonomy="time-of-day", label="night"),))
    for strategy in ("average", "best"):
        found = search(SearchQuery(like=(RED, GREEN), unlike=(BLUE,), strategy=strategy, filter=night))
        assert ["violet"] == keys(found)
    with pytest.raises(UnknownNameError, match="has no label 'nihgt'; did you mean 'night'"):
        search(SearchQuery(like=(RED,), filter=ImageFilter(tags=(TagFilter(taxonomy="time-of-day", label="nihgt"),))))


@pytest.mark.usefixtures("gallery")
def test_hits_below_a_similarity_are_left_out(search):
    """With several examples it is that of the nearest one."""
    assert ["red"] == keys(search(SearchQuery(like=(RED,), min_similarity=0.99)))
    both = search(SearchQuery(like=(RED, GREEN), min_similarity=0.99))
    assert ({"red", "green"}, None) == (set(keys(both)), both.next)


@pytest.mark.usefixtures("gallery")
def test_examples_that_cannot_be_used(search):
    """Each error says what to change."""
    opposite = Given(vector=tuple(-float(x) for x in unit(0)))
    with pytest.raises(ChoiceError, match="the examples cancel out"):
        search(SearchQuery(like=(Given(vector=tuple(map(float, unit(0)))), opposite)))
    with pytest.raises(ChoiceError, match="the vector has 3 numbers, and those of space 1"):
        search(SearchQuery(like=(Given(vector=(1.0, 0.0, 0.0)), RED)))
    with pytest.raises(ImageNotFoundError):
        search(SearchQuery(like=(Stored(ref=ref("nowhere")),)))
    with pytest.raises(ChoiceError, match="like"):
        SearchQuery(like=(RED,), unlike=(RED,))


def test_an_empty_catalog_has_no_hits(search):
    """Which is not an error for words."""
    assert SearchAnswer() == search(SearchQuery(like=(RED,), unlike=(BLUE,)))


def test_relevance_tells_what_is_asked_for_from_the_rest(engine, search):
    """Of 123 pictures of everything, three are red; the least relevance leaves only these."""
    red, other = (Given(vector=tuple(map(float, each))) for each in (mixed(1), mixed(0, 1)))
    noise = np.random.default_rng(0).normal(size=(120, DIMENSION)).astype(np.float32)
    save(engine, *(picture(f"any{n}", vector, number=n) for n, vector in enumerate(unit_rows(noise))))
    save(engine, *(picture(f"red{n}", mixed(1, 0.05 * n), number=200 + n) for n in range(3)))
    everything = search(SearchQuery(like=(red,), limit=50))
    assert ["red0", "red1", "red2"] == keys(everything)[:3]
    relevances = [hit.relevance for hit in everything.hits]
    assert all(each is not None and 0 <= each <= 1 for each in relevances)
    found = search(SearchQuery(like=(red,), limit=50, min_relevance=0.5))
    assert (["red0", "red1", "red2"], None, True) == (keys(found), found.next, found.complete)
    either = search(SearchQuery(like=(red, other), strategy="best", limit=50, min_relevance=0.5))
    assert {"red0", "red1", "red2"} <= set(keys(either))
    assert len(keys(either)) < 20
    with pytest.raises(ChoiceError, match="`min_relevance` needs an example of what is wanted"):
        SearchQuery(unlike=(RED,), min_relevance=0.5)


@pytest.mark.usefixtures("gallery")
def test_too_few_images_have_no_relevance(search):
    """Every hit passes then, as nothing is known against it."""
    found = search(SearchQuery(like=(RED,), limit=2, min_relevance=0.9))
    assert [None, None] == [hit.relevance for hit in found.hits]


def test_words_of_keys_count_beside_meaning(engine, search, monkeypatch):
    """An image that is called so is found although the model sees something else; its hit says why."""
    save(engine, *(picture(f"{n:02}.jpg", mixed(1, 0.02 * n), number=n) for n in range(30)))
    save(engine, picture("holiday/Red Kite.jpg", mixed(0, 0, 1), number=99, label="night"))
    by_meaning = search(SearchQuery(like=(Words(text="red kite"),), limit=5))
    assert "holiday/Red Kite.jpg" not in keys(by_meaning)
    both = search(SearchQuery(like=(Words(text="red kite"),), limit=5, words=True))
    assert ["holiday/Red Kite.jpg", "00.jpg"] == keys(both)[:2]
    first, second = both.hits[:2]
    assert ([("red", True), ("kite", True)], ()) == ([(each.word, each.key) for each in first.words], second.words)
    assert (None, False) == (both.next, both.complete)  # 26 more have fewer of the words, or none
    whole = search(SearchQuery(like=(Words(text="red kite"),), limit=50, words=True, collapse=False))
    assert (31, True) == (len(whole.hits), whole.complete)
    day = ImageFilter(tags=(TagFilter(taxonomy="time-of-day", label="day"),))
    filtered = search(SearchQuery(like=(Words(text="red kite"),), limit=5, words=True, filter=day))
    assert "holiday/Red Kite.jpg" not in keys(filtered)
    strict = search(SearchQuery(like=(Words(text="red kite"),), limit=5, words=True, min_similarity=0.99999))
    assert (["holiday/Red Kite.jpg", "00.jpg"], True) == (keys(strict), strict.complete)
    monkeypatch.setattr("worker.pipeline.reading.hybrid_ranking._LEAST_MEANT", 10)
    assert not search(SearchQuery(like=(RED,), limit=10, words=True, min_similarity=0.1)).complete  # not all ranked


def test_a_search_that_ends_by_a_sample_is_not_complete(engine, search, monkeypatch):
    """Where queries are centred, as those of texts are, images outside the sample may be missing; not if exact."""
    of_sample = RelevanceScale.least_similarity

    def least(scale, relevance: float, *, certain: bool) -> float:
        return -2.0 if certain else of_sample(scale, relevance, certain=False)

    noise = np.random.default_rng(0).normal(size=(120, DIMENSION)).astype(np.float32)
    save(engine, *(picture(f"any{n}", vector, number=n) for n, vector in enumerate(unit_rows(noise))))
    save(engine, *(picture(f"red{n}", mixed(1, 0.05 * n), number=200 + n) for n in range(3)))
    query = SearchQuery(like=(Given(vector=tuple(map(float, mixed(1)))),), limit=20, min_relevance=0.5)
    assert search(query).complete  # the bound holds for every image
    monkeypatch.setattr(RelevanceScale, "least_similarity", least)
    found, exact = search(query), search(replace(query, exact=True))
    assert (["red0", "red1", "red2"], None, False) == (keys(found), found.next, found.complete)
    assert (keys(found), None, True) == (keys(exact), exact.next, exact.complete)


def test_words_need_a_text_and_have_one_page(search):
    """Ranks change with every write: a second page would repeat and miss images."""
    with pytest.raises(ChoiceError, match="`words` needs a text in `like`"):
        SearchQuery(like=(Stored(ref=ref("red")),), words=True)
    with pytest.raises(ChoiceError, match="a search with `words` has one page"):
        SearchQuery(like=(RED,), words=True, after="x")


# -- pages ------------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("gallery")
@pytest.mark.parametrize(
    "query",
    [
        SearchQuery(like=(RED,)),
        SearchQuery(like=(RED, GREEN)),
        SearchQuery(like=(RED, GREEN), unlike=(BLUE,)),
        SearchQuery(like=(RED, GREEN), strategy="best"),
        SearchQuery(unlike=(RED,)),
        SearchQuery(like=(RED,), filter=ImageFilter(tags=(TagFilter(taxonomy="time-of-day", label="day"),))),
    ],
)
@pytest.mark.parametrize("size", [1, 2, 5])
def test_pages_make_up_the_whole(search, query, size):
    """In the same order, whatever their size."""
    whole = search(replace(query, limit=100))
    assert (None, True) == (whole.next, whole.exact)
    assert keys(whole) == all_pages(search, replace(query, limit=size))


def test_copies_are_one_hit_and_pages_have_no_gaps(engine, search):
    """Twenty copies of the nearest picture do not fill the page."""
    same = [picture(f"copy{n}", mixed(1), number=1, sha256="ab" * 32) for n in range(20)]
    others = [picture(f"other{n}", mixed(1, 0.1 * n), number=100 + n) for n in range(1, 9)]
    save(engine, *same, *others)
    query = SearchQuery(like=(RED,), limit=4)
    found = search(query)
    assert ["copy0", "other1", "other2", "other3"] == keys(found)
    assert [19, 0, 0, 0] == [hit.copies for hit in found.hits]
    assert 9 == len(all_pages(search, query))
    assert 28 == len(all_pages(search, replace(query, collapse=False)))


def test_images_that_score_alike_are_each_on_one_page(engine, search):
    """Forty files with one vector: only their ids order them."""
    save(engine, *(picture(f"{n:02}", mixed(1), number=n) for n in range(40)))
    for size in (1, 3, 7):
        shown = all_pages(search, SearchQuery(like=(RED,), limit=size))
        assert [f"{n:02}" for n in range(40)] == shown


def test_more_images_that_score_alike_than_can_be_ranked(engine, search, monkeypatch):
    """Those ranked are hits all the same, by their ids; every page says that there may be more."""
    monkeypatch.setattr("worker.pipeline.reading.search.MOST_RANKED", 20)
    save(engine, *(picture(f"{n:02}", mixed(1), number=n) for n in range(30)))
    query = SearchQuery(like=(RED,), limit=8)
    first = search(query)
    assert ([f"{n:02}" for n in range(8)], False) == (keys(first), first.complete)
    assert [f"{n:02}" for n in range(20)] == all_pages(search, query)
    save(engine, *(picture(f"far{n}", mixed(0, 1), number=100 + n) for n in range(3)))
    assert first.hits == search(query).hits


@pytest.mark.usefixtures("gallery")
def test_a_cursor_of_another_query_or_space_is_refused(engine, search):
    """It says which of the two it is."""
    after = search(SearchQuery(like=(RED,), limit=1)).next
    with pytest.raises(CursorError, match="the cursor is of another query"):
        search(SearchQuery(like=(GREEN,), limit=1, after=after))
    with transaction(engine) as connection:
        other = catalog.spaces.ensure(connection, replace(space_spec(ColourEncoder()), revision="r2"))
        connection.execute(text("UPDATE spaces SET state = 'retired' WHERE state = 'active'"))
        connection.execute(text("UPDATE spaces SET state = 'active' WHERE id = :id"), {"id": other.id})
    with pytest.raises(CursorError, match="the cursor is of space 1, and space 2 is active now"):
        search(SearchQuery(like=(RED,), limit=1, after=after))


@pytest.mark.usefixtures("gallery")
def test_vectors_of_another_space_than_the_active_one_are_refused(search):
    """Whatever was active when the query was looked up; the space is no part of what a cursor is of."""
    query = SearchQuery(like=(Given(vector=tuple(map(float, mixed(1)))),), limit=1, space=1)
    assert ["red"] == keys(search(query))
    assert ["orange"] == keys(search(replace(query, after=search(replace(query, space=None)).next)))
    with pytest.raises(OutdatedQueryError, match="has vectors of space 2, and space 1 is active: save it again"):
        search(replace(query, space=2))


_WRITES = st.lists(
    st.tuples(st.sampled_from(["add", "remove", "replace"]), st.integers(0, 39), st.integers(0, 5)), max_size=12
)


_ASKED = st.sampled_from(
    [
        SearchQuery(like=(RED,)),
        SearchQuery(like=(RED, GREEN)),
        SearchQuery(like=(RED, GREEN), strategy="best"),
        SearchQuery(like=(RED,), unlike=(BLUE,), strategy="best"),
    ]
)


@given(writes=_WRITES, size=st.integers(1, 9), asked=_ASKED)
@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_an_image_that_exists_throughout_is_on_exactly_one_page(engine, search, writes, size, asked):
    """Whatever is added, removed and embedded anew between pages, before and behind the place where the reader is."""
    with transaction(engine) as connection:
        connection.execute(text("DELETE FROM images"))
    vectors = [mixed(1, 0.1 * (n % 10), 0.05 * (n // 10)) for n in range(40)]  # many score nearly alike
    save(engine, *(picture(f"old{n:02}", vector, number=n) for n, vector in enumerate(vectors)))
    names, touched = itertools.count(), set()

    def write(kind: str, which: int, amount: int):
        def act() -> None:
            key = f"old{which:02}"
            if kind == "add":
                save(engine, picture(f"new{next(names)}", mixed(1, 0.2 * amount), number=1_000 + which))
            elif kind == "replace":
                touched.add(key)
                save(engine, picture(key, mixed(amount, 1), number=2_000 + which))
            else:
                touched.add(key)
                with transaction(engine) as connection:
                    connection.execute(text("DELETE FROM images WHERE key = :key"), {"key": key})

        return act

    shown = all_pages(search, replace(asked, limit=size), [write(*each) for each in writes])
    stayed = {f"old{n:02}" for n in range(40)} - touched
    assert dict.fromkeys(stayed, 1) == {key: shown.count(key) for key in stayed}


def test_an_uploaded_picture_is_compared_by_its_bytes_with_what_is_left_out(engine, search):
    """A file of the catalog finds what is like it, and not itself."""
    import hashlib
    import io

    from PIL import Image

    file = io.BytesIO()
    Image.new("RGB", (32, 32), "#f00").save(file, "PNG")
    digest = hashlib.sha256(file.getvalue()).hexdigest()
    save(engine, picture("same", mixed(1), number=1, sha256=digest), picture("like", mixed(1, 0.1), number=2))
    found = search(SearchQuery(like=(Uploaded(data=file.getvalue()),)))
    assert (["like"], 1) == (keys(found), found.left_out)
