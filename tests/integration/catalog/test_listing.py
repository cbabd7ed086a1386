"""Listing images: everything once, whatever is written meanwhile, in bounded work at a hundred thousand images."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import event, text

from tests.factories import enriched_image, spec
from tests.ledger import ref
from tests.servers import RunningServers
from worker import catalog, db
from worker.catalog import listing
from worker.catalog.image_filter import ImageFilter, TagFilter
from worker.db import Engine, snapshot, transaction
from worker.types import ObjectRef

MANY = 100_000
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


def page(
    engine: Engine, limit: int = 100, behind: ObjectRef | None = None, **filters: Any
) -> catalog.listing.ImagePage:
    with snapshot(engine) as connection:
        return catalog.listing.page(connection, ImageFilter(**filters), limit=limit, behind=behind)


def keys(engine: Engine, limit: int = 100, **filters: Any) -> list[str]:
    found: list[str] = []
    behind = None
    while True:
        got = page(engine, limit, behind, **filters)
        found += [image.key for image in got.images]
        behind = got.end
        if behind is None:
            return found


def write(engine: Engine, *images: catalog.write.EnrichedImage) -> None:
    with transaction(engine) as connection:
        space = catalog.spaces.ensure(connection, spec())
        catalog.write.save_images(connection, space_id=space.id, images=images)


def decide(engine: Engine, key: str, label: str | None) -> None:
    """A person decides."""
    with transaction(engine) as connection:
        connection.execute(
            text(
                "INSERT INTO tags (image_id, taxonomy, taxonomy_version, label, source) "
                "SELECT id, 'time-of-day', 'v', :label, 'human' FROM images WHERE key = :key"
            ),
            {"key": key, "label": label},
        )


@pytest.fixture
def gallery(engine: Engine) -> Engine:
    """By day, by night, and undecided; in two folders."""
    return hang(engine)


@pytest.fixture(scope="module")
def museum(postgres: RunningServers, migrated: str) -> Iterator[Engine]:
    """The same for all tests that change nothing."""
    with postgres.fresh_database(template=migrated) as url:
        engine = db.connect(url, name="test")
        yield hang(engine)
        engine.dispose()


def hang(engine: Engine) -> Engine:
    write(
        engine,
        enriched_image("a/1.jpg", label="day"),
        enriched_image("a/2.jpg", label="night"),
        enriched_image("b/1.jpg", label="day"),
        enriched_image("b/2.jpg", label=None),
    )
    return engine


@pytest.fixture(params=["few", "walk"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways to find a page: they must find the same."""
    if request.param == "walk":
        monkeypatch.setattr(listing, "_FEW", -1)
        monkeypatch.setattr(listing, "_WALK", 2)
    return str(request.param)


NIGHT, DAY = TagFilter(taxonomy="time-of-day", label="night"), TagFilter(taxonomy="time-of-day", label="day")


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({}, ["a/1.jpg", "a/2.jpg", "b/1.jpg", "b/2.jpg"]),
        ({"bucket": "photos"}, ["a/1.jpg", "a/2.jpg", "b/1.jpg", "b/2.jpg"]),
        ({"bucket": "other"}, []),
        ({"bucket": "photos", "prefix": "b/"}, ["b/1.jpg", "b/2.jpg"]),
        ({"bucket": "photos", "prefix": "_/"}, []),
        ({"tags": (DAY,)}, ["a/1.jpg", "b/1.jpg"]),
        ({"tags": (DAY,), "bucket": "photos", "prefix": "a/"}, ["a/1.jpg"]),
        ({"tags": (DAY, NIGHT)}, []),
        ({"tags": (DAY,), "source": "zero-shot"}, ["a/1.jpg", "b/1.jpg"]),
        ({"source": "zero-shot"}, ["a/1.jpg", "a/2.jpg", "b/1.jpg"]),
        ({"source": "human"}, []),
        ({"enriched_since": LONG_AGO}, ["a/1.jpg", "a/2.jpg", "b/1.jpg", "b/2.jpg"]),
        ({"enriched_since": datetime(2999, 1, 1, tzinfo=UTC)}, []),
    ],
)
@pytest.mark.parametrize("limit", [1, 2, 100])
def test_filters_are_joined_by_and(museum, way, limit, filters, expected):
    """In the order of keys, page by page, whichever way the page is found."""
    assert expected == keys(museum, limit, **filters)


def test_what_a_person_decided_replaces_what_the_model_did(gallery, way):
    """In its taxonomy: filters see the tags that hold, and can ask for people's alone."""
    decide(gallery, "a/1.jpg", "night")
    assert ["a/1.jpg", "a/2.jpg"] == keys(gallery, tags=(NIGHT,))
    assert ["a/1.jpg"] == keys(gallery, tags=(NIGHT,), source="human")
    assert ["a/1.jpg"] == keys(gallery, source="human")
    assert ["b/1.jpg"] == keys(gallery, tags=(DAY,))


