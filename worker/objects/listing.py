"""Detects listings that loop or never end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

from worker.errors import StoreUnavailableError

#: Empty pages in a row after which a listing counts as endless. Some are normal: stores skip deleted objects page-wise.
_MOST_EMPTY = 10_000


class ListingProgress:
    """Follows one listing. It keeps two numbers per page: 200,000 for a hundred million objects."""

    def __init__(self, bucket: str) -> None:
        """Start before the first page."""
        self._bucket = bucket
        self._met: set[int] = set()  # hashes of tokens, and of the first keys of pages
        self._empty = 0  # pages in a row

    def next_token(self, page: Mapping[str, Any]) -> str | None:
        """Where the listing continues after a page; None at its end.

        Raises:
            StoreUnavailableError: the page is none, or does not say where the listing goes on, or it goes in circles.
        """
        if "IsTruncated" not in page:  # a proxy's page, or an answer that broke off: boto3 reads it as an empty bucket
            raise StoreUnavailableError(f"{self._bucket}: the store's answer is not a listing")
        keys = page.get("Contents", ())
        self._note("the same page", ("key", keys[0]["Key"]) if keys else None)
        self._empty = 0 if keys else self._empty + 1
        if not page["IsTruncated"]:
            return None
        token: str | None = page.get("NextContinuationToken")
        if not token:
            self._fail("it says that there are more objects (IsTruncated), and not where (NextContinuationToken)")
        if self._empty >= _MOST_EMPTY:
            self._fail(f"{self._empty} empty pages came in a row")
        self._note("the same continuation token", ("token", token))
        return token

    def _note(self, what: str, met: tuple[str, str] | None) -> None:
        if met is None:
            return
        if hash(met) in self._met:
            self._fail(f"{what} came twice, so it would never end")
        self._met.add(hash(met))

    def _fail(self, why: str) -> NoReturn:
        raise StoreUnavailableError(
            f"{self._bucket}: the store's listing cannot be followed: {why}. "
            "Check the store, or the proxy in front of it; nothing is concluded from an incomplete listing"
        )
