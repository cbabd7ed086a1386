"""Finds the images nearest to a vector in one space."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from sqlalchemy import text

from worker.catalog.spaces import Space
from worker.catalog.write import literal
from worker.db import Connection
from worker.types import Floats

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
_SPARE = 20  # that pass beyond those wanted: the last ones that an index scan gives are not reliably the nearest
# Where they do not lie there, all are compared, unless there are so many that it takes longer than about a second.
_MANY = 1_000_000
# Then the scan is led: to where the nearest of a sample lie.
_DRAWS, _IN_A_ROW = 512, 8
_SEEDS = 16
_PULL = 2.0
_ROUNDS = 2
_ROUND, _LAST_OF_ROUND = 400, 2_000  # images that pass, and images visited

_AT_MOST = text("""
    SELECT count(*) FROM (
        SELECT FROM tags WHERE taxonomy = :taxonomy AND label = :label LIMIT :most
    ) AS candidates
""")
# One by one: the planner takes taxonomy and label for independent, which they are not at all.
_PLANNED = (
    text("EXPLAIN (FORMAT JSON) SELECT FROM tags WHERE taxonomy = :taxonomy"),
    text("EXPLAIN (FORMAT JSON) SELECT FROM tags WHERE label = :label"),
)
_ROWS = text("SELECT reltuples FROM pg_class WHERE oid = to_regclass(:name)")


@dataclass(frozen=True, kw_only=True, slots=True)
class TagFilter:
    """Only images to which this tag applies now."""

    taxonomy: str
    label: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Hit:
    """One result of a search."""

    bucket: str
    key: str
    similarity: float  # cosine, -1..1
    tags: dict[str, str | list[str]]  # taxonomy → label; a list where the taxonomy can give several


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
    exact: bool = False,
) -> Nearest:
    """The images whose vectors are closest to ``vector`` ([d], unit length) in ``space``, best first.

    All of ``tags`` must hold. Tags are those of the ``image_tags`` view: the active space's, and people's.

    Args:
        connection: a transaction; it is left with settings for index scans.
        space: where to search.
        vector: what to be near to.
        limit: most hits.
        tags: the filter.
        exact: compare every image that passes, however many there are and however long that takes.
    """
    search = _Filtered(connection=connection, space=space, vector=vector, limit=limit, tags=tuple(tags))
    if exact:
        return search.compare_all()
    if tags:
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
) -> list[Hit]:
    """Those of ``images`` to which all ``tags`` apply now, nearest to ``vector`` ([d], unit length) first."""
    search = _Filtered(connection=connection, space=space, vector=vector, limit=limit, tags=tuple(tags))
    parameters = search.parameters() | {"images": "{" + ",".join(map(str, images)) + "}"}
    return _hits(connection, _described(_among(space, len(tags))), parameters)


def iterate(connection: Connection, limit: int) -> None:
    """Make index scans in this transaction continue until ``limit`` rows have passed their filter."""
    ef = min(max(limit, _MINIMUM_EF), _MAXIMUM_EF)
    connection.execute(_ITERATE, {"ef": str(ef)})


def by_index(space: Space) -> str:
    """The query of a search without a filter."""
    return _described(
        f"SELECT e.image_id, -{_distance(space)} AS similarity FROM embeddings_{space.id} e"  # noqa: S608  # integers
        f" ORDER BY {_distance(space)} LIMIT :limit"
    )


@dataclass(kw_only=True)
class _Filtered:
    """One search among images with certain tags."""

    connection: Connection
    space: Space
    vector: Floats
    limit: int
    tags: tuple[TagFilter, ...]
    _found: dict[int, float] = field(default_factory=dict)  # image → similarity, of all that passed so far

    def answer(self) -> Nearest:
        """Search in the cheapest way that finds all there is."""
        if any(self._is_rare(tag) for tag in self.tags):
            return self.compare_all()
        rarest = min(map(self._estimate, self.tags))
        if self._look_around(rarest):
            return Nearest(hits=self._described_best(), exact=False, complete=True)
        if rarest <= _MANY:
            return self.compare_all()
        self._lead()
        return Nearest(hits=self._described_best(), exact=False, complete=False)

    def compare_all(self) -> Nearest:
        """Compare all images that pass the filter."""
        query = _described(_exact(self.space, len(self.tags)))
        return Nearest(hits=_hits(self.connection, query, self.parameters()), exact=True, complete=True)

    def parameters(self) -> dict[str, Any]:
        """Parameters of the statements below."""
        parameters: dict[str, Any] = {"vector": literal(self.vector), "limit": self.limit}
        for number, tag in enumerate(self.tags):
            parameters |= {f"taxonomy{number}": tag.taxonomy, f"label{number}": tag.label}
        return parameters

    def _is_rare(self, tag: TagFilter) -> bool:
        candidates = {"taxonomy": tag.taxonomy, "label": tag.label, "most": _FEW + 1}
        return bool(self.connection.execute(_AT_MOST, candidates).scalar_one() <= _FEW)

    def _estimate(self, tag: TagFilter) -> float:
        """The planner's upper estimate of how many images have a tag, provided that it is not rare."""
        plans = (self.connection.execute(each, asdict(tag)).scalar_one() for each in _PLANNED)
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
        query = _around(self.space, len(self.tags))
        return self._note(query, {"towards": literal(self.vector), "around": around}) >= enough

    def _lead(self) -> None:
        """Search between the query and the nearest of a sample; then once more, bounded by what that found."""
        import numpy as np

        self._note(_sampled(self.space, len(self.tags)), {"draws": _DRAWS, "run": _IN_A_ROW, "limit": _SEEDS})
        wanted = max(_ROUND, 2 * self.limit)
        for _ in range(_ROUNDS):
            mean = self._mean(self._best(_SEEDS))
            if mean is None:
                return
            towards = self.vector + _PULL * mean / np.linalg.norm(mean)
            self._follow(ef=wanted, most=_LAST_OF_ROUND + wanted)
            parameters = {"towards": literal(towards / np.linalg.norm(towards)), "limit": wanted}
            self._note(_followed(self.space, len(self.tags)), parameters)

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
        return _hits(self.connection, _described(given), parameters)


