"""The statements of searches by vector, made of integers and the texts here; values are bound."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from worker.catalog.in_force import applied, in_force
from worker.catalog.spaces import Space

# As the view `image_tags` has it, but without the image and the model, which cost a look-up for each row.
HOLDS = f"f.taxonomy = :taxonomy{{0}} AND f.label = :label{{0}} AND {in_force('f')}"
PASSING = f"SELECT f.image_id FROM tags f WHERE {HOLDS}"  # noqa: S608


def around(space: Space, checks: str) -> str:
    """Those that pass of the nearest by the index, each checked by itself. OFFSET keeps the check from becoming a join,
    which may be planned as one with all that pass.
    """
    return f"""
        SELECT e.image_id, -{distance(space)} AS similarity FROM (
            SELECT image_id, vector FROM embeddings_{space.id} e
            ORDER BY {distance(space, "towards")} LIMIT :around) AS e
        WHERE true {checks}
    """  # noqa: S608


def followed(space: Space, checks: str) -> str:
    """In the index's order, until enough have passed."""
    return f"""
        SELECT e.image_id, -{distance(space)} AS similarity FROM embeddings_{space.id} e
        WHERE true {checks} ORDER BY {distance(space, "towards")} LIMIT :limit
    """  # noqa: S608


def exact(space: Space, passing: Sequence[str]) -> str:
    """All that pass, sorted. Their numbers are an array, not a join, which is planned as if what passes lay evenly in
    the order of distances: so rows are read in the order of images. An expression that is not the index's keeps it out.
    """
    among = f"WHERE e.image_id = ANY(ARRAY({' INTERSECT '.join(passing)}))" if passing else ""
    return f"""
        SELECT e.image_id, -{distance(space)} AS similarity FROM embeddings_{space.id} e
        {among} ORDER BY {distance(space)} + 0, e.image_id LIMIT :limit
    """  # noqa: S608


def among(space: Space, checks: str) -> str:
    """Sorted before they are checked, so that only the nearest are: a check costs more than a comparison."""
    return f"""
        SELECT e.image_id, e.similarity FROM (
            SELECT e.image_id, -{distance(space)} AS similarity FROM embeddings_{space.id} e
            WHERE e.image_id = ANY(CAST(:images AS bigint[])) ORDER BY {distance(space)} + 0, e.image_id OFFSET 0) AS e
        WHERE true {checks} LIMIT :limit
    """  # noqa: S608


def sampled(space: Space, checks: str) -> str:
    """The nearest of a few that pass at many places, evenly spread from the first image to the last."""
    first = (
        f"SELECT {{}}(f.image_id) FROM tags f WHERE f.taxonomy = :taxonomy0 AND f.label = :label0 AND {applied('f')}"  # noqa: S608
    )
    return f"""
        WITH ends AS MATERIALIZED (SELECT ({first.format("min")}) AS low, ({first.format("max")}) AS high),
        drawn AS MATERIALIZED (
            SELECT DISTINCT s.image_id FROM ends, generate_series(0, CAST(:draws AS int) - 1) AS n,
            LATERAL (SELECT f.image_id FROM tags f
                     WHERE {HOLDS.format(0)} AND f.image_id >= low + (high - low) * n / :draws
                     ORDER BY f.image_id LIMIT :run) AS s)
        SELECT e.image_id, -{distance(space)} AS similarity FROM embeddings_{space.id} e
        WHERE e.image_id = ANY(ARRAY(SELECT image_id FROM drawn)) {checks}
        ORDER BY {distance(space)} + 0 LIMIT :limit
    """  # noqa: S608


def checks(numbers: Iterable[int]) -> str:
    """That an image ``e`` has the tags with these numbers."""
    check = " AND EXISTS (SELECT FROM tags f WHERE f.image_id = e.image_id AND {} OFFSET 0)"
    return "".join(check.format(HOLDS.format(n)) for n in numbers)


def distance(space: Space, to: str = "vector") -> str:
    """The negative inner product of a vector ``e`` and a parameter."""
    # The partition's name and the cast are spelled out so that its expression index is used; both are integers.
    return f"(e.vector::halfvec({space.dimension}) <#> CAST(:{to} AS halfvec({space.dimension})))"


def described(found: str) -> str:
    """The hits with what readers need to know about each."""
    return f"""
        SELECT i.image_id, i.bucket, i.key, i.sha256, i.phash, n.similarity, i.tags
        FROM ({found}) AS n
        JOIN enriched_images i ON i.image_id = n.image_id
        ORDER BY n.similarity DESC, i.image_id
    """  # noqa: S608
