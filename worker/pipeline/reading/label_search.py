"""The use case: find the labels nearest to an image, and the images nearest to a label, by their vectors."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from worker import catalog, label_names, tagging
from worker.catalog.image_filter import TagFilter
from worker.catalog.label_vectors import LabelSet, NearLabel
from worker.catalog.search import Hit, Nearest
from worker.catalog.spaces import Space
from worker.catalog.taxonomies import KeptTaxonomy
from worker.db import Connection, Engine, snapshot
from worker.errors import NotFoundError
from worker.pipeline.common.tag_filters import require_taxonomies, resolve_label
from worker.pipeline.reading import image_lookup
from worker.pipeline.reading.filtered_search import FilteredSearch
from worker.pipeline.reading.text_search import NothingEmbeddedError
from worker.suggestions import shown, suggested
from worker.types import Floats, ObjectRef


class LabelNotFoundError(NotFoundError):
    """The label or taxonomy exists, but its vectors are not stored, or not yet."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelCoverage:
    """How many of a taxonomy's labels are stored in a space."""

    taxonomy: str
    version: str
    space: int
    labels: int
    of: int
    ready: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class NamedLabel:
    """A label near an image, with its display texts."""

    taxonomy: str
    version: str
    label: str
    title: str
    description: str
    text: str | None  # which of its texts; None: the mean of them
    similarity: float  # cosine, -1..1


