"""Finds the images nearest to a vector in one space."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import text

from worker.catalog import decisions
from worker.catalog import search_statements as statements
from worker.catalog.decisions import DecidedTag
from worker.catalog.filter_conditions import Condition, Conditions, conditions
from worker.catalog.image_filter import EVERY_IMAGE, ImageFilter, TagFilter
from worker.catalog.in_force import applied
from worker.catalog.spaces import Space
from worker.catalog.write import literal
from worker.db import Connection
from worker.types import Floats, ObjectRef

_ITERATE = text(
    "SELECT set_config('hnsw.iterative_scan', 'strict_order', true), set_config('hnsw.ef_search', :ef, true)"
)
# In relaxed order nothing is dropped because something farther came before it; what comes is sorted here.
_FOLLOW = text("""
    SELECT set_config('hnsw.iterative_scan', 'relaxed_order', true), set_config('hnsw.ef_search', :ef, true),
           set_config('hnsw.max_scan_tuples', :most, true), set_config('hnsw.scan_mem_multiplier', '8', true)
""")
_MINIMUM_EF, _MAXIMUM_EF = 40, 1_000

# Up to this many images that pass are compared one by one: 1 to 4 microseconds each.
_FEW = 10_000
# More are looked for around the query first: among so many images that there would be enough if they lay evenly.
_LEAST_AROUND, _MOST_AROUND = 800, 2_000
_SAMPLED = 2_000  # images by which it is estimated how many pass what is no tag
_SPARE = 20  # that pass beyond those wanted: the last ones that an index scan gives are not reliably the nearest
# Where they do not lie there, all are compared, unless there are so many that it takes longer than about a second.
_MANY = 1_000_000
# Then the scan is led: to where the nearest of a sample lie.
_DRAWS, _IN_A_ROW = 512, 8
_SEEDS = 16
_PULL = 2.0
_ROUNDS = 2
_ROUND, _LAST_OF_ROUND = 400, 2_000  # images that pass, and images visited

_AT_MOST = text(f"""
    SELECT count(*) FROM (
        SELECT FROM tags f WHERE taxonomy = :taxonomy AND label = :label AND {applied("f")} LIMIT :most
    ) AS candidates
""")  # noqa: S608  # made of this package's texts
# One by one: the planner takes taxonomy and label for independent, which they are not at all.
_PLANNED = (
    text(f"EXPLAIN (FORMAT JSON) SELECT FROM tags f WHERE taxonomy = :taxonomy AND {applied('f')}"),
    text(f"EXPLAIN (FORMAT JSON) SELECT FROM tags f WHERE label = :label AND {applied('f')}"),
)
_HAS_FEW = """
    SELECT CASE WHEN c.reltuples > 2 * :few THEN false
                ELSE (SELECT count(*) FROM (SELECT FROM embeddings_{space} LIMIT :few + 1) AS counted) <= :few END
    FROM pg_class c WHERE c.oid = to_regclass('embeddings_{space}')
