"""Row counts by state without reading the rows: triggers keep counters in the same transactions.

A row that everybody updates would make writers wait for each other until they commit. So triggers add a row to
``<name>_deltas`` for each state that a statement changed, and the scheduler folds these into ``<name>_counts``. What
a state comes to is the sum of both, in any snapshot. ``<name>_counted`` has a row once what was there before the
triggers is counted, too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Row, text

from worker.db import Connection

_NO_TIME_LIMIT = text("SELECT set_config('statement_timeout', '0', true)")


class Counters:
    """The counters of one table, or of several counted together."""

    def __init__(self, name: str, *, keys: str, value: str, recount: str, where: str = "true") -> None:
        """Name the tables and their columns. All names become part of SQL, so none may come from outside.

        Args:
            name: what the names of the three tables begin with.
            keys: columns that say what is counted, separated by commas.
            value: the column that says how many.
            recount: a statement that counts anew: ``keys``, then the number.
            where: which counters are compared with it; parameters are those of ``recount``.
        """
        # One process at a time: while one folds, others need not; two corrections at once would count twice.
        lock = f"xact_lock(hashtextextended('enrich {name} counts', 0))"
        self._try_alone, self._alone = text(f"SELECT pg_try_advisory_{lock}"), text(f"SELECT pg_advisory_{lock}")
        self._fold = text(f"""
            WITH folded AS (DELETE FROM {name}_deltas RETURNING {keys}, {value})
            INSERT INTO {name}_counts AS c ({keys}, {value})
            SELECT {keys}, sum({value}) FROM folded GROUP BY {keys} HAVING sum({value}) <> 0
            ON CONFLICT ({keys}) DO UPDATE SET {value} = c.{value} + excluded.{value}
        """)  # noqa: S608  # names of ours, here and below
        self._is_complete = text(f"SELECT EXISTS (SELECT FROM {name}_counted)")  # noqa: S608
        self._note = text(f"INSERT INTO {name}_counted DEFAULT VALUES ON CONFLICT DO NOTHING")  # noqa: S608
        # Of one snapshot: what it sees in the table and what it sees of the counters differ by what was never counted,
        # whatever is written meanwhile.
        differences = f"""
            SELECT {keys}, sum(recounted)::bigint AS recounted, sum(counted)::bigint AS counted FROM (
                SELECT {keys}, r.n AS recounted, 0 AS counted FROM ({recount}) AS r ({keys}, n)
                UNION ALL SELECT {keys}, 0, {value} FROM {name}_counts WHERE {where}
                UNION ALL SELECT {keys}, 0, {value} FROM {name}_deltas WHERE {where}
            ) AS compared GROUP BY {keys} HAVING sum(recounted) <> sum(counted)
        """  # noqa: S608
        self._find = text(f"{differences} ORDER BY {keys}")
        self._correct = text(f"""
            INSERT INTO {name}_deltas ({keys}, {value}) SELECT {keys}, recounted - counted FROM ({differences}) AS d
        """)  # noqa: S608

    def fold(self, connection: Connection) -> None:
        """Fold what writers have noted since the last time; readers get the same numbers before and after."""
        if connection.execute(self._try_alone).scalar_one():
            connection.execute(self._fold)

    def are_complete(self, connection: Connection) -> bool:
        """Whether rows older than the triggers are counted, too."""
        return bool(connection.execute(self._is_complete).scalar_one())

    def differences(self, connection: Connection, parameters: Mapping[str, object] | None = None) -> Sequence[Row[Any]]:
        """Recount and compare: rows with the keys, ``recounted`` and ``counted``. Reads all; does not block writers."""
        connection.execute(_NO_TIME_LIMIT)
        return connection.execute(self._find, parameters or {}).all()

    def correct(self, connection: Connection, parameters: Mapping[str, object] | None = None) -> None:
        """Correct every counter that differs from its recount."""
        connection.execute(_NO_TIME_LIMIT)
        connection.execute(self._alone)
        connection.execute(self._correct, parameters or {})

    def complete(self, connection: Connection, parameters: Mapping[str, object] | None = None) -> None:
        """Correct all counters and mark them as complete."""
        self.correct(connection, parameters)
        connection.execute(self._note)
