"""Wiring of reading: what answers with a model that is loaded when it is first needed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from worker import bootstrap
from worker.catalog.spaces import Space
from worker.db import Engine, is_unavailable
from worker.encoder import Encoder
from worker.pipeline.enrichment.local_files import FileTagger
from worker.pipeline.reading.examples import ExampleVectors
from worker.pipeline.reading.image_towers import ImageTowers
from worker.pipeline.reading.label_texts import require_whole
from worker.pipeline.reading.relevance import Relevance
from worker.pipeline.reading.search import Search
from worker.pipeline.reading.search_ranking import FindsNearest
from worker.pipeline.reading.text_search import TextSearch
from worker.pipeline.resilience.memory_budget import ByteBudget, DecodeSlots
from worker.pipeline.resilience.periodic import PeriodicThread
from worker.pipeline.spaces import golden_check
from worker.pipeline.spaces.model_loading import load_for
from worker.settings import Settings
from worker.tagging import Tagger
from worker.tagging.given_labels import GivenLabels

#: For all uploads that are decoded at once, in one process.
_DECODER_BYTES = 1 << 30


class KeepsReady(Protocol):
    """What loads models before they are needed."""

    def keep_ready(self) -> None:
        """Load them, and free those that are not needed any more; called every few seconds."""


def examples(settings: Settings, engine: Engine, texts: TextSearch) -> ExampleVectors:
    """Vectors of texts, uploads and what the catalog has; loads the image tower when the first upload needs it.

    The text tower is that of ``texts``. Both towers of the starter are in memory anyway, and are shared.
    """
    own, load = bootstrap.source(settings), bootstrap.loader(settings, image_only=True)

    def load_and_check(space: Space) -> Encoder:
        loaded = texts.model_of(space)
        model = loaded if loaded.towers == "both" else load_for(space, own, load)
        golden_check.require(engine, space, model, only="pictures")
        return model

    decoders = DecodeSlots(count=bootstrap.decode_threads(settings), memory=ByteBudget(_DECODER_BYTES))
    towers = ImageTowers(load_and_check, limits=bootstrap.limits(settings), decoders=decoders)
    return ExampleVectors(engine, texts.model_of, towers, spare=settings.extra_models)


def search(
    settings: Settings, engine: Engine, *, texts: TextSearch | None = None, nearest: FindsNearest | None = None
) -> tuple[Search, ExampleVectors]:
    """Search by examples, and the vectors of examples; loads what examples need when they need it.

    Args:
        settings: name the configured model.
        engine: the database.
        texts: has the text towers; by default, one for a short command.
        nearest: what a process keeps that goes on searching.
    """
    texts = texts or bootstrap.search(settings, engine)
    vectors = examples(settings, engine, texts)
    relevance = Relevance(engine, lambda space, some: texts.model_of(space).encode_texts(some))
    return Search(engine, vectors, configured=texts.encoder, relevance=relevance, nearest=nearest), vectors


def label_tagger(settings: Settings, labels: GivenLabels) -> FileTagger:
    """Tags local files by labels of the command line, without servers.

    Raises:
        ChoiceError: nothing can be chosen from the labels.
        TextTooLongError: the model does not read all of a label's text.
    """
    made = labels.taxonomy()
    model = bootstrap.encoder(settings)
    require_whole(model, made)
    return FileTagger(
        encoder=model,
        tagger=Tagger([made], model.encode_texts, logit_scale=model.logit_scale, model=model.space.model),
        limits=bootstrap.limits(settings),
        threads=bootstrap.decode_threads(settings),
        batch=settings.encoder_batch,
    )


@contextmanager
def keeping_ready(*kept: KeepsReady) -> Iterator[None]:
    """While the block runs, keep the models loaded that requests will need after the next switch."""

    def keep_ready() -> None:
        for each in kept:
            each.keep_ready()

    # What needs the database says itself that it is away. A model that is being loaded is not waited for.
    warmup = PeriodicThread(
        "model-warmup",
        keep_ready,
        action="ready",
        failure="the next model could not be loaded; retrying",
        interval=bootstrap.LOOK_SECONDS,
        at_once=False,
        handles=is_unavailable,
    )
    warmup.start()
    try:
        yield
    finally:
        warmup.cancel()
