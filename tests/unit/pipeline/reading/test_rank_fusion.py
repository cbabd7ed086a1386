"""One order by meaning and by words."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from worker.pipeline.reading.rank_fusion import fused
from worker.pipeline.reading.word_match import MatchedWord, WordMatch


def match(image: int, share: float, *, exact: bool = False) -> WordMatch:
    return WordMatch(image_id=image, share=share, words=(MatchedWord(word="hen", key=True),), exact=exact)


def order(meaning, *matches: WordMatch) -> list[int]:
    return [each.image_id for each in fused(meaning, {each.image_id: each for each in matches})]


@given(st.lists(st.integers(1, 50), unique=True))
def test_without_words_the_order_is_that_of_meaning(meaning):
    """Nothing is left out and nothing is added."""
    assert meaning == order(meaning)


def test_all_words_raise_an_image_above_those_without():
    """And images with the same words keep the order of meaning."""
    assert [30, 31, 1, 2] == order([1, 2, 30, 31], match(30, 1.0), match(31, 1.0))


def test_half_of_the_words_raise_an_image_but_not_above_the_first():
    """A folder that has one word of the query does not come before what shows all of it."""
    meaning = list(range(1, 101))
    found = order(meaning, match(60, 0.5))
    assert 1 == found[0]
    assert 10 < found.index(60) < 40


def test_the_file_that_is_called_so_is_first():
    """Even if it is not among those ranked by meaning."""
    assert [99, 8, 7] == order([7, 8], match(8, 1.0), match(99, 1.0, exact=True))


def test_an_image_that_only_words_find_comes_in():
    """Behind those that both find."""
    assert [2, 1, 5] == order([1, 2], match(2, 1.0), match(5, 0.5))


@given(st.permutations(range(1, 20)), st.dictionaries(st.integers(1, 30), st.sampled_from([0.25, 0.5, 1.0])))
def test_everything_found_is_there_once(meaning, shares):
    """With its rank by meaning and its words."""
    found = fused(meaning, {image: match(image, share) for image, share in shares.items()})
    assert sorted({*meaning, *shares}) == sorted(each.image_id for each in found)
    assert all((each.meaning is None) == (each.image_id not in meaning) for each in found)
    assert {each.image_id for each in found if each.words} == set(shares)
