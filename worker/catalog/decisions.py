"""People's decisions about images: recorded once, never changed, and projected onto ``tags`` by the database."""

from __future__ import annotations

import enum
import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import text

from worker.catalog.in_force import in_force
from worker.db import Connection, storable
from worker.errors import ChoiceError
from worker.types import ObjectRef


class Verdict(enum.StrEnum):
    """What a person decided. The words are an interface: clients, exports and SQL use them."""

    ACCEPT = "accept"  # the label holds
    REJECT = "reject"  # the label does not hold, whatever a model says
    REPLACE = "replace"  # another label than the one shown holds
    NONE = "none"  # none of the taxonomy's labels holds
    UNSURE = "unsure"  # the person cannot tell: nothing is decided, and nothing decided before stands
    WITHDRAW = "withdraw"  # the decision before no longer stands
    UNDO = "undo"  # one decision is void, as if it had not been made


class Chosen(enum.StrEnum):
    """How an image came to be reviewed. Only random draws may judge a model; the words are an interface."""

    DIRECT = "direct"  # a person picked the image
    RANDOM = "random"  # drawn at random among the images with the label
    UNCERTAIN = "uncertain"
    DISAGREEMENT = "disagreement"
    SEARCH = "search"
    LABEL_ERROR = "label-error"
    BULK = "bulk"  # many at once by a filter, not looked at one by one
    IMPORT = "import"
    SQL = "sql"


#: The ways in which a review chooses.
_REVIEWS = frozenset({Chosen.RANDOM, Chosen.UNCERTAIN, Chosen.DISAGREEMENT, Chosen.SEARCH, Chosen.LABEL_ERROR})


@dataclass(frozen=True, kw_only=True, slots=True)
class NewDecision:
    """A decision to record."""

    ref: ObjectRef
    sha256: str | None  # hex; of the bytes that were seen; None: of those that the image has
    taxonomy: str
    taxonomy_version: str
    verdict: Verdict
    label: str | None
    adds: tuple[str, ...]  # labels that hold by it
    removes: tuple[str, ...]  # labels that do not
    answers: bool  # whether it answers the whole taxonomy, instead of one label of several
    reviewer: str
    reason: str | None = None
    chosen: Chosen = Chosen.DIRECT
    inclusion_probability: float | None = None  # with what probability the image was drawn
    plan: int | None = None
    shown_label: str | None = None
    shown_version: str | None = None
    shown_space: int | None = None
    undoes: int | None = None
    at: datetime | None = None  # aware; None: now


@dataclass(frozen=True, kw_only=True, slots=True)
class Decision:
    """A recorded decision."""

    id: int
    batch: UUID
    bucket: str
    key: str
    sha256: str | None  # hex; None: recorded by a release that did not note it
    taxonomy: str
    taxonomy_version: str
    verdict: Verdict
    label: str | None
    adds: tuple[str, ...]
    removes: tuple[str, ...]
    answers: bool
    shown_label: str | None
    shown_version: str | None
    shown_space: int | None
    reviewer: str
    reason: str | None
    chosen: str
    inclusion_probability: float | None
    plan: int | None
    undoes: int | None
    undone_by: int | None
    at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class DecidedTag:
    """What is in force of people's decisions about one label of one version of an object's bytes."""

    taxonomy: str
    label: str | None  # None: none of these
    rejected: bool
    whole: bool  # it is, or belongs to, the answer to the whole taxonomy
    taxonomy_version: str
    decided_at: datetime
    decision: int
    reviewer: str
    sha256: str | None
    current: bool  # whether the key has these bytes now


@dataclass(frozen=True, kw_only=True, slots=True)
class CurrentBytes:
    """An image in the catalog, locked until the transaction ends."""

    id: int
    sha256: str  # hex


@dataclass(frozen=True, kw_only=True, slots=True)
class CurrentAnswer:
    """What holds for one image in one taxonomy."""

    labels: tuple[str, ...]  # in force, sorted
    decision: int | None  # the newest one that stands about the bytes that the image has now
    verdict: str | None
    label: str | None
    adds: frozenset[str]
    removes: frozenset[str]
    reviewer: str | None
    plan: int | None
    chosen: str | None
    at: datetime | None

    def says(self, decision: NewDecision) -> bool:
        """Whether the newest decision is the same, by the same person in the same review."""
        return same(decision, self)


