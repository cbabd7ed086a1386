"""Assembles the processes that write vectors: a worker, and the filling of a space."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace

from worker import bootstrap, logs, metrics
from worker.bootstrap import previews
from worker.catalog.spaces import Space
from worker.db import Engine
from worker.encoder import Encoder, ForwardPass, MicroBatcher
from worker.errors import FatalDeviceError
from worker.open_database import database
from worker.pipeline.enrichment.canary import CanaryCheck
from worker.pipeline.enrichment.enricher import Enricher
from worker.pipeline.enrichment.isolation_lock import IsolationLock
from worker.pipeline.enrichment.model_switch import ModelSwitch
from worker.pipeline.enrichment.prepare import Preparer
from worker.pipeline.enrichment.quarantine_breaker import QuarantineBreaker
from worker.pipeline.pictures.read_picture import PictureReader
from worker.pipeline.reconciliation.recheck import Recheck
from worker.pipeline.resilience.circuit_breaker import FailureWindow
from worker.pipeline.resilience.heartbeat import Heartbeat, reporting_refusal
from worker.pipeline.resilience.memory_budget import ByteBudget, DecodeSlots
from worker.pipeline.resilience.retry_policy import RetryPolicy
from worker.pipeline.resilience.worker_breakers import WorkerBreakers
from worker.pipeline.spaces import golden_check
from worker.pipeline.spaces.fill import FillProgress, FillRun
from worker.pipeline.spaces.fill_batch import BatchFiller, Model
from worker.pipeline.spaces.model_host import ModelHost
from worker.pipeline.spaces.model_loading import choose_space, load_for
from worker.pipeline.taxonomies.label_vectors import LabelVectorIndexer, LabelVectorWriter
from worker.settings import Settings
from worker.types import FillSource

_log = logs.get("process")

#: Bytes of fetched files a worker process holds at once, decoded or not.
_BYTES_IN_FLIGHT = 512 << 20
#: Bytes that its decoders hold at once: three 12-megapixel pictures of the costliest kind, or one that needs it all.
_DECODER_BYTES = 512 << 20
#: Seconds after which a thread that runs Python yields the interpreter's lock. Every step of a model releases the lock
#: and needs it again; with Python's default of 5 ms a forward pass beside such a thread spent most of its time waiting.
_SWITCH_SECONDS = 0.0005
#: Leases of a fill are not renewed, so they are this many times as long as a worker's, which are.
_FILL_LEASES = 5


@contextmanager
def worker(
    settings: Settings, notify: bootstrap.WakeUpCall, broken: Callable[[FatalDeviceError], None]
) -> Iterator[ModelSwitch]:
    """Everything that a worker process needs, from the first heartbeat until unfinished work is given back.

    ``broken`` is called when the device breaks while another space is being filled.
    """
    sys.setswitchinterval(_SWITCH_SECONDS)
    engine = database(settings, "worker", pool_size=settings.concurrency + 3)
    with reporting_refusal(engine, kind="worker", model=bootstrap.describe_model(settings)):
        space, encoder_ = choose_space(engine, bootstrap.source(settings), bootstrap.loader(settings))
        model = loaded_model(settings, engine, space, encoder_)
    _log.info(encoder_.purpose, action="model", space=space.id, state=space.state)
    breakers = WorkerBreakers(recheck=Recheck(engine))
    heartbeat = Heartbeat(
        engine, kind="worker", model=encoder_.purpose, lease=settings.lease_seconds, breakers=breakers
    )
    threads = settings.fetch_threads + bootstrap.decode_threads(settings)  # decoding must not delay fetching
    decoders = _decoders(settings)
    with (
        ThreadPoolExecutor(threads, thread_name_prefix="prepare") as pool,
        fillers(settings, engine, decoders) as make,
        bootstrap.serving_metrics(settings),
    ):
        enricher = _enricher(settings, engine, model, heartbeat=heartbeat, decoders=decoders, pool=pool, notify=notify)
        running = ModelSwitch(enricher=enricher)
        indexer = LabelVectorIndexer()

        def unload(filler: BatchFiller) -> None:
            indexer.remove(filler.model.space)
            filler.model.batcher.close()

        model_host = ModelHost(
            engine,
            serving=_labelled(engine, indexer, make(space, model)),
            load=lambda space: _labelled(engine, indexer, make(space)),
            switch=running.switch,
            unload=unload,
            broken=broken,
            note=heartbeat.notes,
            most=settings.extra_models,
            interval=min(settings.sweep_seconds, bootstrap.LOOK_SECONDS),
        )
        heartbeat.start()
        indexer.start()
        model_host.start()
        try:
            yield running
        finally:
            model_host.stop()
            indexer.stop()
            heartbeat.stop()
            engine.dispose()


def _decoders(settings: Settings) -> DecodeSlots:
    return DecodeSlots(count=bootstrap.decode_threads(settings), memory=ByteBudget(_DECODER_BYTES))


def _reader(settings: Settings, decoders: DecodeSlots, *, most: int) -> PictureReader:
    """``most`` bytes of fetched files at once. Makes no previews."""
    return PictureReader(
        store=bootstrap.store(settings), limits=bootstrap.limits(settings), budget=ByteBudget(most), decoders=decoders
    )


def _enricher(
    settings: Settings,
    engine: Engine,
    model: Model,
    *,
    heartbeat: Heartbeat,
    decoders: DecodeSlots,
    pool: ThreadPoolExecutor,
    notify: bootstrap.WakeUpCall,
) -> Enricher:
    reader = _reader(settings, decoders, most=_BYTES_IN_FLIGHT)
    preparer = Preparer(
        reader=replace(reader, previews=previews.maker(settings)), encoder=model.encoder, policy=_policy(settings)
    )
    canary = CanaryCheck(engine=engine, reader=reader, encoder=model.encoder, batcher=model.batcher, pool=pool)
    return Enricher(
        engine=engine,
        preparer=preparer,
        batcher=model.batcher,
        labels=model.labels,
        space=model.space,
        heartbeat=heartbeat,
        quarantine_breaker=QuarantineBreaker(
            heartbeat.breakers.quarantine,
            FailureWindow(ratio=settings.quarantine_breaker_ratio),
            canary,
        ),
        isolation_lock=IsolationLock(),
        pool=pool,
        notify=notify,
        batch=settings.claim_batch,
        lease=settings.lease_seconds,
    )


def _labelled(engine: Engine, indexer: LabelVectorIndexer, filler: BatchFiller) -> BatchFiller:
    """Start storing label vectors for the space of this filler's model."""
    model = filler.model
    indexer.add(LabelVectorWriter(engine=engine, space=model.space, encode_texts=model.encoder.encode_texts))
    return filler


