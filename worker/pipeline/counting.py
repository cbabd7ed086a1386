"""The use case: keep counters short and whole."""

from __future__ import annotations

from worker import catalog, inbox, logs
from worker.db import Engine, transaction

_log = logs.get("pipeline")


def keep_counts(engine: Engine) -> None:
    """Fold what writers have noted; count what was there before the counters, once, after an upgrade."""
    with transaction(engine) as connection:
        inbox.fold_counts(connection)
        catalog.fold_space_counts(connection)
        ledger, spaces = inbox.is_counted(connection), catalog.are_spaces_counted(connection)
    if not ledger:
        with transaction(engine) as connection:
            inbox.correct_counts(connection)
        _log.info("the ledger is counted; from now on its counters are read", action="count")
    if not spaces:
        with transaction(engine) as connection:
            catalog.correct_space_counts(connection)
        _log.info("vectors are counted; from now on their counters are read", action="count")
