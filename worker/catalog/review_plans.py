"""Review plans: which images people review, fixed when the plan is made, and what they have decided since."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import Any, Literal, TypeAlias

from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from worker.db import Connection
from worker.types import ObjectRef

#: open: not decided yet; right, wrong: of the label that was asked about; unsure: the person cannot tell; changed:
#: the key has other bytes now; gone: the image left the catalog.
ItemState: TypeAlias = Literal["open", "right", "wrong", "unsure", "changed", "gone"]

_COLUMNS = """
    p.id, p.queue, p.taxonomy, p.label, p.query, p.space_id AS space, p.taxonomy_version, p.scoring, p.target, p.delta,
    p.looks, p.population, p.exact, p.drawn, p.frame_size, p.cluster_rule, p.seed, p.reviewer, p.created_at,
    p.closed_at, p.closed_by, p.closed_because
"""
_INSERT = text("""
    INSERT INTO review_plans (queue, taxonomy, label, query, space_id, taxonomy_version, scoring, target, delta, looks,
                              population, exact, drawn, frame_size, cluster_rule, seed, reviewer)
    VALUES (:queue, :taxonomy, :label, :query, :space, :taxonomy_version, :scoring, :target, :delta, :looks,
            :population, :exact, :drawn, :frame_size, :cluster_rule, :seed, :reviewer)
    RETURNING id
""")
_ITEMS = text("""
    INSERT INTO review_items (plan, place, bucket, key, sha256, label, probability, given, inclusion_probability, alike,
                              why)
    SELECT :plan, n.place, n.bucket, n.key, decode(n.sha256, 'hex'), n.label, n.probability, n.given,
           n.inclusion_probability, n.alike, n.why
    FROM jsonb_to_recordset(CAST(:items AS jsonb)) AS n (
        place integer, bucket text, key text, sha256 text, label text, probability real, given boolean,
        inclusion_probability real, alike integer, why text)
""")
_PLAN = text(f"SELECT {_COLUMNS} FROM review_plans p WHERE p.id = :id")  # noqa: S608  # constants
_PLANS = text(f"""
    SELECT {_COLUMNS} FROM review_plans p
    WHERE (cardinality(CAST(:taxonomies AS text[])) = 0 OR p.taxonomy = ANY(CAST(:taxonomies AS text[])))
      AND (NOT :open OR p.closed_at IS NULL)
      AND (CAST(:before AS bigint) IS NULL OR p.id < :before)
    ORDER BY p.id DESC LIMIT :limit
""")  # noqa: S608
_OPEN_ONE = text(f"""
    SELECT {_COLUMNS} FROM review_plans p
    WHERE p.queue = 'random' AND p.closed_at IS NULL AND p.space_id = :space AND p.taxonomy = :taxonomy
      AND coalesce(p.scoring, p.taxonomy_version) IN (:scoring, :version) AND p.label IS NOT DISTINCT FROM :label
    ORDER BY p.id DESC LIMIT 1
""")  # noqa: S608
_CLOSE = text("""
    UPDATE review_plans SET closed_at = now(), closed_by = :by, closed_because = :because
    WHERE id = :id AND closed_at IS NULL
""")
# What stands counts: undone decisions do not. A decision that the person corrects directly later counts as corrected.
_STANDING = """
    SELECT d.id, d.verdict, d.label, d.reviewer FROM decisions d
    WHERE d.bucket = r.bucket AND d.key = r.key AND d.sha256 = r.sha256 AND d.taxonomy = p.taxonomy
      AND d.verdict <> 'undo' AND (d.answers OR d.label = r.label) AND NOT EXISTS (
          SELECT FROM decisions u WHERE u.undoes = d.id)
"""
# In this plan; the fence has each found by the index on the object's name.
_DECISION = f"""
    LEFT JOIN LATERAL ({_STANDING} AND d.plan = p.id ORDER BY d.id DESC LIMIT 1) AS own ON true
    LEFT JOIN LATERAL ({_STANDING} AND own.id IS NOT NULL AND d.id >= own.id AND (d.plan = p.id OR d.chosen = 'direct')
                       ORDER BY d.id DESC LIMIT 1) AS d ON d.verdict <> 'withdraw'
