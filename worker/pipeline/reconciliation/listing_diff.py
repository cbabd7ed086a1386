"""Compares a listing with the ledger, object by object."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Literal, TypeAlias, TypeVar

from worker import ledger
from worker.catalog.read import CatalogEntry
from worker.db import Connection, Engine, see_one_moment, snapshot, transaction
from worker.errors import ObjectRefusedError
from worker.ledger.comparison import KeyComparison
from worker.objects import ListedObject, ObjectStore
from worker.pipeline.reconciliation.completeness import CompletenessCheck, CompletenessCriteria
from worker.types import Hint, Lane, ObjectInfo, ObjectRef

#: missing: listed, but never enriched nor refused; incomplete: without its vector in the active space, or a decision of
#: a taxonomy in force; stale: what was read has another etag; ghost: known, but not in the store; unnameable: listed
#: under a key that the ledger cannot hold, or that the store itself does not find.
Kind: TypeAlias = Literal["missing", "incomplete", "stale", "ghost", "unnameable"]
State: TypeAlias = Literal[
    "enriched", "excluded", "quarantined", "pending", "missing", "incomplete", "stale", "ghost", "unnameable"
]

_KINDS: Mapping[State, Kind] = {
    "missing": "missing",
    "incomplete": "incomplete",
    "stale": "stale",
    "ghost": "ghost",
    "unnameable": "unnameable",
}
_T = TypeVar("_T")

#: Keys in a page: what a store lists at once.
PAGE = 1_000
#: An object written this lately may have an event on its way. Clocks of store and client differ by less: AWS refuses
#: requests beyond (RequestTimeTooSkewed).
_YOUNG = timedelta(minutes=15)
_HEADS = 8
#: What listings show instead of bytes that are not text; such a key cannot be requested.
UNREADABLE = "\N{REPLACEMENT CHARACTER}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Discrepancy:
    """One object on which store and ledger disagree."""

    kind: Kind
    key: str
    listed_etag: str | None
    known_etag: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Classified:
    """One object and which term of the equation it is."""

    state: State
    compared: KeyComparison
    hopeless: bool = False  # incomplete and given up: making it pending again gains nothing

    @property
    def difference(self) -> Discrepancy | None:
        """None if both sides agree."""
        kind = _KINDS.get(self.state)
        if kind is None:
            return None
        each = self.compared
        return Discrepancy(kind=kind, key=each.key, listed_etag=each.listed_etag, known_etag=each.etag)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Found:
    """One object and its state; None: neither side has it."""

    compared: KeyComparison
    state: State | None
    hopeless: bool = False

    def judged(self, state: State) -> Classified:
        return Classified(state=state, compared=self.compared, hopeless=self.hopeless)


@dataclass(frozen=True, kw_only=True, slots=True)
class ListingDiff:
    """Compares pages of one bucket's listing with the ledger.

    A difference that may only be an event on its way, or a listing that is older than the ledger, is looked at again
    after ``settle`` seconds, and judged by what is true then.
    """

    engine: Engine
    store: ObjectStore
    bucket: str
    since: datetime  # the database's time before the first request for a page
    settle: float
    completeness: CompletenessCheck = field(default_factory=CompletenessCheck)

    def page(self, connection: Connection, page: Sequence[ListedObject], *, remember: bool = False) -> list[Classified]:
        """Classify the objects of one page. Those deleted meanwhile are left out.

        Args:
            connection: in a transaction of its own for this page; see `ledger.comparison.compare`.
            page: as listed.
            remember: see `ledger.comparison.compare`.
        """
        written = {each.key: each.last_modified for each in page}
        storable: list[tuple[str, str | None]] = [
            (each.key, each.etag) for each in page if ledger.key_ranges.is_storable(each.key)
        ]
        with connection.begin():
            see_one_moment(connection)
            compared = self._compared(connection, storable, remember=remember)
        judged = [_unnameable(each) for each in page if not ledger.key_ranges.is_storable(each.key)]
        doubtful: list[KeyComparison] = []
        for each in compared:
            state, found = each.state, each.compared
            if state in ("missing", "incomplete", "stale") and (found.recent or _is_young(written[found.key])):
                doubtful.append(found)
            elif state is not None:
                judged.append(each.judged(state))
        return judged + self.again(doubtful)

    def first_look(self, connection: Connection, page: Sequence[ListedObject]) -> list[Classified]:
        """Classify one page by its listing and the ledger now, even if events may be on their way."""
        storable: list[tuple[str, str | None]] = [
            (each.key, each.etag) for each in page if ledger.key_ranges.is_storable(each.key)
        ]
        with connection.begin():
            see_one_moment(connection)
            compared = self._compared(connection, storable)
        judged = [_unnameable(each) for each in page if not ledger.key_ranges.is_storable(each.key)]
        return judged + [each.judged(each.state) for each in compared if each.state is not None]

    def again(self, doubtful: Sequence[KeyComparison]) -> list[Classified]:
        """Ask the store and the ledger about each object once more, and classify by their current answers."""
        if not doubtful:
            return []
        time.sleep(self.settle)
        with ThreadPoolExecutor(_HEADS, thread_name_prefix="verify") as pool:
            etags = dict(zip((each.key for each in doubtful), pool.map(self._etag, doubtful), strict=True))
        with snapshot(self.engine) as connection:
            known = self._compared(connection, [(each.key, etags[each.key]) for each in doubtful])
        return [each.judged(each.state) for each in known if each.state is not None]

    def repair(self, differences: Iterable[Discrepancy], *, source: str) -> int:
        """Make differences pending work, behind all live work. Returns how many of them can be."""
        hints = [
            Hint(ref=ObjectRef(bucket=self.bucket, key=each.key), source=source, event=each.kind)
            for each in differences
            if each.kind != "unnameable"
        ]
        with transaction(self.engine) as connection:
            return ledger.hints.hint(connection, hints, lane=Lane.BACKFILL).objects

    def _compared(
        self, connection: Connection, listed: Sequence[tuple[str, str | None]], *, remember: bool = False
    ) -> list[_Found]:
        """The ledger's rows, and for enriched ones what the catalog has, because the ledger alone proves nothing."""
        etags = dict(listed)
        pairs = [(key, etag or "") for key, etag in listed]
        compared = ledger.comparison.compare(connection, self.bucket, pairs, since=self.since, remember=remember)
        doubted = {each.key for each in compared if etags[each.key] is not None and each.outcome == "enriched"}
        held, wanted = self.completeness.holdings(connection, self.bucket, doubted)
        found = []
        for each in compared:
            now = replace(each, listed_etag=etags[each.key])
            if each.key in doubted:
                has = held.get(each.key)
                now = _as_held(now, has)
                state = _entire(state_of(now), wanted, has)
                hopeless = state == "incomplete" and has is not None and has.given_up
                found.append(_Found(compared=now, state=state, hopeless=hopeless))
            else:
                found.append(_Found(compared=now, state=state_of(now)))
        return found

    def _etag(self, each: KeyComparison) -> str | None:
        """What the store says now; if it refuses or cannot be asked, what its listing said."""
        if each.listed_etag is not None and UNREADABLE in each.key:
            return each.listed_etag
        try:
            info: ObjectInfo | None = self.store.head(ObjectRef(bucket=self.bucket, key=each.key))
        except ObjectRefusedError:
            return each.listed_etag
        return None if info is None else info.etag