@contextmanager
def filling(
    settings: Settings,
    engine: Engine,
    space: Space,
    progress: Callable[[FillProgress], None] = lambda _: None,
    source: FillSource | None = None,
) -> Iterator[FillRun]:
    """Fills a space completely in this process; loads its model.

    Raises:
        ModelUnavailableError, SpaceMismatchError: the space's model is unavailable, or produces different vectors here.
    """
    with fillers(settings, engine, _decoders(settings)) as make:
        filler = make(space)
        try:
            yield FillRun(engine=engine, filler=filler, threads=settings.concurrency, progress=progress, source=source)
        finally:
            filler.model.batcher.close()


@contextmanager
def fillers(settings: Settings, engine: Engine, decoders: DecodeSlots) -> Iterator[Callable[..., BatchFiller]]:
    """A function that loads a space's model and returns the filler for its queue; fillers share threads and memory."""
    reader = replace(
        _reader(settings, decoders, most=_BYTES_IN_FLIGHT // 2),
        previews=previews.maker(settings, only_missing=True),  # of an archive that was enriched before there were any
    )
    reads_previews = previews.reader(settings, decoders)
    load, own = bootstrap.loader(settings), bootstrap.source(settings)
    with ThreadPoolExecutor(bootstrap.decode_threads(settings), thread_name_prefix="fill") as pool:

        def make(space: Space, model: Model | None = None) -> BatchFiller:
            return BatchFiller(
                engine=engine,
                reader=reader,
                model=model or loaded_model(settings, engine, space, load_for(space, own, load)),
                policy=_policy(settings),
                pool=pool,
                batch=settings.claim_batch,
                lease=_FILL_LEASES * settings.lease_seconds,
                previews=reads_previews,
            )

        yield make


def loaded_model(settings: Settings, engine: Engine, space: Space, model: Encoder) -> Model:
    """A model to write into a space, checked, with its taxonomies.

    Raises:
        SpaceMismatchError: it produces different vectors from those stored in the space.
    """
    golden_check.require(engine, space, model)
    following = bootstrap.labels(settings, engine, space, lambda: model)
    return Model(space=space, encoder=model, batcher=MicroBatcher(model, observe=_count), labels=following)


def _policy(settings: Settings) -> RetryPolicy:
    return RetryPolicy(
        max_attempts=settings.max_attempts, base=settings.retry_base_seconds, longest=settings.retry_max_seconds
    )


def _count(done: ForwardPass) -> None:
    metrics.IMAGES_ENCODED.inc(done.images)
