"""A quick health check, for probes that run every few seconds next to the work itself.

It uses only the standard library and the database driver, which takes a tenth of the time of importing the settings,
the ORM and the command line. It only ever confirms that a part is healthy. Doubtful cases, and every message about a
problem, are left to ``worker.pipeline.operations.health``.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
from collections.abc import Mapping
from pathlib import Path

#: A heartbeat is written every ten seconds at most; three may be missed.
SILENT = 35.0
#: A batch takes seconds; one that takes this long is stuck.
STUCK = 300.0

_OK = 200
_SECONDS = 5  # for an answer; after that the thorough check runs
_HOME = ".enrich"  # as in worker.settings, like the names below
_SERVERS = ("ENRICH_DATABASE_URL", "ENRICH_BROKER_URL", "ENRICH_S3_ENDPOINT_URL")

_WELL = """
    SELECT coalesce(bool_or(refused IS NULL AND seen_at > now() - %s * interval '1 second'
                            AND progress_at > now() - %s * interval '1 second'), false)
           AND bool_and(waiting IS NULL)
    FROM processes WHERE kind = %s AND host = %s
"""


def is_well(part: str) -> bool:
    """Whether a part on this host is certainly healthy and not waiting.

    Args:
        part: api, worker, scheduler or listener.
    """
    try:
        found = _environment()
        return _api_answers(found) if part == "api" else _has_reported(found["ENRICH_DATABASE_URL"], part)
    except Exception:  # noqa: BLE001  # the thorough check reports it
        return False


def _has_reported(url: str, kind: str) -> bool:
    import psycopg2

    connection = psycopg2.connect(
        url.replace("postgresql+psycopg2://", "postgresql://", 1), connect_timeout=_SECONDS, application_name="health"
    )
    try:
        with connection.cursor() as cursor:
            cursor.execute(_WELL, (SILENT, STUCK, kind, socket.gethostname()))
            row = cursor.fetchone()
            return row is not None and row[0] is True
    finally:
        connection.close()


def _api_answers(found: Mapping[str, str]) -> bool:
    import http.client

    host = found.get("ENRICH_API_HOST", "127.0.0.1")
    host = "127.0.0.1" if host in ("0.0.0.0", "::") else host  # noqa: S104  # compared, not bound
    connection = http.client.HTTPConnection(host, int(found.get("ENRICH_API_PORT", "8700")), timeout=_SECONDS)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == _OK
    finally:
        connection.close()


# -- settings ----------------------------------------------------------------------------------------------------------
def _environment() -> dict[str, str]:
    """The environment, over ``.env``, over the addresses of what ``enrich up`` runs in this directory."""
    given = {name.upper(): value for name, value in (*_dotenv().items(), *os.environ.items()) if value}
    if all(name in given for name in _SERVERS):
        return given
    home = Path(given.get("ENRICH_HOME", _HOME)).expanduser()
    return _running(home, given) or _running(home / "demo", given) or given


def _dotenv() -> dict[str, str]:
    if not Path(".env").exists():
        return {}
    from dotenv import dotenv_values

    return {name: value for name, value in dotenv_values(".env").items() if value}


def _running(home: Path, given: Mapping[str, str]) -> dict[str, str] | None:
    """The settings, completed from the system that runs in a home; None if they name another system, or none runs."""
    try:
        info = json.loads((home / "run" / "env.json").read_text())
    except (OSError, ValueError):
        return None
    its = {f"ENRICH_{name.upper()}": str(value) for name, value in info.items()}
    if not _is_locked(home) or any(given.get(name, its[name]) != its[name] for name in _SERVERS):
        return None
    return {**its, **given}


def _is_locked(home: Path) -> bool:
    """Whether a supervisor or its orphan reaper uses this home."""
    with (home / "run" / "lock").open() as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
