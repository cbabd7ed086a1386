"""The use case: what people decided, page by page."""

from __future__ import annotations

from dataclasses import dataclass

from worker import catalog
from worker.catalog.decisions import Decision, DecisionFilter
from worker.db import Connection, Engine, transaction
from worker.pipeline.common.bucket_filters import require_bucket
from worker.pipeline.common.tag_filters import require_taxonomies


@dataclass(frozen=True, kw_only=True, slots=True)
class DecisionPage:
    """Decisions, newest first."""

    decisions: tuple[Decision, ...]
    next: int | None  # `after` for older ones; None: there are none


def require_known(connection: Connection, wanted: DecisionFilter) -> None:
    """Check the names in a filter that no decision matches.

    Raises:
        UnknownNameError: there is no such taxonomy or bucket.
    """
    require_taxonomies(connection, wanted.taxonomies)
    require_bucket(connection, wanted.bucket)


def decisions(engine: Engine, wanted: DecisionFilter, *, limit: int, after: int | None = None) -> DecisionPage:
    """A page of decisions that are older than ``after``.

    Raises:
        UnknownNameError: there are none, and no such taxonomy or bucket.
    """
    with transaction(engine) as connection:
        found = catalog.decisions.page(connection, wanted, limit=limit + 1, after=after)
        if not found and after is None:
            require_known(connection, wanted)
    return DecisionPage(decisions=tuple(found[:limit]), next=found[limit - 1].id if len(found) > limit else None)
