"""Pages of a ranking, and copies."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.catalog.image_filter import ImageFilter, TagFilter
from worker.catalog.search import Hit
from worker.errors import ChoiceError, CursorError
from worker.pipeline.common import cursors
from worker.pipeline.reading import copies, search_cursor
from worker.pipeline.reading.example_scores import Usual
from worker.pipeline.reading.examples import Stored, Uploaded, Words
from worker.pipeline.reading.search_cursor import SearchPosition
from worker.pipeline.reading.search_page import Page, RankedImage, Ranking, Wanted, page
from worker.pipeline.reading.search_values import SearchQuery
from worker.types import ObjectRef

ALL = Wanted(refs=(), sha256=(), least_similarity=None, least_relevance=None, collapse=True)
AT = SearchPosition(
    space=1, began=datetime(2026, 1, 1, tzinfo=UTC), newest=100, usual=(Usual(mean=0.1, spread=0.05),), score=0.5,
    image=7, ranked=3,
)  # fmt: skip
PHOTO = 0x5B32E1A4C6D90F7A  # a hash with about half of its bits set
DOG = SearchQuery(like=(Words(text="a dog"),))


def image(number: int, score: float, *, sha256: str | None = None, phash: int | None = None) -> RankedImage:
    own = (number * 0x9E3779B97F4A7C15) % (1 << 64)  # hashes of different pictures differ in many bits
    hit = Hit(
        image_id=number,
        bucket="photos",
        key=f"{number}.jpg",
        sha256=sha256 or f"{number:064x}",
        phash=(own - (1 << 64) if own >> 63 else own) if phash is None else phash,
        similarity=score,
        tags={},
        decided=(),
    )
    return RankedImage(hit=hit, score=score, similarity=score, relevance=None, like=None, unlike=None)


def ids(found: Page) -> list[int]:
    return [each.image.hit.image_id for each in found.hits]


def test_copies_take_one_place_and_are_counted():
    """By the same bytes, or by hashes that differ in four bits; not in five."""
    images = [
        image(1, 0.9, sha256="a", phash=PHOTO),
        image(2, 0.9, sha256="a", phash=PHOTO),
        image(3, 0.8, phash=PHOTO ^ 0b1111),
        image(4, 0.7, phash=PHOTO ^ 0b11111),
        image(5, 0.6),
    ]
    found = page(images, ALL, None)
    assert [(1, 2), (4, 0), (5, 0)] == [(each.image.hit.image_id, each.copies) for each in found.hits]
    assert [1, 2, 3, 4, 5] == ids(page(images, replace(ALL, collapse=False), None))


def test_hashes_are_compared_whatever_their_sign():
    """PostgreSQL has them as signed integers."""
    assert 1 == len(copies.grouped([image(1, 1, phash=-1).hit, image(2, 1, phash=(1 << 63) - 1).hit]))


def test_flat_pictures_are_copies_only_with_the_same_bytes():
    """Red and white have the same hash; nor are they copies of a picture whose hash is just not flat."""
    red, white, black = image(1, 0.9, phash=-(1 << 63)), image(2, 0.8, phash=-(1 << 63)), image(3, 0.7, phash=0)
    same, other = image(4, 0.6, sha256=white.hit.sha256, phash=-(1 << 63)), image(5, 0.5, phash=0b111111111)
    found = page([red, white, black, same, other], ALL, None)
    assert [(1, 0), (2, 1), (3, 0), (5, 0)] == [(each.image.hit.image_id, each.copies) for each in found.hits]


def test_a_copy_of_a_hit_of_an_earlier_page_is_not_a_hit_again():
    """But a copy of an image that came after the first page is: nobody has seen that one."""
    seen, new = image(3, 0.9, sha256="a"), image(101, 0.9, sha256="a")
    copy = image(50, 0.4, sha256="a", phash=0)
    assert [] == ids(page([seen, copy], ALL, AT))
    assert [50] == ids(page([replace(new, hit=replace(new.hit, phash=0)), copy], ALL, AT))


def test_examples_are_left_out():
    """With the files that have their bytes."""
    images = [image(1, 0.9, sha256="a"), image(2, 0.8, sha256="a"), image(3, 0.7), image(4, 0.6)]
    wanted = replace(ALL, refs=[ObjectRef(bucket="photos", key="3.jpg")], sha256=["a"])
    found = page(images, wanted, None)
    assert ([4], 3) == (ids(found), found.left_out)


def test_the_end_of_a_ranking_is_open_where_images_score_alike():
    """The index gives any of them first; by id, another may come before the last one."""
    images = [image(1, 0.9), image(9, 0.5), image(8, 0.5)]
    ranking = Ranking(images=images, ended=False, exact=True, complete=True)
    assert images[:1] == list(ranking.without_open_end())
    assert images == list(replace(ranking, ended=True).without_open_end())


@given(st.lists(st.tuples(st.sampled_from([0.9, 0.5, 0.1]), st.integers(0, 3)), max_size=20), st.integers(1, 4))
def test_pages_show_each_group_of_copies_once(rows, size):
    """In the order of the whole ranking, whatever the pages' size."""
    images = [image(n, score, sha256=f"{n % (own + 1)}-{own}", phash=None) for n, (score, own) in enumerate(rows, 1)]
    images.sort(key=lambda each: (-each.score, each.hit.image_id))
    whole, shown, at = ids(page(images, ALL, None)), [], None
    while found := page(images, ALL, at).hits[:size]:
        shown += [each.image.hit.image_id for each in found]
        last = found[-1].image
        at = replace(AT, score=last.score, image=last.hit.image_id)
    assert whole == shown


