"""The ledger: one row per object, one number that says whether work is pending.

Each hint raises ``wanted``; a claim remembers the value it saw; completing sets ``done`` to it. Work is pending exactly
while ``done < wanted``, so duplicates and reorderings coalesce and a hint that arrives mid-flight is not lost. Claims
are leases with a fencing token, by the database's clock alone. Every function takes the open connection.
"""

from worker.inbox.audit import Compared, begin_audit, compare, estimate, unmet, within
from worker.inbox.claims import Claim, ClaimedObject, claim, renew
from worker.inbox.completion import Completion, QuarantineEntry, Retry, abandon, complete, lock, release, retry
from worker.inbox.hints import Hinted, hint
from worker.inbox.keys import Order, Range, ascends, between, is_storable
from worker.inbox.processes import Heartbeat, Process, beat, farewell, now, processes
from worker.inbox.quarantine import (
    Quarantined,
    Selection,
    drop_quarantined,
    quarantine_counts,
    quarantined,
    retry_quarantined,
)
from worker.inbox.rejected import RejectedEvent, reject, reject_once, rejected_count, rejected_events
from worker.inbox.totals import Standing, Totals, claimable, pending_by_lane, standing, totals

__all__ = [
    "Claim",
    "ClaimedObject",
    "Compared",
    "Completion",
    "Heartbeat",
    "Hinted",
    "Order",
    "Process",
    "QuarantineEntry",
    "Quarantined",
    "Range",
    "RejectedEvent",
    "Retry",
    "Selection",
    "Standing",
    "Totals",
    "abandon",
    "ascends",
    "beat",
    "begin_audit",
    "between",
    "claim",
    "claimable",
    "compare",
    "complete",
    "drop_quarantined",
    "estimate",
    "farewell",
    "hint",
    "is_storable",
    "lock",
    "now",
    "pending_by_lane",
    "processes",
    "quarantine_counts",
    "quarantined",
    "reject",
    "reject_once",
    "rejected_count",
    "rejected_events",
    "release",
    "renew",
    "retry",
    "retry_quarantined",
    "standing",
    "totals",
    "unmet",
    "within",
]
