"""The change feed: nothing skipped, nothing repeated, in commit order."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.ledger import ref
from worker import outbox
from worker.db import Engine, transaction
from worker.errors import CursorError
from worker.outbox import Feed


def append(engine: Engine, *keys: str) -> None:
    with transaction(engine) as connection:
        outbox.append(connection, [Feed(kind="enriched", ref=ref(key), etag=f"e-{key}") for key in keys])


def read(engine: Engine, after: str | None = None, limit: int = 100):
    with transaction(engine) as connection:
        return outbox.read(connection, after=after, limit=limit)


def test_changes_are_read_page_by_page(engine):
    """The last id of a page is the cursor of the next."""
    append(engine, "a", "b")
    append(engine, "c")
    first = read(engine, limit=2)
    rest = read(engine, after=first[-1].id)
    assert ([c.key for c in first], [c.key for c in rest]) == (["a", "b"], ["c"])
    assert read(engine, after=rest[-1].id) == []


def test_a_change_is_not_shown_while_an_older_transaction_may_still_add_before_it(engine):
    """A reader that has seen the later commit will not miss the earlier one."""
    with engine.begin() as slow:
        outbox.append(slow, [Feed(kind="enriched", ref=ref("slow"), etag=None)])
        append(engine, "fast")
        assert read(engine) == []
    assert [change.key for change in read(engine)] == ["slow", "fast"]


def test_a_reader_that_polls_during_writes_sees_each_change_once(engine):
    """Four writers, one poller: the poller's view is complete and without repeats."""
    names = [f"k{number}" for number in range(200)]

    def write(part: int) -> None:
        for name in names[part::4]:
            append(engine, name)

    seen: list[str] = []
    with ThreadPoolExecutor(4) as pool:
        futures = [pool.submit(write, part) for part in range(4)]
        cursor = None
        while len(seen) < len(names):
            page = read(engine, after=cursor, limit=17)
            seen += [change.key for change in page]
            cursor = page[-1].id if page else cursor
            if not page and all(future.done() for future in futures) and not read(engine, after=cursor):
                break
    assert sorted(names) == sorted(seen)


EPOCH = "00000000000000ff"


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "1",
        "812-1",
        EPOCH,
        f"{EPOCH}-1-1",
        f"{EPOCH}-1-1-1-1",
        f"{EPOCH}-1--1",
        f"{EPOCH}-９-1-1",
        f"{EPOCH[1:]}-1-1-1",
        f"{EPOCH.upper()}-1-1-1",
        f"{EPOCH}-{1 << 64}-1-1",
        f"{EPOCH}-1-{1 << 63}-1",
        f"{EPOCH}-1-1-{10**17}",
        f"{EPOCH}-1-1-1\n",
    ],
)
def test_a_string_that_is_no_cursor_is_refused(engine, cursor):
    """A mistyped cursor is an error, not a full re-read."""
    with pytest.raises(CursorError, match="cursor"):
        read(engine, after=cursor)
