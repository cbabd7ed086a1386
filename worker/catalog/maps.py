"""2-D maps of the images of a space: who draws them, which are ready, and their points as arrays.

A map's row goes from ``requested`` through ``drawing`` to ``ready`` or ``failed``. The map before stays readable until
the new one is ready, and one generation longer, for those who are looking at it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal, TypeAlias

from sqlalchemy import text

from worker.db import Connection

MapState: TypeAlias = Literal["requested", "drawing", "ready", "failed"]

#: Seconds after its last sign of life until a drawing is taken for dead, and how often one is begun.
LEASE: Final = 60.0
_ATTEMPTS = 2
#: Maps of a space that are kept ready: the newest, and the one before.
_KEPT = 2

_COLUMNS = (
    "id, space_id AS space, state, method, sample, seed, requested_at, began_at, finished_at, stage, done, error, "
    "images, fitted, poor, far, distance, centre_x, centre_y, half, previous, common, explained, update_wanted_at, "
    "updated_at"
)
_LIVE = "space_id IN (SELECT id FROM spaces WHERE state <> 'dropped')"
_EVERY = text(f"SELECT {_COLUMNS} FROM maps WHERE {_LIVE} ORDER BY id DESC")  # noqa: S608  # constants, here and below
_ONE = text(f"SELECT {_COLUMNS} FROM maps WHERE id = :id AND {_LIVE}")  # noqa: S608
_NEWEST = text(f"""
    SELECT {_COLUMNS} FROM maps WHERE space_id = :space AND state = 'ready' ORDER BY id DESC LIMIT 1
""")  # noqa: S608
_REQUEST = text(f"""
    INSERT INTO maps (space_id, state, method, sample, seed) VALUES (:space, 'requested', :method, :sample, :seed)
    ON CONFLICT (space_id) WHERE state IN ('requested', 'drawing') DO NOTHING RETURNING {_COLUMNS}
""")  # noqa: S608
_UNDER_WAY = text(f"""
    SELECT {_COLUMNS} FROM maps WHERE space_id = :space AND state IN ('requested', 'drawing')
""")  # noqa: S608
_BEGIN = text(f"""
    UPDATE maps SET state = 'drawing', attempts = attempts + 1, began_at = clock_timestamp(),
                    renewed_at = clock_timestamp(), stage = NULL, done = NULL
    WHERE id = (SELECT id FROM maps WHERE state = 'requested' AND {_LIVE} AND (CAST(:id AS bigint) IS NULL OR id = :id)
                ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED)
    RETURNING {_COLUMNS}
""")  # noqa: S608
_RENEW = text("""
    UPDATE maps SET renewed_at = clock_timestamp(), stage = :stage, done = :done
    WHERE id = :id AND state = 'drawing' AND began_at = :began
""")
_FAIL = text("""
    UPDATE maps SET state = 'failed', error = :error, finished_at = clock_timestamp()
    WHERE id = :id AND state IN ('requested', 'drawing')
      AND (CAST(:began AS timestamptz) IS NULL OR (state = 'drawing' AND began_at = :began))
""")
_LAPSED = text("""
    UPDATE maps SET state = CASE WHEN attempts < :attempts THEN 'requested' ELSE 'failed' END,
                    error = CASE WHEN attempts < :attempts THEN NULL ELSE 'the process that drew it ended' END,
                    finished_at = CASE WHEN attempts < :attempts THEN NULL ELSE clock_timestamp() END
    WHERE state = 'drawing' AND renewed_at < clock_timestamp() - make_interval(secs => :lease)
""")
_FINISH = text(f"""
    UPDATE maps SET state = 'ready', finished_at = clock_timestamp(), stage = NULL, done = NULL, method = :method,
                    images = :images, fitted = :fitted, poor = :poor, far = :far, distance = :distance,
                    centre_x = :centre_x, centre_y = :centre_y, half = :half, previous = :previous, common = :common,
                    explained = :explained
    WHERE id = :id AND state = 'drawing' AND began_at = :began RETURNING {_COLUMNS}
