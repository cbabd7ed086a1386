"""The real servers under one home: what runs, what replaces it, and what it announces."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from sqlalchemy.exc import OperationalError

from tests.integration.local.running import Receiver, query, s3_client
from tests.servers import RunningServers, start_servers
from tests.waiting import until
from worker.errors import ServerError
from worker.local.connection import read_connection_info
from worker.local.ports import PortPlan, free_port_base, listen
from worker.local.probes import set_key
from worker.local.stack import LocalStack, Part, Replacements
from worker.supervision.child import NotReadyError


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServers]:
    with start_servers(tmp_path_factory.mktemp("servers") / "home") as running:
        yield running


def test_all_three_servers_work_when_start_returns(servers: RunningServers):
    """The first request to each succeeds: ready means that a write succeeded."""
    store = s3_client(servers.info)
    store.put_object(Bucket="photos", Key="a b/ü+%.jpg", Body=b"jpeg")
    broker = redis.Redis.from_url(servers.broker_url)

    assert b"jpeg" == store.get_object(Bucket="photos", Key="a b/ü+%.jpg")["Body"].read()
    assert [(2.0,)] == query(servers.database_url, "SELECT '[1,2]'::vector <-> '[1,4]'")
    assert broker.set("key", "value") is True
    broker.close()


def test_postgres_is_18_with_unicode_case_rules(servers: RunningServers):
    """The version production runs; a locale that does not depend on the machine."""
    version, lower = query(servers.database_url, "SELECT current_setting('server_version_num'), lower('ÄÖ')")[0]

    assert ("18", "äö") == (version[:2], lower)


def test_every_server_writes_a_log(servers: RunningServers):
    """A file per child, under logs/."""
    logs = {path.name for path in servers.stack.home.logs.glob("*.log") if path.stat().st_size > 50}

    assert logs == {
        "postgres.log",
        "valkey.log",
        *(f"seaweedfs-{part}.log" for part in ("master", "volume", "filer", "s3")),
    }


def test_passwords_are_required(servers: RunningServers):
    """Another user of the machine gets no further than the ports."""
    ports = servers.ports
    with pytest.raises(OperationalError, match="no password supplied"):
        query(f"postgresql://enrich@127.0.0.1:{ports.postgres}/enrich?passfile={os.devnull}", "SELECT 1")
    with pytest.raises(NotReadyError, match="invalid username-password"):
        set_key(f"redis://:guess@127.0.0.1:{ports.valkey}/0")
    for method in ("GET", "PUT", "DELETE"):
        url = f"http://127.0.0.1:{ports.filer}/buckets/photos/x.jpg"
        with pytest.raises(urllib.error.HTTPError, match="401"):
            urllib.request.urlopen(urllib.request.Request(url, method=method, data=b"" if method == "PUT" else None))


def test_fresh_databases_are_separate_and_have_pgvector(servers: RunningServers):
    """One test's rows are not another's."""
    with servers.fresh_database() as first, servers.fresh_database() as second:
        query(first, "CREATE TABLE t (v vector(3))")

        assert [(None,)] == query(second, "SELECT to_regclass('t')")
    with pytest.raises(OperationalError, match="does not exist"):
        query(first, "SELECT 1")


def test_a_database_is_copied_from_a_template(servers: RunningServers):
    """Migrations run once per session, not once per test."""

    def migrate(url: str) -> None:
        query(url, "CREATE TABLE images AS SELECT 7 AS id")

    servers.create_template("migrated", migrate)

    with servers.fresh_database(template="migrated") as url:
        assert [(7,)] == query(url, "SELECT id FROM images")


def test_fresh_buckets_and_broker_databases_are_empty(servers: RunningServers):
    """Also when a number comes round again."""
    for _ in range(16):
        with redis.Redis.from_url(servers.fresh_broker_url()) as broker:
            assert 0 == broker.dbsize()
            broker.set("left", "behind")
    buckets = {servers.fresh_bucket() for _ in range(3)}

    assert 3 == len(buckets)
    assert [0, 0, 0] == [s3_client(servers.info).list_objects_v2(Bucket=bucket)["KeyCount"] for bucket in buckets]


def test_connection_info_is_there_while_it_runs(servers: RunningServers):
    """What `enrich env` prints, readable by the owner alone."""
    home = servers.stack.home

    assert read_connection_info(home.root) == servers.info
    assert 0o600 == (home.run / "env.json").stat().st_mode & 0o777


def test_a_second_run_on_the_same_home_is_refused(servers: RunningServers):
    """At once, naming the process; the first goes on undisturbed."""
    second = LocalStack(servers.stack.home.root, ports=PortPlan(base=free_port_base()))
    with pytest.raises(ServerError, match=f"in use by process {os.getpid()}"):
        second.start()

    assert read_connection_info(servers.stack.home.root) == servers.info
    assert [(1,)] == query(servers.database_url, "SELECT 1")


def test_taken_ports_are_named_and_nothing_is_started(servers: RunningServers, tmp_path: Path):
    """Another home on the same ports: every port, what for, and who has it."""
    with pytest.raises(ServerError) as taken:
        LocalStack(tmp_path / "home", ports=servers.ports).start()

    assert f"port {servers.ports.postgres} (PostgreSQL): in use by postgres (pid " in str(taken.value)
    assert f"port {servers.ports.s3} (S3): in use by weed (pid " in str(taken.value)
    assert [] == list((tmp_path / "home" / "data").iterdir())


def test_a_replaced_part_is_not_started(servers: RunningServers, tmp_path: Path):
    """With all three replaced nothing runs here, and the children are told about the replacements."""
    info = servers.info
    replacements = Replacements(
        database_url=info.database_url, broker_url=info.broker_url, s3_endpoint_url=info.s3_endpoint_url
    )
    ports = PortPlan(base=free_port_base())
    with LocalStack(tmp_path / "home", ports=ports, replace=replacements) as stack:
        environment = stack.environment()

        assert [] == [path.name for path in stack.home.logs.iterdir()]
    assert (info.database_url, info.broker_url, info.s3_endpoint_url) == (
        environment["ENRICH_DATABASE_URL"],
        environment["ENRICH_BROKER_URL"],
        environment["ENRICH_S3_ENDPOINT_URL"],
    )
    assert "ENRICH_S3_SECRET_ACCESS_KEY" not in environment


def test_addresses_of_this_very_home_replace_nothing(tmp_path: Path):
    """`eval "$(enrich env)"` and then `enrich up` in the same shell starts the servers again."""
    with start_servers(tmp_path / "home", [Part.BROKER]) as first:
        info = first.info
    replacements = Replacements(
        database_url=info.database_url,
        broker_url=info.broker_url,
        s3_endpoint_url=info.s3_endpoint_url,
        s3_access_key_id=info.s3_access_key_id,
    )
    ports = PortPlan(base=free_port_base())
    with LocalStack(tmp_path / "home", ports=ports, parts=[Part.BROKER], replace=replacements) as stack:
        broker = redis.Redis.from_url(stack.connection_info().broker_url)
        assert broker.ping() is True
        broker.close()


def test_an_unreachable_replacement_stops_the_start(tmp_path: Path):
    """Before anything is started, naming the variable."""
    with listen(0) as closed:
        port = closed.getsockname()[1]
    replace = Replacements(broker_url=f"redis://:hunter2@127.0.0.1:{port}/0")

    with pytest.raises(ServerError, match=f"ENRICH_BROKER_URL points to 127.0.0.1:{port}, which cannot be reached"):
        LocalStack(tmp_path / "home", ports=PortPlan(base=free_port_base()), replace=replace).start()


def test_an_upload_through_s3_is_announced_and_none_is_lost_while_the_receiver_restarts(tmp_path: Path):
    """With the token, on the intake's path. While nobody accepts, events wait in the held socket."""
    ports = PortPlan(base=free_port_base())
    intake = f"http://127.0.0.1:{ports.api}/v1/events/seaweedfs"
    with start_servers(tmp_path / "home", [Part.STORE], ports=ports, webhook_url=intake, hold_api_port=True) as running:
        listener = running.stack.api_socket
        assert listener is not None
        store = s3_client(running.info)
        before = Receiver(listener)
        store.put_object(Bucket="photos", Key="first.jpg", Body=b"1")
        until(lambda: "/buckets/photos/first.jpg" in before.seen())
        before.end()
        for number in range(10):
            store.put_object(Bucket="photos", Key=f"meanwhile-{number}.jpg", Body=b"2")
        time.sleep(0.5)
        after = Receiver(listener)
        missed = {f"/buckets/photos/meanwhile-{number}.jpg" for number in range(10)}
        try:
            until(lambda: missed <= set(after.seen()))
        finally:
            after.end()
    token, event = next(event for event in before.events if event[1]["key"] == "/buckets/photos/first.jpg")

    assert (
        f"Bearer {running.info.api_events_token}",
        "/v1/events/seaweedfs",
        "create",
    ) == (token, event["path"], event["event_type"])


_EMPTY_THEN_FULL = """
import io, os, sys, time, boto3
from botocore.config import Config
store = boto3.client("s3", config=Config(max_pool_connections=1))
begun = time.monotonic()
for number in range(3):
    store.put_object(Bucket=sys.argv[1], Key=f"empty-{number}", Body=io.BytesIO())
    store.put_object(Bucket=sys.argv[1], Key=f"full-{number}", Body=io.BytesIO(b"x" * 20000))
print(time.monotonic() - begun)
"""


def test_empty_files_do_not_stall_uploads_of_clients_that_use_our_exports(servers: RunningServers):
    """Without one of the variables of `enrich env`, botocore waits 60 s for an answer that it has had already."""
    command = [sys.executable, "-c", _EMPTY_THEN_FULL, servers.fresh_bucket()]
    environment = {**os.environ, **servers.info.client_environment()}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=250)

    assert float(done.stdout) < 30
