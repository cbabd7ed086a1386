"""The one place where settings become objects. Layers above receive objects; layers below, plain values."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from worker import catalog, ledger, logs, metrics, tagging
from worker.bootstrap import s3_store
from worker.catalog.spaces import Space
from worker.db import Engine, transaction
from worker.encoder import Encoder, load_encoder
from worker.errors import ConfigurationError, QueueUnavailableError
from worker.events.sqs import SqsQueue
from worker.images import ImageLimits
from worker.objects import ObjectStore, WatchedStore
from worker.open_database import database
from worker.pipeline.delivery.feed_retention import Pruner
from worker.pipeline.enrichment import missing_buckets
from worker.pipeline.enrichment.local_files import FileTagger
from worker.pipeline.intake.group_commit import WaitLimits
from worker.pipeline.intake.ingest import Ingest
from worker.pipeline.intake.sns_subscriptions import SnsSubscriptions
from worker.pipeline.intake.sqs_consumer import SqsConsumer
from worker.pipeline.maps.schedule import MapSchedule
from worker.pipeline.operations import tag_gauges
from worker.pipeline.operations.counters import keep_counts
from worker.pipeline.reading.explain import Explainer
from worker.pipeline.reading.filtered_search import FilteredSearch
from worker.pipeline.reading.text_search import TextSearch
from worker.pipeline.reconciliation.backfill import Backfill
from worker.pipeline.reconciliation.recheck import Recheck
from worker.pipeline.reconciliation.reconcile import PageReconciler, Reconciler, ReconcileSchedule, targets
from worker.pipeline.reconciliation.verify import Verifier
from worker.pipeline.resilience.heartbeat import Heartbeat
from worker.pipeline.resilience.periodic import PeriodicThread
from worker.pipeline.resilience.worker_breakers import WorkerBreakers
from worker.pipeline.spaces import golden_check
from worker.pipeline.spaces.missing_vector_sweep import MissingVectorSweep
from worker.pipeline.spaces.model_loading import Load, ModelSetting, load_for
from worker.pipeline.taxonomies import active_taxonomies, lifecycle
from worker.pipeline.taxonomies.active_taxonomies import ActiveTaxonomies
from worker.pipeline.taxonomies.label_vectors import LabelVectorWriter
from worker.pipeline.taxonomies.prompt_vectors import PromptVectorCache
from worker.resources import cores
from worker.settings import Settings
from worker.tagging import Tagger, Taxonomy

_log = logs.get("bootstrap")

#: A process checks at least this often whether another space was activated or lacks vectors.
LOOK_SECONDS = 2.0

#: Draws the maps that were asked for, and ends.
MAP_COMMAND = (sys.executable, "-m", "worker", "map", "run")

WakeUpCall = Callable[[], None]


def store(settings: Settings) -> ObjectStore:
    """The object store, limited to what is watched."""
    everything = s3_store.connect(settings, pool_size=settings.fetch_threads + decode_threads(settings))
    return WatchedStore(everything, settings.watched)


def encoder(
    settings: Settings,
    *,
    text_only: bool = False,
    image_only: bool = False,
    model: str | None = None,
    revision: str | None = None,
) -> Encoder:
    """ENRICH_MODEL, or another model on the same device. Takes seconds; imports torch."""
    return load_encoder(
        model or settings.model,
        revision=revision if model else settings.model_revision,
        device=settings.device,
        dtype=settings.dtype,
        threads=settings.torch_threads,
        batch=settings.encoder_batch,
        preprocessing=settings.preprocessing,
        runtime=settings.encoder_runtime,
        text_only=text_only,
        image_only=image_only,
    )


def source(settings: Settings) -> ModelSetting:
    """What ENRICH_MODEL names, independent of the working directory."""
    return source_of(settings.model, settings.model_revision)


def source_of(model: str, revision: str | None) -> ModelSetting:
    """The model that a user named; a directory becomes an absolute path."""
    path = Path(model).expanduser()
    return ModelSetting(model=str(path.resolve()) if path.is_dir() else model, revision=revision)


def loader(settings: Settings, *, text_only: bool = False, image_only: bool = False) -> Load:
    """A function that loads any model onto the configured device."""
    return lambda model, revision: encoder(
        settings, text_only=text_only, image_only=image_only, model=model, revision=revision
    )


def describe_model(settings: Settings) -> str:
    """One line about the configured model and its purpose, without loading it."""
    if settings.model == "starter":
        return "starter: built in, for trying out; set ENRICH_MODEL to a real CLIP model for production"
    return settings.model + (f" at revision {settings.model_revision}" if settings.model_revision else "")


def tagger(settings: Settings, model: Encoder, names: tuple[str, ...] | None = None) -> Tagger:
    """Taxonomies of files, with their prompts encoded. Logs which of them are not calibrated for this model."""
    built = Tagger(
        tagging.load_taxonomies(names if names is not None else settings.taxonomies),
        model.encode_texts,
        logit_scale=model.logit_scale,
        model=model.space.model,
    )
    active_taxonomies.warn_uncalibrated(built)
    return built


def limits(settings: Settings) -> ImageLimits:
    """Limits on one image."""
    return ImageLimits(
        max_bytes=settings.max_bytes,
        max_pixels=settings.max_pixels,
        max_side=settings.max_side,
        max_seconds=settings.max_decode_seconds,
    )


def ingest(
    settings: Settings,
    engine: Engine,
    notify: WakeUpCall,
    *,
    hold: WaitLimits | None = None,
    recheck: Recheck | None = None,
) -> Ingest:
    """Event intake; with ``hold`` and ``recheck``, for senders that do not repeat refused notifications."""
    subscriptions = SnsSubscriptions(settings.sns_topics)
    return Ingest(
        engine=engine,
        refusal=settings.watched.refusal,
        watches=settings.watched.covers,
        notify=notify,
        subscriptions=subscriptions,
        max_bytes=settings.max_event_bytes,
        hold=hold,
        recheck=recheck or (lambda _: None),
    )


def search(settings: Settings, engine: Engine, filtered: FilteredSearch | None = None) -> TextSearch:
    """Text search; loads the text tower of the active space's model on first use."""
    return _search(settings, engine, filtered, text_only=True)


