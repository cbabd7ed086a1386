"""The use case: heads that clients ask for over HTTP, and the list of those that were learned."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from dataclasses import dataclass

from worker import catalog
from worker.catalog.heads import StoredHead
from worker.catalog.spaces import Space
from worker.catalog.taxonomy_revisions import Revision
from worker.db import Engine, snapshot
from worker.errors import ApplyingError
from worker.pipeline.common.tag_filters import require_taxonomies
from worker.pipeline.learning import learn
from worker.pipeline.learning.learn import Learning, LearningRequest
from worker.pipeline.taxonomies.changes import Change
from worker.pipeline.taxonomies.plan import Plan
from worker.pipeline.taxonomies.requests import Requested, TaxonomyChanges


@dataclass(frozen=True, kw_only=True, slots=True)
class HeadView:
    """A fit, and whether it tags now."""

    head: StoredHead
    in_force: bool


def heads(
    engine: Engine, *, taxonomies: Sequence[str] = (), limit: int, before: int | None = None
) -> tuple[HeadView, ...]:
    """Fits, newest first.

    Args:
        engine: the database.
        taxonomies: only of these; none named: of all.
        limit: most fits.
        before: only older ones than this.

    Raises:
        UnknownNameError: there is no such taxonomy.
    """
    with snapshot(engine) as connection:
        require_taxonomies(connection, taxonomies)
        found = catalog.heads.newest(connection, taxonomies, limit=limit, before=before)
        current = catalog.taxonomy_revisions.current(connection)
        stored = catalog.taxonomy_revisions.definitions_of(connection, current.id if current else 0)
    active = {
        (definition["name"], int(space), own["head"]["number"])
        for _, definition in stored
        for space, own in (definition.get("learned") or {}).items()
        if own.get("head")
    }
    return tuple(HeadView(head=each, in_force=(each.taxonomy, each.space, each.id) in active) for each in found)


class Heads:
    """Learns heads and puts them into force, with a model that this process has loaded."""

    def __init__(self, engine: Engine, taxonomies: TaxonomyChanges) -> None:
        """Learn nothing yet."""
        self._engine, self._taxonomies = engine, taxonomies

    def plan(self, request: LearningRequest, *, sample: int) -> tuple[Learning, Plan | None]:
        """How a head compares, and what putting it into force would do; stores nothing.

        Raises what ``examine`` and ``plan`` raise.
        """
        found = learn.examine(self._engine, self._taxonomies.build, request)
        if found.promoted_by is None:
            return found, None
        return found, self._taxonomies.plan(Requested(change=learn.change(found)), sample=sample)

    def apply(self, request: LearningRequest, *, planned: int | None) -> tuple[Learning, Revision | None]:
        """Store how a head compares, put it into force if it is promoted, and update stored tags on a thread.

        Args:
            request: what to learn.
            planned: the revision that a person saw compared; None: any may be in force.

        Returns:
            How it compares, and the revision; None if it is not promoted.

        Raises:
            ApplyingError: another revision is in force, or another process is applying taxonomies.
            What ``examine`` raises.
        """
        found = learn.examine(self._engine, self._taxonomies.build, request)
        _refuse_outdated(found.revision, planned)
        found = learn.store(self._engine, found, made_by=f"api@{socket.gethostname()}")
        if found.promoted_by is None:
            return found, None
        return found, self._apply(learn.change(found), found.revision)

    def plan_zero_shot(self, request: LearningRequest, *, sample: int) -> tuple[Space, Plan]:
        """What taking the head out of force would do."""
        space, _, change = learn.forgotten(self._engine, request)
        return space, self._taxonomies.plan(Requested(change=change), sample=sample)

    def apply_zero_shot(self, request: LearningRequest, *, planned: int | None) -> tuple[Space, Revision]:
        """Take the head out of force; raises what ``forgotten`` and ``apply`` raise."""
        space, revision, change = learn.forgotten(self._engine, request)
        _refuse_outdated(revision, planned)
        return space, self._apply(change, revision)

    def _apply(self, change: Change, planned: int) -> Revision:
        return self._taxonomies.apply(Requested(change=change), planned=planned)


def _refuse_outdated(revision: int, planned: int | None) -> None:
    if planned is not None and planned != revision:
        raise ApplyingError(
            f"revision {revision} was put into force since the plan was made: plan again to see what it would change "
            "now. Nothing was changed"
        )
