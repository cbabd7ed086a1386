"""What ``enrich api`` has, with an encoder that sees colours."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.active_taxonomies import queues_of
from tests.examples import examples_of, search_of
from tests.fakes import ColourEncoder
from tests.preview_services import originals_of, previews_of
from worker.api import Services, Tokens
from worker.db import Engine
from worker.objects import ObjectStore
from worker.pipeline.intake.ingest import Ingest
from worker.pipeline.reading.classify import Classifier
from worker.pipeline.reading.explain import Explainer
from worker.pipeline.reading.label_search import LabelSearch
from worker.pipeline.reading.model_input import ModelInputs
from worker.pipeline.reading.saved_queries import SavedQueries
from worker.pipeline.reading.taxonomy_trials import TaxonomyTrials
from worker.pipeline.reading.text_search import TextSearch
from worker.pipeline.taxonomies.requests import TaxonomyChanges


def services_of(
    engine: Engine, store: ObjectStore, folder: Path, *, notify: Callable[[], None], tokens: Tokens
) -> Services:
    """Everything that routes need.

    Args:
        engine: of a migrated database.
        store: has the pictures.
        folder: keeps previews.
        notify: is called where a worker would be woken.
        tokens: that let clients in.
    """
    search, labels = TextSearch(engine, ColourEncoder), LabelSearch(engine=engine)
    examples, previews = examples_of(engine, search), previews_of(store, folder)
    return Services(
        engine=engine,
        notify=notify,
        explain=Explainer(engine, search.model),
        taxonomies=TaxonomyChanges(engine, search.model),
        trials=TaxonomyTrials(engine, examples),
        labels=labels,
        previews=previews,
        model_inputs=ModelInputs(models=examples, pictures=previews),
        originals=originals_of(store),
        queues=queues_of(engine, ColourEncoder(), search, labels),
        ingest=Ingest(
            engine=engine, refusal=lambda bucket, _: "not watched" if bucket == "unwatched" else None, notify=notify
        ),
        search=search,
        examples=examples,
        classifier=Classifier(engine, examples),
        find=search_of(engine, search),
        queries_saved=SavedQueries(engine=engine),
        model="tiny: a fake that sees colours",
        tokens=tokens,
        max_event_bytes=100_000,
    )