""")  # noqa: S608
_PRUNE = text("""
    DELETE FROM maps m USING spaces s WHERE s.id = m.space_id AND (
        (s.state = 'dropped' AND m.state <> 'drawing')
        OR (m.state = 'ready' AND (
            SELECT count(*) FROM maps o WHERE o.space_id = m.space_id AND o.state = 'ready' AND o.id > m.id) >= :kept)
        OR (m.state = 'failed' AND EXISTS (
            SELECT FROM maps o WHERE o.space_id = m.space_id AND o.state IN ('ready', 'failed') AND o.id > m.id)))
""")
_WANT_UPDATE = text("UPDATE maps SET update_wanted_at = clock_timestamp() WHERE id = :id AND state = 'ready'")
_TAKE_UPDATES = text(f"""
    UPDATE maps SET update_wanted_at = NULL WHERE state = 'ready' AND update_wanted_at IS NOT NULL AND {_LIVE}
    RETURNING {_COLUMNS}
""")  # noqa: S608
_EXTEND = text("""
    UPDATE maps SET distance = (coalesce(distance, 0) * (images - fitted) + CAST(:distances AS double precision))
                               / greatest(images - fitted + :more, 1),
                    images = images + :more, poor = poor + :poor, update_wanted_at = NULL,
                    updated_at = clock_timestamp()
    WHERE id = :id AND state = 'ready' AND images = :images
""")
_IS_DUE = text(f"""
    SELECT EXISTS (SELECT FROM maps WHERE {_LIVE}
                   AND (state = 'requested' OR (state = 'ready' AND update_wanted_at IS NOT NULL)))
""")  # noqa: S608
_SINCE_LAST = text("""
    SELECT EXTRACT(EPOCH FROM clock_timestamp() - max(greatest(requested_at, updated_at))) FROM maps
    WHERE space_id = :space
