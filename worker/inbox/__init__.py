"""The ledger: one row per object, one number that says whether work is pending.

Each hint raises ``wanted``; a claim remembers the value it saw; completing sets ``done`` to it. Work is pending exactly
while ``done < wanted``, so duplicates and reorderings coalesce and a hint that arrives mid-flight is not lost. Claims
are leases with a fencing token, by the database's clock alone. Every function takes the open connection.
"""

from worker.inbox.audit import Compared, begin_audit, compare, estimate, unmet, within
from worker.inbox.claims import Claim, ClaimedObject, claim, expose, renew, urgent
from worker.inbox.completion import Completion, QuarantineEntry, Retry, abandon, complete, lock, release, retry
from worker.inbox.hints import Hinted, hint
from worker.inbox.keys import Order, Range, ascends, between, is_storable
from worker.inbox.processes import Heartbeat, Process, beat, farewell, now, processes
from worker.inbox.quarantine import (
    Place,
    Quarantined,
    QuarantinePart,
    Selection,
    drop_quarantined,
    quarantine_counts,
    quarantine_entry,
    quarantined,
    retry_quarantined,
)
from worker.inbox.reconciliations import (
    Found,
    Page,
    Reconciliation,
    Target,
    advance,
    claim_page,
    fail,
    finish,
    hurry,
    next_due,
    reconciliations,
    renew_page,
    restart,
    watch,
)
from worker.inbox.rejected import RejectedEvent, reject, reject_once, rejected_count, rejected_events
from worker.inbox.totals import Retrying, Standing, Totals, claimable, pending_by_lane, retrying, standing, totals

__all__ = [
    "Claim",
    "ClaimedObject",
    "Compared",
    "Completion",
    "Found",
    "Heartbeat",
    "Hinted",
    "Order",
    "Page",
    "Place",
    "Process",
    "QuarantineEntry",
    "QuarantinePart",
    "Quarantined",
    "Range",
    "Reconciliation",
    "RejectedEvent",
    "Retry",
    "Retrying",
    "Selection",
    "Standing",
    "Target",
    "Totals",
    "abandon",
    "advance",
    "ascends",
    "beat",
    "begin_audit",
    "between",
    "claim",
    "claim_page",
    "claimable",
    "compare",
    "complete",
    "drop_quarantined",
    "estimate",
    "expose",
    "fail",
    "farewell",
    "finish",
    "hint",
    "hurry",
    "is_storable",
    "lock",
    "next_due",
    "now",
    "pending_by_lane",
    "processes",
    "quarantine_counts",
    "quarantine_entry",
    "quarantined",
    "reconciliations",
    "reject",
    "reject_once",
    "rejected_count",
    "rejected_events",
    "release",
    "renew",
    "renew_page",
    "restart",
    "retry",
    "retry_quarantined",
    "retrying",
    "standing",
    "totals",
    "unmet",
    "urgent",
    "watch",
    "within",
]
