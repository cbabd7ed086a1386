"""A worker's parts around a real PostgreSQL, a fake store and a fake model."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import pytest

from tests.active_taxonomies import following
from tests.fakes import ColourEncoder
from tests.ledger import BUCKET, hints, make_due, ref
from tests.memory_store import MemoryStore
from worker import catalog, ledger, outbox
from worker.db import Engine, transaction
from worker.encoder import MicroBatcher
from worker.images import ImageLimits
from worker.objects import ObjectStore
from worker.pipeline.enrichment.canary import CanaryCheck
from worker.pipeline.enrichment.enricher import Enricher
from worker.pipeline.enrichment.isolation_lock import IsolationLock
from worker.pipeline.enrichment.prepare import Preparer
from worker.pipeline.enrichment.quarantine_breaker import QuarantineBreaker
from worker.pipeline.pictures.read_picture import PictureReader
from worker.pipeline.resilience.circuit_breaker import FailureWindow
from worker.pipeline.resilience.heartbeat import Heartbeat
from worker.pipeline.resilience.memory_budget import ByteBudget, DecodeSlots
from worker.pipeline.resilience.retry_policy import RetryPolicy
from worker.pipeline.resilience.worker_breakers import WorkerBreakers
from worker.pipeline.spaces.model_loading import space_spec
from worker.tagging import Label, Taxonomy
from worker.types import Lane

COLOURS = Taxonomy(name="colour", labels=tuple(Label(name=name, prompts=(name,)) for name in ("red", "green", "blue")))


SMALL = ImageLimits(max_bytes=1_000_000, max_pixels=1_000_000, max_side=5_000)


@pytest.fixture
def world(engine: Engine, request: pytest.FixtureRequest) -> Iterator[World]:
    """A worker that runs one batch when told to; parametrize indirectly with other limits."""
    limits = getattr(request, "param", SMALL)
    encoder = ColourEncoder()
    store = MemoryStore(BUCKET)
    rung: list[float] = []
    with transaction(engine) as connection:
        space = catalog.spaces.ensure(connection, space_spec(encoder))
    clock = Clock()
    window = FailureWindow(ratio=1.0, least=10, clock=clock)
    heartbeat = Heartbeat(engine, kind="worker", lease=30, interval=0.1, breakers=WorkerBreakers(clock=clock))
    heartbeat.start()
    reader = PictureReader(
        store=store,
        limits=limits,
        budget=ByteBudget(1 << 20),
        decoders=DecodeSlots(count=2, memory=ByteBudget(1 << 20)),
    )
    preparer = Preparer(reader=reader, encoder=encoder, policy=RetryPolicy(max_attempts=3, base=60))
    with MicroBatcher(encoder) as batcher, ThreadPoolExecutor(4) as pool:
        enricher = Enricher(
            engine=engine,
            preparer=preparer,
            batcher=batcher,
            labels=following(engine, space, encoder, COLOURS),
            space=space,
            heartbeat=heartbeat,
            quarantine_breaker=QuarantineBreaker(
                heartbeat.breakers.quarantine,
                window,
                CanaryCheck(engine=engine, reader=reader, encoder=encoder, batcher=batcher, pool=pool),
            ),
            isolation_lock=IsolationLock(),
            pool=pool,
            notify=lambda: rung.append(time.monotonic()),
            batch=8,
            lease=30,
        )
        yield World(
            engine=engine,
            store=store,
            encoder=encoder,
            enricher=enricher,
            rung=rung,
            clock=clock,
            window=window,
        )
        heartbeat.stop()


class Clock:
    """The breakers': stands still until it is told otherwise."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@dataclass(kw_only=True)
class World:
    """Takes apart what the fixture put together."""

    engine: Engine
    store: Any  # a MemoryStore, and
    encoder: Any  # a ColourEncoder, whose methods tests replace
    enricher: Enricher
    rung: list[float]
    clock: Clock
    window: FailureWindow

    def read_from(self, store: ObjectStore) -> None:
        """The worker reads objects from this store from now on."""
        reader = replace(self.enricher.preparer.reader, store=store)
        self.enricher = replace(self.enricher, preparer=replace(self.enricher.preparer, reader=reader))

    def set_quarantine_ratio(self, ratio: float) -> None:
        """Most tests have few files, and many of them broken; for them it is 1: never too much."""
        self.window._ratio = ratio

    def time_passes(self, seconds: float = 60.0) -> None:
        """Every retry comes due; breakers see their pauses end."""
        self.clock.now += seconds
        make_due(self.engine)

    def upload(self, key: str, data: bytes, content_type: str = "image/jpeg") -> None:
        self.store.put(ref(key), data, content_type)
        self.hint(key)

    def hint(self, *keys: str, lane: Lane = Lane.LIVE) -> None:
        with transaction(self.engine) as connection:
            ledger.hints.hint(connection, hints(*keys), lane=lane)

    def run(self):
        report = self.enricher.run_once()
        return None if report is None else dict(report.outcomes)

    def image(self, key: str):
        with transaction(self.engine) as connection:
            return catalog.read.image(connection, ref(key))

    def tags(self, key: str) -> dict[str, str | None]:
        return {tag.taxonomy: tag.label for tag in self.image(key).tags}

    def quarantined(self) -> list[ledger.quarantine.QuarantinedObject]:
        with transaction(self.engine) as connection:
            return ledger.quarantine.page(connection, limit=1_000)

    def quarantine(self) -> dict[str, str]:
        return {each.key: each.reason for each in self.quarantined()}

    def feed(self, limit: int = 100) -> list[tuple[str, str]]:
        with transaction(self.engine) as connection:
            return [(change.kind, change.key) for change in outbox.read(connection, after=None, limit=limit)]