def test_only_what_was_enriched_since(gallery, way):
    """Enriching again counts; a moment is included."""
    with transaction(gallery) as connection:
        connection.execute(text("UPDATE images SET enriched_at = :at WHERE key <> 'b/1.jpg'"), {"at": LONG_AGO})
    assert ["b/1.jpg"] == keys(gallery, enriched_since=datetime(2020, 1, 2, tzinfo=UTC))
    assert 4 == len(keys(gallery, enriched_since=LONG_AGO))


def test_an_image_in_the_list_is_as_it_is_alone(gallery):
    """Metadata and tags, provenance included."""
    with transaction(gallery) as connection:
        alone = catalog.read.image(connection, ref("a/1.jpg"))
    assert alone == page(gallery, limit=1).images[0]


def test_keys_are_in_the_order_of_bytes(engine):
    """Everywhere: in buckets, keys and cursors, whatever the language of the server."""
    odd = ["A", "Z", "a", "a b", "a/b", "é", "z", "🌈"]
    write(engine, *(enriched_image(key) for key in odd))
    assert sorted(odd, key=str.encode) == keys(engine, limit=3)


def test_buckets_follow_each_other(engine):
    """The place between two pages is a bucket and a key."""
    with transaction(engine) as connection:
        catalog.spaces.ensure(connection, spec())
    write(engine, enriched_image("k1"), enriched_image("k2"))
    with transaction(engine) as connection:
        copied = "bucket, key, etag, size, width, height, format, mode, frames, orientation, sha256, phash, hinted_at"
        renamed = copied.replace("bucket", "'albums'")
        connection.execute(text(f"INSERT INTO images ({copied}) SELECT {renamed} FROM images"))
    assert ["k1", "k2", "k1", "k2"] == keys(engine, limit=1)


def test_what_is_rare_in_this_part_of_the_keys_ends_a_page_early(engine, monkeypatch):
    """A page without images that has others behind it: no request reads more than so much."""
    monkeypatch.setattr(listing, "_FEW", -1)
    monkeypatch.setattr(listing, "_WALK", 10)
    write(engine, *(enriched_image(f"{n:03}", label="night" if n == 24 else "day") for n in range(30)))
    pages, behind = [], None
    for _ in range(4):
        got = page(engine, 5, behind, tags=(NIGHT,))
        pages.append([image.key for image in got.images])
        behind = got.end
    assert ([[], [], ["024"], []], None) == (pages, behind)


