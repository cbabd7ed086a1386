"""Events over HTTP, into a real ``enrich api``: one in a request, many in a request, and what a backfill writes."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections.abc import Iterator, Sequence

from bench.processes import api
from bench.site import Site
from bench.table import Found, Row
from worker.local.ports import free_port_base

_PATH = "/v1/events/s3"
_MANY = 1000  # records in a large request
_GOAL_SINGLE, _GOAL_MANY = 1000.0, 5000.0


def environment(site: Site, database_url: str, **extra: str) -> dict[str, str]:
    """Of an API on a free port of this machine."""
    return site.environment(
        database_url, ENRICH_API_PORT=str(free_port_base()), ENRICH_API_TOKEN="bench", ENRICH_BUCKETS="*", **extra
    )


def request(records: Sequence[tuple[str, str]], port: int) -> bytes:
    """A whole HTTP request that announces uploads: (bucket, key)."""
    body = json.dumps({"Records": [_record(bucket, key) for bucket, key in records]}).encode()
    head = (
        f"POST {_PATH} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer bench\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def _record(bucket: str, key: str) -> dict[str, object]:
    return {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "eventName": "ObjectCreated:Put",
        "s3": {"bucket": {"name": bucket}, "object": {"key": key, "size": 66_000, "eTag": "e"}},
    }


async def send(port: int, requests: Sequence[bytes], *, connections: int) -> list[float]:
    """Send them over so many connections, each waiting for its answer; seconds of each request."""
    line, seconds = iter(requests), [0.0] * 0

    async def one() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for each in line:
            started = time.perf_counter()
            writer.write(each)
            await answer(reader)
            seconds.append(time.perf_counter() - started)
        writer.close()

    await asyncio.gather(*(one() for _ in range(connections)))
    return seconds


async def answer(reader: asyncio.StreamReader) -> None:
    """Read one answer to its end.

    Raises:
        RuntimeError: it is not a 200.
    """
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    body = await reader.readexactly(int(length.split(b":")[1]))
    if not head.startswith(b"HTTP/1.1 200"):
        raise RuntimeError(f"{head.decode()}{body.decode()}")


def rates(site: Site, *, requests: int, connections: int = 32) -> Iterator[Found]:
    """Single-event requests and many-record requests a second, the client on the same cores."""
    fresh = itertools.count()
    with site.database() as url:
        chosen = environment(site, url)
        port = int(chosen["ENRICH_API_PORT"])
        with api(chosen):
            single = [request([("bench", f"{next(fresh)}.jpg")], port) for _ in range(requests)]
            many = [
                request([("bench", f"{next(fresh)}.jpg") for _ in range(_MANY)], port)
                for _ in range(max(4, requests // 100))
            ]
            rate = {}
            for name, line, at_once in (("one", single[:200], 1), ("single", single, connections), ("many", many, 4)):
                started = time.perf_counter()
                asyncio.run(send(port, line, connections=at_once))
                rate[name] = len(line) / (time.perf_counter() - started)
    yield Row(
        what=f"single-event requests, {connections} in flight",
        unit="requests/s",
        ours=rate["single"],
        other="wanted",
        theirs=_GOAL_SINGLE,
        goal=1,
    )
    yield Row(
        what=f"single-event requests, {connections} in flight",
        unit="requests/s",
        ours=rate["single"],
        other="one after the other",
        theirs=rate["one"],
    )
    yield Row(
        what=f"hints in requests of {_MANY:,} records",
        unit="hints/s",
        ours=rate["many"] * _MANY,
        other="wanted",
        theirs=_GOAL_MANY,
        goal=1,
    )