# -- statements, made of integers and the texts here ------------------------------------------------------------------
# As the view `image_tags` has it, but without the image and the model, which cost a look-up for each row.
_HOLDS = """
    f.taxonomy = :taxonomy{0} AND f.label = :label{0} AND (f.source = 'human' OR (
        f.space_id = (SELECT id FROM spaces WHERE state = 'active') AND NOT EXISTS (
            SELECT FROM tags h WHERE h.image_id = f.image_id AND h.taxonomy = f.taxonomy AND h.source = 'human')))
"""
_PASSING = f"SELECT f.image_id FROM tags f WHERE {_HOLDS}"  # noqa: S608


def _around(space: Space, tags: int) -> str:
    """Those that pass of the nearest by the index, each checked by itself. OFFSET keeps the check from becoming a join,
    which may be planned as one with all that pass.
    """
    return f"""
        SELECT e.image_id, -{_distance(space)} AS similarity FROM (
            SELECT image_id, vector FROM embeddings_{space.id} e
            ORDER BY {_distance(space, "towards")} LIMIT :around) AS e
        WHERE true {_checks(range(tags))}
    """  # noqa: S608


def _followed(space: Space, tags: int) -> str:
    """In the index's order, until enough have passed."""
    return f"""
        SELECT e.image_id, -{_distance(space)} AS similarity FROM embeddings_{space.id} e
        WHERE true {_checks(range(tags))} ORDER BY {_distance(space, "towards")} LIMIT :limit
    """  # noqa: S608


def _exact(space: Space, tags: int) -> str:
    """All that pass, sorted. Their numbers are an array, not a join, which is planned as if what passes lay evenly in
    the order of distances: so rows are read in the order of images. An expression that is not the index's keeps it out.
    """
    passing = " INTERSECT ".join(map(_PASSING.format, range(tags)))
    among = f"WHERE e.image_id = ANY(ARRAY({passing}))" if tags else ""
    return f"""
        SELECT e.image_id, -{_distance(space)} AS similarity FROM embeddings_{space.id} e
        {among} ORDER BY {_distance(space)} + 0 LIMIT :limit
    """  # noqa: S608


def _among(space: Space, tags: int) -> str:
    """Sorted before they are checked, so that only the nearest are: a check costs more than a comparison."""
    return f"""
        SELECT e.image_id, e.similarity FROM (
            SELECT e.image_id, -{_distance(space)} AS similarity FROM embeddings_{space.id} e
            WHERE e.image_id = ANY(CAST(:images AS bigint[])) ORDER BY {_distance(space)} + 0, e.image_id OFFSET 0) AS e
        WHERE true {_checks(range(tags))} LIMIT :limit
    """  # noqa: S608


def _sampled(space: Space, tags: int) -> str:
    """The nearest of a few that pass at many places, evenly spread from the first image to the last."""
    first = "SELECT {}(f.image_id) FROM tags f WHERE f.taxonomy = :taxonomy0 AND f.label = :label0"
    return f"""
        WITH ends AS MATERIALIZED (SELECT ({first.format("min")}) AS low, ({first.format("max")}) AS high),
        drawn AS MATERIALIZED (
            SELECT DISTINCT s.image_id FROM ends, generate_series(0, CAST(:draws AS int) - 1) AS n,
            LATERAL (SELECT f.image_id FROM tags f
                     WHERE {_HOLDS.format(0)} AND f.image_id >= low + (high - low) * n / :draws
                     ORDER BY f.image_id LIMIT :run) AS s)
        SELECT e.image_id, -{_distance(space)} AS similarity FROM embeddings_{space.id} e
        WHERE e.image_id = ANY(ARRAY(SELECT image_id FROM drawn)) {_checks(range(1, tags))}
        ORDER BY {_distance(space)} + 0 LIMIT :limit
    """  # noqa: S608


def _checks(numbers: Iterable[int]) -> str:
    check = " AND EXISTS (SELECT FROM tags f WHERE f.image_id = e.image_id AND {} OFFSET 0)"
    return "".join(check.format(_HOLDS.format(n)) for n in numbers)


def _distance(space: Space, to: str = "vector") -> str:
    # The partition's name and the cast are spelled out so that its expression index is used; both are integers.
    return f"(e.vector::halfvec({space.dimension}) <#> CAST(:{to} AS halfvec({space.dimension})))"


def _described(found: str) -> str:
    """The hits with what readers need to know about each."""
    return f"""
        SELECT i.bucket, i.key, n.similarity, i.tags
        FROM ({found}) AS n
        JOIN enriched_images i ON i.image_id = n.image_id
        ORDER BY n.similarity DESC, i.image_id
    """  # noqa: S608


def _hits(connection: Connection, query: str, parameters: Mapping[str, object]) -> list[Hit]:
    rows = connection.execute(text(query), parameters)
    return [Hit(bucket=r.bucket, key=r.key, similarity=r.similarity, tags=r.tags) for r in rows]
