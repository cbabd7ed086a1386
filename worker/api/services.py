"""The services that routes use."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from fastapi import Request

from worker.api.access import Tokens
from worker.api.body_limits import Bodies
from worker.api.rate_limit import ImageRate
from worker.api.refusals import Refusals
from worker.api.sessions import Sessions
from worker.api.single_flight import SingleFlight
from worker.api.thread_limits import Offload
from worker.db import Engine
from worker.pipeline.intake.ingest import Ingest
from worker.pipeline.operations.health import IntakeProbe
from worker.pipeline.reading.classify import Classifier
from worker.pipeline.reading.examples import ExampleVectors
from worker.pipeline.reading.explain import Explainer
from worker.pipeline.reading.label_search import LabelSearch
from worker.pipeline.reading.saved_queries import SavedQueries
from worker.pipeline.reading.search import Search
from worker.pipeline.reading.taxonomy_trials import TaxonomyTrials
from worker.pipeline.reading.text_search import TextSearch
from worker.pipeline.review.queues import ReviewQueues
from worker.pipeline.taxonomies.requests import TaxonomyChanges

if TYPE_CHECKING:  # they import boto3, which the API's document can do without
    from worker.pipeline.pictures.originals import Originals
    from worker.pipeline.pictures.previews import PreviewSource
    from worker.pipeline.reading.model_input import ModelInputs

#: Uploaded images in one request.
MOST_IMAGES = 32


@dataclass(frozen=True, kw_only=True, slots=True)
class Services:
    """Use cases that are ready to call, from ``bootstrap``."""

    engine: Engine
    ingest: Ingest
    search: TextSearch
    examples: ExampleVectors
    classifier: Classifier
    find: Search
    queries_saved: SavedQueries
    explain: Explainer
    labels: LabelSearch
    taxonomies: TaxonomyChanges
    trials: TaxonomyTrials
    queues: ReviewQueues
    previews: PreviewSource
    originals: Originals
    model_inputs: ModelInputs
    notify: Callable[[], None]  # wakes a worker
    model: str  # for /readyz: which model is configured and what it is for
    tokens: Tokens
    max_event_bytes: int
    feed_retention_days: float = 30.0  # for which changes are kept; 0: for ever
    images_per_second: float = 20.0  # that requests may make this process encode


@dataclass(frozen=True, kw_only=True, slots=True)
class Parts:
    """What one application holds: the services, and limits on their concurrent use.

    Each purpose has its own threads, so that searches waiting for the model to load never delay events, and uploads
    never delay searches. Together they are fewer than the connections that ``enrich api`` lets its engine open.
    """

    services: Services
    intake: Offload = field(default_factory=lambda: Offload(threads=12, patience=30))
    reading: Offload = field(default_factory=lambda: Offload(threads=8, patience=30))
    picturing: Offload = field(default_factory=lambda: Offload(threads=4, patience=30))  # asks the object store
    making: Offload = field(default_factory=lambda: Offload(threads=2, patience=60))  # decodes pictures
    counting: Offload = field(
        default_factory=lambda: Offload(threads=2, patience=60)
    )  # facets, samples, duplicates, trials
    searching: Offload = field(default_factory=lambda: Offload(threads=4, patience=30))
    encoding: Offload = field(default_factory=lambda: Offload(threads=2, patience=60))
    probing: Offload = field(default_factory=lambda: Offload(threads=2, patience=3))
    refusals: Refusals = field(default_factory=Refusals)
    previews: SingleFlight[Mapping[int, bytes]] = field(default_factory=SingleFlight)
    bodies: Bodies = field(default_factory=lambda: Bodies(in_memory=128 << 20, seconds=60))
    uploads: Bodies = field(default_factory=lambda: Bodies(in_memory=128 << 20, seconds=60))
    takes_events: IntakeProbe = field(default_factory=IntakeProbe)
    images: ImageRate = field(init=False)
    sessions: Sessions = field(init=False)

    def __post_init__(self) -> None:
        """Set what depends on the services."""
        rate = self.services.images_per_second
        burst = max(MOST_IMAGES, math.ceil(2 * rate))
        object.__setattr__(self, "sessions", Sessions(self.services.tokens))
        object.__setattr__(self, "images", ImageRate(per_second=rate, burst=burst, refusals=self.refusals))


async def parts_of(request: Request) -> Parts:
    """The parts of the application that serves ``request``. Asynchronous, so that FastAPI does not use a thread."""
    return cast("Parts", request.app.state.parts)