"""
_STATE = """
    CASE WHEN i.id IS NULL THEN 'gone' WHEN i.sha256 <> r.sha256 THEN 'changed' WHEN d.id IS NULL THEN 'open'
         WHEN d.verdict = 'unsure' THEN 'unsure' WHEN d.verdict = 'accept' AND d.label = r.label THEN 'right'
         ELSE 'wrong' END
"""
_FROM = f"""
    FROM review_plans p JOIN review_items r ON r.plan = p.id
    LEFT JOIN images i ON i.bucket = r.bucket AND i.key = r.key
    {_DECISION} WHERE p.id = ANY(CAST(:plans AS bigint[]))
"""
_REVIEWED = text(f"""
    SELECT r.plan, r.place, r.bucket, r.key, encode(r.sha256, 'hex') AS sha256, r.label, r.probability, r.given,
           r.inclusion_probability, r.alike, r.why, i.id AS image, {_STATE} AS state, d.id AS decision, d.reviewer,
           CASE WHEN r.held_until > now() THEN r.held_by END AS held_by
    {_FROM} ORDER BY r.plan, r.place
""")
_STATES = text(f"SELECT r.plan, r.place, {_STATE} AS state {_FROM} ORDER BY r.plan, r.place")
# Two who ask at once get different items.
_LEND = text("""
    UPDATE review_items r SET held_by = :by, held_until = now() + CAST(:seconds AS integer) * interval '1 second'
    WHERE r.plan = :plan AND r.place = ANY(ARRAY(
        SELECT o.place FROM review_items o
        WHERE o.plan = :plan AND o.place = ANY(CAST(:places AS integer[]))
          AND (o.held_by = :by OR coalesce(o.held_until <= now(), true))
        ORDER BY o.place LIMIT :limit FOR UPDATE SKIP LOCKED))
    RETURNING r.place
""")
_RELEASE = text("""
    UPDATE review_items SET held_by = NULL, held_until = NULL
    WHERE plan = :plan AND held_by = :by AND place = ANY(CAST(:places AS integer[]))
