"""What is stored about the labels of a taxonomy: review plans, proofs in force, and what has expired."""

from __future__ import annotations

from worker import catalog
from worker.catalog.certificates import Certificate
from worker.catalog.review_plans import Plan
from worker.catalog.spaces import Space
from worker.db import Connection
from worker.pipeline.evaluation.pools import PlanProgress
from worker.pipeline.review.subject import Subject
from worker.tagging import Taxonomy

_MOST_PLANS = 1_000  # about one taxonomy


def plans(connection: Connection, asked: Subject) -> list[PlanProgress]:
    """Random plans about images as they are scored now, oldest first."""
    found = catalog.review_plans.plans(connection, taxonomies=[asked.taxonomy.name], limit=_MOST_PLANS)
    current = [each for each in reversed(found) if each.queue == "random" and _is_current(each, asked)]
    return [_progress(connection, each) for each in current]


def _is_current(plan: Plan, asked: Subject) -> bool:
    if plan.space != asked.space.id:
        return False
    if plan.scoring is None:  # made by an older release
        return plan.taxonomy_version == asked.taxonomy.version
    return plan.scoring == asked.scoring


def _progress(connection: Connection, plan: Plan) -> PlanProgress:
    items = catalog.review_plans.items(connection, plan.id)
    first_open = next((each.place for each in items if each.state == "open"), len(items))
    queued: dict[str, int] = {}
    for each in items if plan.closed_at is None else ():
        if each.state == "open":
            queued[each.label] = queued.get(each.label, 0) + 1
    looks = tuple(size for size in plan.looks if size <= first_open)
    return PlanProgress(id=plan.id, label=plan.label, looks=looks, queued=queued)


def proofs(connection: Connection, taxonomy: Taxonomy, space: Space) -> dict[str, Certificate]:
    """Label → the certificate in force about it, or about all labels together."""
    own = taxonomy.learned_in(space.id)
    if own is None:
        return {}
    certificates = catalog.certificates.by_id(connection, {each.certificate for each in own.proofs.values()})
    return {
        label: certificates[proof.certificate]
        for label, proof in own.proofs.items()
        if proof.certificate in certificates
    }


def expired(connection: Connection, asked: Subject) -> dict[str | None, int]:
    """Label → the decision from which on the collection was another."""
    return catalog.certificates.last_expired(
        connection, space=asked.space.id, taxonomy=asked.taxonomy.name, scoring=asked.scoring
    )


def learned_from(connection: Connection, head: int) -> int:
    """The last decision that a head was fitted to."""
    found = catalog.heads.by_id(connection, head)
    return found.last_decision if found else 0
