"""The use case: one image by its name, or what is known about the object instead."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeAlias

from worker import catalog, ledger
from worker.catalog.read import Content, ImageRecord
from worker.db import Connection, Engine, snapshot
from worker.errors import NotFoundError
from worker.ledger.totals import ObjectState
from worker.types import ObjectRef

#: What is known about an object that is not in the catalog.
State: TypeAlias = Literal["unknown", "pending", "quarantined", "given-up", "excluded", "gone"]

_FINISHED: Mapping[str, State] = {"quarantined": "quarantined", "excluded": "excluded", "gone": "gone"}
_SENTENCES = {"gone": "the object was deleted", "excluded": "it is not an image"}
_UNKNOWN = (
    "nothing is known about it: no event announced it, or the store had no such object; check the key, or run "
    "`enrich backfill` on its bucket"
)


class ImageNotFoundError(NotFoundError):
    """The image is not in the catalog; carries what the ledger knows about the object instead."""

    def __init__(self, ref: ObjectRef, known: ObjectState | None) -> None:
        super().__init__(f"{ref} is not in the catalog: {_explain(known)}")
        self.state = _state(known)
        self.reason = known.reason if known is not None and self.state in ("quarantined", "given-up") else None


def image(engine: Engine, ref: ObjectRef) -> ImageRecord:
    """One image with its tags.

    Raises:
        ImageNotFoundError: says what the ledger knows about the object instead.
    """
    with snapshot(engine) as connection:
        found = catalog.read.image(connection, ref)
        if found is not None:
            return found
        raise not_found(connection, ref)


def not_found(connection: Connection, ref: ObjectRef) -> ImageNotFoundError:
    """The error for an image that is not in the catalog, with what the ledger knows about the object."""
    return ImageNotFoundError(ref, ledger.totals.object_state(connection, ref))


def content(engine: Engine, ref: ObjectRef) -> Content:
    """Which bytes the catalog describes for an image.

    Raises:
        ImageNotFoundError: as for ``image``.
    """
    with snapshot(engine) as connection:
        found = catalog.read.content(connection, ref)
        if found is not None:
            return found
        raise not_found(connection, ref)


def _state(known: ObjectState | None) -> State:
    if known is None:
        return "unknown"
    if known.pending:
        return "pending"
    return "given-up" if known.given_up else _FINISHED.get(known.outcome or "", "unknown")


def _explain(known: ObjectState | None) -> str:
    if known is None:
        return _UNKNOWN
    if known.pending:
        failed = f" after {known.attempts} attempts; last error: {known.last_error}"
        return f"it is pending{failed if known.last_error else ''}"
    if known.outcome == "quarantined":
        return f"it is in quarantine: {known.reason}: {known.message}"
    if known.given_up:
        return (
            f"it was given up: {known.reason}: {known.message}; `enrich quarantine retry` retries it, "
            "and so does uploading new bytes"
        )
    return _SENTENCES.get(known.outcome or "", "it was removed; run `enrich backfill` on its bucket")
