"""The feed forgets what is old, and no reader misses it unawares: not by pruning, not by a restore, not by a copy."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import text

from tests.ledger import ref
from tests.servers import RunningServers
from worker import bootstrap, db, outbox, settings
from worker.db import Engine, transaction
from worker.errors import FeedGoneError
from worker.outbox import NewEntry
from worker.pipeline.delivery import feed_retention as use_case
from worker.pipeline.delivery.feed_retention import Pruner

DAY = 86_400.0


def append(engine: Engine, *keys: str, days: float = 0) -> None:
    """As a batch of so many days ago."""
    with transaction(engine) as connection:
        outbox.append(connection, [NewEntry(kind="enriched", ref=ref(key), etag=None) for key in keys])
        connection.execute(
            text("UPDATE changes SET at = now() - make_interval(secs => :age) WHERE key = ANY(:keys)"),
            {"age": days * DAY, "keys": list(keys)},
        )


def read(engine: Engine, after: str | None = None, limit: int = 100) -> list[outbox.FeedEntry]:
    with transaction(engine) as connection:
        return outbox.read(connection, after=after, limit=limit)


def keys(engine: Engine, after: str | None = None) -> list[str]:
    return [change.key for change in read(engine, after)]


def prune(engine: Engine, *, days: float | None = 30, limit: int = 100) -> int:
    with transaction(engine) as connection:
        return outbox.prune(connection, keep=None if days is None else days * DAY, limit=limit)


def end(engine: Engine) -> str:
    with transaction(engine) as connection:
        return outbox.end(connection)


def start_over(engine: Engine, after: str | None) -> str:
    """The cursor that a reader is told to go on from."""
    with pytest.raises(FeedGoneError, match=r"start over: keep `start`, read GET /v1/images to its end") as told:
        read(engine, after)
    return told.value.start


# -- pruning ----------------------------------------------------------------------------------------------------------


def test_what_is_old_goes_and_what_is_younger_stays(engine):
    """From the beginning of the commit order, as many at a time as was said."""
    append(engine, "a", "b", days=40)
    append(engine, "c", days=31)
    append(engine, "d", days=29)
    cursor = read(engine, limit=3)[-1].id
    assert (2, 1, 0) == (prune(engine, limit=2), prune(engine, limit=2), prune(engine, limit=2))
    assert ["d"] == keys(engine, cursor)


def test_a_feed_that_is_kept_for_good_is_not_touched(engine):
    """Retention 0 of the settings."""
    append(engine, "a", days=4_000)
    assert 0 == prune(engine, days=None)
    assert ["a"] == keys(engine)


def test_nothing_younger_is_deleted_for_what_is_old_behind_it(engine):
    """Clocks may step back: what is gone is always a beginning of the order."""
    append(engine, "young")
    append(engine, "old", days=40)
    assert 0 == prune(engine)
    assert ["young", "old"] == keys(engine)


def test_a_reader_that_was_away_for_too_long_is_told(engine):
    """Instead of skipping what is gone; where it is told to go on, nothing is missing."""
    append(engine, "a", "b", days=40)
    behind_a, behind_b = (change.id for change in read(engine))
    append(engine, "c")
    prune(engine)
    assert ["c"] == keys(engine, behind_b)
    start = start_over(engine, behind_a)
    append(engine, "d")
    assert ["d"] == keys(engine, start)


def test_a_reader_from_the_beginning_is_told_that_there_is_none(engine):
    """What it would build from the rest would lack images."""
    append(engine, "a", days=40)
    prune(engine)
    start = start_over(engine, None)
    assert [] == keys(engine, start)
    append(engine, "b")
    assert ["b"] == keys(engine, start)


def test_a_change_under_way_is_neither_read_nor_passed_by_pruning(engine):
    """Old as it may say it is: pruning stays below the oldest transaction, as reading does."""
    append(engine, "first", days=40)
    first = read(engine)[0].id
    with engine.begin() as slow:
        outbox.append(slow, [NewEntry(kind="enriched", ref=ref("slow"), etag=None)])
        append(engine, "fast", days=40)
        assert 1 == prune(engine)
        assert [] == keys(engine, first)
    assert ["slow", "fast"] == keys(engine, first)


def test_the_end_of_the_feed_has_all_that_is_under_way_behind_it(engine):
    """A place taken while transactions are open: what they write, and what overtook them, comes behind it."""
    append(engine, "seen")
    with engine.begin() as slow:
        outbox.append(slow, [NewEntry(kind="enriched", ref=ref("slow"), etag=None)])
        append(engine, "fast")
        place = end(engine)
    assert ["slow", "fast"] == keys(engine, place)


@pytest.mark.parametrize("emptied", [False, True])
def test_the_end_of_a_feed_without_changes_is_a_place(engine, emptied):
    """Of one that is new, and of one whose changes are all too old."""
    if emptied:
        append(engine, "a", days=40)
        prune(engine)
    place = end(engine)
    assert [] == keys(engine, place)
    append(engine, "b")
    assert ["b"] == keys(engine, place)


def test_two_schedulers_do_not_wait_for_each_other(engine):
    """One prunes, the other has nothing to do."""
    append(engine, "a", days=40)
    with transaction(engine) as connection:
        assert 1 == outbox.prune(connection, keep=DAY, limit=10)
        assert 0 == prune(engine)


def test_nobody_is_kept_waiting_by_pruning(engine):
    """Writers append and readers read while a part is being deleted."""
    append(engine, "a", days=40)
    behind_a = read(engine)[0].id
    with transaction(engine) as connection:
        outbox.prune(connection, keep=DAY, limit=10)
        append(engine, "b")
        assert ["a"] == keys(engine)
    assert ["b"] == keys(engine, behind_a)


def test_readers_and_writers_and_pruning_at_once(engine):
    """Between two times that a reader is told to start over, it sees the order of commits without a gap.

    Four writers, a pruner that deletes all it may, a reader that keeps up and one that dawdles.
    """
    with transaction(engine) as connection:
        connection.execute(text("CREATE TABLE witness AS SELECT xid, id, key FROM changes"))
        connection.execute(
            text("""
            CREATE FUNCTION witness() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN INSERT INTO witness VALUES (NEW.xid, NEW.id, NEW.key); RETURN NULL; END $$;
            CREATE TRIGGER witness AFTER INSERT ON changes FOR EACH ROW EXECUTE FUNCTION witness()
        """)
        )
    beginning, done = end(engine), threading.Event()

    def write(part: int) -> None:
        for number in range(part, 200, 4):
            append(engine, f"k{number:03}")

    def forget() -> int:
        pruned = 0
        while not done.is_set():
            pruned += prune(engine, days=0.1 / DAY, limit=3)
        return pruned

    def follow(pause: float, cursor: str) -> list[list[str]]:
        runs = [[""]]
        while True:
            over = done.is_set()
            try:
                page = read(engine, cursor, 7)
            except FeedGoneError as error:
                cursor = error.start
                runs.append([])
                continue
            runs[-1] += [change.key for change in page]
            cursor = page[-1].id if page else cursor
            if over and not page:
                return runs
            time.sleep(pause)

    with ThreadPoolExecutor(8) as pool:
        readers = [pool.submit(follow, pause, beginning) for pause in (0.0, 0.5)]
        pruning = pool.submit(forget)
        list(pool.map(write, range(4)))
        done.set()
        assert pruning.result() > 0
        runs = [reader.result() for reader in readers]
    with transaction(engine) as connection:
        order = ["", *connection.execute(text("SELECT key FROM witness ORDER BY xid, id")).scalars()]
    assert 201 == len(order)
    for each in runs:
        assert all(run == order[order.index(run[0]) :][: len(run)] for run in each if run)
        assert "" == each[0][0]
        assert len(each) > 1 or order == each[0]


def test_the_scheduler_prunes_until_nothing_is_old(engine, monkeypatch):
    """In small transactions, and then it rests."""
    monkeypatch.setattr(use_case, "_PART", 2)
    append(engine, "a", "b", "c", "d", "e", days=40)
    append(engine, "f")
    pruner = Pruner(engine, keep=30 * DAY)
    assert (5, 0) == (pruner(), pruner())
    with transaction(engine) as connection:
        assert ["f"] == list(connection.execute(text("SELECT key FROM changes")).scalars())


@pytest.mark.parametrize(("days", "left"), [(30, ["young"]), (45, ["old", "young"]), (0, ["old", "young"])])
def test_the_setting_is_what_the_scheduler_goes_by(engine, days, left):
    """In days; 0 is for good. It happens with the heartbeat."""
    append(engine, "old", days=40)
    append(engine, "young")
    url = engine.url.render_as_string(hide_password=False)
    chosen = settings.load(database_url=url, feed_retention_days=days, reconcile_seconds=0)
    with bootstrap.scheduler(chosen, lambda: None) as heartbeat:
        heartbeat._also()
    with transaction(engine) as connection:
        assert left == list(connection.execute(text("SELECT key FROM changes ORDER BY id")).scalars())


@pytest.mark.parametrize("is_analysed", [False, True])
def test_a_page_and_a_part_cost_what_is_in_them(engine, is_analysed):
    """However long the feed is, and whatever the planner knows of it."""
    with transaction(engine) as connection:
        connection.execute(
            text(
                "INSERT INTO changes (kind, bucket, key, at, epoch) "
                "SELECT 'enriched', 'b', n, now() - interval '40 days', (SELECT feed_epoch()) "
                "FROM generate_series(1, 50000) n"
            )
        )
        if is_analysed:
            connection.execute(text("ANALYZE changes"))
    before = rows_read(engine)
    cursor = read(engine, limit=10)[-1].id
    read(engine, cursor, limit=10)
    end(engine)
    assert 10 == prune(engine, limit=10)
    assert 100 > rows_read(engine) - before


def rows_read(engine: Engine) -> int:
    """Of the feed, so far."""
    with transaction(engine) as connection:
        connection.execute(text("SELECT pg_stat_force_next_flush()"))
    with transaction(engine) as connection:
        query = "SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_user_tables WHERE relname = 'changes'"
        return int(connection.execute(text(query)).scalar_one())


# -- another database -------------------------------------------------------------------------------------------------


def test_a_database_that_was_made_anew_has_no_place_for_old_cursors(engine, postgres, migrated):
    """Whatever its numbers: they would point anywhere."""
    append(engine, "a", "b")
    cursor = read(engine)[0].id
    with postgres.fresh_database(template=migrated) as url:
        other = db.connect(url, name="other")
        append(other, "x", "y", "z")
        assert ["x", "y", "z"] == keys(other)
        with pytest.raises(FeedGoneError, match="is of another database than this one"):
            read(other, cursor)
        start = start_over(other, cursor)
        append(other, "w")
        assert ["w"] == keys(other, start)
        other.dispose()


@pytest.fixture
def restored(engine: Engine, postgres: RunningServers):
    """A copy of this test's database, with everything in it, as a dump that was restored elsewhere."""
    append(engine, "a", "b")
    engine.dispose()
    with postgres.fresh_database(template=str(engine.url.database)) as url:
        other = db.connect(url, name="restored")
        yield other
        other.dispose()


