"""Uploads, overwrites, deletions, duplicates, lost leases and hand-backs at once: at the end, all is accounted for."""

from __future__ import annotations

import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import pytest
from sqlalchemy import text

from tests.integration.pipeline.conftest import World
from tests.ledger import expire_leases, make_due, pending, ref
from tests.pictures import picture
from worker import ledger
from worker.db import transaction

COLOURS = ("red", "green", "blue")
KEYS = tuple(f"{number:02}.jpg" for number in range(25))


def act(world: World, rng: random.Random) -> None:
    """One thing that may happen to a bucket or to its workers."""
    key = rng.choice(KEYS)
    match rng.randrange(10):
        case 0 | 1 | 2 | 3:
            world.upload(key, picture(rng.choice(COLOURS)))
        case 4:
            world.upload(key, b"rubbish")
        case 5:
            world.store.delete(ref(key))
            world.hint(key)
        case 6:
            world.hint(*rng.sample(KEYS, 10))
        case 7:
            expire_leases(world.engine)
        case 8:
            make_due(world.engine)
        case _:
            with transaction(world.engine) as connection:
                held = (
                    connection.execute(text("SELECT DISTINCT token FROM inbox WHERE token IS NOT NULL")).scalars().all()
                )
                ledger.completion.release(connection, held[:1])


@pytest.mark.parametrize("seed", [1, 2])
def test_after_any_disorder_the_catalog_is_what_the_store_holds(world: World, seed):
    """Four threads work while everything changes under them; then quiet, and every object is in exactly one place."""
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            if world.run() is None:
                time.sleep(0.005)

    with ThreadPoolExecutor(4) as pool:
        workers = [pool.submit(work) for _ in range(4)]
        rng, ends = random.Random(seed), time.monotonic() + 4
        try:
            while time.monotonic() < ends:
                act(world, rng)
        finally:
            stop.set()
        for each in workers:
            each.result(30)
    deadline = time.monotonic() + 30
    while pending(world.engine) and time.monotonic() < deadline:
        make_due(world.engine)
        expire_leases(world.engine)
        world.run()
    assert 0 == pending(world.engine)
    assert {key: expected(world, key) for key in KEYS} == {key: actual(world, key) for key in KEYS}
    for key in KEYS:
        assert_the_feed_tells_the_same_story(world, key)


def expected(world: World, key: str) -> tuple[str | None, str | None]:
    """(etag in the catalog, reason of quarantine), by what the store holds."""
    info = world.store.head(ref(key))
    if info is None:
        return None, None
    return (None, "not-an-image") if info.size < 100 else (info.etag, None)


def actual(world: World, key: str) -> tuple[str | None, str | None]:
    image = world.image(key)
    return image.etag if image else None, world.quarantine().get(key)


def assert_the_feed_tells_the_same_story(world: World, key: str) -> None:
    """No change is announced twice, and the last one is what holds now."""
    with transaction(world.engine) as connection:
        story = connection.execute(
            text("SELECT kind, etag FROM changes WHERE key = :key ORDER BY xid, id"), {"key": key}
        ).all()
    assert all(before != after for before, after in pairwise(story))
    if story:
        image = world.image(key)
        assert (("enriched", image.etag) if image else ("removed", None)) == tuple(story[-1])
