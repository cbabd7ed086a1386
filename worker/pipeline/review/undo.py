"""The use case: take decisions back, one by one or a whole batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID, uuid4

from worker import catalog
from worker.catalog.decisions import Chosen, Decision, NewDecision, Verdict
from worker.db import Engine, again, transaction
from worker.errors import ChoiceError, NotFoundError
from worker.pipeline.review.decide import MOST
from worker.pipeline.review.texts import LONGEST_REASON, require_fit
from worker.types import ObjectRef


@dataclass(frozen=True, kw_only=True, slots=True)
class Undone:
    """What an undo did."""

    batch: UUID  # of the undo itself
    undone: int
    already: int  # of the decisions named, those that were undone before


def undo_batch(engine: Engine, batch: UUID, *, reviewer: str, reason: str | None = None) -> Undone:
    """Take back every decision of a batch, in transactions of ``MOST``. May be repeated if it was interrupted.

    Raises:
        NotFoundError: there is no such batch.
        ChoiceError: it is itself an undo.
    """
    own, undone, already = uuid4(), 0, 0
    after = 0
    while True:
        part = _part(engine, batch, after)
        if not part:
            break
        done = _undo(engine, part, own, reviewer, reason)
        undone, already, after = undone + done, already + len(part) - done, part[-1]
    if not undone + already:
        raise NotFoundError(f"there is no batch {batch}; `enrich decisions list` shows the newest")
    return Undone(batch=own, undone=undone, already=already)


def undo_some(engine: Engine, ids: Sequence[int], *, reviewer: str, reason: str | None = None) -> Undone:
    """Take back decisions by their numbers, in one transaction.

    Raises:
        NotFoundError: one of them does not exist.
        ChoiceError: too many, or one of them is itself an undo.
    """
    if len(ids) > MOST:
        raise ChoiceError(f"{len(ids):,} decisions at once; at most {MOST:,} are taken: send them in parts")
    own = uuid4()
    undone = _undo(engine, list(dict.fromkeys(ids)), own, reviewer, reason)
    return Undone(batch=own, undone=undone, already=len(set(ids)) - undone)


def _part(engine: Engine, batch: UUID, after: int) -> list[int]:
    with transaction(engine) as connection:
        return catalog.decisions.ids_of_batch(connection, batch, after=after, limit=MOST)


def _undo(engine: Engine, ids: Sequence[int], batch: UUID, reviewer: str, reason: str | None) -> int:
    if not reviewer.strip():
        raise ChoiceError("say who takes them back: reviewer is empty")
    require_fit("reviewer", reviewer)
    require_fit("reason", reason, longest=LONGEST_REASON)

    def transact() -> int:
        with transaction(engine) as connection:
            catalog.decisions.lock(connection, {_ref(each) for each in catalog.decisions.by_id(connection, ids)})
            found = catalog.decisions.by_id(connection, ids)
            _refuse(ids, found)
            standing = [each for each in found if each.undone_by is None]
            new = [_undoing(each, reviewer, reason) for each in standing]
            return len(catalog.decisions.record(connection, batch, new))  # less what was undone at the same time

    return again(transact)


def _refuse(ids: Sequence[int], found: Sequence[Decision]) -> None:
    missing = sorted(set(ids) - {each.id for each in found})
    if missing:
        raise NotFoundError(f"there is no decision {missing[0]}; `enrich decisions list` shows the newest")
    undo = next((each for each in found if each.verdict is Verdict.UNDO), None)
    if undo is not None:
        raise ChoiceError(f"decision {undo.id} is itself an undo: decide again instead, as decision {undo.undoes} did")


def _undoing(decision: Decision, reviewer: str, reason: str | None) -> NewDecision:
    return NewDecision(
        ref=_ref(decision),
        sha256=decision.sha256,
        taxonomy=decision.taxonomy,
        taxonomy_version=decision.taxonomy_version,
        verdict=Verdict.UNDO,
        label=decision.label,
        adds=(),
        removes=(),
        answers=False,
        reviewer=reviewer.strip(),
        reason=reason,
        chosen=Chosen.DIRECT,
        undoes=decision.id,
    )


def _ref(decision: Decision) -> ObjectRef:
    return ObjectRef(bucket=decision.bucket, key=decision.key)
