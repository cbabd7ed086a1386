"""The ledger: one row per object, one number that says whether work is pending.

Each hint raises ``wanted``; a claim remembers the value it saw; completing sets ``done`` to it. Work is pending exactly
while ``done < wanted``, so duplicates and reorderings coalesce and a hint that arrives mid-flight is not lost. Claims
are leases with a fencing token, by the database's clock alone. Every function takes the open connection.
"""

from worker.ledger import (
    backlog,
    buckets,
    claims,
    comparison,
    completion,
    counters,
    floors,
    heartbeats,
    hints,
    key_ranges,
    quarantine,
    reconciliations,
    rejected_events,
    totals,
)

__all__ = [
    "backlog",
    "buckets",
    "claims",
    "comparison",
    "completion",
    "counters",
    "floors",
    "heartbeats",
    "hints",
    "key_ranges",
    "quarantine",
    "reconciliations",
    "rejected_events",
    "totals",
]
