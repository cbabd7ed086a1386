"""A uniform sample of a space's images that stays nearly the same while the catalog grows.

``bulk_read.uniform_sample`` draws between the first and the last image, so one more image gives another sample. Here
the numbers are drawn below a power of two, always in the same order, and the first that are images are taken: a
catalog that grows by 1 % replaces about 1 % of the sample.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from sqlalchemy import text

from worker.db import Connection

_LAST = "SELECT coalesce(max(image_id), 0) FROM embeddings_{space}"
_EXIST = """
    SELECT e.image_id FROM unnest(CAST(:ids AS bigint[])) AS p (id) JOIN embeddings_{space} e ON e.image_id = p.id
"""
# A full scan, where hardly any number is that of an image.
_SCATTERED = "SELECT image_id FROM embeddings_{space} ORDER BY hashint8extended(image_id, :seed), image_id LIMIT :size"
#: Share of the drawn numbers that must be images.
_SPARSE = 0.02
#: Numbers drawn at a time; always as many, so that their order does not depend on the size that is asked for.
_AT_ONCE = 4_096


def stable_sample(connection: Connection, space: int, *, size: int, seed: int = 0) -> list[int]:
    """``size`` images of a space, each set of them equally likely; fewer only if there are fewer. Ascending."""
    last = int(connection.execute(text(_LAST.format(space=int(space)))).scalar_one())
    below = 1 << last.bit_length()
    if below <= 2 * max(size, _AT_ONCE):  # so few that all of them are ordered
        return _scattered(connection, space, size, seed)
    random = np.random.default_rng([seed, below])
    found: list[int] = []
    drawn: npt.NDArray[np.int64] = np.empty(0, dtype=np.int64)
    while len(found) < size:
        if len(drawn) >= below // 2 or (len(drawn) and len(found) < _SPARSE * len(drawn)):
            return _scattered(connection, space, size, seed)
        more = random.integers(0, below, _AT_ONCE)
        more = more[np.sort(np.unique(more, return_index=True)[1])]
        more = more[~np.isin(more, drawn)]
        drawn = np.concatenate([drawn, more])
        rows = connection.execute(text(_EXIST.format(space=int(space))), {"ids": more.tolist()})
        there = np.fromiter(rows.scalars(), dtype=np.int64)
        found += more[np.isin(more, there)].tolist()
    return sorted(found[:size])


def _scattered(connection: Connection, space: int, size: int, seed: int) -> list[int]:
    rows = connection.execute(text(_SCATTERED.format(space=int(space))), {"seed": seed, "size": size})
    return sorted(rows.scalars())


__all__ = ["stable_sample"]
