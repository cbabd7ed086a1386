"""Listings that do not end, or do not say where they go on, end in an error that says so."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.bad_store import BadStore, bad_store
from worker.errors import BucketElsewhereError, StoreUnavailableError
from worker.objects import S3Store
from worker.objects.listing import ListingProgress

KEYS = [f"{letter}.jpg" for letter in "abcde"]  # three pages


@pytest.fixture
def bad() -> Iterator[BadStore]:
    """The store, with a few objects."""
    with bad_store() as store:
        for key in KEYS:
            store.put("photos", key, b"x")
        yield store


@pytest.fixture
def store(bad: BadStore) -> Iterator[S3Store]:
    """Ours, before it."""
    ours = S3Store(endpoint_url=bad.url, access_key_id="id", secret_access_key="secret", timeout=5)
    yield ours
    ours.close()


def test_a_listing_that_is_right_is_followed_to_its_end(store: S3Store) -> None:
    """Three pages."""
    assert [each.key for each in store.list("photos")] == KEYS


@pytest.mark.parametrize(
    ("how", "why", "requests"),
    [
        ("no-token", "there are more objects .* not where", 1),
        ("same-page", "the same page came twice", 2),
        ("same-page-new-token", "the same page came twice", 2),
    ],
)
def test_a_listing_that_leads_nowhere_breaks_off(
    bad: BadStore, store: S3Store, how: str, why: str, requests: int
) -> None:
    """Nothing is concluded from it, and nobody asks for the same page for ever."""
    bad.listing = how
    with pytest.raises(StoreUnavailableError, match=f"photos: the store's listing cannot be followed: .*{why}"):
        list(store.list("photos"))
    assert len(bad.requests) == requests


def test_an_endpoint_that_redirects_is_named_with_what_it_redirects_to(bad: BadStore, store: S3Store) -> None:
    """As where http:// was written for https://. boto3 alone asks for the bucket's region until Python's stack ends."""
    bad.listing = "redirect"
    with pytest.raises(
        BucketElsewhereError, match=r"the store redirects to https://127\.0\.0\.1:1/.*ENRICH_S3_ENDPOINT_URL"
    ):
        list(store.list("photos"))
    assert len(bad.requests) <= 3


def test_pages_that_stay_empty_end_at_last() -> None:
    """Some empty pages are usual: stores skip deleted objects page by page."""
    progress = ListingProgress("photos")
    tokens = (progress.next_token({"IsTruncated": True, "NextContinuationToken": str(n)}) for n in range(20_000))
    with pytest.raises(StoreUnavailableError, match="10000 empty pages came in a row"):
        list(tokens)
