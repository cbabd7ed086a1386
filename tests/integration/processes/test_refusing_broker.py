"""A broker that answers, but does not do what it is for: it costs speed, and nothing else."""

from __future__ import annotations

import base64
import dataclasses
import json
import pickle
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import urllib3
from redis import Redis

from tests.integration.processes.site import Site
from tests.servers import RunningServers, start_servers
from worker.broker import PREFIX, QUEUE, is_wake_up
from worker.local.ports import free_port_base, listen
from worker.local.stack import Part


@pytest.fixture(scope="module")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServers]:
    """A broker of this module's own, to be ill-treated."""
    with start_servers(tmp_path_factory.mktemp("valkey"), [Part.BROKER]) as running:
        yield running


@pytest.fixture
def here(site: Site, valkey: RunningServers) -> Site:
    """A site with that broker, emptied."""
    here = dataclasses.replace(site, broker_url=valkey.broker_url, running=site.running)
    here.broker.flushall()
    return here


def _config(name: str, value: str) -> Callable[[Redis, RunningServers], object]:
    return lambda broker, _: broker.config_set(name, value)


def _cannot_save(broker: Redis, valkey: RunningServers) -> None:
    (valkey.stack.home.run / "valkey" / "dump.rdb").mkdir(exist_ok=True)
    broker.config_set("save", "3600 1")
    broker.bgsave()
    while (state := broker.info("persistence"))["rdb_last_bgsave_status"] == "ok":
        assert state
        time.sleep(0.05)


def _another_password(broker: Redis, _: RunningServers) -> None:
    broker.config_set("requirepass", "another")
    broker.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")


TROUBLES: dict[str, tuple[Callable[[Redis, RunningServers], object], str]] = {
    "replica": (lambda broker, _: broker.replicaof("127.0.0.1", 1), "read only replica"),
    "no-replicas": (_config("min-replicas-to-write", "3"), "NOREPLICAS"),
    "cannot-save": (_cannot_save, "MISCONF"),
    "full": (_config("maxmemory", "1"), "maxmemory"),
    "password": (_another_password, "password"),
    "foreign-queue": (lambda broker, _: broker.set(QUEUE, "x"), "WRONGTYPE"),
    "foreign-unacked": (lambda broker, _: broker.set(f"{PREFIX}unacked", "x"), "WRONGTYPE"),
}


def _heal(broker: Redis, valkey: RunningServers) -> None:
    broker.replicaof("NO", "ONE")
    password = valkey.stack.home.credentials().broker_password
    healthy = {"min-replicas-to-write": "0", "save": "", "maxmemory": "0", "requirepass": password}
    for name, value in healthy.items():
        broker.config_set(name, value)
    broker.flushall()


@pytest.mark.parametrize("trouble", TROUBLES)
def test_work_goes_on_without_the_brokers_help(here: Site, valkey: RunningServers, trouble: str) -> None:
    """Uploads are enriched from the ledger, the worker lives and says once why; healed, the broker wakes it again."""
    cause, words = TROUBLES[trouble]
    broker = Redis.from_url(here.broker_url)
    worker = here.start(ENRICH_SWEEP_SECONDS="1")
    here.upload("before.jpg")
    here.until_enriched(1)
    try:
        cause(broker, valkey)
        broker.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")  # a failover closes connections
        for number in range(4):
            here.upload(f"{trouble}-{number}.jpg")
            here.until_enriched(2 + number, seconds=12)
    finally:
        _heal(broker, valkey)
    here.until(here.answers_rings, seconds=40)
    log = here.log(worker)
    assert worker.poll() is None
    assert words in log
    assert log.count("wake-ups cannot be received") <= 3  # the connection lost, and why it is of no use when it is back
    assert len(log.splitlines()) < 60


def test_a_worker_that_starts_on_a_read_only_broker_works(here: Site, valkey: RunningServers) -> None:
    """A failover that is not over yet is no reason not to start."""
    broker = Redis.from_url(here.broker_url)
    broker.replicaof("127.0.0.1", 1)
    try:
        worker = here.start(ENRICH_SWEEP_SECONDS="1")
        here.upload("a.jpg", "b.jpg")
        here.until_enriched(2, seconds=15)
    finally:
        _heal(broker, valkey)
    here.until(here.answers_rings, seconds=40)
    assert worker.poll() is None


def test_sigterm_is_heard_while_the_broker_refuses(here: Site, valkey: RunningServers) -> None:
    """The pauses between attempts end with it; the status is that of an ordinary end."""
    broker = Redis.from_url(here.broker_url)
    worker = here.start(ENRICH_SWEEP_SECONDS="1")
    try:
        broker.set(QUEUE, "x")
        here.until(lambda: "wake-ups cannot be received" in here.log(worker))
        time.sleep(4)
        worker.terminate()
        assert 0 == worker.wait(10)
    finally:
        _heal(broker, valkey)


