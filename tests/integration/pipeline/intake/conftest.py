"""Queues on a real HTTP server, and a listener on a real PostgreSQL."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest

from tests.integration.pipeline.intake.sqs_server import REGION, Aws, Proxy, aws_server, proxied
from worker.db import Engine
from worker.events.sqs import SqsQueue
from worker.pipeline.intake.ingest import Ingest
from worker.pipeline.intake.sqs_consumer import SqsConsumer


@pytest.fixture(scope="session")
def aws() -> Iterator[Aws]:
    with aws_server() as server:
        yield server


@pytest.fixture
def queue_url(aws: Aws) -> str:
    return aws.new_queue()


@pytest.fixture
def proxy(aws: Aws, queue_url: str) -> Iterator[Proxy]:
    """A proxy before the queue of `queue_url`."""
    with proxied(aws, queue_url) as made:
        yield made


@pytest.fixture
def rung() -> threading.Event:
    return threading.Event()


def make_queue(url: str, *, visibility: int = 60, wait: int = 1) -> SqsQueue:
    return SqsQueue(
        url, region=REGION, wait=wait, visibility=visibility, access_key_id="test", secret_access_key="test"
    )


@pytest.fixture
def ingest(engine: Engine, rung: threading.Event) -> Ingest:
    return Ingest(
        engine=engine, refusal=lambda bucket, _: "not watched" if bucket == "unwatched" else None, notify=rung.set
    )


@pytest.fixture
def listen(ingest: Ingest) -> Iterator[Callable[..., SqsConsumer]]:
    """Starts a listener on a queue; it is stopped afterwards."""
    running: list[SqsConsumer] = []

    def start(url: str, *, intake: Ingest | None = None, visibility: int = 60) -> SqsConsumer:
        listener = SqsConsumer(make_queue(url, visibility=visibility), intake or ingest)
        running.append(listener)
        listener.start()
        return listener

    yield start
    for each in running:
        each.ask_to_stop()
    for each in running:
        assert each.stop(within=10)
