"""From the event to the moment another connection sees the row, with real processes, at several loads.

Open loop: events come at times drawn beforehand, whether or not earlier ones are done, so that a queue shows.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from sqlalchemy import text

from bench.intake import answer, environment, request
from bench.plots import Plot
from bench.processes import api, process
from bench.site import Site
from bench.table import Found, Note, Row
from worker import db
from worker.db import Engine, transaction

_LOADS = (0, 25, 50, 90)  # per cent of what the worker sustains
_IDLE_PAUSE = 1.0  # seconds between events at "0 %"
_POLL = 0.01  # seconds
_PATIENCE = 60.0
_START = 300.0  # for the model to load, on a busy machine
_GOAL = 1.0  # seconds, p95 at idle
_SEEN = text("SELECT key FROM images WHERE bucket = :bucket")


@dataclass(frozen=True, kw_only=True, slots=True)
class _Scene:
    """Where events are sent to, and where their images appear."""

    engine: Engine
    port: int
    bucket: str

    def run(self, keys: Sequence[str], at: Sequence[float], patience: float = _PATIENCE) -> np.ndarray:
        """Send the event of each key at its time; seconds until each was searchable."""
        with transaction(self.engine) as connection:
            connection.execute(text("DELETE FROM images"))  # else a known etag would spare the work
        return asyncio.run(_events(self, dict(zip(keys, at, strict=True)), patience))

    async def send(self, key: str) -> None:
        """Announce one upload, on a connection of its own."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(request([(self.bucket, key)], self.port))
        await answer(reader)
        writer.close()

    def seen(self) -> list[str]:
        """What is searchable."""
        with self.engine.connect() as connection:
            return list(connection.execute(_SEEN, {"bucket": self.bucket}).scalars())


def under_load(site: Site, *, seconds: float, files: int) -> Iterator[Found]:
    """p50, p95 and p99 at each load; the load is measured first, on the same processes."""
    with site.database() as url:
        chosen = environment(site, url, ENRICH_BROKER_URL=site.servers.fresh_broker_url())
        engine = db.connect(url, name="bench")
        scene = _Scene(engine=engine, port=int(chosen["ENRICH_API_PORT"]), bucket=site.bucket("640 px"))
        with api(chosen), process(chosen, "worker"):
            keys = [f"{number:05}.jpg" for number in range(files)]
            scene.run(keys[:4], [0.0] * 4, _START)  # the model loads, kernels are chosen
            started = time.perf_counter()
            scene.run(keys, [0.0] * len(keys))
            capacity = len(keys) / (time.perf_counter() - started)
            found = {load: scene.run(*_schedule(keys, load * capacity / 100, seconds)) for load in _LOADS}
        engine.dispose()
    yield from _rows(found, capacity)


def _schedule(keys: Sequence[str], rate: float, seconds: float) -> tuple[Sequence[str], list[float]]:
    """When each event is sent: ``rate`` a second on average; 0 is one at a time, with pauses."""
    count = int(min(len(keys), max(seconds * rate, seconds / _IDLE_PAUSE)))
    draw = random.Random(0)
    pauses = [draw.expovariate(rate) if rate else _IDLE_PAUSE for _ in range(count)]
    return keys[:count], np.cumsum(pauses).tolist()


def _rows(found: dict[int, np.ndarray], capacity: float) -> Iterator[Found]:
    quantiles = {load: [float(np.percentile(taken, q)) for q in (50, 95, 99)] for load, taken in found.items()}
    yield Row(
        what="event to searchable, idle, p95",
        unit="s",
        ours=quantiles[0][1],
        other="wanted at most",
        theirs=_GOAL,
        less_is_better=True,
        goal=1,
    )
    for load, (p50, p95, p99) in quantiles.items():
        yield Note(
            sentence=f"Event to searchable at {load} % of {capacity:.0f} images/s: p50 {p50:.2f} s, p95 {p95:.2f} s, "
            f"p99 {p99:.2f} s ({len(found[load])} events, 640 px)."
        )
    yield Plot(
        name="latency",
        title="Event to searchable against load (640 px)",
        x="load, per cent of what the worker sustains (1: idle)",
        y="seconds",
        lines={
            name: [(max(load, 1), values[which]) for load, values in quantiles.items()]
            for which, name in enumerate(("p50", "p95", "p99"))
        },
    )


async def _events(scene: _Scene, at: dict[str, float], patience: float) -> np.ndarray:
    started, sent, seen = time.perf_counter(), dict[str, float](), dict[str, float]()

    async def send(key: str) -> None:
        await asyncio.sleep(max(0.0, at[key] - (time.perf_counter() - started)))
        sent[key] = time.perf_counter()
        await scene.send(key)

    async def watch() -> None:
        deadline = max(at.values()) + patience
        while len(seen) < len(at):
            for key in await asyncio.to_thread(scene.seen):
                seen.setdefault(key, time.perf_counter())
            if time.perf_counter() - started > deadline:
                raise RuntimeError(
                    f"{len(at) - len(seen)} of {len(at)} events are not searchable after {deadline:.0f} s"
                )
            await asyncio.sleep(_POLL)

    await asyncio.gather(watch(), *(send(key) for key in at))
    return np.array([seen[key] - sent[key] for key in at])