""")


@dataclass(frozen=True, kw_only=True, slots=True)
class Map:
    """A version of a map."""

    id: int
    space: int
    state: MapState
    method: str  # auto, pca or umap; that which was used, once it is ready
    sample: int  # most images that it is fitted to
    seed: int
    requested_at: datetime
    began_at: datetime | None
    finished_at: datetime | None
    stage: str | None  # what is being done, while it is drawn
    done: float | None  # 0 to 1: how far the stage is
    error: str | None  # why it failed
    images: int  # points
    fitted: int  # the first points
    poor: int  # poorly placed ones
    far: float | None  # mean cosine distance of neighbours from which on an image is poorly placed
    distance: float | None  # mean over the images that are not fitted
    centre_x: float | None
    centre_y: float | None
    half: float | None
    previous: int | None  # the map that it was aligned to
    common: int | None  # images on both
    explained: float | None  # 0 to 1
    update_wanted_at: datetime | None  # images added since are to be placed on it
    updated_at: datetime | None

    @property
    def poor_share(self) -> float:
        """Share of poorly placed images among those that are not fitted."""
        return self.poor / (self.images - self.fitted) if self.images > self.fitted else 0.0


def every(connection: Connection) -> list[Map]:
    """All maps of spaces that exist, newest first."""
    return [_map(row) for row in connection.execute(_EVERY)]


def get(connection: Connection, number: int) -> Map | None:
    """A map by its number; None if there is none, or it was pruned."""
    row = connection.execute(_ONE, {"id": number}).one_or_none()
    return None if row is None else _map(row)


def newest(connection: Connection, space: int) -> Map | None:
    """The newest map of a space that is ready."""
    row = connection.execute(_NEWEST, {"space": space}).one_or_none()
    return None if row is None else _map(row)


def request(connection: Connection, space: int, *, method: str, sample: int, seed: int) -> tuple[Map, bool]:
    """Note that a map is wanted. One that is requested or drawn already is returned instead.

    Returns:
        The map, and whether it is a new one.
    """
    connection.execute(_LAPSED, {"lease": LEASE, "attempts": _ATTEMPTS})
    given = {"space": space, "method": method, "sample": sample, "seed": seed}
    while True:
        row = connection.execute(_REQUEST, given).one_or_none()
        if row is not None:
            return _map(row), True
        under_way = connection.execute(_UNDER_WAY, {"space": space}).one_or_none()
        if under_way is not None:  # else it was finished between the two statements
            return _map(under_way), False


def begin(connection: Connection, number: int | None = None) -> Map | None:
    """Claim the oldest requested map, or one; None if there is none. Call ``renew`` well within ``LEASE`` seconds."""
    connection.execute(_LAPSED, {"lease": LEASE, "attempts": _ATTEMPTS})
    row = connection.execute(_BEGIN, {"id": number}).one_or_none()
    return None if row is None else _map(row)


def renew(connection: Connection, map_: Map, *, stage: str, done: float) -> bool:
    """Note how far a drawing is. False: it was taken for dead, and whatever comes of it is not stored."""
    given = {"id": map_.id, "began": map_.began_at, "stage": stage, "done": done}
    return bool(connection.execute(_RENEW, given).rowcount)


def fail(connection: Connection, number: int, error: str, *, began: datetime | None = None) -> None:
    """Note why a map cannot be drawn; forget why earlier ones could not.

    Args:
        connection: in a transaction.
        number: of the map.
        error: why.
        began: when the drawing that failed began; one that began later is left alone. None: whichever it is.
    """
    connection.execute(_FAIL, {"id": number, "error": error, "began": began})
    connection.execute(_PRUNE, {"kept": _KEPT})


def finish(connection: Connection, map_: Map, values: Mapping[str, Any]) -> Map | None:
    """Make a map readable, whose points are written in this transaction, and delete maps that nobody needs.

    Args:
        connection: in a transaction.
        map_: as ``begin`` returned it.
        values: of the columns that drawing finds out, by name.

    Returns:
        The map; None if the drawing was taken for dead: roll back.
    """
    row = connection.execute(_FINISH, {"id": map_.id, "began": map_.began_at, **values}).one_or_none()
    if row is None:
        return None
    connection.execute(_PRUNE, {"kept": _KEPT})
    return _map(row)


def want_update(connection: Connection, number: int) -> None:
    """Note that images added since a map was drawn are to be placed on it."""
    connection.execute(_WANT_UPDATE, {"id": number})


def take_updates(connection: Connection) -> list[Map]:
    """Maps on which images are to be placed. Whoever asks does it: nobody is told of these again."""
    return [_map(row) for row in connection.execute(_TAKE_UPDATES)]


def extend(connection: Connection, map_: Map, *, more: int, poor: int, distances: float) -> bool:
    """Count points that were appended in this transaction.

    Args:
        connection: in a transaction.
        map_: as it was before.
        more: points.
        poor: poorly placed ones among them.
        distances: the sum of theirs.

    Returns:
        False if another process was quicker: roll back.
    """
    given = {"id": map_.id, "images": map_.images, "more": more, "poor": poor, "distances": distances}
    return bool(connection.execute(_EXTEND, given).rowcount)


def is_due(connection: Connection) -> bool:
    """Whether a map is to be drawn or updated. Drawings whose process ended are requested again first, once."""
    connection.execute(_LAPSED, {"lease": LEASE, "attempts": _ATTEMPTS})
    return bool(connection.execute(_IS_DUE).scalar_one())


def seconds_since_last(connection: Connection, space: int) -> float | None:
    """Seconds since a map of a space was last requested or updated; None: never."""
    found = connection.execute(_SINCE_LAST, {"space": space}).scalar_one()
    return None if found is None else float(found)


def _map(row: Any) -> Map:
    return Map(**row._mapping)  # noqa: SLF001  # Row's public mapping view
