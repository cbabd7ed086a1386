"""The taxonomies in force and how far the catalog's tags follow: the starting point of every change."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from worker import catalog, tagging
from worker.catalog.spaces import Space
from worker.catalog.taxonomy_revisions import Origin, Retagging, Revision
from worker.db import Engine, transaction
from worker.errors import TaxonomyError
from worker.tagging import Taxonomy


@dataclass(frozen=True, kw_only=True, slots=True)
class CatalogState:
    """What was read in one moment."""

    revision: Revision | None
    before: Revision | None  # the revision before it
    definitions: Mapping[str, Mapping[str, Any]]  # taxonomy → its definition
    origins: Mapping[str, Origin]
    space: Space | None
    retagging: Retagging | None

    @property
    def is_finished(self) -> bool:
        """Whether all images have the tags of the revision in force."""
        return self.space is None or (self.retagging is not None and self.retagging.finished_at is not None)

    @property
    def versions(self) -> Mapping[str, str]:
        """Name → version of each taxonomy in force."""
        return self.revision.versions if self.revision else {}

    @property
    def sets(self) -> Mapping[str, str]:
        """Name → the set that owns it, of each taxonomy in force."""
        return {name: self.revision.set_of(name) for name in self.versions} if self.revision else {}

    def in_force(self, *, but: Container[str] = ()) -> list[Taxonomy]:
        """The taxonomies in force without those that ``but`` names.

        Raises:
            TaxonomyError: one was stored by a release that knows more than this one.
        """
        return [
            tagging.restore(definition, version=self.versions[name])
            for name, definition in self.definitions.items()
            if name not in but
        ]

    def as_file(self, name: str) -> dict[str, Any] | None:
        """A taxonomy in force as a file declares it; None for a vocabulary, and for one of another release."""
        try:
            return tagging.document(tagging.restore(self.definitions[name], version=self.versions[name]))
        except TaxonomyError:
            return None


def in_catalog(engine: Engine) -> CatalogState:
    """The taxonomies in force, the active space, and how far its tags follow."""
    with transaction(engine) as connection:
        recent = catalog.taxonomy_revisions.recent(connection, limit=2)
        revision, before = (*recent, None, None)[:2]
        space = catalog.spaces.active(connection)
        number = revision.id if revision else 0
        stored = catalog.taxonomy_revisions.definitions_of(connection, number)
        origins = catalog.taxonomy_revisions.origins(connection, number)
        retagging = catalog.taxonomy_revisions.retagging(connection, space.id, number) if space else None
    return CatalogState(
        revision=revision,
        before=before,
        definitions={definition["name"]: definition for _, definition in stored},
        origins={each.name: each for each in origins},
        space=space,
        retagging=retagging,
    )


def carrying(found: CatalogState, files: Sequence[Taxonomy]) -> list[Taxonomy]:
    """Taxonomies of files, with what reviews taught about those in force that score images in the same way."""
    in_force = {each.name: each for each in found.in_force(but=set(found.versions) - {each.name for each in files})}
    return [each.carrying(in_force[each.name]) if each.name in in_force else each for each in files]
