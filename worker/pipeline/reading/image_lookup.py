"""The use case: one image by its name, or what is known about the object instead."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeAlias

from worker import catalog, ledger
from worker.catalog.read import ImageRecord
from worker.db import Engine, snapshot
from worker.errors import NotFoundError
from worker.ledger.totals import ObjectState
from worker.types import ObjectRef

#: What is known about an object that is not in the catalog.
State: TypeAlias = Literal["unknown", "pending", "quarantined", "given-up", "excluded", "gone"]

_FINISHED: Mapping[str, State] = {"quarantined": "quarantined", "excluded": "excluded", "gone": "gone"}
_SENTENCES = {"gone": "the object was deleted", "excluded": "it is not an image"}
_UNKNOWN = (
    "nothing is known of it: no event named it, or the store had no such object; check the key, or run "
    "`enrich backfill` on its bucket"
)


class ImageNotFoundError(NotFoundError):
    """The catalog does not have an image; carries what the ledger knows about the object instead."""

    def __init__(self, ref: ObjectRef, standing: ObjectState | None) -> None:
        super().__init__(f"{ref} is not in the catalog: {_explain(standing)}")
        self.state = _state(standing)
        self.reason = standing.reason if standing is not None and self.state in ("quarantined", "given-up") else None


def image(engine: Engine, ref: ObjectRef) -> ImageRecord:
    """One image with its tags.

    Raises:
        ImageNotFoundError: says what the ledger knows about the object instead.
    """
    with snapshot(engine) as connection:
        found = catalog.read.image(connection, ref)
        if found is not None:
            return found
        standing = ledger.totals.object_state(connection, ref)
    raise ImageNotFoundError(ref, standing)


def _state(standing: ObjectState | None) -> State:
    if standing is None:
        return "unknown"
    if standing.pending:
        return "pending"
    return "given-up" if standing.given_up else _FINISHED.get(standing.outcome or "", "unknown")


def _explain(standing: ObjectState | None) -> str:
    if standing is None:
        return _UNKNOWN
    if standing.pending:
        failed = f" after {standing.attempts} attempts; last error: {standing.last_error}"
        return f"it is pending{failed if standing.last_error else ''}"
    if standing.outcome == "quarantined":
        return f"it is in quarantine: {standing.reason}: {standing.message}"
    if standing.given_up:
        return (
            f"it was given up: {standing.reason}: {standing.message}; `enrich quarantine retry` tries it again, "
            "and so do other bytes"
        )
    return _SENTENCES.get(standing.outcome or "", "it was removed; run `enrich backfill` on its bucket")