def test_a_cursor_leads_back_to_where_it_was_made():
    """With all that later pages need."""
    after = search_cursor.encode(DOG, AT)
    assert AT == search_cursor.decode(replace(DOG, after=after, limit=500))
    assert search_cursor.decode(DOG) is None


@pytest.mark.parametrize(
    "other",
    [
        SearchQuery(like=(Words(text="a cat"),)),
        SearchQuery(unlike=(Words(text="a dog"),)),
        SearchQuery(like=(Words(text="a dog"), Uploaded(data=b"1"))),
        replace(DOG, filter=ImageFilter(tags=(TagFilter(taxonomy="time-of-day", label="night"),))),
        replace(DOG, collapse=False),
        replace(DOG, min_similarity=0.2),
        replace(DOG, strategy="best"),
        replace(DOG, exact=True),
    ],
)
def test_a_cursor_of_another_query_is_refused(other):
    """It would lead into the middle of another order."""
    with pytest.raises(CursorError, match="the cursor is of another query"):
        search_cursor.decode(replace(other, after=search_cursor.encode(DOG, AT)))


def test_uploads_are_told_apart_by_their_bytes():
    """Their names in the request do not matter."""
    one = SearchQuery(like=(Uploaded(data=b"1", name="a.jpg"),))
    after = search_cursor.encode(one, AT)
    renamed = SearchQuery(like=(Uploaded(data=b"1", name="b.jpg"),), after=after)
    assert AT == search_cursor.decode(renamed)
    with pytest.raises(CursorError, match="of another query"):
        search_cursor.decode(SearchQuery(like=(Uploaded(data=b"2", name="a.jpg"),), after=after))


@pytest.mark.parametrize(
    "usual",
    [
        "",
        "[",
        "[1]",
        "[[1]]",
        '[["a", 1]]',
        "[[1, 2]]]",
        "{}",
        "[[NaN, 1]]",
        "[[0, NaN]]",
        "[[0, 0]]",
        "[[0, -1]]",
        "[[1e308, 1]]",
        "[[0, 1e308]]",
        "[[Infinity, 1]]",
    ],
)
def test_a_damaged_cursor_is_refused(usual):
    """Whatever is wrong with it."""
    made = search_cursor.encode(DOG, AT)
    [fingerprint, *_] = cursors.decode(made, "search", str, int, datetime, int, str, str, int, int)
    damaged = cursors.encode("search", fingerprint, 1, AT.began, 100, usual, (0.5).hex(), 7, 3)
    if usual == "{}":
        found = search_cursor.decode(replace(DOG, after=damaged))
        assert found is not None
        assert () == found.usual  # refused where the examples are counted
        return
    with pytest.raises(CursorError, match="the cursor is damaged"):
        search_cursor.decode(replace(DOG, after=damaged))


@pytest.mark.parametrize("score", ["nan", "inf", "-inf", (1e308).hex(), "0x1p5000", "x"])
def test_a_score_that_no_image_has_is_refused(score):
    """Nothing can be compared with it."""
    made = search_cursor.encode(DOG, AT)
    [fingerprint, *_] = cursors.decode(made, "search", str, int, datetime, int, str, str, int, int)
    damaged = cursors.encode("search", fingerprint, 1, AT.began, 100, "[[0.1,0.05]]", score, 7, 3)
    with pytest.raises(CursorError, match="the cursor is damaged"):
        search_cursor.decode(replace(DOG, after=damaged))


def test_a_query_that_contradicts_itself():
    """Refused with the places of the examples."""
    stored = Stored(ref=ObjectRef(bucket="photos", key="a.jpg"))
    with pytest.raises(ChoiceError, match=r"like\[1\] and unlike\[0\] are the same example"):
        SearchQuery(like=(Words(text="a"), stored), unlike=(stored,))
    with pytest.raises(ChoiceError, match="there is nothing to search for"):
        SearchQuery()
    with pytest.raises(ChoiceError, match="33 examples are too many: give at most 32"):
        SearchQuery(like=tuple(Words(text=str(n)) for n in range(33)))
    with pytest.raises(ChoiceError, match="`exact` is not available"):
        SearchQuery(like=(Words(text="a"),), unlike=(Words(text="b"),), exact=True, strategy="best")