def test_what_is_there_all_the_while_is_listed_once(engine):
    """While images are written, overwritten and removed around the reader."""
    stays = [f"{n:03}-stays" for n in range(0, 100, 2)]
    write(engine, *(enriched_image(key) for key in stays))
    stop = threading.Event()

    def churn() -> None:
        n = 0
        while not stop.is_set():
            n = (n + 7) % 100
            write(engine, enriched_image(f"{n:03}-comes"), enriched_image(stays[n // 2], label="night"))
            with transaction(engine) as connection:
                catalog.removal.remove(connection, [catalog.removal.Removal(ref=ref(f"{(n * 3) % 100:03}-comes"))])

    writer = threading.Thread(target=churn)
    writer.start()
    try:
        for _ in range(5):
            seen = keys(engine, limit=7)
            assert stays == [key for key in seen if key in stays]
            assert len(set(seen)) == len(seen)
    finally:
        stop.set()
        writer.join()


# -- plans ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def large(postgres: RunningServers, migrated: str) -> Iterator[Engine]:
    """A hundred thousand images with a common label, one that a thousand have, one that ten have, and some news."""
    with postgres.fresh_database(template=migrated) as url:
        engine = db.connect(url, name="test")
        with transaction(engine) as connection:
            space = catalog.spaces.ensure(connection, spec())
            connection.execute(text("SET LOCAL synchronous_commit = off"))
            for statement in _FILL:
                connection.execute(text(statement), {"n": MANY, "space": space.id})
        with engine.connect() as connection:
            connection.execution_options(isolation_level="AUTOCOMMIT").execute(text("ANALYZE images, tags"))
        yield engine
        engine.dispose()


_FILL = (
    """
    INSERT INTO images (bucket, key, etag, size, width, height, format, mode, frames, orientation, sha256, phash,
                        hinted_at, enriched_at)
    SELECT CASE WHEN n % 10 = 0 THEN 'small' ELSE 'photos' END, to_char(n / 1000, 'FM000') || '/' || n, 'e', 1, 1, 1,
           'PNG', 'RGB', 1, 1, '\\x00', n, now(), CASE WHEN n % 200 = 0 THEN now() ELSE now() - interval '1 year' END
    FROM generate_series(0, :n - 1) n
    """,
    """
    INSERT INTO tags (image_id, space_id, taxonomy, taxonomy_version, label, source)
    SELECT id, :space, 'kind', 'v',
           CASE WHEN phash % 10000 = 1 THEN 'rare' WHEN phash % 100 = 1 THEN 'some' ELSE 'common' END, 'zero-shot'
    FROM images
    """,
    """
    INSERT INTO tags (image_id, taxonomy, taxonomy_version, label, source)
    SELECT id, 'kind', 'v', 'checked', 'human' FROM images WHERE phash % 5000 = 2
    """,
)


#: To know that something is not rare.
COUNTED = listing._FEW + 1


def kind(label: str) -> TagFilter:
    return TagFilter(taxonomy="kind", label=label)


@pytest.mark.parametrize(
    ("filters", "behind", "found", "most_read"),
    [
        ({}, None, 100, 400),
        ({}, ("photos", "050/50001"), 100, 400),
        ({"bucket": "small"}, ("small", "050/50000"), 100, 400),
        ({"bucket": "photos", "prefix": "042/"}, None, 100, 400),
        ({"bucket": "photos", "prefix": "042/"}, ("photos", "042/42850"), 100, 600),
        ({"tags": (kind("rare"),)}, None, 10, 200),
        ({"tags": (kind("rare"),), "bucket": "small"}, None, 0, 200),
        ({"tags": (kind("some"),)}, None, 100, 9_000),
        ({"tags": (kind("common"),)}, None, 100, COUNTED + 1_000),
        ({"tags": (kind("common"),), "source": "zero-shot"}, ("photos", "050/50001"), 100, COUNTED + 1_000),
        ({"tags": (kind("common"), kind("rare"))}, None, 0, COUNTED + 200),
        ({"source": "human"}, None, 20, 300),
        ({"tags": (kind("checked"),), "source": "human"}, None, 20, 400),
        ({"enriched_since": datetime.now(UTC) - timedelta(days=1)}, None, 100, 2_000),
        ({"enriched_since": LONG_AGO}, None, 100, COUNTED + 1_000),
        ({"tags": (kind("common"),), "source": "human"}, None, 0, COUNTED + 400),
        ({"tags": (kind("nothing"),)}, None, 0, 10),
    ],
)
def test_no_page_scans_a_table(large, filters, behind, found, most_read):
    """Every statement of a page goes by indexes, and reads rows in proportion to the page or to what is rare."""
    with explained(large) as plans:
        got = page(large, 100, ObjectRef(bucket=behind[0], key=behind[1]) if behind else None, **filters)
    assert found == len(got.images)
    scans = [node for plan in plans for node in nodes(plan)]
    assert [] == [node["Relation Name"] for node in scans if node["Node Type"] == "Seq Scan" and is_large(node)]
    assert most_read >= sum(rows(node) for node in scans if "Relation Name" in node)


def test_a_source_that_no_index_counts_is_walked_for(large, monkeypatch):
    """So many images are checked, of which none passes, and the page says where to go on."""
    monkeypatch.setattr(listing, "_WALK", 500)
    with explained(large) as plans:
        got = page(large, 100, source="few-shot")
    assert ((), "photos") == (got.images, got.end.bucket if got.end else None)
    scans = [node for plan in plans for node in nodes(plan) if "Relation Name" in node]
    assert not any(node["Node Type"] == "Seq Scan" and is_large(node) for node in scans)
    assert 4 * 500 >= sum(rows(node) for node in scans)


def is_large(node: dict[str, Any]) -> bool:
    return node["Relation Name"] in ("images", "tags")


def rows(node: dict[str, Any]) -> int:
    """Read by a scan: returned, and dropped by its conditions."""
    each = node["Actual Rows"] + node.get("Rows Removed by Filter", 0) + node.get("Rows Removed by Index Recheck", 0)
    return int(each * node["Actual Loops"])


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from nodes(child)


class explained:  # noqa: N801  # reads as a phrase
    """Has every query of a block explained with what it really did."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._plans: list[dict[str, Any]] = []

    def __enter__(self) -> list[dict[str, Any]]:
        event.listen(self._engine, "before_cursor_execute", self._explain)
        return self._plans

    def __exit__(self, *_: object) -> None:
        event.remove(self._engine, "before_cursor_execute", self._explain)

    def _explain(self, connection: Any, cursor: Any, statement: str, parameters: Any, *_: object) -> None:
        with cursor.connection.cursor() as own:
            own.execute("EXPLAIN (ANALYZE, FORMAT JSON) " + statement, parameters)
            [[found]] = own.fetchall()
            read = found if isinstance(found, list) else json.loads(found)
            self._plans.append(read[0]["Plan"])