"""
_ROWS = text("SELECT reltuples FROM pg_class WHERE oid = to_regclass(:name)")


@dataclass(frozen=True, kw_only=True, slots=True)
class Hit:
    """One result of a search."""

    image_id: int
    bucket: str
    key: str
    sha256: str  # hex digest of the file's bytes
    phash: int  # 64-bit perceptual hash, as a signed integer
    similarity: float  # cosine, -1..1
    tags: dict[str, str | list[str]]  # taxonomy → label; a list where the taxonomy can give several
    decided: tuple[DecidedTag, ...]  # what people accepted and rejected, of the present bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class Nearest:
    """The answer of a search, and how reliable it is."""

    hits: list[Hit]
    exact: bool  # every image that passes the filter was compared
    complete: bool  # no limit ended the search: False if nearer images may have been left out because of one


def nearest(
    connection: Connection,
    space: Space,
    vector: Floats,
    *,
    limit: int,
    tags: Sequence[TagFilter] = (),
    filter_: ImageFilter = EVERY_IMAGE,
    exact: bool = False,
) -> Nearest:
    """The images whose vectors are closest to ``vector`` ([d], unit length) in ``space``, best first.

    All of ``tags`` must hold, and all of the filter. Tags are those of the ``image_tags`` view: the active space's, and
    people's.

    Args:
        connection: a transaction; it is left with settings for index scans.
        space: where to search.
        vector: what to be near to.
        limit: most hits.
        tags: only images with these tags.
        filter_: only images that match it; its names are resolved. Plain tags in it are as quick as ``tags``.
        exact: compare every image that passes, however many there are and however long that takes.
    """
    search = _filtered(connection, space, vector, limit, tags=tags, filter_=filter_)
    if exact:
        return search.compare_all()
    if search.tags or search.others:
        return search.answer()
    iterate(connection, limit)
    hits = _hits(connection, by_index(space), search.parameters())
    # Fewer than asked for: there are no more, or the index gave up among rows that are deleted.
    return Nearest(hits=hits, exact=False, complete=True) if len(hits) == limit else search.compare_all()


def nearest_among(
    connection: Connection,
    space: Space,
    vector: Floats,
    images: Sequence[int],
    *,
    limit: int,
    tags: Sequence[TagFilter] = (),
    filter_: ImageFilter = EVERY_IMAGE,
) -> list[Hit]:
    """Those of ``images`` that match now, nearest to ``vector`` ([d], unit length) first; arguments as ``nearest``."""
    search = _filtered(connection, space, vector, limit, tags=tags, filter_=filter_)
    parameters = search.parameters() | {"images": "{" + ",".join(map(str, images)) + "}"}
    return _hits(connection, statements.described(statements.among(space, search.checks())), parameters)


def has_few(connection: Connection, space: Space) -> bool:
    """Whether a space has so few images that comparing all of them takes some hundredths of a second at most."""
    query = text(_HAS_FEW.format(space=int(space.id)))
    return bool(connection.execute(query, {"few": _FEW}).scalar_one_or_none())


def iterate(connection: Connection, limit: int) -> None:
    """Make index scans in this transaction continue until ``limit`` rows have passed their filter."""
    ef = min(max(limit, _MINIMUM_EF), _MAXIMUM_EF)
    connection.execute(_ITERATE, {"ef": str(ef)})


def by_index(space: Space) -> str:
    """The query of a search without a filter."""
    return statements.described(
        f"SELECT e.image_id, -{statements.distance(space)} AS similarity FROM embeddings_{space.id} e"  # noqa: S608  # integers
        f" ORDER BY {statements.distance(space)} LIMIT :limit"
    )


def _filtered(
    connection: Connection, space: Space, vector: Floats, limit: int, *, tags: Sequence[TagFilter], filter_: ImageFilter
) -> _Filtered:
    """Plain tags have ways of their own; everything else is one more condition."""
    plain = () if filter_.source is not None else tuple(tag for tag in filter_.tags if tag.is_plain)
    rest = replace(filter_, tags=tuple(tag for tag in filter_.tags if tag not in plain))
    return _Filtered(
        connection=connection,
        space=space,
        vector=vector,
        limit=limit,
        tags=(*tags, *plain),
        others=None if rest.is_empty else conditions(rest),
    )


@dataclass(kw_only=True)
class _Filtered:
    """One search among images with certain tags, and other properties."""

    connection: Connection
    space: Space
    vector: Floats
    limit: int
    tags: tuple[TagFilter, ...]
    others: Conditions | None  # beside the tags
    _found: dict[int, float] = field(default_factory=dict)  # image → similarity, of all that passed so far

    def answer(self) -> Nearest:
        """Search in the cheapest way that finds all there is."""
        if any(self._is_rare(tag) for tag in self.tags) or self._is_rare_otherwise():
            return self.compare_all()
        rarest = min([*map(self._estimate, self.tags), *self._estimate_otherwise()])
        if self._look_around(rarest):
            return Nearest(hits=self._described_best(), exact=False, complete=True)
        if rarest <= _MANY:
            return self.compare_all()
        if self.tags:
            self._lead()
        return Nearest(hits=self._described_best(), exact=False, complete=False)

    def compare_all(self) -> Nearest:
        """Compare all images that pass the filter."""
        query = statements.described(statements.exact(self.space, self._passing()))
        return Nearest(hits=_hits(self.connection, query, self.parameters()), exact=True, complete=True)

    def parameters(self) -> dict[str, Any]:
        """Parameters of the statements below."""
        parameters: dict[str, Any] = {"vector": literal(self.vector), "limit": self.limit}
        for number, tag in enumerate(self.tags):
            parameters |= {f"taxonomy{number}": tag.taxonomy, f"label{number}": tag.label}
        return parameters | dict(self.others.parameters if self.others is not None else {})

    def checks(self, first: int = 0) -> str:
        """Conditions on a row ``e`` of embeddings: of the tags from the ``first`` on, and of everything else."""
        return statements.checks(range(first, len(self.tags))) + self._check_otherwise()

    def _check_otherwise(self) -> str:
        if self.others is None:
            return ""
        return f" AND EXISTS (SELECT FROM images i WHERE i.id = e.image_id AND {self.others.check} OFFSET 0)"

    def _passing(self) -> list[str]:
        """Queries for the images that pass, each by one condition; those that pass all are meant."""
        found = [statements.PASSING.format(number) for number in range(len(self.tags))]
        if self.others is None:
            return found
        driver = next((each for each in self.others.members if self._is_few(each)), None)
        among = "" if driver is None else f"i.id = ANY(ARRAY({driver.ids})) AND "
        return [*found, f"SELECT i.id FROM images i WHERE {among}{self.others.check}"]  # noqa: S608

    def _is_rare(self, tag: TagFilter) -> bool:
        candidates = {"taxonomy": tag.taxonomy, "label": tag.label, "most": _FEW + 1}
        return bool(self.connection.execute(_AT_MOST, candidates).scalar_one() <= _FEW)

    def _is_rare_otherwise(self) -> bool:
        return self.others is not None and any(map(self._is_few, self.others.members))

    def _is_few(self, condition: Condition) -> bool:
        """Whether what passes a condition is known to be little enough to be compared one by one."""
        if condition.rows is None:
            return False
        query = f"SELECT count(*) FROM ({condition.rows} LIMIT {_FEW + 1}) AS rows"  # noqa: S608
        return bool(self.connection.execute(text(query), self.parameters()).scalar_one() <= _FEW)

    def _estimate_otherwise(self) -> list[float]:
        """How many images pass what is no tag, by the share of a sample that does."""
        if self.others is None:
            return []
        rows = max(float(self.connection.execute(_ROWS, {"name": "images"}).scalar_one()), 1.0)
        share = min(1.0, _SAMPLED / rows)
        sample = f"TABLESAMPLE SYSTEM ({100 * share:.6f}) REPEATABLE (0)" if share < 1 else ""
        query = f"""
            SELECT count(*) AS images, count(*) FILTER (WHERE {self.others.check}) AS passing FROM images i {sample}
        """  # noqa: S608
        found = self.connection.execute(text(query), self.parameters()).one()
        return [rows * max(found.passing, 0.5) / max(found.images, 1)]

    def _estimate(self, tag: TagFilter) -> float:
        """The planner's upper estimate of how many images have a tag, provided that it is not rare."""
        plans = (
            self.connection.execute(each, {"taxonomy": tag.taxonomy, "label": tag.label}).scalar_one()
            for each in _PLANNED
        )
        return float(max(min(plan[0]["Plan"]["Plan Rows"] for plan in plans), _FEW))

    def _look_around(self, rarest: float) -> bool:
        """Check the images nearest to the query. Returns whether enough of them pass.

        What passes is checked behind the scan: so the scan is as long as it is, wherever that lies.
        """
        enough = self.limit + max(_SPARE, self.limit // 2)
        images = max(float(self.connection.execute(_ROWS, {"name": f"embeddings_{self.space.id}"}).scalar_one()), 1.0)
        around = int(1.5 * enough * max(images / rarest, 1.0))
        around = min(max(around, _LEAST_AROUND), max(_MOST_AROUND, 4 * self.limit))
        self._follow(ef=around, most=20_000)
        query = statements.around(self.space, self.checks())
        return self._note(query, {"towards": literal(self.vector), "around": around}) >= enough

    def _lead(self) -> None:
        """Search between the query and the nearest of a sample; then once more, bounded by what that found."""
        import numpy as np

        self._note(
            statements.sampled(self.space, self.checks(first=1)), {"draws": _DRAWS, "run": _IN_A_ROW, "limit": _SEEDS}
        )
        wanted = max(_ROUND, 2 * self.limit)
        for _ in range(_ROUNDS):
            mean = self._mean(self._best(_SEEDS))
            if mean is None:
                return
            towards = self.vector + _PULL * mean / np.linalg.norm(mean)
            self._follow(ef=wanted, most=_LAST_OF_ROUND + wanted)
            parameters = {"towards": literal(towards / np.linalg.norm(towards)), "limit": wanted}
            self._note(statements.followed(self.space, self.checks()), parameters)

    def _follow(self, *, ef: int, most: int) -> None:
        self.connection.execute(_FOLLOW, {"ef": str(min(ef, _MAXIMUM_EF)), "most": str(most)})

    def _note(self, query: str, parameters: Mapping[str, object]) -> int:
        """Keep what a statement finds. Returns how many images."""
        rows = self.connection.execute(text(query), {**self.parameters(), **parameters}).all()
        self._found.update((row.image_id, row.similarity) for row in rows)
        return len(rows)

    def _mean(self, images: list[int]) -> Floats | None:
        import numpy as np

        query = f"SELECT CAST(avg(vector) AS text) FROM embeddings_{self.space.id} WHERE image_id = ANY(:ids)"  # noqa: S608
        mean = self.connection.execute(text(query), {"ids": images}).scalar_one() if images else None
        return None if mean is None else np.array(json.loads(mean), dtype=np.float32)

    def _best(self, count: int) -> list[int]:
        return sorted(self._found, key=lambda image: (-self._found[image], image))[:count]

    def _described_best(self) -> list[Hit]:
        best = self._best(self.limit)
        given = "SELECT * FROM unnest(CAST(:ids AS bigint[]), CAST(:found AS float8[])) AS g (image_id, similarity)"
        parameters = {"ids": best, "found": [self._found[image] for image in best]}
        return _hits(self.connection, statements.described(given), parameters)


def _hits(connection: Connection, query: str, parameters: Mapping[str, object]) -> list[Hit]:
    rows = connection.execute(text(query), parameters).all()
    decided = decisions.decided(connection, [ObjectRef(bucket=r.bucket, key=r.key) for r in rows])
    return [
        Hit(
            image_id=r.image_id,
            bucket=r.bucket,
            key=r.key,
            sha256=r.sha256,
            phash=r.phash,
            similarity=r.similarity,
            tags=r.tags,
            decided=tuple(each for each in decided[ObjectRef(bucket=r.bucket, key=r.key)] if each.current),
        )
        for r in rows
    ]
