"""Heartbeats of our processes: which are running, and when each last made progress."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text

from worker.db import Connection, storable

# Rows of processes that were killed are swept up by whoever beats next.
_BEAT = text("""
    WITH forgotten AS (DELETE FROM processes WHERE seen_at < now() - interval '1 day' AND name <> :name)
    INSERT INTO processes AS p (name, kind, host, model, in_flight, waiting)
    VALUES (:name, :kind, :host, :model, :in_flight, :waiting)
    ON CONFLICT (name) DO UPDATE SET
        seen_at = now(), model = excluded.model, in_flight = excluded.in_flight, waiting = excluded.waiting,
        progress_at = CASE WHEN :progressed THEN now() ELSE p.progress_at END
""")
_FAREWELL = text("DELETE FROM processes WHERE name = :name")
# A supervisor may start it again and again: one row is enough for a host.
_FORGET_REFUSALS = text("DELETE FROM processes WHERE kind = :kind AND host = :host AND refused IS NOT NULL")
_REFUSE = text("""
    INSERT INTO processes (name, kind, host, model, refused) VALUES (:name, :kind, :host, :model, :refused)
    ON CONFLICT (name) DO UPDATE SET
        started_at = now(), seen_at = now(), model = excluded.model, refused = excluded.refused
""")
_LIST = text("""
    SELECT name, kind, host, model, in_flight, waiting, refused, started_at,
           extract(epoch FROM now() - seen_at)::float8 AS seen_ago,
           extract(epoch FROM now() - progress_at)::float8 AS progress_ago
    FROM processes ORDER BY kind, name
""")


@dataclass(frozen=True, kw_only=True, slots=True)
class ProcessReport:
    """What a process reports about itself."""

    name: str  # unique among running processes, e.g. "worker@host:1234"
    kind: str  # "api", "worker", "scheduler" or "listener"
    host: str
    model: str | None = None
    in_flight: int = 0
    waiting: str | None = None  # what it waits for before it takes work, in a sentence; None: for nothing
    progressed: bool = True  # whether work was finished since the last beat, or there was none to do


@dataclass(frozen=True, kw_only=True, slots=True)
class ProcessStatus:
    """A process as the ledger knows it; ages in seconds, by the database's clock."""

    name: str
    kind: str
    host: str
    model: str | None
    in_flight: int
    waiting: str | None
    refused: str | None  # why it ended at its start; what differs and what to do
    started_at: datetime
    seen_ago: float
    progress_ago: float


def record(connection: Connection, heartbeat: ProcessReport) -> None:
    """Record a heartbeat."""
    connection.execute(
        _BEAT,
        {
            "name": heartbeat.name,
            "kind": heartbeat.kind,
            "host": heartbeat.host,
            "model": heartbeat.model,
            "in_flight": heartbeat.in_flight,
            "waiting": heartbeat.waiting and storable(heartbeat.waiting),
            "progressed": heartbeat.progressed,
        },
    )


def sign_off(connection: Connection, name: str) -> None:
    """Remove a process that ends normally."""
    connection.execute(_FAREWELL, {"name": name})


def report_refusal(connection: Connection, process: ProcessReport, why: str) -> None:
    """Record that a process refused to start, until one of its kind starts on its host."""
    forget_refusals(connection, kind=process.kind, host=process.host)
    values = {"name": process.name, "kind": process.kind, "host": process.host, "model": process.model}
    connection.execute(_REFUSE, values | {"refused": storable(why)})


def forget_refusals(connection: Connection, *, kind: str, host: str) -> None:
    """Remove records of refused starts, because a process has started."""
    connection.execute(_FORGET_REFUSALS, {"kind": kind, "host": host})


def now(connection: Connection) -> datetime:
    """The database's clock."""
    moment: datetime = connection.execute(text("SELECT now()")).scalar_one()
    return moment


def processes(connection: Connection) -> list[ProcessStatus]:
    """All processes seen within a day."""
    return [ProcessStatus(**row._mapping) for row in connection.execute(_LIST)]  # noqa: SLF001  # Row's public mapping view