""")
_COUNT_OPEN = text("SELECT count(*) FROM review_plans WHERE closed_at IS NULL")


@dataclass(frozen=True, kw_only=True, slots=True)
class NewPlan:
    """A plan to keep."""

    queue: str
    taxonomy: str
    label: str | None
    query: str | None
    space: int
    taxonomy_version: str
    scoring: str | None  # ``Taxonomy.scoring``, of which the plan proves something; None: made by an older release
    target: float | None  # precision to prove; None: the items are a list of work, and prove nothing
    delta: float | None  # error probability that all looks share
    looks: tuple[int, ...]
    population: int  # images that the frame was drawn from
    exact: bool  # whether that was counted, not estimated
    drawn: int  # images drawn before near-duplicates were collapsed
    frame_size: int
    cluster_rule: str | None
    seed: int
    reviewer: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan(NewPlan):
    """A plan."""

    id: int
    created_at: datetime
    closed_at: datetime | None
    closed_by: str | None
    closed_because: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class NewItem:
    """An image of the frame."""

    ref: ObjectRef
    sha256: str  # hex
    label: str  # that is asked about
    probability: float | None
    given: bool  # whether the model gave the label
    inclusion_probability: float | None
    alike: int  # drawn images that are near-duplicates, itself included
    why: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Item:
    """An image of a frame, and what became of it."""

    plan: int
    place: int  # from 0
    bucket: str
    key: str
    sha256: str
    label: str
    probability: float | None
    given: bool
    inclusion_probability: float | None
    alike: int
    why: str
    image: int | None  # None: not in the catalog
    state: ItemState
    decision: int | None
    reviewer: str | None  # who decided
    held_by: str | None  # who is being asked


def add(connection: Connection, plan: NewPlan, items: Sequence[NewItem]) -> int | None:
    """Keep a plan and its frame; None if a random plan about the same is open."""
    columns = asdict(plan) | {"looks": list(plan.looks)}
    try:
        with connection.begin_nested():
            number = int(connection.execute(_INSERT, columns).scalar_one())
    except IntegrityError as error:
        if "review_plans_open" in str(error.orig):
            return None
        raise
    connection.execute(_ITEMS, {"plan": number, "items": json.dumps([_row(*each) for each in enumerate(items)])})
    return number


def plan(connection: Connection, number: int) -> Plan | None:
    """One plan."""
    row = connection.execute(_PLAN, {"id": number}).one_or_none()
    return None if row is None else _plan(row)


def open_one(
    connection: Connection, *, space: int, taxonomy: str, version: str, scoring: str, label: str | None
) -> Plan | None:
    """The open random plan about a label, as it is scored now."""
    given = {"space": space, "taxonomy": taxonomy, "version": version, "scoring": scoring, "label": label}
    row = connection.execute(_OPEN_ONE, given).one_or_none()
    return None if row is None else _plan(row)


def plans(
    connection: Connection,
    *,
    taxonomies: Sequence[str] = (),
    only_open: bool = False,
    limit: int,
    before: int | None = None,
) -> list[Plan]:
    """Plans, newest first."""
    given = {"taxonomies": list(taxonomies), "open": only_open, "before": before, "limit": limit}
    return [_plan(row) for row in connection.execute(_PLANS, given)]


def close(connection: Connection, number: int, *, by: str, because: str | None) -> bool:
    """Close a plan; False if it was closed, or does not exist."""
    return bool(connection.execute(_CLOSE, {"id": number, "by": by, "because": because}).rowcount)


def items(connection: Connection, number: int) -> list[Item]:
    """The frame of a plan, in order."""
    return [Item(**row._mapping) for row in connection.execute(_REVIEWED, {"plans": [number]})]  # noqa: SLF001


def states(connection: Connection, numbers: Sequence[int]) -> dict[int, list[ItemState]]:
    """What became of the items of these plans, in order."""
    found: dict[int, list[ItemState]] = {number: [] for number in numbers}
    for row in connection.execute(_STATES, {"plans": list(numbers)}):
        found[row.plan].append(row.state)
    return found


def lend(connection: Connection, number: int, places: Sequence[int], *, by: str, limit: int, seconds: int) -> list[int]:
    """Reserve items for one reviewer for some time; those that others hold are left out.

    Returns:
        Their places, ascending.
    """
    given = {"plan": number, "places": list(places), "by": by, "limit": limit, "seconds": seconds}
    return sorted(connection.execute(_LEND, given).scalars())


def release(connection: Connection, number: int, places: Sequence[int], *, by: str) -> None:
    """Give items back that a reviewer holds."""
    connection.execute(_RELEASE, {"plan": number, "places": list(places), "by": by})


@dataclass(frozen=True, kw_only=True, slots=True)
class OpenReview:
    """A plan that is not closed."""

    plan: int
    queue: str
    taxonomy: str
    label: str | None
    items: int
    remaining: int


def open_reviews(connection: Connection, *, limit: int) -> tuple[list[OpenReview], int]:
    """Open plans, newest first, and how many there are."""
    found = plans(connection, only_open=True, limit=limit)
    became = states(connection, [each.id for each in found])
    reviews = [
        OpenReview(
            plan=each.id,
            queue=each.queue,
            taxonomy=each.taxonomy,
            label=each.label,
            items=each.frame_size,
            remaining=became[each.id].count("open"),
        )
        for each in found
    ]
    return reviews, int(connection.execute(_COUNT_OPEN).scalar_one())


def _row(place: int, item: NewItem) -> dict[str, Any]:
    values = {field.name: getattr(item, field.name) for field in fields(item) if field.name != "ref"}
    return {"place": place, "bucket": item.ref.bucket, "key": item.ref.key, **values}


def _plan(row: Any) -> Plan:
    return Plan(**{**row._mapping, "looks": tuple(row.looks)})  # noqa: SLF001  # Row's public mapping view
