"""The use case: reading back, by name and by words."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from functools import lru_cache

from worker import catalog, inbox, outbox
from worker.catalog import Hit, ImageRecord, TagFilter
from worker.db import Engine, transaction
from worker.encoder import Encoder
from worker.errors import NotFoundError
from worker.inbox import Standing
from worker.pipeline.space import space_spec
from worker.types import Floats, ObjectRef


class Search:
    """Text search. The text encoder loads when the first search needs it, once."""

    def __init__(self, engine: Engine, load_encoder: Callable[[], Encoder]) -> None:
        self._engine = engine
        self._load = load_encoder
        self._encoder: Encoder | None = None
        self._mutex = threading.Lock()
        self._vector = lru_cache(maxsize=1024)(self._encode)

    def __call__(self, text: str, *, limit: int, tags: Sequence[TagFilter] = ()) -> list[Hit]:
        """The images that match ``text`` best, in the space of the configured model.

        Raises:
            NotFoundError: nothing was embedded with this model yet.
            ModelUnavailableError: the model's files are not to be had.
        """
        encoder = self.encoder()
        vector = self._vector(" ".join(text.split()))
        with transaction(self._engine) as connection:
            space = catalog.space_of(connection, space_spec(encoder))
            if space is None:
                raise NotFoundError(
                    f"nothing was embedded with {encoder.space.model} yet: upload an image, "
                    "or start a worker with this ENRICH_MODEL"
                )
            return catalog.nearest(connection, space, vector, limit=limit, tags=tags)

    def encoder(self) -> Encoder:
        """The model, loaded on first use; concurrent callers wait for the one load."""
        with self._mutex:
            if self._encoder is None:
                self._encoder = self._load()
            return self._encoder

    def _encode(self, text: str) -> Floats:
        vector: Floats = self.encoder().encode_texts([text])[0]
        return vector


def image(engine: Engine, ref: ObjectRef) -> ImageRecord:
    """One image with its tags.

    Raises:
        NotFoundError: says what the ledger knows about the object instead.
    """
    with transaction(engine) as connection:
        found = catalog.image(connection, ref)
        if found is not None:
            return found
        standing = inbox.standing(connection, ref)
    raise NotFoundError(f"{ref} is not in the catalog: {_explain(standing)}")


def _explain(standing: Standing | None) -> str:
    if standing is None:
        return "no event ever named it; check the key, or run `enrich backfill` on its bucket"
    if standing.pending:
        failed = f" after {standing.attempts} attempts; last error: {standing.last_error}"
        return f"it is pending{failed if standing.last_error else ''}"
    if standing.outcome == "quarantined":
        return f"it is in quarantine: {standing.reason}: {standing.message}"
    return {"gone": "the object was deleted", "excluded": "it is not an image"}.get(standing.outcome or "", "unknown")


def changes(engine: Engine, *, after: str | None, limit: int) -> list[outbox.Change]:
    """The change feed behind a cursor.

    Raises:
        ValueError: ``after`` is no cursor.
    """
    with transaction(engine) as connection:
        return outbox.read(connection, after=after, limit=limit)


def totals(engine: Engine, *, bucket: str | None = None) -> inbox.Totals:
    """Where every known object stands."""
    with transaction(engine) as connection:
        return inbox.totals(connection, bucket=bucket)
