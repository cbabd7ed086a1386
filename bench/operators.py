"""How long each request of the operations page takes with many objects.

python -m bench.operators [--objects 1000000] [--hour 950000]

Fills a database of its own with objects in every state: a fifth are pending, a tenth is in quarantine, and as many
images as ``--hour`` says were enriched in the last hour. Then asks over HTTP. Prints JSON: milliseconds of the first
and the slowest of eleven requests, and their median.
"""

from __future__ import annotations

import argparse
import http.client
import json
import statistics
import tempfile
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

from sqlalchemy import text

from tests.api_services import services_of
from tests.integration.api.live import serve
from tests.memory_store import MemoryStore
from tests.servers import start_servers
from worker import catalog, db
from worker.api import Tokens
from worker.db import Engine
from worker.local.stack import Part
from worker.pipeline.operations.counters import keep_counts

REQUESTS = (
    "/v1/buckets", "/v1/backlog", "/v1/backlog?bucket=bucket-1", "/v1/throughput", "/v1/processes",
    "/v1/reconciliations", "/v1/feed", "/v1/rejected-events", "/v1/spaces", "/v1/status", "/v1/quarantine?limit=50",
    "/v1/quarantine?limit=50&reason=empty", "/v1/quarantine/counts",
)  # fmt: skip
_STEP = 50_000
# Indexes that none of these requests reads, and that take most of the time to fill.
_UNUSED = (
    "images_key_words", "images_by_day", "images_camera", "images_phash_0", "images_phash_1", "images_phash_2",
    "images_phash_3", "images_place", "images_user_metadata", "images_sha256", "images_taken_at",
)  # fmt: skip
_ROWS = "generate_series(CAST(:first AS integer), CAST(:last AS integer)) AS n"
_KEY = "'bucket-' || n % 4, 'folder/' || lpad(n::text, 9, '0') || '.jpg'"
_ENRICHED_AT = "now() - n * interval '1 hour' / CAST(:hour AS integer)"
_IMAGES = f"""
    INSERT INTO images (bucket, key, etag, size, width, height, format, mode, frames, orientation, sha256, phash,
                        event_at, hinted_at, enriched_at)
    SELECT {_KEY}, 'e', 1000, 100, 100, 'JPEG', 'RGB', 1, 1, decode(md5(n::text) || md5(n::text), 'hex'), n, now(),
           {_ENRICHED_AT} - interval '1.5 s', {_ENRICHED_AT} FROM {_ROWS}
"""
_LEDGER = f"""
    INSERT INTO inbox (bucket, key, source, wanted, done, lane, outcome, etag, hinted_at, visible_at, finished_at,
                       retry_reason)
    SELECT {_KEY}, 's3', 1 + (n % 5 = 0)::integer, 1, CASE WHEN n % 1000 = 0 THEN 0 WHEN n % 7 = 0 THEN 1 ELSE 2 END,
           CASE WHEN n % 9 = 0 THEN 'quarantined' ELSE 'enriched' END, 'e', now() - n * interval '10 ms',
           now() - n * interval '10 ms', now(), CASE WHEN n % 5 = 0 AND n % 7 = 0 THEN 'store-away' END FROM {_ROWS}
"""
_CHANGES = f"""
    INSERT INTO changes (kind, bucket, key, etag, epoch)
    SELECT 'enriched', {_KEY}, 'e', (SELECT feed_epoch()) FROM {_ROWS}
"""
_QUARANTINE = """
    INSERT INTO quarantine (inbox_id, reason, message, etag, size, attempts, since)
    SELECT id, (ARRAY['truncated', 'corrupt', 'empty', 'not-an-image'])[1 + id % 4], 'a message', 'e', 1, 1,
           now() - id * interval '1 s'
    FROM inbox WHERE outcome = 'quarantined' AND done = wanted
"""


def main() -> None:
    """Fill, ask, print."""
    asked = argparse.ArgumentParser()
    asked.add_argument("--objects", type=int, default=1_000_000)
    asked.add_argument("--hour", type=int, default=950_000, help="of these, images enriched in the last hour")
    given = asked.parse_args()
    with tempfile.TemporaryDirectory() as folder, start_servers(Path(folder) / "servers", [Part.DATABASE]) as servers:
        Path(folder).chmod(0o755)
        engine = db.connect(servers.database_url, name="bench", pool_size=10)
        catalog.schema.migrate(engine)
        _fill(engine, given.objects, given.hour)
        keep_counts(engine)
        services = services_of(engine, MemoryStore(), Path(folder), notify=lambda: None, tokens=Tokens())
        with serve(services) as api:
            found = {path: _timed(api.port, path) for path in REQUESTS}
        engine.dispose()
    print(json.dumps({"objects": given.objects, "in the last hour": given.hour, "milliseconds": found}, indent=1))


def _fill(engine: Engine, objects: int, hour: int) -> None:
    with engine.connect() as connection:
        connection.execution_options(isolation_level="AUTOCOMMIT")
        connection.execute(text("SET statement_timeout = 0"))
        for name in _UNUSED:
            connection.execute(text(f"DROP INDEX IF EXISTS {name}"))
        for first in range(1, objects + 1, _STEP):
            rows = {"first": first, "last": min(first + _STEP - 1, objects), "hour": hour}
            for statement in (_IMAGES, _LEDGER, _CHANGES):
                connection.execute(text(statement), rows)
        connection.execute(text(_QUARANTINE))
        connection.invalidate()  # its time limit is not that of others


def _timed(port: int, path: str) -> Mapping[str, float]:
    times = [_seconds(port, path) for _ in range(11)]
    rounded = [round(1_000 * each, 1) for each in (times[0], statistics.median(times), max(times))]
    return dict(zip(("first", "median", "slowest"), rounded, strict=True))


def _seconds(port: int, path: str) -> float:
    began = time.monotonic()
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
        connection.request("GET", path)
        answer = connection.getresponse()
        answer.read()
        if answer.status != http.HTTPStatus.OK:
            raise RuntimeError(f"{path}: {answer.status}")
    return time.monotonic() - began


if __name__ == "__main__":
    main()
