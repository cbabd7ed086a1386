"""The quarantine is a place: seen by reason, place and age, retried, dropped, however much there is of it."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import text

from tests.integration.pipeline.conftest import World
from tests.ledger import BUCKET, pending, ref, row
from tests.pictures import picture
from worker.db import transaction
from worker.errors import ChoiceError, CursorError
from worker.ledger import quarantine as ledger_quarantine
from worker.ledger.quarantine import QuarantineSelection
from worker.pipeline.common.tag_filters import UnknownNameError
from worker.pipeline.operations import quarantine
from worker.pipeline.operations.quarantine import NotQuarantinedError, QuarantineQuery
from worker.types import Outcome, Reason

HOUR = timedelta(hours=1)


@pytest.fixture
def filled(world: World):
    """Two files that are no images, one that is cut short, and a good one."""
    world.upload("a/text.jpg", b"text")
    world.upload("b/text.jpg", b"text")
    world.upload("a/cut.jpg", picture(size=(640, 480))[:-500])
    world.upload("good.jpg", picture())
    world.run()
    return world


def age(engine, key: str, by: str) -> None:
    """Let an entry have been there for longer."""
    with transaction(engine) as connection:
        connection.execute(
            text(
                "UPDATE quarantine q SET since = q.since - CAST(:by AS interval) "
                "FROM inbox i WHERE i.id = q.inbox_id AND i.key = :key"
            ),
            {"by": by, "key": key},
        )


def fill(engine, number: int) -> None:
    """So many entries, a second apart, the reasons in turn."""
    with transaction(engine) as connection:
        connection.execute(
            text("""
                WITH rows AS (
                    INSERT INTO inbox (bucket, key, wanted, done, source, outcome)
                    SELECT 'many', to_char(n, 'FM000000'), 1, 1, 's3', 'quarantined' FROM generate_series(1, :n) n
                    RETURNING id, key
                )
                INSERT INTO quarantine (inbox_id, reason, message, attempts, since)
                SELECT id, CASE WHEN key::int % 2 = 0 THEN 'empty' ELSE 'truncated' END, 'it is', 1,
                       now() - make_interval(secs => :n - key::int + 1) FROM rows
            """),
            {"n": number},
        )


def keys(world: World, **choice):
    return {entry.key for entry in quarantine.listing(world.engine, QuarantineQuery(**choice), limit=100).entries}


def retry(world: World, *, after=None, patience=None, progress=lambda _: None, **choice):
    return quarantine.retry(
        world.engine,
        QuarantineQuery(**choice),
        notify=world.enricher.notify,
        after=after,
        patience=patience,
        progress=progress,
    )


# -- looking ----------------------------------------------------------------------------------------------------------


def test_entries_are_selected_by_reason_place_and_age(filled):
    """Everything given must hold."""
    age(filled.engine, "b/text.jpg", "2 hours")
    assert {"a/text.jpg", "b/text.jpg"} == keys(filled, reason=Reason.NOT_AN_IMAGE)
    assert {"a/text.jpg"} == keys(filled, reason=Reason.NOT_AN_IMAGE, bucket=BUCKET, prefix="a/")
    assert {"a/cut.jpg"} == keys(filled, bucket=BUCKET, key="a/cut.jpg")
    assert {"b/text.jpg"} == keys(filled, older_than=HOUR)
    assert {"a/text.jpg", "a/cut.jpg"} == keys(filled, since=HOUR)
    assert set() == keys(filled, since=HOUR, older_than=HOUR)
    assert {"b/text.jpg"} == keys(filled, since=3 * HOUR, older_than=HOUR, reason=Reason.NOT_AN_IMAGE)
    with pytest.raises(UnknownNameError, match="unknown bucket 'other'"):
        keys(filled, bucket="other")


def test_a_prefix_is_text_and_no_pattern(filled):
    """Characters that mean something to LIKE mean themselves."""
    assert set() == keys(filled, bucket=BUCKET, prefix="_/") | keys(filled, bucket=BUCKET, prefix="%")


@pytest.mark.parametrize("limit", [1, 2, 3, 100])
def test_pages_show_each_entry_once_newest_first(engine, limit):
    """Whatever the size of a page."""
    fill(engine, 7)
    seen, after = [], None
    while True:
        page = quarantine.listing(engine, QuarantineQuery(bucket="many"), limit=limit, after=after)
        seen += [int(entry.key) for entry in page.entries]
        after = page.next
        if after is None:
            break
    assert [7, 6, 5, 4, 3, 2, 1] == seen


def test_entries_that_came_at_the_same_time_are_all_shown(engine):
    """A batch puts its entries there in one transaction: their times are equal."""
    fill(engine, 9)
    with transaction(engine) as connection:
        connection.execute(text("UPDATE quarantine SET since = now()"))
    first = quarantine.listing(engine, QuarantineQuery(), limit=5)
    second = quarantine.listing(engine, QuarantineQuery(), limit=5, after=first.next)
    assert 9 == len({entry.key for entry in (*first.entries, *second.entries)})


def test_what_comes_while_pages_are_turned_shifts_nothing(engine):
    """Neither new entries nor dropped ones make a reader miss or repeat the others."""
    fill(engine, 6)
    first = quarantine.listing(engine, QuarantineQuery(), limit=3)
    quarantine.drop(engine, QuarantineQuery(bucket="many", key="000005"))
    with transaction(engine) as connection:
        connection.execute(
            text(
                "UPDATE quarantine SET since = now() WHERE reason = 'empty' AND inbox_id IN "
                "(SELECT id FROM inbox WHERE key = '000006')"
            )
        )
    second = quarantine.listing(engine, QuarantineQuery(), limit=3, after=first.next)
    assert ["000006", "000005", "000004"] == [entry.key for entry in first.entries]
    assert (["000003", "000002", "000001"], None) == ([entry.key for entry in second.entries], second.next)


def test_the_counts_cover_the_whole_selection(filled):
    """By reason, most first; of what was chosen."""
    assert [("not-an-image", 2), ("truncated", 1)] == list(quarantine.counts(filled.engine, QuarantineQuery()).items())
    assert {"truncated": 1} == quarantine.counts(filled.engine, QuarantineQuery(reason=Reason.TRUNCATED))


def test_one_entry_has_what_the_file_begins_with(filled):
    """Enough to see for oneself, without fetching it."""
    found = quarantine.entry(filled.engine, ref("a/text.jpg"))
    assert (b"text", "not-an-image", False) == (found.first_bytes, found.reason, found.pending)
    assert "00000000  74 65 78 74                                      |text|" == quarantine.hexdump(b"text")


def test_what_is_not_there_is_said(filled):
    """A good image is none of ours."""
    with pytest.raises(NotQuarantinedError, match=r"photos/good.jpg is not in quarantine; `enrich show`"):
        quarantine.entry(filled.engine, ref("good.jpg"))


# -- retrying ---------------------------------------------------------------------------------------------------------


def test_a_retry_by_reason_is_worked_on_and_somebody_is_woken(filled):
    """What can be mended is mended; what cannot comes back with its reason."""
    filled.store.put(ref("a/text.jpg"), picture("blue"), "image/jpeg")
    changed = retry(filled, reason=Reason.NOT_AN_IMAGE)
    assert (2, None) == (changed.count, changed.next)
    assert (2, 1) == (pending(filled.engine), len(filled.rung))
    assert {Outcome.ENRICHED: 1, Outcome.QUARANTINED: 1} == filled.run()
    assert {"b/text.jpg", "a/cut.jpg"} == keys(filled)


def test_a_retry_by_age_leaves_the_others(filled):
    """Of the last hours, as after a bad deploy; or what has been there for long, as after an upgrade."""
    age(filled.engine, "b/text.jpg", "2 hours")
    assert 1 == retry(filled, older_than=HOUR).count
    assert 2 == retry(filled, since=HOUR).count
    assert 0 == retry(filled).count


def test_a_retry_that_is_pending_is_not_counted_again(filled):
    """Impatience does no harm, and who looks sees that it is under way."""
    assert (3, 0) == (retry(filled).count, retry(filled).count)
    assert [True] * 3 == [e.pending for e in quarantine.listing(filled.engine, QuarantineQuery(), limit=9).entries]
    assert 0 == quarantine.drop(filled.engine, QuarantineQuery()).count


def test_a_retry_has_all_its_attempts_again(filled):
    """Nothing of before counts against it: not what it took until it was quarantined."""
    filled.upload("a/later.jpg", b"text")
    with transaction(filled.engine) as connection:
        connection.execute(text("UPDATE inbox SET attempts = 3 WHERE key = 'a/later.jpg'"))
    filled.run()
    retry(filled, bucket=BUCKET, key="a/later.jpg")
    found = row(filled.engine, "a/later.jpg")
    assert (0, 0, 1) == (found.attempts, found.deaths, found.lane)


def test_a_large_retry_is_many_small_transactions_that_go_on_where_they_ended(engine, monkeypatch):
    """Each call does one part, as with a patience that is over at once; together they do everything, once."""
    fill(engine, 25)
    monkeypatch.setattr(quarantine, "_PART", 10)
    told: list[int] = []
    counts, after = [], None
    while True:
        changed = quarantine.retry(
            engine, QuarantineQuery(bucket="many"), notify=lambda: None, after=after, patience=0, progress=told.append
        )
        counts.append(changed.count)
        after = changed.next
        if after is None:
            break
    assert [10, 10, 5] == [count for count in counts if count]
    assert 25 == pending(engine)


def test_what_fails_again_during_a_retry_is_not_retried_for_ever(engine, monkeypatch):
    """Workers that refuse as fast as entries are retried would keep it busy without an end."""
    fill(engine, 20)
    monkeypatch.setattr(quarantine, "_PART", 5)

    def refuse_again(_: int) -> None:
        with transaction(engine) as connection:
            connection.execute(
                text("UPDATE quarantine SET since = now() FROM inbox i WHERE i.id = inbox_id AND i.done < i.wanted")
            )
            connection.execute(text("UPDATE inbox SET done = wanted WHERE done < wanted"))

    changed = quarantine.retry(engine, QuarantineQuery(), notify=lambda: None, progress=refuse_again)
    assert (20, None) == (changed.count, changed.next)


def test_a_part_holds_its_locks_for_itself_only(engine, monkeypatch):
    """While a retry of everything is under way, a hint for what its earlier parts touched does not wait."""
    fill(engine, 20)
    monkeypatch.setattr(quarantine, "_PART", 5)
    waited: list[bool] = []

    def look(_: int) -> None:
        with engine.connect() as other:
            other.execute(text("SET lock_timeout = '100ms'"))
            other.execute(text("SELECT FROM inbox WHERE done < wanted FOR UPDATE"))
            waited.append(False)

    quarantine.retry(engine, QuarantineQuery(), notify=lambda: None, progress=look)
    assert [False] * 4 == waited


def test_two_at_once_do_it_once(engine, monkeypatch):
    """Two operators, or a retry of a request that timed out: no deadlock, and nothing twice."""
    fill(engine, 300)
    monkeypatch.setattr(quarantine, "_PART", 20)
    with ThreadPoolExecutor(4) as pool:
        calls = [pool.submit(quarantine.retry, engine, QuarantineQuery(), notify=lambda: None) for _ in range(4)]
        assert 300 == sum(call.result().count for call in calls)
    with transaction(engine) as connection:
        assert {2} == set(connection.execute(text("SELECT wanted FROM inbox")).scalars())


@pytest.mark.parametrize("change", [ledger_quarantine.retry, ledger_quarantine.drop])
@pytest.mark.parametrize(
    "meanwhile",
    [
        "UPDATE inbox SET outcome = 'enriched'; DELETE FROM quarantine",
        "UPDATE inbox SET finished_at = now(); UPDATE quarantine SET reason = 'corrupt', since = now()",
        "UPDATE inbox SET wanted = wanted + 1",
    ],
)
def test_what_changed_while_the_lock_was_waited_for_is_left_alone(engine, change, meanwhile):
    """A worker that finishes just now wins: what it enriched is not dropped, and a new reason is not the chosen one."""
    fill(engine, 2)
    with engine.connect() as worker, ThreadPoolExecutor(1) as pool:
        worker.execute(text("SELECT FROM inbox WHERE key = '000002' FOR UPDATE"))

        def run() -> int:
            with transaction(engine) as connection:
                return int(change(connection, QuarantineSelection(reason="empty"), limit=10).changed)

        waiting = pool.submit(run)
        until_somebody_waits(engine)
        for statement in meanwhile.split("; "):
            worker.execute(text(statement + " WHERE " + ("key = '000002'" if "inbox" in statement else
                                "inbox_id = (SELECT id FROM inbox WHERE key = '000002')")))  # fmt: skip
        worker.commit()
        assert 0 == waiting.result()
    assert row(engine, "000002").outcome in ("enriched", "quarantined")


def until_somebody_waits(engine) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with transaction(engine) as connection:
            waits = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
            if connection.execute(text(f"SELECT EXISTS ({waits})")).scalar_one():
                return
        time.sleep(0.01)
    raise AssertionError("nobody waits for the lock")


# -- dropping ---------------------------------------------------------------------------------------------------------


def test_dropped_entries_are_excluded_until_other_bytes_come(filled):
    """Giving up is an outcome too: it is counted, and an event for the same bytes changes nothing."""
    assert 1 == quarantine.drop(filled.engine, QuarantineQuery(bucket=BUCKET, key="a/cut.jpg")).count
    assert ("excluded", {"a/text.jpg", "b/text.jpg"}) == (row(filled.engine, "a/cut.jpg").outcome, keys(filled))
    filled.hint("a/cut.jpg")
    filled.run()
    assert ("excluded", {"a/text.jpg", "b/text.jpg"}) == (row(filled.engine, "a/cut.jpg").outcome, keys(filled))
    filled.upload("a/cut.jpg", b"other bytes")
    filled.run()
    assert "a/cut.jpg" in keys(filled)


# -- asking -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wrong", [{"prefix": "a/"}, {"key": "a"}, {"bucket": "b", "prefix": "a", "key": "a"}])
def test_a_choice_that_means_nothing_is_refused(wrong):
    """A key without its bucket names objects of every bucket: nobody means that."""
    with pytest.raises(ChoiceError, match=r"bucket|not both"):
        QuarantineQuery(**wrong)


@pytest.mark.parametrize(("choice", "everything"), [({}, False), ({"bucket": "b"}, True)])
def test_everything_is_only_done_where_it_was_asked_for(choice, everything):
    """Neither by leaving everything out, nor beside something that was chosen."""
    with pytest.raises(ChoiceError, match="say which"):
        quarantine.require_selection(QuarantineQuery(**choice), everything=everything)


def test_cursors_of_lists_and_of_changes_are_not_mixed_up(engine):
    """One goes back in time, the other forward."""
    fill(engine, 3)
    listed = quarantine.listing(engine, QuarantineQuery(), limit=1).next
    with pytest.raises(CursorError):
        quarantine.retry(engine, QuarantineQuery(), notify=lambda: None, after=listed)


# -- speed ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("choice", [{}, {"reason": Reason.EMPTY}, {"since": HOUR}, {"bucket": "many", "key": "000007"}])
def test_a_page_and_a_part_read_little_of_a_large_quarantine(engine, choice):
    """By index: what is read does not grow with the quarantine."""
    fill(engine, 20_000)
    with engine.connect() as connection:
        connection.execution_options(isolation_level="AUTOCOMMIT").execute(text("VACUUM ANALYZE inbox, quarantine"))
    reads = rows_read(engine)
    quarantine.listing(engine, QuarantineQuery(**choice), limit=10)
    listed = rows_read(engine) - reads
    quarantine.retry(engine, QuarantineQuery(**choice), notify=lambda: None, patience=0)
    assert listed < 100
    assert rows_read(engine) - reads - listed < 10 * quarantine._PART


def rows_read(engine) -> int:
    """By anybody, so far, of both tables: through indexes and by scanning."""
    tables = "FROM pg_stat_user_tables WHERE relname IN ('inbox', 'quarantine')"
    with transaction(engine) as connection:
        connection.execute(text("SELECT pg_stat_force_next_flush()"))
    with transaction(engine) as connection:
        return int(connection.execute(text(f"SELECT sum(seq_tup_read + idx_tup_fetch) {tables}")).scalar_one())
