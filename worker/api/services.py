"""The services that routes use."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast

from fastapi import Request

from worker.api.access import Tokens
from worker.api.body_limits import Bodies
from worker.api.refusals import Refusals
from worker.api.thread_limits import Offload
from worker.db import Engine
from worker.pipeline.intake.ingest import Ingest
from worker.pipeline.operations.health import IntakeProbe
from worker.pipeline.reading.explain import Explainer
from worker.pipeline.reading.label_search import LabelSearch
from worker.pipeline.reading.text_search import TextSearch


@dataclass(frozen=True, kw_only=True, slots=True)
class Services:
    """Use cases that are ready to call, from ``bootstrap``."""

    engine: Engine
    ingest: Ingest
    search: TextSearch
    explain: Explainer
    labels: LabelSearch
    notify: Callable[[], None]  # wakes a worker
    model: str  # for /readyz: which model is configured and what it is for
    tokens: Tokens
    max_event_bytes: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Parts:
    """What one application holds: the services, and limits on their concurrent use.

    Each purpose has its own threads, so that searches waiting for the model to load never delay events. Together they
    are fewer than the connections that ``enrich api`` lets its engine open.
    """

    services: Services
    intake: Offload = field(default_factory=lambda: Offload(threads=12, patience=30))
    reading: Offload = field(default_factory=lambda: Offload(threads=8, patience=30))
    searching: Offload = field(default_factory=lambda: Offload(threads=4, patience=30))
    probing: Offload = field(default_factory=lambda: Offload(threads=2, patience=3))
    refusals: Refusals = field(default_factory=Refusals)
    bodies: Bodies = field(default_factory=lambda: Bodies(in_memory=128 << 20, seconds=60))
    takes_events: IntakeProbe = field(default_factory=IntakeProbe)


async def parts_of(request: Request) -> Parts:
    """The parts of the application that serves ``request``. Asynchronous, so that FastAPI does not use a thread."""
    return cast("Parts", request.app.state.parts)
