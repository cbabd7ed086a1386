"""Ranges of keys: what lies between two keys, in the order of the store."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from worker.ledger.key_ranges import Range, after, ascends, between, is_storable, keys_with

#: Few characters, on both sides of "/", so that prefixes meet.
KEYS = st.text("!./0a\U0010ffff", min_size=1, max_size=6)
ORDERS = st.sampled_from(["bytes", "folders"])


def within(key: str, ranges: list[Range]) -> list[Range]:
    return [each for each in ranges if each.start <= key < each.stop]


def segments(key: str) -> list[str]:
    return key.split("/")


@given(KEYS, KEYS)
def test_folders_are_compared_name_by_name(one, other):
    """A folder's content comes before every longer name: what SeaweedFS does, and lists of names do."""
    assert (segments(one) < segments(other)) == (one != other and ascends(one, other, "folders"))


@given(st.none() | KEYS, st.none() | KEYS, KEYS, st.sampled_from(["", "a", "a/", "a/.", "!"]), ORDERS)
@example("b!/1", "b!.1", "b/9", "", "folders")
@example("a/zz", "a!1", "a/zzz", "", "folders")
def test_a_key_is_between_two_exactly_if_the_store_lists_it_there(earlier, later, key, prefix, order):
    """In one range, in either order, under any prefix."""
    earlier, later = (each if each is None else prefix + each for each in (earlier, later))
    listed_there = (
        key.startswith(prefix)
        and (earlier is None or ascends(earlier, key, order))
        and (later is None or ascends(key, later, order))
    )
    assert int(listed_there) == len(within(key, between(earlier, later, prefix=prefix, order=order)))


@given(st.lists(KEYS, unique=True), KEYS)
def test_a_listing_in_whatever_order_passes_every_key(listing, key):
    """From its beginning to its end, a key that is not listed lies in some step: no order hides a ghost."""
    steps = zip([None, *listing], [*listing, None], strict=True)
    passed = [within(key, between(one, other, prefix="", order="any")) for one, other in steps]
    assert (key not in listing) <= any(passed)


@given(st.text(max_size=3), st.text(max_size=6))
@example("a\ud7ff", "a\ue000")
@example("\U0010ffff", "\U0010ffff\U0010ffff")
def test_the_range_of_a_prefix_is_what_begins_with_it(prefix, key):
    """Any character may be the last one of a prefix."""
    assert key.startswith(prefix) == bool(within(key, [keys_with(prefix)]))


@given(KEYS, KEYS)
def test_no_key_comes_between_a_key_and_the_next(key, other):
    """Keys have no NUL."""
    assert (other > key) == (other >= after(key))


@pytest.mark.parametrize(
    ("key", "expected"),
    [("a", True), ("ä" * 512, True), ("ä" * 513, False), ("a\0b", False), ("a\udc80", False), ("\n\x1b[2J", True)],
)
def test_a_key_is_storable_if_postgres_can_hold_it(key, expected):
    """Text without NUL, of at most 1,024 bytes."""
    assert expected == is_storable(key)
