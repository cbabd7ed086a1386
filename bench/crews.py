"""S3 in, committed rows out, by ``enrich worker --processes N`` as a user starts it, on one ledger."""

from __future__ import annotations

import time
from collections.abc import Callable

from sqlalchemy import text

from bench.processes import process
from bench.site import Site
from worker import broker, db, ledger, settings
from worker.db import Engine, transaction
from worker.types import Hint, Lane, ObjectRef

_START_SECONDS = 300.0
_MOST_SECONDS = 300.0
_POLL_SECONDS = 0.02
#: What a rate is measured between, as shares of the objects: not while the crew wakes up, nor while it runs dry.
_FROM, _TO = 0.1, 0.9


def rate(site: Site, bucket: str, *, objects: int, processes: int, rounds: int, **environment: str) -> float:
    """Images/s of a crew; the best round, because the first ones fill caches.

    Raises:
        TimeoutError: it did not start, or did not end.
    """
    with site.database() as url:
        variables = site.environment(url, ENRICH_PROCESSES=str(processes), **environment)
        engine = db.connect(url, name="bench")
        try:
            with process(variables, "worker"):
                _until(lambda: len(_processes(engine)) >= processes, _START_SECONDS, "the workers do not start")
                notify = broker.WakeUp(_settings(variables)).send
                return max(_round(engine, bucket, objects, notify) for _ in range(1 + rounds))
        finally:
            engine.dispose()


def _round(engine: Engine, bucket: str, objects: int, notify: Callable[[], None]) -> float:
    with transaction(engine) as connection:
        connection.execute(text("DELETE FROM images"))  # else a known etag would spare the work
    refs = [ObjectRef(bucket=bucket, key=f"{number:05}.jpg") for number in range(objects)]
    with transaction(engine) as connection:
        ledger.hints.hint(connection, [Hint(ref=ref, source="bench", event="put") for ref in refs], lane=Lane.LIVE)
    times = {0: time.monotonic()}
    notify()
    deadline = time.monotonic() + _MOST_SECONDS
    while max(times) < objects:
        times.setdefault(_written(engine), time.monotonic())
        if time.monotonic() > deadline:
            raise TimeoutError(f"{max(times)} of {objects} images were written within {_MOST_SECONDS:g} s")
        time.sleep(_POLL_SECONDS)
    return between(times, objects)


def between(times: dict[int, float], objects: int) -> float:
    """Images/s from when a tenth had been written until nine tenths had; of all, where it was too quick to see."""
    seen = sorted(count for count in times if _FROM * objects <= count <= _TO * objects)
    first, last = (seen[0], seen[-1]) if len(seen) > 1 else (min(times), max(times))
    return (last - first) / (times[last] - times[first])


def _written(engine: Engine) -> int:
    with transaction(engine) as connection:
        return int(connection.execute(text("SELECT count(*) FROM images")).scalar_one())


def _processes(engine: Engine) -> list[ledger.heartbeats.ProcessStatus]:
    with transaction(engine) as connection:
        return ledger.heartbeats.processes(connection)


def _settings(variables: dict[str, str]) -> settings.Settings:
    given = {name: value for name, value in variables.items() if name.startswith("ENRICH_")}
    return settings.load(**{name.removeprefix("ENRICH_").lower(): value for name, value in given.items()})


def _until(holds: Callable[[], bool], seconds: float, otherwise: str) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{otherwise} within {seconds:g} s")
        time.sleep(0.1)