def _search(
    settings: Settings, engine: Engine, filtered: FilteredSearch | None = None, *, text_only: bool
) -> TextSearch:
    load, own = loader(settings, text_only=text_only), source(settings)

    def load_and_check(space: Space) -> Encoder:
        model = load_for(space, own, load)
        golden_check.require(engine, space, model, only="texts")
        return model

    return TextSearch(
        engine,
        lambda: encoder(settings, text_only=text_only),
        load_and_check,
        filtered=filtered,
        spare=settings.extra_models,
    )


def labels(settings: Settings, engine: Engine, space: Space, load: Callable[[], Encoder]) -> ActiveTaxonomies:
    """The taxonomies in force, for the model of a space; those of ENRICH_TAXONOMIES if none are in force yet.

    Raises:
        TaxonomyError: what is in force was applied by a newer release; or nothing is, and a file is wrong.
    """
    own = settings.taxonomy_set
    in_force = active_taxonomies.begin(engine, lambda: tagging.load_taxonomies(settings.taxonomies), own=own)
    following = ActiveTaxonomies(engine, space, PromptVectorCache(engine, space, load))
    active_taxonomies.warn_uncalibrated(following.now.tagger)
    if "taxonomies" in settings.model_fields_set:  # a machine that names no files asks for no change
        active_taxonomies.warn_changed_files(
            engine, in_force, lambda: tagging.load_taxonomies(settings.taxonomies, alone=False), own=own
        )
    return following


def builder(settings: Settings, engine: Engine) -> lifecycle.Build:
    """Builds taggers for the models of spaces; loads a model's text tower only if a prompt is new."""
    own, load = source(settings), loader(settings, text_only=True)

    def build(space: Space, desired: Sequence[Taxonomy]) -> Tagger:
        prompts = PromptVectorCache(engine, space, lambda: load_for(space, own, load))
        return Tagger(desired, prompts, logit_scale=prompts.logit_scale, model=space.model, space=space.id)

    return build


def explain(settings: Settings, engine: Engine, *, text_only: bool) -> tuple[Explainer, Callable[[], Encoder]]:
    """Explanations and their model, which is loaded when either is first used."""
    model = _search(settings, engine, text_only=text_only)
    return Explainer(engine, model.model), model.encoder


def label_filler(settings: Settings, engine: Engine) -> LabelVectorWriter:
    """Stores the vectors of labels; loads the model's text tower."""
    space, model = _search(settings, engine, text_only=True).model()
    active_taxonomies.keep(engine, tagging.load_taxonomies(settings.taxonomies, alone=False))
    return LabelVectorWriter(engine=engine, space=space, encode_texts=model.encode_texts)


def backfill(settings: Settings, engine: Engine, notify: WakeUpCall) -> Backfill:
    """Hints at what a bucket already holds."""
    return Backfill(engine=engine, store=store(settings), notify=notify)


def verify(settings: Settings, engine: Engine, notify: WakeUpCall) -> Verifier:
    """Proves that nothing is missing."""
    return Verifier(engine=engine, store=store(settings), notify=notify)


def file_tagger(settings: Settings, names: tuple[str, ...] | None) -> FileTagger:
    """Tags local files without servers."""
    model = encoder(settings)
    return FileTagger(
        encoder=model,
        tagger=tagger(settings, model, names),
        limits=limits(settings),
        threads=decode_threads(settings),
        batch=settings.encoder_batch,
    )


