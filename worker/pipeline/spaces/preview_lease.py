"""Wants missing vectors of a space to be made from previews while a block runs, whatever ends it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from worker import catalog, db, logs
from worker.db import Engine, transaction
from worker.pipeline.resilience.periodic import PeriodicThread

_log = logs.get("pipeline")

#: Seconds between renewals: several may fail before the lease ends.
_INTERVAL: Final = catalog.preview_fills.LEASE / 6


@contextmanager
def wanting_previews(engine: Engine, space: int, *, interval: float = _INTERVAL) -> Iterator[None]:
    """Have this process and the workers beside it read previews while the block runs.

    The wish ends with the block, also with an exception; if the process is killed, it ends with the lease.
    """
    with transaction(engine) as connection:
        number = catalog.preview_fills.begin(connection, space)

    def renew() -> None:
        with transaction(engine) as connection:
            catalog.preview_fills.renew(connection, number)

    renewing = PeriodicThread(
        "preview-lease",
        renew,
        action="fill",
        failure="the fill could not say that it goes on reading previews; retrying",
        interval=interval,
        at_once=False,
    )
    renewing.start()
    try:
        yield
    finally:
        renewing.stop(timeout=5)
        try:
            with transaction(engine) as connection:
                catalog.preview_fills.end(connection, number)
        except Exception as error:  # noqa: BLE001  # the lease ends by itself
            _log.warning(
                "the fill could not say that it has ended; previews may be read for another minute",
                action="fill",
                error=db.in_one_line(error),
            )
