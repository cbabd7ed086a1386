"""The use case: keep the ledger's counters short and whole."""

from __future__ import annotations

from worker import inbox, logs
from worker.db import Engine, transaction

_log = logs.get("pipeline")


def keep_counts(engine: Engine) -> None:
    """Fold what writers have noted; count what was there before the counters, once, after an upgrade."""
    with transaction(engine) as connection:
        inbox.fold_counts(connection)
        counted = inbox.is_counted(connection)
    if not counted:
        with transaction(engine) as connection:
            inbox.correct_counts(connection)
        _log.info("the ledger is counted; from now on its counters are read", action="count")
