"""The place a benchmark runs in: real servers from wheels, a bucket with files, a fresh database for every run."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from typing import Any

from bench import corpus
from tests.servers import RunningServers, start_servers
from worker import catalog, db

_TEMPLATE = "bench"
#: Making a file takes longer than enriching it. From so many on, files are there under several keys: nobody knows.
_DIFFERENT = 128


@dataclass(frozen=True, kw_only=True, slots=True)
class Site:
    """Servers that run, and the files in them."""

    servers: RunningServers
    model: Path
    files: Mapping[str, int]  # how many of each size
    _buckets: dict[str, str] = field(default_factory=dict)

    def bucket(self, size: str) -> str:
        """A bucket with files of that size, which are uploaded when first asked for."""
        if size not in self._buckets:
            self._buckets[size] = self.servers.fresh_bucket()
            _upload(self.servers, self._buckets[size], size, self.files[size])
        return self._buckets[size]

    def copies(self, size: str, count: int) -> str:
        """A bucket with that many objects of that size, of which the files repeat."""
        bucket = self.servers.fresh_bucket()
        _upload(self.servers, bucket, size, self.files[size], count=count)
        return bucket

    @contextmanager
    def database(self) -> Iterator[str]:
        """URL of a migrated database that nobody used before."""
        with self.servers.fresh_database(template=_TEMPLATE) as url:
            yield url

    def environment(self, database_url: str, **extra: str) -> dict[str, str]:
        """What processes of a benchmark run with."""
        return {
            **self.servers.environment(),
            "ENRICH_DATABASE_URL": database_url,
            "ENRICH_MODEL": str(self.model.resolve()),
            "ENRICH_LOG_LEVEL": "ERROR",
            "OPENBLAS_NUM_THREADS": "1",  # as `enrich worker` has it; no peer uses numpy for more than a copy
            **extra,
        }


@contextmanager
def open_site(folder: Path, *, files: Mapping[str, int]) -> Iterator[Site]:
    """Start the servers, which keep what is committed, as in production; there will be so many files of each size."""
    model = corpus.clip_b32(folder / "clip-vit-b32")
    with tempfile.TemporaryDirectory() as home, start_servers(Path(home), durable=True) as servers:
        servers.create_template(_TEMPLATE, _migrate)
        yield Site(servers=servers, model=model, files=files)


def bucket_client(environment: dict[str, str]) -> Any:
    """What a user would write: boto3 with its defaults, for the store that ``ENRICH_*`` variables name."""
    import boto3

    return boto3.client(
        "s3",
        endpoint_url=environment["ENRICH_S3_ENDPOINT_URL"],
        aws_access_key_id=environment["ENRICH_S3_ACCESS_KEY_ID"],
        aws_secret_access_key=environment["ENRICH_S3_SECRET_ACCESS_KEY"],
        region_name=environment.get("ENRICH_S3_REGION", "us-east-1"),
    )


def _upload(servers: RunningServers, bucket: str, size: str, files: int, *, count: int | None = None) -> None:
    count = count or files
    print(f"… uploading {count} files of {size}", file=sys.stderr, flush=True)
    store = bucket_client(servers.environment())

    def put(numbered: tuple[int, bytes]) -> None:
        number, data = numbered
        store.put_object(Bucket=bucket, Key=f"{number:05}.jpg", Body=data, ContentType="image/jpeg")

    different = list(corpus.jpegs(size, min(files, _DIFFERENT)))
    numbered = zip(range(count), cycle(different), strict=False)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(put, numbered))


def _migrate(url: str) -> None:
    engine = db.connect(url, name="bench")
    catalog.schema.migrate(engine)
    engine.dispose()
