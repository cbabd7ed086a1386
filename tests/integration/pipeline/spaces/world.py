"""A catalog with pictures in a store, and models that see their colours each in its own way."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
from sqlalchemy import text

from tests.active_taxonomies import following
from tests.fakes import ColourEncoder
from tests.ledger import BUCKET, hints, ref
from tests.memory_store import MemoryStore
from tests.pictures import picture
from worker import catalog, ledger
from worker.catalog.spaces import Space
from worker.db import Engine, transaction
from worker.encoder import Encoder, MicroBatcher, Pixels
from worker.errors import ModelUnavailableError
from worker.images import ImageLimits
from worker.objects import ObjectStore
from worker.pipeline.enrichment.canary import CanaryCheck
from worker.pipeline.enrichment.enricher import Enricher
from worker.pipeline.enrichment.isolation_lock import IsolationLock
from worker.pipeline.enrichment.model_switch import ModelSwitch
from worker.pipeline.enrichment.prepare import Preparer
from worker.pipeline.enrichment.quarantine_breaker import QuarantineBreaker
from worker.pipeline.pictures.read_picture import PictureReader
from worker.pipeline.resilience.circuit_breaker import FailureWindow
from worker.pipeline.resilience.heartbeat import Heartbeat
from worker.pipeline.resilience.memory_budget import ByteBudget, DecodeSlots
from worker.pipeline.resilience.retry_policy import RetryPolicy
from worker.pipeline.spaces import golden_check
from worker.pipeline.spaces.fill import FillResult, FillRun
from worker.pipeline.spaces.fill_batch import BatchFiller, Model
from worker.pipeline.spaces.model_loading import ModelSetting, ensure_space
from worker.tagging import Label, Taxonomy
from worker.types import Floats

COLOURS = Taxonomy(name="colour", labels=tuple(Label(name=name, prompts=(name,)) for name in ("red", "green", "blue")))
LIMITS = ImageLimits(max_bytes=1_000_000, max_pixels=1_000_000, max_side=5_000)


class TurnedEncoder(ColourEncoder):
    """Sees what ``ColourEncoder`` sees, along other axes: in the wrong space its vectors look right, and are not."""

    def _image_features(self, pixels: Sequence[Pixels]) -> Floats:
        return np.roll(super()._image_features(pixels), 7, axis=1)

    def _text_features(self, texts: Sequence[str]) -> Floats:
        return np.roll(super()._text_features(texts), 7, axis=1)


def load(model: str, _revision: str | None = None) -> Encoder:
    """What is installed here: "tiny", and models whose name begins with "turned"."""
    if model == "tiny":
        return ColourEncoder()
    if model.startswith("turned"):
        return TurnedEncoder(model)
    raise ModelUnavailableError(f"no model {model!r} here")


_Report = TypeVar("_Report")


def made(report: _Report | None) -> _Report:
    """The report of a run that had something to do."""
    assert report is not None
    return report


@dataclass
class World:
    engine: Engine
    store: MemoryStore
    stack: ExitStack
    pool: ThreadPoolExecutor
    serving: ModelSwitch = field(init=False)

    def upload(self, key: str, colour: str = "red") -> None:
        self.store.put(ref(key), picture(colour), "image/jpeg")
        with transaction(self.engine) as connection:
            ledger.hints.hint(connection, hints(key))

    def work(self) -> None:
        """What a worker does until nothing is pending."""
        while self.serving.run_once() is not None:
            pass

    def enriched(self, **colours: str) -> None:
        for key, colour in colours.items():
            self.upload(key, colour)
        self.work()

    def space(self, name: str) -> Space:
        return ensure_space(self.engine, load(name), ModelSetting(model=name, revision=None))

    def model(self, space: Space, encoder: Encoder | None = None, taxonomies: Sequence[Taxonomy] = (COLOURS,)) -> Model:
        encoder = encoder or load(space.model)
        labels = following(self.engine, space, encoder, *taxonomies)
        return Model(
            space=space, encoder=encoder, labels=labels, batcher=self.stack.enter_context(MicroBatcher(encoder))
        )

    def filler(self, space: Space, *, lease: float = 300.0, **options: Any) -> BatchFiller:
        return BatchFiller(
            engine=self.engine,
            reader=reader(self.store),
            model=self.model(space, **options),
            policy=RetryPolicy(max_attempts=3, base=0.01),
            pool=self.pool,
            batch=4,
            lease=lease,
        )

    def fill(self, space: Space, **options: Any) -> FillResult:
        return FillRun(engine=self.engine, filler=self.filler(space, **options), threads=2).run()

    def keys_in(self, space: Space) -> set[str]:
        with transaction(self.engine) as connection:
            rows = connection.execute(
                text("SELECT i.key FROM embeddings e JOIN images i ON i.id = e.image_id WHERE e.space_id = :s"),
                {"s": space.id},
            )
            return set(rows.scalars())

    def tags_in(self, space: Space) -> dict[str, str]:
        with transaction(self.engine) as connection:
            rows = connection.execute(
                text("SELECT i.key, t.label FROM tags t JOIN images i ON i.id = t.image_id WHERE t.space_id = :s"),
                {"s": space.id},
            )
            return {row.key: row.label for row in rows}

    def open_in(self, space: Space) -> int:
        with transaction(self.engine) as connection:
            return catalog.embedding_queue.queue_length(connection, space.id).open

    def sql(self, statement: str, **values: Any) -> Any:
        with transaction(self.engine) as connection:
            result = connection.execute(text(statement), values)
            return result.scalars().all() if result.returns_rows else result.rowcount


@contextmanager
def world(engine: Engine) -> Iterator[World]:
    """A worker that serves the space of "tiny" and runs when it is told to."""
    heartbeat = Heartbeat(engine, kind="worker", lease=30, interval=0.1)
    with ExitStack() as stack:
        pool = stack.enter_context(ThreadPoolExecutor(4))
        made = World(engine=engine, store=MemoryStore(BUCKET), stack=stack, pool=pool)
        space = made.space("tiny")
        golden_check.require(engine, space, load("tiny"))
        serving = enricher(made, made.model(space), heartbeat)
        made.serving = ModelSwitch(enricher=serving)
        heartbeat.start()
        stack.callback(heartbeat.stop)
        yield made


def reader(store: ObjectStore) -> PictureReader:
    return PictureReader(
        store=store,
        limits=LIMITS,
        budget=ByteBudget(1 << 20),
        decoders=DecodeSlots(count=4, memory=ByteBudget(1 << 26)),
    )


def enricher(made: World, model: Model, heartbeat: Heartbeat) -> Enricher:
    reads = reader(made.store)
    preparer = Preparer(reader=reads, encoder=model.encoder, policy=RetryPolicy(max_attempts=3, base=60))
    return Enricher(
        engine=made.engine,
        preparer=preparer,
        batcher=model.batcher,
        labels=model.labels,
        space=model.space,
        heartbeat=heartbeat,
        quarantine_breaker=QuarantineBreaker(
            heartbeat.breakers.quarantine,
            FailureWindow(ratio=1.0),
            CanaryCheck(engine=made.engine, reader=reads, encoder=model.encoder, batcher=model.batcher, pool=made.pool),
        ),
        isolation_lock=IsolationLock(),
        pool=made.pool,
        notify=lambda: None,
        batch=8,
        lease=30,
    )


@contextmanager
def meanwhile(action: Callable[[], object], *, threads: int = 1) -> Iterator[list[BaseException]]:
    """Do something over and over while the block runs; what it raised is in the list."""
    over = threading.Event()
    raised: list[BaseException] = []

    def repeat() -> None:
        while not over.is_set():
            try:
                action()
            except BaseException as error:  # noqa: BLE001  # shown by the test
                raised.append(error)
                return

    running = [threading.Thread(target=repeat) for _ in range(threads)]
    for each in running:
        each.start()
    try:
        yield raised
    finally:
        over.set()
        for each in running:
            each.join()