def same(one: NewDecision, other: NewDecision | CurrentAnswer) -> bool:
    """Whether ``one`` says the same as ``other``, by the same person; what a review asked about is said anew."""
    asked_anew = one.chosen in _REVIEWS and one.chosen != other.chosen
    return not asked_anew and (
        (one.verdict, one.label, set(one.adds), set(one.removes), one.reviewer, one.plan)
        == (other.verdict, other.label, set(other.adds), set(other.removes), other.reviewer, other.plan)
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class DecisionFilter:
    """Which decisions to list: they must match all that is given.

    Raises:
        ChoiceError: a key or prefix without a bucket.
    """

    bucket: str | None = None
    prefix: str | None = None  # of the key
    key: str | None = None
    taxonomies: tuple[str, ...] = ()  # one of these
    reviewer: str | None = None
    batch: UUID | None = None
    since: datetime | timedelta | None = None  # aware, or how long ago by the database's clock

    def __post_init__(self) -> None:
        if self.bucket is None and (self.prefix is not None or self.key is not None):
            raise ChoiceError("a key or prefix needs a bucket: name the bucket, too")


_LOCK = text("""
    SELECT i.id, i.bucket, i.key, encode(i.sha256, 'hex') AS sha256 FROM images i
    JOIN unnest(CAST(:buckets AS text[]), CAST(:keys AS text[])) AS r (bucket, key)
        ON i.bucket = r.bucket COLLATE "C" AND i.key = r.key COLLATE "C"
    ORDER BY i.bucket, i.key FOR NO KEY UPDATE OF i
""")
_ANSWERS = text(f"""
    SELECT r.id, r.taxonomy, array(
        SELECT t.label FROM tags t
        WHERE t.image_id = r.id AND t.taxonomy = r.taxonomy AND t.label IS NOT NULL AND {in_force("t")}
        ORDER BY t.label COLLATE "C") AS labels,
        d.id AS decision, d.verdict, d.label, d.adds, d.removes, d.reviewer, d.plan, d.chosen, d.at
    FROM unnest(CAST(:ids AS bigint[]), CAST(:taxonomies AS text[])) AS r (id, taxonomy)
    JOIN images i ON i.id = r.id
    LEFT JOIN LATERAL (
        SELECT d.id, d.verdict, d.label, d.adds, d.removes, d.reviewer, d.plan, d.chosen, d.at FROM decisions d
        WHERE d.bucket = i.bucket AND d.key = i.key AND d.sha256 = i.sha256 AND d.taxonomy = r.taxonomy
          AND d.verdict <> 'undo' AND NOT EXISTS (SELECT FROM decisions u WHERE u.undoes = d.id)
        ORDER BY d.id DESC LIMIT 1) AS d ON true
""")  # noqa: S608  # made of this package's texts
# Ids in the order of the list: a later decision of a batch replaces an earlier one.
_RECORD = text("""
    INSERT INTO decisions (batch, bucket, key, sha256, taxonomy, taxonomy_version, verdict, label, adds, removes,
                           answers, reviewer, reason, chosen, inclusion_probability, plan, shown_label, shown_version,
                           shown_space, undoes, at)
    SELECT CAST(:batch AS uuid), n.bucket, n.key, decode(n.sha256, 'hex'), n.taxonomy, n.taxonomy_version, n.verdict,
           n.label, n.adds, n.removes, n.answers, n.reviewer, n.reason, n.chosen, n.inclusion_probability, n.plan,
           n.shown_label, n.shown_version, n.shown_space, n.undoes, least(n.at, now())
    FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS n (
        place integer, bucket text, key text, sha256 text, taxonomy text, taxonomy_version text, verdict text,
        label text, adds text[], removes text[], answers boolean, reviewer text, reason text, chosen text,
        inclusion_probability real, plan bigint, shown_label text, shown_version text, shown_space integer,
        undoes bigint, at timestamptz)
    ORDER BY n.place ON CONFLICT (undoes) WHERE undoes IS NOT NULL DO NOTHING RETURNING id
""")
#: Of a decision ``d``, as :class:`Decision` has them.
COLUMNS = """
    d.id, d.batch, d.bucket, d.key, encode(d.sha256, 'hex') AS sha256, d.taxonomy, d.taxonomy_version, d.verdict,
    d.label, d.adds, d.removes, d.answers, d.shown_label, d.shown_version, d.shown_space, d.reviewer,
    d.reason, d.chosen, d.inclusion_probability, d.plan, d.undoes,
    (SELECT u.id FROM decisions u WHERE u.undoes = d.id) AS undone_by, d.at
"""
_DECIDED = text("""
    SELECT d.bucket, d.key, encode(d.sha256, 'hex') AS sha256, d.taxonomy, d.label, d.source = 'rejected' AS rejected,
           d.source = 'human' AS whole, d.version AS taxonomy_version, d.decided_at, d.decision, d.reviewer,
           coalesce(d.sha256 = i.sha256, false) AS current
    FROM decided_tags(CAST(:buckets AS text[]), CAST(:keys AS text[])) AS d
    LEFT JOIN images i ON i.bucket = d.bucket COLLATE "C" AND i.key = d.key COLLATE "C"
    ORDER BY d.decided_at DESC, d.taxonomy, d.label
""")
_IDS_OF_BATCH = text("""
    SELECT id FROM decisions WHERE batch = CAST(:batch AS uuid) AND id > :after ORDER BY id LIMIT :limit
""")
_PROJECT = text("SELECT project_decisions(CAST(:ids AS bigint[]))")
_COUNTS = text("""
    SELECT coalesce(sum(r.decisions), 0)::bigint AS decisions, count(*) AS reviewers, max(r.newest) AS newest
    FROM (SELECT count(*) AS decisions, max(at) AS newest FROM decisions GROUP BY reviewer) AS r
""")


def lock(connection: Connection, refs: Collection[ObjectRef]) -> dict[ObjectRef, CurrentBytes]:
    """Lock images, so that what is read about them next holds until the transaction ends; unknown ones are left out."""
    rows = connection.execute(_LOCK, _names(refs))
    return {ObjectRef(bucket=row.bucket, key=row.key): CurrentBytes(id=row.id, sha256=row.sha256) for row in rows.all()}


def answers(connection: Connection, pairs: Collection[tuple[int, str]]) -> dict[tuple[int, str], CurrentAnswer]:
    """What holds for each pair of an image and a taxonomy."""
    given = {"ids": [image for image, _ in pairs], "taxonomies": [taxonomy for _, taxonomy in pairs]}
    return {
        (row.id, row.taxonomy): CurrentAnswer(
            labels=tuple(row.labels),
            decision=row.decision,
            verdict=row.verdict,
            label=row.label,
            adds=frozenset(row.adds or ()),
            removes=frozenset(row.removes or ()),
            reviewer=row.reviewer,
            plan=row.plan,
            chosen=row.chosen,
            at=row.at,
        )
        for row in connection.execute(_ANSWERS, given)
    }


def record(connection: Connection, batch: UUID, decisions: Sequence[NewDecision]) -> list[int]:
    """Add decisions; tags and the change feed follow in the same transaction.

    Returns:
        Their ids, in this order, without undos of what another transaction has undone meanwhile.
    """
    if not decisions:
        return []
    rows = [_row(place, each) for place, each in enumerate(decisions)]
    return list(connection.execute(_RECORD, {"batch": str(batch), "rows": json.dumps(rows, default=str)}).scalars())


def page(connection: Connection, filter_: DecisionFilter, *, limit: int, after: int | None = None) -> list[Decision]:
    """Decisions, newest first, older than ``after``."""
    conditions = ["d.id < :after"] if after is not None else []
    conditions += list(conditions_of(filter_))
    where = " AND ".join(["true", *conditions])
    query = f"SELECT {COLUMNS} FROM decisions d WHERE {where} ORDER BY d.id DESC LIMIT :limit"  # noqa: S608
    return [
        decision(row) for row in connection.execute(text(query), {**values_of(filter_), "limit": limit, "after": after})
    ]


def by_id(connection: Connection, ids: Sequence[int]) -> list[Decision]:
    """These decisions, oldest first; unknown ids are left out."""
    query = f"SELECT {COLUMNS} FROM decisions d WHERE d.id = ANY(CAST(:ids AS bigint[])) ORDER BY d.id"  # noqa: S608
    return [decision(row) for row in connection.execute(text(query), {"ids": list(ids)})]


def of_batch(connection: Connection, batch: UUID, refs: Collection[ObjectRef]) -> list[Decision]:
    """The decisions of a batch about these objects, oldest first."""
    query = f"""
        SELECT {COLUMNS} FROM unnest(CAST(:buckets AS text[]), CAST(:keys AS text[])) AS r (bucket, key)
        CROSS JOIN LATERAL (
            SELECT * FROM decisions WHERE bucket = r.bucket COLLATE "C" AND key = r.key COLLATE "C" OFFSET 0) AS d
        WHERE d.batch = CAST(:batch AS uuid) ORDER BY d.id
    """  # noqa: S608
    return [decision(row) for row in connection.execute(text(query), {"batch": str(batch), **_names(refs)})]


def ids_of_batch(connection: Connection, batch: UUID, *, after: int, limit: int) -> list[int]:
    """The numbers of a batch's decisions above ``after``, ascending."""
    given = {"batch": str(batch), "after": after, "limit": limit}
    return list(connection.execute(_IDS_OF_BATCH, given).scalars())


def decided(connection: Connection, refs: Collection[ObjectRef]) -> dict[ObjectRef, list[DecidedTag]]:
    """What is in force of people's decisions about each version of these objects' bytes, newest first."""
    found: dict[ObjectRef, list[DecidedTag]] = {ref: [] for ref in refs}
    for row in connection.execute(_DECIDED, _names(refs)):
        columns = dict(row._mapping)  # noqa: SLF001  # Row's public mapping view
        ref = ObjectRef(bucket=columns.pop("bucket"), key=columns.pop("key"))
        found[ref].append(DecidedTag(**columns))
    return found


def project(connection: Connection, image_ids: Sequence[int]) -> None:
    """Put into force what people decided about exactly the bytes that these images have now."""
    connection.execute(_PROJECT, {"ids": list(image_ids)})


@dataclass(frozen=True, kw_only=True, slots=True)
class DecisionCounts:
    """How much people have decided."""

    decisions: int
    reviewers: int
    newest: datetime | None


def counts(connection: Connection) -> DecisionCounts:
    """Count all decisions."""
    row = connection.execute(_COUNTS).one()
    return DecisionCounts(decisions=row.decisions, reviewers=row.reviewers, newest=row.newest)


def _names(refs: Collection[ObjectRef]) -> dict[str, list[str]]:
    return {"buckets": [storable(ref.bucket) for ref in refs], "keys": [storable(ref.key) for ref in refs]}


def _storable(value: str | None) -> str | None:
    return None if value is None else storable(value)


def _row(place: int, decision: NewDecision) -> dict[str, Any]:
    values = {field.name: getattr(decision, field.name) for field in fields(decision) if field.name != "ref"}
    return {"place": place, "bucket": decision.ref.bucket, "key": decision.ref.key, **values}


def decision(row: Any) -> Decision:
    """A row with ``COLUMNS``."""
    columns = dict(row._mapping)  # noqa: SLF001  # Row's public mapping view
    lists = {"adds": tuple(columns["adds"]), "removes": tuple(columns["removes"])}
    return Decision(**{**columns, **lists, "verdict": Verdict(columns["verdict"])})


def conditions_of(filter_: DecisionFilter) -> Iterable[str]:
    """SQL about a decision ``d``; :func:`values_of` has the values."""
    if filter_.bucket is not None:
        yield "d.bucket = :bucket"
    if filter_.prefix is not None:
        yield "starts_with(d.key, :prefix)"
    if filter_.key is not None:
        yield "d.key = :key"
    if filter_.taxonomies:
        yield "d.taxonomy = ANY(:taxonomies)"
    if filter_.reviewer is not None:
        yield "d.reviewer = :reviewer"
    if filter_.batch is not None:
        yield "d.batch = CAST(:batch AS uuid)"
    if filter_.since is not None:
        yield "d.at >= now() - :since" if isinstance(filter_.since, timedelta) else "d.at >= :since"


def values_of(filter_: DecisionFilter) -> dict[str, Any]:
    """The values of its conditions."""
    return {
        "bucket": _storable(filter_.bucket),
        "prefix": _storable(filter_.prefix),
        "key": _storable(filter_.key),
        "taxonomies": [storable(each) for each in filter_.taxonomies],
        "reviewer": _storable(filter_.reviewer),
        "batch": str(filter_.batch) if filter_.batch else None,
        "since": filter_.since,
    }