@contextmanager
def scheduler(settings: Settings, notify: WakeUpCall) -> Iterator[Heartbeat]:
    """The scheduler's heartbeat, reconciliation, and the gauges that describe the whole ledger."""
    from worker.pipeline.evaluation import certificates  # loads scipy

    engine = database(settings, "scheduler", pool_size=2)
    recheck = Recheck(engine)
    reconciler = _reconciler(settings, engine, notify, recheck)
    prune, sweep = Pruner(engine, keep=settings.feed_retention_days * 86_400.0 or None), MissingVectorSweep(engine)

    def publish() -> None:
        with transaction(engine) as connection:
            metrics.set_pending(ledger.totals.pending_by_lane(connection))
            metrics.set_missing_vectors(catalog.embedding_queue.queue_lengths(connection))
        reconciler.publish()
        keep_counts(engine)
        prune()
        sweep.walk()

    maps = MapSchedule(engine, MAP_COMMAND, habit=settings.map)
    watches = (
        _bucket_watcher(settings, engine, notify),
        tag_gauges.publisher(engine),
        certificates.watcher(engine),
        maps,
    )
    heartbeat = Heartbeat(engine, kind="scheduler", also=publish, breakers=WorkerBreakers(recheck=recheck))
    with serving_metrics(settings):
        heartbeat.start()
        recheck("the scheduler was started")
        if settings.reconcile_seconds:
            reconciler.start()
        for each in watches:
            each.start()
        try:
            yield heartbeat
        finally:
            for each in watches:
                each.stop(timeout=10)
            reconciler.stop()
            heartbeat.stop()
            engine.dispose()


def _reconciler(settings: Settings, engine: Engine, notify: WakeUpCall, recheck: Recheck) -> Reconciler:
    """Finds objects that no event announced, once it is started."""
    objects = store(settings)
    pace = ReconcileSchedule(interval=settings.reconcile_seconds, pages_per_second=settings.reconcile_pages_per_second)
    return Reconciler(
        PageReconciler(engine=engine, store=objects, notify=notify, pace=pace),
        lambda: targets(settings.watched, objects),
        recheck,
    )


def _bucket_watcher(settings: Settings, engine: Engine, notify: WakeUpCall) -> PeriodicThread:
    """Checks that the store still has the buckets in the ledger, once it is started."""
    check = missing_buckets.MissingBucketCheck(
        engine=engine,
        store=store(settings),
        endpoint=settings.s3_endpoint_url or "AWS",
        patience=settings.missing_bucket_seconds,
        notify=notify,
        watched=settings.watched,
    )
    return PeriodicThread(
        "buckets",
        check.look,
        action="bucket",
        failure="the check for missing buckets failed; retrying",
        interval=missing_buckets.INTERVAL,
    )


@contextmanager
def listener(settings: Settings, notify: WakeUpCall) -> Iterator[tuple[Heartbeat, list[SqsConsumer]]]:
    """The queues, checked, and the listener's heartbeat.

    Raises:
        ConfigurationError: no queue is named, or one does not exist or may not be used.
    """
    queues = [queue(settings, url) for url in dict.fromkeys(settings.sqs_queues)]
    if not queues:
        raise ConfigurationError("no queue is configured: set ENRICH_SQS_QUEUES to the URLs of SQS queues")
    for each in queues:
        _check(each)
    engine = database(settings, "listener", pool_size=len(queues) + 1)
    intake = ingest(settings, engine, notify)
    heartbeat = Heartbeat(engine, kind="listener")
    with serving_metrics(settings):
        heartbeat.start()
        try:
            yield heartbeat, [SqsConsumer(each, intake) for each in queues]
        finally:
            heartbeat.stop()
            engine.dispose()


def queue(settings: Settings, url: str) -> SqsQueue:
    """An SQS queue."""
    secret = settings.s3_secret_access_key
    return SqsQueue(
        url,
        endpoint_url=settings.sqs_endpoint_url,
        region=settings.s3_region,
        access_key_id=settings.s3_access_key_id,
        secret_access_key=secret.get_secret_value() if secret else None,
        wait=settings.sqs_wait_seconds,
        visibility=settings.sqs_visibility_seconds,
    )


def _check(queue: SqsQueue) -> None:
    """Fail on an error that a person must fix; only warn about a queue that is temporarily unavailable."""
    try:
        leads_to_dead_letters = queue.check()
    except QueueUnavailableError as error:
        _log.warning(f"{error}; the listener keeps trying", action="listen", queue=queue.name)
        return
    if not leads_to_dead_letters:
        _log.warning(
            f"the queue {queue.url} has no dead-letter queue: a message that cannot be parsed is kept in `enrich "
            "rejected` and deleted; to have such messages moved away instead, give it a RedrivePolicy with "
            "maxReceiveCount 5, say",
            action="listen", queue=queue.name,
        )  # fmt: skip


@contextmanager
def serving_metrics(settings: Settings) -> Iterator[None]:
    """Serve this process's metrics while the block runs, if ENRICH_METRICS_PORT says so."""
    server = metrics.serve(settings.metrics_port, host=settings.metrics_host) if settings.metrics_port else None
    try:
        yield
    finally:
        if server is not None:
            server.close()


def decode_threads(settings: Settings) -> int:
    """How many pictures are decoded at once."""
    return settings.decode_threads or cores()
