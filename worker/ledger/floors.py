"""Floors: where claims start to search, so that they do not scan rows that were taken before.

An index keeps an entry for every version of a row until vacuum removes it, and vacuum removes nothing that a snapshot
of long ago could still see: during an hour of ``pg_dump``, or of building an index, the entries of all images of that
hour lie before those of the next one, and a claim that begins at the start reads them all.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import text

from worker.db import Connection

# Nothing that can be claimed lies below the floor of its lane when this is asked, but for rows of transactions that had
# begun, and not committed, so many seconds before. What they leave below it is found by the next look, which begins at
# the start again: it costs latency, never an image. The ledger's guarantees are those of the claim, which checks every
# row that it takes; floors only choose among those that it may take.
_LOOK = text("""
    SELECT least((SELECT visible_at FROM inbox WHERE done < wanted AND token IS NOT NULL
                  ORDER BY visible_at LIMIT 1), n.latest) AS leased,
           least((SELECT visible_at FROM inbox WHERE done < wanted AND token IS NULL AND lane = 0
                  ORDER BY visible_at LIMIT 1), n.latest) AS live,
           least((SELECT visible_at FROM inbox WHERE done < wanted AND token IS NULL AND lane = 1
                  ORDER BY visible_at LIMIT 1), n.latest) AS retries,
           least((SELECT visible_at FROM inbox WHERE done < wanted AND token IS NULL AND lane = 2
                  ORDER BY visible_at LIMIT 1), n.latest) AS backfill
    FROM (SELECT now() - make_interval(secs => :slack) AS latest) AS n
""")
#: Seconds: longer than a transaction of ours takes, and short enough that few entries come together in it.
_SLACK = 2.0
#: Seconds between two looks, and how many times longer than a look they are at least: looking takes little of the time,
#: however much there is to walk over.
_INTERVAL, _SHARE = 2.0, 20.0

#: Search from the start.
NONE: Mapping[str, datetime | None] = dict.fromkeys(("from_leased", "from_live", "from_retries", "from_backfill"))


class Floors:
    """The floors of one process. Thread-safe."""

    def __init__(self, *, interval: float = _INTERVAL, slack: float = _SLACK) -> None:
        """Know nothing yet.

        Args:
            interval: seconds for which a look is good.
            slack: seconds within which a transaction that began is expected to have committed.
        """
        self._interval, self._slack = interval, slack
        self._mutex = threading.Lock()
        self._due = 0.0
        self._known = NONE

    def now(self, connection: Connection) -> Mapping[str, datetime | None]:
        """Parameters for a statement that claims, or that checks whether a claim is possible."""
        with self._mutex:
            begun = time.monotonic()
            if begun < self._due:
                return self._known
            self._due = begun + self._interval  # also where the look fails: others do not wait for it again
        row = connection.execute(_LOOK, {"slack": self._slack}).one()
        with self._mutex:
            took = time.monotonic() - begun
            self._due = begun + took + max(self._interval, _SHARE * took)
            self._known = {f"from_{lane}": moment for lane, moment in row._mapping.items()}  # noqa: SLF001
            return self._known
