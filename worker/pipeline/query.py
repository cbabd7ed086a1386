"""The use case: reading back, by name and by words."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal, TypeAlias

from worker import catalog, inbox, outbox, tagging
from worker.catalog import Hit, ImageRecord, Space, TagFilter
from worker.db import Connection, Engine, snapshot, transaction
from worker.encoder import Encoder
from worker.errors import NotFoundError
from worker.inbox import Standing
from worker.pipeline.space import space_spec
from worker.types import Floats, ObjectRef

#: What is known about an object that is not in the catalog.
State: TypeAlias = Literal["unknown", "pending", "quarantined", "excluded", "gone"]

_FINISHED: Mapping[str, State] = {"quarantined": "quarantined", "excluded": "excluded", "gone": "gone"}
_SENTENCES = {"gone": "the object was deleted", "excluded": "it is not an image"}


class ImageNotFoundError(NotFoundError):
    """The catalog does not have an image; carries what the ledger knows about the object instead."""

    def __init__(self, ref: ObjectRef, standing: Standing | None) -> None:
        super().__init__(f"{ref} is not in the catalog: {_explain(standing)}")
        self.state = _state(standing)
        self.reason = standing.reason if standing is not None and self.state == "quarantined" else None


class NothingEmbeddedError(NotFoundError):
    """Images were embedded, but none with the model that this process is configured with."""


class Search:
    """Text search. The text encoder loads when the first search needs it, once."""

    def __init__(self, engine: Engine, load_encoder: Callable[[], Encoder]) -> None:
        self._engine = engine
        self._load = load_encoder
        self._encoder: Encoder | None = None
        self._mutex = threading.Lock()
        self._vector = lru_cache(maxsize=1024)(self._encode)

    def __call__(
        self, text: str, *, limit: int, tags: Sequence[TagFilter] = (), min_similarity: float | None = None
    ) -> list[Hit]:
        """The images that match ``text`` best, in the space of the configured model; none in an empty catalog.

        Raises:
            NothingEmbeddedError: there are images, but of other models.
            ModelUnavailableError: the model's files are not to be had.
        """
        encoder = self.encoder()
        vector = self._vector(" ".join(text.split()))
        with transaction(self._engine) as connection:
            space = catalog.space_of(connection, space_spec(encoder))
            if space is None:
                return _nothing_in(catalog.spaces(connection), encoder)
            filters = [meant(connection, tag) for tag in tags]
            hits = catalog.nearest(connection, space, vector, limit=limit, tags=filters)
        return [hit for hit in hits if min_similarity is None or hit.similarity >= min_similarity]

    def model(self) -> tuple[Space, Encoder]:
        """The space that answers, and the text half of its model.

        Raises:
            NothingEmbeddedError: nothing was embedded with the model that this process is configured with.
            ModelUnavailableError: the model's files are not to be had.
        """
        encoder = self.encoder()
        with transaction(self._engine) as connection:
            space = catalog.space_of(connection, space_spec(encoder))
            if space is None:
                _nothing_in(catalog.spaces(connection), encoder)
                raise NothingEmbeddedError("no image was embedded yet")
        return space, encoder

    def encoder(self) -> Encoder:
        """The model, loaded on first use; concurrent callers wait for the one load."""
        with self._mutex:
            if self._encoder is None:
                self._encoder = self._load()
            return self._encoder

    def _encode(self, text: str) -> Floats:
        vector: Floats = self.encoder().encode_texts([text])[0]
        return vector


def meant(connection: Connection, tag: TagFilter) -> TagFilter:
    """A label may be asked for by its title or an alias, too, as the newest versions in the catalog have them."""
    kept = catalog.kept_taxonomies(connection, [tag.taxonomy])
    return replace(tag, label=tagging.resolve([each.definition for each in kept], tag.label))


def _nothing_in(spaces: Sequence[Space], encoder: Encoder) -> list[Hit]:
    if not spaces:
        return []
    ours = f"{encoder.space.model} at {encoder.space.revision}"
    theirs = list(dict.fromkeys(f"{space.model} at {space.revision}" for space in spaces))
    if ours in theirs:
        way_out = "that differ in how pictures are prepared: run API and workers in the same version"
    else:
        way_out = "set ENRICH_MODEL to what the workers use, or start a worker with this one"
    raise NothingEmbeddedError(
        f"no image was embedded with {ours}; the catalog has vectors of {', '.join(theirs)}: {way_out}"
    )


def image(engine: Engine, ref: ObjectRef) -> ImageRecord:
    """One image with its tags.

    Raises:
        ImageNotFoundError: says what the ledger knows about the object instead.
    """
    with snapshot(engine) as connection:
        found = catalog.image(connection, ref)
        if found is not None:
            return found
        standing = inbox.standing(connection, ref)
    raise ImageNotFoundError(ref, standing)


def _state(standing: Standing | None) -> State:
    if standing is None:
        return "unknown"
    return "pending" if standing.pending else _FINISHED.get(standing.outcome or "", "unknown")


def _explain(standing: Standing | None) -> str:
    if standing is None:
        return "no event ever named it; check the key, or run `enrich backfill` on its bucket"
    if standing.pending:
        failed = f" after {standing.attempts} attempts; last error: {standing.last_error}"
        return f"it is pending{failed if standing.last_error else ''}"
    if standing.outcome == "quarantined":
        return f"it is in quarantine: {standing.reason}: {standing.message}"
    return _SENTENCES.get(standing.outcome or "", "it was removed; run `enrich backfill` on its bucket")


@dataclass(frozen=True, kw_only=True, slots=True)
class Followed:
    """A page of the change feed."""

    changes: tuple[outbox.Change, ...]
    next: str | None  # where to go on; None: nothing has ever changed


def changes(engine: Engine, *, after: str | None, limit: int) -> Followed:
    """The change feed behind a cursor; behind everything, for ``after="end"``.

    Raises:
        CursorError: ``after`` is no cursor.
        FeedGoneError: the feed no longer has everything that comes after it.
    """
    with transaction(engine) as connection:
        if after == outbox.END:
            return Followed(changes=(), next=outbox.end(connection))
        found = outbox.read(connection, after=after, limit=limit)
    return Followed(changes=tuple(found), next=found[-1].id if found else after)


def totals(engine: Engine, *, bucket: str | None = None) -> inbox.Totals:
    """Where every known object stands."""
    with transaction(engine) as connection:
        return inbox.totals(connection, bucket=bucket)