@dataclass(frozen=True, kw_only=True, slots=True)
class NearLabels:
    """The labels nearest to an image, best first, in one space."""

    space: Space
    labels: tuple[NamedLabel, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelSearch:
    """Searches with stored vectors in the active space; loads no model."""

    engine: Engine
    filtered: FilteredSearch | None = None  # in long-running processes

    def labels_of(self, ref: ObjectRef, *, limit: int, taxonomies: Sequence[str] = ()) -> NearLabels:
        """The labels nearest to an image, of all taxonomies or of some, best first.

        Raises:
            ImageNotFoundError: the catalog does not have the image.
            NothingEmbeddedError: it has no vector in the active space.
            LabelNotFoundError: no labels are stored, or none of these taxonomies.
            UnknownNameError: the catalog has never heard of one of these taxonomies.
        """
        image_lookup.image(self.engine, ref)  # or what is known instead
        with snapshot(self.engine) as connection:  # a set that is replaced meanwhile is still there
            space = _active(connection)
            vector = catalog.read.vector(connection, space.id, ref)
            if vector is None:
                raise NothingEmbeddedError(f"{ref} has no vector of {space.model}, the active model")
            sets = _searchable(connection, space, taxonomies)
            found = catalog.label_vectors.nearest_labels(connection, space, vector, sets=sets, limit=limit)
            words = {
                each.taxonomy: label_names.titles(
                    catalog.taxonomies.described(connection, each.taxonomy, each.version) or {}
                )
                for each in sets
                if any(near.taxonomy == each.taxonomy for near in found)
            }
        labels = [_named(near, *words[near.taxonomy].get(near.label, (near.label, ""))) for near in found]
        return NearLabels(space=space, labels=tuple(labels))

    def images_of(
        self, label: TagFilter, *, limit: int, tags: Sequence[TagFilter] = (), exact: bool = False
    ) -> Nearest:
        """The images nearest to a label, which may be given by its title or an alias; best first.

        Raises:
            NothingEmbeddedError: there are no images.
            LabelNotFoundError: the label's vector is not stored, or not yet.
            UnknownNameError: the catalog has never heard of the label, of its taxonomy, or of what a filter names.
        """
        search = self.filtered or catalog.search.nearest
        with snapshot(self.engine) as connection:  # a set that is replaced meanwhile is still there
            space = _active(connection)
            wanted = resolve_label(connection, tags)
            answers = [
                search(connection, space, vector, limit=limit, tags=wanted, exact=exact)
                for vector in vectors_of_label(connection, space, label)
            ]
        return _together(answers, limit)

    def stored(self) -> list[LabelCoverage]:
        """How many labels of the taxonomies in use are stored in the active space."""
        with snapshot(self.engine) as connection:  # a set that is replaced meanwhile is still there
            space = _active(connection)
            sets = {
                (each.taxonomy, each.version): each for each in catalog.label_vectors.label_sets(connection, space.id)
            }
            used = catalog.taxonomies.versions_in_use(connection)
            kept = [each for each in catalog.taxonomies.kept(connection) if used.get(each.name) == each.version]
        return [_stored(each, space, sets.get((each.name, each.version))) for each in kept]


def _together(answers: Sequence[Nearest], limit: int) -> Nearest:
    """The best of several searches, each image once; as reliable as the least of them."""
    found: dict[tuple[str, str], Hit] = {}
    for hit in (hit for answer in answers for hit in answer.hits):
        before = found.get((hit.bucket, hit.key))
        if before is None or hit.similarity > before.similarity:
            found[hit.bucket, hit.key] = hit
    return Nearest(
        hits=sorted(found.values(), key=lambda hit: (-hit.similarity, hit.bucket, hit.key))[:limit],
        exact=all(answer.exact for answer in answers),
        complete=all(answer.complete for answer in answers),
    )


def _named(near: NearLabel, title: str, description: str) -> NamedLabel:
    return NamedLabel(
        taxonomy=near.taxonomy,
        version=near.version,
        label=near.label,
        title=title,
        description=description,
        text=near.text,
        similarity=near.similarity,
    )


def _stored(kept: KeptTaxonomy, space: Space, labels: LabelSet | None) -> LabelCoverage:
    taxonomy = tagging.restore(kept.definition, version=kept.version)
    return LabelCoverage(
        taxonomy=kept.name,
        version=kept.version,
        space=space.id,
        labels=labels.labels if labels is not None else 0,
        of=len(tagging.texts_of_labels(taxonomy, space.model)),
        ready=labels is not None and labels.ready,
    )


def _active(connection: Connection) -> Space:
    space = catalog.spaces.active(connection)
    if space is None:
        raise NothingEmbeddedError("no image was embedded yet")
    return space


def vectors_of_label(connection: Connection, space: Space, label: TagFilter) -> Sequence[Floats]:
    """The vectors by which a label is found, ``[d]`` each, one or more; call it in a snapshot.

    Raises:
        LabelNotFoundError: they are not stored, or not yet.
        UnknownNameError: the catalog has never heard of the label or its taxonomy.
    """
    # By its name first: definitions are long, and are read only to find titles and aliases.
    labels = _newest(connection, space).get(label.taxonomy)
    vectors = [] if labels is None else catalog.label_vectors.label_vectors(connection, labels.id, label.label)
    if vectors:
        return vectors
    [named] = resolve_label(connection, [label])
    [labels] = _searchable(connection, space, [label.taxonomy])
    vectors = catalog.label_vectors.label_vectors(connection, labels.id, named.label)
    if not vectors:
        raise LabelNotFoundError(_without_vector(label, catalog.label_vectors.stored_labels(connection, labels.id)))
    return vectors


def _newest(connection: Connection, space: Space) -> dict[str, LabelSet]:
    return {each.taxonomy: each for each in catalog.label_vectors.label_sets(connection, space.id) if each.ready}


def _searchable(connection: Connection, space: Space, taxonomies: Sequence[str]) -> list[LabelSet]:
    """The newest complete set of each taxonomy."""
    newest = _newest(connection, space)
    missing = [name for name in taxonomies if name not in newest]
    require_taxonomies(connection, missing)
    if missing or not newest:
        there = f"there are those of {', '.join(sorted(newest))}" if newest else "there are none yet"
        raise LabelNotFoundError(
            f"no labels of {', '.join(missing) or 'any taxonomy'} are stored in space {space.id}; {there}: workers "
            "store them soon after a taxonomy comes into use, and `enrich labels status` shows how far they are"
        )
    return [each for name, each in newest.items() if not taxonomies or name in taxonomies]


def _without_vector(label: TagFilter, stored: Collection[str]) -> str:
    hint = suggested(label.label, stored, otherwise="`enrich labels near` and `enrich taxonomy show` name some")
    return f"label {shown(label.label)} of taxonomy {label.taxonomy} has no texts of its own; {hint}"
