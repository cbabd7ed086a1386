"""Cursors of searches: the query that a page belongs to, and where it ended. Pure functions."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime

from worker.errors import CursorError
from worker.pipeline.common import cursors
from worker.pipeline.reading.example_scores import Usual
from worker.pipeline.reading.search_values import SearchQuery

_LIST = "search"
_FINGERPRINT = 16  # hex digits
#: No score is higher, and no example's spread smaller: cosines are within ±1, and spreads at least 10⁻⁶.
_HIGHEST, _LEAST_SPREAD = 1e9, 1e-7


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchPosition:
    """Where a page ended, and what every page of a search has in common."""

    space: int
    began: datetime  # when the first page was made: ages in filters are relative to it
    newest: int  # id of the newest image then: later ones are nobody's copies
    usual: tuple[Usual, ...]  # of the examples: a new sample would order images differently
    score: float  # of the last hit
    image: int  # its id
    ranked: int  # images up to it, copies included

    def is_before(self, score: float, image: int) -> bool:
        """Whether an image with this score comes after this position."""
        return (score, -image) < (self.score, -self.image)


def encode(query: SearchQuery, at: SearchPosition) -> str:
    """The cursor of the page behind a position."""
    usual = json.dumps([[each.mean, each.spread] for each in at.usual], separators=(",", ":"))
    return cursors.encode(
        _LIST, _fingerprint(query), at.space, at.began, at.newest, usual, at.score.hex(), at.image, at.ranked
    )


def decode(query: SearchQuery) -> SearchPosition | None:
    """Where the query's page begins; None for the first page.

    Raises:
        CursorError: its cursor is not one of a search, or is one of another query.
    """
    if query.after is None:
        return None
    parts = cursors.decode(query.after, _LIST, str, int, datetime, int, str, str, int, int)
    fingerprint, space, began, newest, usual, score, image, ranked = parts
    if fingerprint != _fingerprint(query):
        raise CursorError(
            "the cursor is of another query: repeat the request whose `next` it was, changing only `after` and `limit`"
        )
    try:
        known = tuple(_usual(mean, spread) for mean, spread in json.loads(usual))
        at = _between(float.fromhex(score), -_HIGHEST, _HIGHEST)
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise CursorError("the cursor is damaged: pass `next` of an earlier answer, as it was given") from error
    return SearchPosition(
        space=space, began=began, newest=newest, usual=known, score=at, image=image, ranked=max(ranked, 0)
    )


def _usual(mean: object, spread: object) -> Usual:
    if not isinstance(mean, int | float) or not isinstance(spread, int | float):
        raise TypeError(mean, spread)
    return Usual(mean=_between(float(mean), -_HIGHEST, _HIGHEST), spread=_between(float(spread), _LEAST_SPREAD, 1.0))


def _between(number: float, least: float, most: float) -> float:
    """The number; NaN is not between any."""
    if not least <= number <= most:
        raise ValueError(number)
    return number


def _fingerprint(query: SearchQuery) -> str:
    """Of everything that decides which images are found in which order; not of the page and its size."""
    digest = hashlib.sha256()
    for part in _parts(replace(query, after=None, limit=1, space=None)):
        digest.update(part)
        digest.update(b"\0")
    return digest.hexdigest()[:_FINGERPRINT]


def _parts(query: SearchQuery) -> Iterator[bytes]:
    for field in fields(query):
        value = getattr(query, field.name)
        yield field.name.encode()
        if field.name in ("like", "unlike"):
            yield from _examples(value)
        else:
            yield repr(value).encode()


def _examples(examples: Sequence[object]) -> Iterator[bytes]:
    for each in examples:
        yield type(each).__name__.encode()
        data = getattr(each, "data", None)
        yield hashlib.sha256(data).digest() if isinstance(data, bytes) else repr(each).encode("utf-8", "replace")