def test_a_restored_database_is_noticed(engine, restored):
    """Its old rows are of transactions that mean nothing here; readers start over and then see what is new."""
    cursor = read(engine)[0].id
    for after in (cursor, None):
        start = start_over(restored, after)
        assert [] == keys(restored, start)
    append(restored, "c")
    assert ["c"] == keys(restored, start)


def test_what_a_dump_brought_with_it_is_cleared_away(engine, restored):
    """By the scheduler, also where nothing is ever too old; places that were given meanwhile stay places."""
    start = start_over(restored, None)
    append(restored, "c")
    behind_c = read(restored, start)[-1].id
    assert (2, 0) == (prune(restored, days=None), prune(restored, days=None))
    append(restored, "d")
    assert (["c", "d"], ["d"]) == (keys(restored, start), keys(restored, behind_c))
    start_over(restored, None)


@pytest.mark.parametrize("again", [(), ("b",), ("b", "c", "d")])
def test_a_database_that_was_set_back_is_noticed(engine, again):
    """To a snapshot of its disk: the same cluster, the same numbers again, and another past behind them."""
    append(engine, "a")
    with transaction(engine) as connection:
        connection.execute(text("CREATE TABLE kept AS TABLE changes"))
    append(engine, "b")
    behind_a, behind_b = (change.id for change in read(engine))
    with transaction(engine) as connection:
        connection.execute(text("DELETE FROM changes WHERE key = 'b'"))
        connection.execute(text("SELECT setval('changes_id_seq', (SELECT max(id) FROM changes))"))
    for key in again:
        append(engine, key)
    if again:  # the very same numbers, of another moment
        with transaction(engine) as connection:
            _, xid, number, _ = behind_b.split("-")
            connection.execute(
                text("UPDATE changes SET xid = CAST(:xid AS xid8) WHERE id = :id"), {"xid": xid, "id": int(number)}
            )
    start_over(engine, behind_b)
    assert list(again) == keys(engine, behind_a)
