"""The use case: keep counters short and complete."""

from __future__ import annotations

from worker import catalog, ledger, logs
from worker.db import Engine, transaction

_log = logs.get("pipeline")


def keep_counts(engine: Engine) -> None:
    """Fold what writers have noted; after an upgrade, count rows older than the counters once."""
    with transaction(engine) as connection:
        ledger.counters.fold(connection)
        catalog.space_counters.fold(connection)
        ledger_is_counted, spaces_are_counted = (
            ledger.counters.is_counted(connection),
            catalog.space_counters.is_counted(connection),
        )
    if not ledger_is_counted:
        with transaction(engine) as connection:
            ledger.counters.correct(connection)
        _log.info("the ledger has been counted; its counters are used from now on", action="count")
    if not spaces_are_counted:
        with transaction(engine) as connection:
            catalog.space_counters.correct(connection)
        _log.info("vectors have been counted; their counters are used from now on", action="count")