def test_other_programs_keys_are_left_alone(here: Site) -> None:
    """A broker may be shared: what is called like our queue is another's, and everything of ours has one prefix."""
    broker = Redis.from_url(here.broker_url)
    others = dict.fromkeys(("enrich", "enrich:bell", "celery", "unacked", "_kombu.binding.enrich"), b"theirs")
    for name, value in others.items():
        broker.set(name, value)
    here.start()
    here.upload("photo.jpg")
    here.until_enriched(1)
    assert {name: broker.get(name) for name in others} == others
    assert [] == [
        key for key in broker.scan_iter() if not key.decode().startswith(PREFIX) and key.decode() not in others
    ]


# -- garbage on the queue ----------------------------------------------------------------------------------------------
def _sent(**changes: Any) -> dict[str, Any]:
    """A wake-up as Celery writes it, with changes."""
    body = [[], {}, {"callbacks": None, "errbacks": None, "chain": None, "chord": None}]
    return {
        "body": base64.b64encode(json.dumps(changes.pop("body", body)).encode()).decode(),
        "content-encoding": "utf-8",
        "content-type": changes.pop("type", "application/json"),
        "headers": {"lang": "py", "task": "enrich.wake", "id": "1", "eta": None, "expires": None, **changes},
        "properties": {
            "correlation_id": "1",
            "delivery_info": {"exchange": "", "routing_key": "enrich"},
            "body_encoding": "base64",
            "delivery_tag": "1",
        },
    }


GARBAGE: list[bytes] = [
    b"",
    b"\xff\xfe not text",
    b"{",
    b"null",
    b"[]",
    b"{}",
    b"1e999",
    b"[" * 100_000,
    pickle.dumps({"task": "enrich.wake"}),
    b"x" * (20 << 20),
    json.dumps({"headers": [], "properties": 1, "body": {}}).encode(),
    *(
        json.dumps(each).encode()
        for each in (
            _sent(task="os.system"),
            _sent(task=["enrich.wake"]),
            _sent(body=[["rm -rf /"], {}, {}]),
            _sent(body=[[], {"a": 1}, {}]),
            _sent(body=[[], {}, {"callbacks": [{"task": "os.system", "args": []}]}]),
            _sent(body=17),
            _sent(type="application/x-python-serialize"),
            _sent(compression="application/x-gzip"),
            _sent(eta="2999-01-01T00:00:00"),
            _sent(expires="never"),
            _sent(id=None),
            {**_sent(), "properties": {}},
            {**_sent(), "body": "not base64"},
            {**_sent(), "headers": None},
        )
    ),
]


@pytest.mark.parametrize("number", range(len(GARBAGE)))
def test_garbage_is_no_wake_up(number: int) -> None:
    """Neither what is no message, nor a message that would have Celery do anything but wake."""
    assert not is_wake_up(GARBAGE[number])
    assert is_wake_up(json.dumps(_sent()).encode())


def test_a_wake_up_that_was_given_back_is_one() -> None:
    """A worker that ends returns what it took and did not begin, marked by kombu: nobody else's message."""
    sent = _sent()
    sent["properties"]["delivery_info"]["redelivered"] = sent["headers"]["redelivered"] = True
    assert is_wake_up(json.dumps(sent).encode())


def test_garbage_on_the_queue_is_dropped_and_counted(here: Site) -> None:
    """The worker goes on, and answers the next wake-up at once; one line of its log says what happened."""
    broker, port = Redis.from_url(here.broker_url), free_port_base()
    worker = here.start(ENRICH_SWEEP_SECONDS="300", ENRICH_METRICS_PORT=str(port))
    broker.lpush(QUEUE, *GARBAGE, *(b"garbage" for _ in range(500)))
    here.until(lambda: not broker.llen(QUEUE))
    here.upload("photo.jpg")
    assert here.until_enriched(1) < 10
    page = urllib3.request("GET", f"http://127.0.0.1:{port}/metrics").data.decode()
    assert f'enrich_wake_ups_total{{result="dropped"}} {len(GARBAGE) + 500}.0' in page
    assert (None, 1) == (worker.poll(), here.log(worker).count("is not a wake-up"))


def test_what_is_no_redis_at_all_costs_speed_only(site: Site, tmp_path: Path) -> None:
    """Something else on the broker's port that takes connections and says nothing."""
    port = free_port_base()
    with listen(port):
        here = dataclasses.replace(site, broker_url=f"redis://127.0.0.1:{port}/0", running=site.running)
        worker = here.start(ENRICH_SWEEP_SECONDS="1")
        here.upload("photo.jpg", notify=False)
        here.until_enriched(1, seconds=20)
        assert worker.poll() is None
