"""Completeness: an enriched image has a vector in the active space, and a decision of every taxonomy in force."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from worker import catalog, tagging
from worker.catalog.read import CatalogEntry
from worker.db import Connection
from worker.tagging import Taxonomy

#: waits: its vector or decisions are missing, but will be written. lacks: they will not.
Completeness: TypeAlias = Literal["whole", "waits", "lacks"]


@dataclass(frozen=True, kw_only=True, slots=True)
class CompletenessCriteria:
    """What every image must have, in one snapshot."""

    space: int | None  # the active one; None: nothing was ever embedded
    revision: int | None  # of the taxonomies in force; None: there are none
    taxonomies: tuple[Taxonomy, ...]
    retagged_to: int | None  # images up to this one follow the revision; None: all of them do

    def completeness(self, held: CatalogEntry) -> Completeness:
        """How far an image meets these requirements."""
        if self.space is None:
            return "whole"
        if not held.embedded:
            return "waits" if held.waits else "lacks"
        if tagging.are_current(self.taxonomies, held.tags):
            return "whole"
        return "waits" if self.retagged_to is not None and held.id > self.retagged_to else "lacks"


class CompletenessCheck:
    """Reads the requirements; taxonomy definitions only when another revision is in force. Not thread-safe."""

    def __init__(self) -> None:
        self._known: tuple[int | None, tuple[Taxonomy, ...]] = (None, ())

    def holdings(
        self, connection: Connection, bucket: str, keys: Collection[str]
    ) -> tuple[Mapping[str, CatalogEntry], CompletenessCriteria]:
        """What the catalog has for the objects, and the requirements. One snapshot if the transaction is one."""
        wanted = self._demands(connection)
        return catalog.read.entries(connection, bucket, keys, space=wanted.space), wanted

    def _demands(self, connection: Connection) -> CompletenessCriteria:
        space, current = catalog.spaces.active(connection), catalog.taxonomy_revisions.current(connection)
        revision = None if current is None else current.id
        if revision is not None and revision != self._known[0]:
            stored = catalog.taxonomy_revisions.definitions_of(connection, revision)
            self._known = (
                revision,
                tuple(tagging.restore(definition, version=version) for version, definition in stored),
            )
        number = None if space is None else space.id
        if number is None or revision is None:
            return CompletenessCriteria(space=number, revision=revision, taxonomies=(), retagged_to=None)
        going = catalog.taxonomy_revisions.retagging(connection, number, revision)
        finished = going is not None and going.finished_at is not None
        return CompletenessCriteria(
            space=number,
            revision=revision,
            taxonomies=self._known[1],
            retagged_to=None if finished else 0 if going is None else going.after,
        )