def state_of(each: KeyComparison) -> State | None:
    """The term of the equation that counts an object; None: neither side has it."""
    known = each.outcome not in (None, "gone")
    if each.pending:
        return "pending" if each.listed_etag is not None else None
    if each.listed_etag is None:
        return "ghost" if known else None
    if not known:
        return "unnameable" if each.outcome == "gone" and UNREADABLE in each.key else "missing"
    # Without an etag nothing was read (access denied, killed worker), or the store gives none: nothing can be stale.
    if each.etag and each.listed_etag and each.etag != each.listed_etag:
        return "stale"
    return each.outcome  # type: ignore[return-value]  # the table's check constraint lists them


def _as_held(each: KeyComparison, held: CatalogEntry | None) -> KeyComparison:
    """The row with the catalog's etag; None: the catalog has no such image, so nothing was done for it."""
    return replace(each, outcome=None, etag=None) if held is None else replace(each, etag=held.etag)


def _entire(state: State | None, wanted: CompletenessCriteria, held: CatalogEntry | None) -> State | None:
    """An object with a good outcome and current bytes counts as enriched only if it is complete."""
    if state != "enriched" or held is None:
        return state
    match wanted.completeness(held):
        case "whole":
            return state
        case "waits":
            return "pending"
        case "lacks":
            return "incomplete"


def pages(items: Iterable[_T]) -> Iterator[list[_T]]:
    """At most ``PAGE`` at a time."""
    iterator = iter(items)
    while page := list(islice(iterator, PAGE)):
        yield page


def _unnameable(each: ListedObject) -> Classified:
    return Classified(state="unnameable", compared=KeyComparison(key=each.key, listed_etag=each.etag))


def _is_young(written: datetime) -> bool:
    return datetime.now(UTC) - written < _YOUNG
