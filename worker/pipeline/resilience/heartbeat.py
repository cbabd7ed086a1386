"""The heartbeat: renews this process's leases and reports that it is alive."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from worker import db, ledger, logs, metrics
from worker.db import Connection, Engine, is_unavailable, transaction
from worker.errors import SpaceMismatchError
from worker.pipeline.resilience.periodic import PeriodicThread
from worker.pipeline.resilience.worker_breakers import WorkerBreakers

_log = logs.get("pipeline")

#: A batch that takes longer than this many leases is stuck: its leases are no longer renewed, others take over.
LONGEST_BATCH_IN_LEASES = 20


@contextmanager
def reporting_refusal(engine: Engine, *, kind: str, model: str) -> Iterator[None]:
    """If the block finds that this process must not write, report that to the database before it exits."""
    try:
        yield
    except SpaceMismatchError as error:
        process = ledger.heartbeats.ProcessReport(name=_name(kind), kind=kind, host=socket.gethostname(), model=model)
        try:
            with transaction(engine) as connection:
                ledger.heartbeats.report_refusal(connection, process, str(error))
        except Exception as worse:  # noqa: BLE001  # the original error is what matters
            _log.warning("the refusal could not be reported to the database", action="refuse", error=str(worse))
        raise


def _name(kind: str) -> str:
    return f"{kind}@{socket.gethostname()}:{os.getpid()}"


class Heartbeat:
    """Renews the leases of current claims and writes the heartbeat, from one thread.

    Not a lock: a process that is paused for longer than its lease loses it, and what it then writes is refused.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        kind: str,
        model: str | None = None,
        lease: float = 60.0,
        interval: float | None = None,
        breakers: WorkerBreakers | None = None,
        also: Callable[[], None] = lambda: None,
    ) -> None:
        """Start no thread yet. ``also`` is called with every heartbeat, which reports what ``breakers`` wait for."""
        self._also = also
        self.breakers = breakers or WorkerBreakers()
        self._engine, self._kind, self._model, self._lease = engine, kind, model, lease
        self._held: dict[int, float] = {}
        self._unwanted: set[int] = set()
        self._mutex = threading.Lock()
        self._progressed = True
        self._thread = PeriodicThread(
            "heartbeat",
            self._step,
            action="keep",
            failure="the heartbeat failed; retrying",
            interval=interval or min(lease / 3, 10.0),
            at_once=False,
            handles=self._is_outage,
        )
        self._note: str | None = None
        self.name = _name(kind)

    def start(self) -> None:
        """Beat once, so that a process that cannot reach the database fails at start-up, then keep beating.

        A process that was killed may have left its row, and its name: in a container the process id is always the same.
        """
        with transaction(self._engine) as connection:
            ledger.heartbeats.sign_off(connection, self.name)
            ledger.heartbeats.forget_refusals(connection, kind=self._kind, host=socket.gethostname())
        self._beat()
        self._thread.start()

    def stop(self) -> None:
        """Give back unfinished work and sign off; never raises, even if the database is unavailable."""
        self._thread.stop(timeout=5)
        with self._mutex:
            tokens = [*self._held, *self._unwanted]
        try:
            with transaction(self._engine) as connection:
                ledger.completion.release(connection, tokens)
                ledger.heartbeats.sign_off(connection, self.name)
        except Exception as error:  # noqa: BLE001  # leases end by themselves
            _log.warning("could not sign off; leases will expire by themselves", action="farewell", error=str(error))

    def serves(self, model: str) -> None:
        """Report from now on that this process runs another model."""
        self._model = model

    def notes(self, note: str | None) -> None:
        """Report from now on what this process cannot do, in addition to what the breakers wait for."""
        self._note = note

    def progressed(self) -> None:
        """Record progress: work was finished, or there was none."""
        self._progressed = True

    @contextmanager
    def holding(self, token: int, objects: int) -> Iterator[None]:
        """Renew this claim's lease while the block runs."""
        metrics.IN_FLIGHT.inc(objects)
        with self._mutex:
            self._held[token] = time.monotonic() + self._lease * LONGEST_BATCH_IN_LEASES
        try:
            yield
        finally:
            metrics.IN_FLIGHT.dec(objects)
            with self._mutex:
                self._held.pop(token, None)

    def give_back(self, token: int) -> None:
        """Release a claim as soon as the database can be reached; the attempt does not count."""
        with self._mutex:
            self._unwanted.add(token)

    def _step(self) -> None:
        parts = {"release": self._release, "renew": self._renew, "beat": self._beat, "also": self._also}
        for name, part in parts.items():  # a failure of one does not affect the others
            self._thread.attempt(part, name)

    def _renew(self) -> None:
        now = time.monotonic()
        with self._mutex:
            tokens = [token for token, deadline in self._held.items() if now < deadline]
        if not tokens:
            return
        with transaction(self._engine) as connection:
            held = ledger.claims.renew(connection, tokens, lease=self._lease)
        for token in set(tokens) - held:
            with self._mutex:
                lost = self._held.pop(token, None) is not None
            if lost:
                _log.warning("a lease was lost; another worker will process its batch", action="lease", token=token)

    def _release(self) -> None:
        with self._mutex:
            tokens = list(self._unwanted)
        if tokens:
            with transaction(self._engine) as connection:
                ledger.completion.release(connection, tokens)
            with self._mutex:
                self._unwanted.difference_update(tokens)

    def _beat(self) -> None:
        progressed, self._progressed = self._progressed, False
        with self._mutex:
            in_flight = len(self._held)
        with transaction(self._engine) as connection:
            ledger.heartbeats.record(
                connection,
                ledger.heartbeats.ProcessReport(
                    name=self.name,
                    kind=self._kind,
                    host=socket.gethostname(),
                    model=self._model,
                    in_flight=in_flight,
                    waiting="; ".join(filter(None, (self.breakers.waiting(), self._note))) or None,
                    progressed=progressed or (in_flight == 0 and self._has_no_work(connection)),
                ),
            )
        self.breakers.database.close()  # it takes writes

    def _has_no_work(self, connection: Connection) -> bool:
        """Whether there is nothing that this process could do now, so that being idle is fine."""
        return self._kind == "worker" and (self.breakers.hold or not ledger.totals.claimable(connection))

    def _is_outage(self, error: Exception) -> bool:
        """Whether the database is unavailable; the breaker reports that, once."""
        if is_unavailable(error):
            self.breakers.database.report(failed=1, why=db.in_one_line(error))
            return True
        return False
