"""The real servers under one home: they start, keep their data, end with their parent, and say what is wrong."""

from __future__ import annotations

import json
import os
import pwd
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from socket import socket
from typing import Any

import boto3
import psutil
import pytest
import redis
import sqlalchemy
from botocore.config import Config
from sqlalchemy.exc import OperationalError

from tests.servers import RunningServers, start_servers
from worker.errors import ServerError
from worker.local import (
    ConnectionInfo,
    LocalStack,
    NotReadyError,
    Part,
    PortPlan,
    Replacements,
    free_port_base,
    read_connection_info,
)
from worker.local.ports import listen
from worker.local.probes import resp

ROOT = str(Path(__file__).parents[3])

# A process that runs the stack until a signal; argv: home, port base, parts.
RUNNER = f"""
import pathlib, sys
sys.path.insert(0, {ROOT!r})
from worker.local import LocalStack, Part, PortPlan
stack = LocalStack(
    pathlib.Path(sys.argv[1]),
    ports=PortPlan(base=int(sys.argv[2])),
    parts=[Part(part) for part in sys.argv[3:]],
    announce=lambda message: print(message, flush=True),
)
stack.start()
print("up", flush=True)
stack.run()
"""


def _s3(info: ConnectionInfo) -> Any:
    return boto3.client(
        "s3",
        endpoint_url=info.s3_endpoint_url,
        aws_access_key_id=info.s3_access_key_id,
        aws_secret_access_key=info.s3_secret_access_key,
        region_name=info.s3_region,
        config=Config(s3={"addressing_style": "path"}, retries={"max_attempts": 0}),
    )


def _query(url: str, statement: str) -> list[tuple[Any, ...]]:
    engine = sqlalchemy.create_engine(url.replace("postgresql:", "postgresql+psycopg2:"), poolclass=sqlalchemy.NullPool)
    with engine.begin() as connection:
        result = connection.execute(sqlalchemy.text(statement))
        return [tuple(row) for row in result] if result.returns_rows else []


def _wait_for(condition: Callable[[], object], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


@contextmanager
def _runner(home: Path, base: int, *parts: str, user: str | None = None) -> Iterator[subprocess.Popen[str]]:
    argv = [sys.executable, "-c", RUNNER, str(home), str(base), *parts]
    with subprocess.Popen(
        argv,
        text=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        user=user,
    ) as process:
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(timeout=30)
            finally:
                process.kill()


def _await_up(process: subprocess.Popen[str]) -> list[psutil.Process]:
    """Wait until the stack is up; the processes under it, guardian included."""
    assert process.stdout is not None
    said: list[str] = []
    while not said or said[-1] not in ("up\n", ""):
        said.append(process.stdout.readline())
    assert said[-1] == "up\n", "".join(said)
    return psutil.Process(process.pid).children(recursive=True)


def _left(processes: list[psutil.Process]) -> list[psutil.Process]:
    return [process for process in processes if process.is_running() and process.status() != psutil.STATUS_ZOMBIE]


def _can_run_python(user: str) -> bool:
    try:
        return subprocess.run([sys.executable, "-c", ""], user=user, check=False, capture_output=True).returncode == 0
    except PermissionError:
        return False


class Receiver(HTTPServer):
    """Records events posted to it; listens on a socket that it may have been handed."""

    def __init__(self, listener: socket) -> None:
        super().__init__(listener.getsockname(), _Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listener.dup()
        self.events: list[tuple[str | None, dict[str, Any]]] = []
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    def seen(self) -> list[str]:
        return [str(event["key"]) for _, event in self.events]

    def end(self) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.events.append((self.headers["Authorization"], body | {"path": self.path}))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_args: object) -> None:
        pass


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServers]:
    with start_servers(tmp_path_factory.mktemp("servers") / "home") as running:
        yield running


# -- what runs ---------------------------------------------------------------------------------------------------------
def test_all_three_servers_work_when_start_returns(servers: RunningServers):
    """The first request to each succeeds: ready means that a write succeeded."""
    store = _s3(servers.info)
    store.put_object(Bucket="photos", Key="a b/ü+%.jpg", Body=b"jpeg")
    broker = redis.Redis.from_url(servers.broker_url)

    assert store.get_object(Bucket="photos", Key="a b/ü+%.jpg")["Body"].read() == b"jpeg"
    assert _query(servers.database_url, "SELECT '[1,2]'::vector <-> '[1,4]'") == [(2.0,)]
    assert broker.set("key", "value") is True
    broker.close()


def test_postgres_is_18_with_unicode_case_rules(servers: RunningServers):
    """The version production runs; a locale that does not depend on the machine."""
    version, lower = _query(servers.database_url, "SELECT current_setting('server_version_num'), lower('ÄÖ')")[0]

    assert (version[:2], lower) == ("18", "äö")


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
        _query(f"postgresql://enrich@127.0.0.1:{ports.postgres}/enrich?passfile={os.devnull}", "SELECT 1")
    with pytest.raises(NotReadyError, match="WRONGPASS"):
        resp(ports.valkey, "guess", "PING")
    for method in ("GET", "PUT", "DELETE"):
        url = f"http://127.0.0.1:{ports.filer}/buckets/photos/x.jpg"
        with pytest.raises(urllib.error.HTTPError, match="401"):
            urllib.request.urlopen(urllib.request.Request(url, method=method, data=b"" if method == "PUT" else None))


def test_fresh_databases_are_separate_and_have_pgvector(servers: RunningServers):
    """One test's rows are not another's."""
    with servers.fresh_database() as first, servers.fresh_database() as second:
        _query(first, "CREATE TABLE t (v vector(3))")

        assert _query(second, "SELECT to_regclass('t')") == [(None,)]
    with pytest.raises(OperationalError, match="does not exist"):
        _query(first, "SELECT 1")


def test_a_database_is_copied_from_a_template(servers: RunningServers):
    """Migrations run once per session, not once per test."""

    def migrate(url: str) -> None:
        _query(url, "CREATE TABLE images AS SELECT 7 AS id")

    servers.create_template("migrated", migrate)

    with servers.fresh_database(template="migrated") as url:
        assert _query(url, "SELECT id FROM images") == [(7,)]


def test_fresh_buckets_and_broker_databases_are_empty(servers: RunningServers):
    """Also when a number comes round again."""
    for _ in range(16):
        with redis.Redis.from_url(servers.fresh_broker_url()) as broker:
            assert broker.dbsize() == 0
            broker.set("left", "behind")
    buckets = {servers.fresh_bucket() for _ in range(3)}

    assert len(buckets) == 3
    assert [_s3(servers.info).list_objects_v2(Bucket=bucket)["KeyCount"] for bucket in buckets] == [0, 0, 0]


def test_connection_info_is_there_while_it_runs(servers: RunningServers):
    """What `enrich env` prints, readable by the owner alone."""
    home = servers.stack.home

    assert read_connection_info(home.root) == servers.info
    assert (home.run / "env.json").stat().st_mode & 0o777 == 0o600


def test_a_second_run_on_the_same_home_is_refused(servers: RunningServers):
    """At once, naming the process; the first goes on undisturbed."""
    second = LocalStack(servers.stack.home.root, ports=PortPlan(base=free_port_base()))
    with pytest.raises(ServerError, match=f"in use by process {os.getpid()}"):
        second.start()

    assert read_connection_info(servers.stack.home.root) == servers.info
    assert _query(servers.database_url, "SELECT 1") == [(1,)]


def test_taken_ports_are_named_and_nothing_is_started(servers: RunningServers, tmp_path: Path):
    """Another home on the same ports: every port, what for, and who has it."""
    with pytest.raises(ServerError) as taken:
        LocalStack(tmp_path / "home", ports=servers.ports).start()

    assert f"port {servers.ports.postgres} (PostgreSQL): in use by postgres (pid " in str(taken.value)
    assert f"port {servers.ports.s3} (S3): in use by weed (pid " in str(taken.value)
    assert list((tmp_path / "home" / "data").iterdir()) == []


# -- replacing parts ---------------------------------------------------------------------------------------------------
def test_a_replaced_part_is_not_started(servers: RunningServers, tmp_path: Path):
    """With all three replaced nothing runs here, and the children are told about the replacements."""
    info = servers.info
    replacements = Replacements(
        database_url=info.database_url, broker_url=info.broker_url, s3_endpoint_url=info.s3_endpoint_url
    )
    ports = PortPlan(base=free_port_base())
    with LocalStack(tmp_path / "home", ports=ports, replace=replacements) as stack:
        environment = stack.environment()

        assert [path.name for path in stack.home.logs.iterdir()] == []
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


# -- events ------------------------------------------------------------------------------------------------------------
def test_an_upload_through_s3_is_announced_and_none_is_lost_while_the_receiver_restarts(tmp_path: Path):
    """With the token, on the intake's path. While nobody accepts, events wait in the held socket."""
    ports = PortPlan(base=free_port_base())
    intake = f"http://127.0.0.1:{ports.api}/v1/events/seaweedfs"
    with start_servers(tmp_path / "home", [Part.STORE], ports=ports, webhook_url=intake, hold_api_port=True) as running:
        listener = running.stack.api_socket
        assert listener is not None
        store = _s3(running.info)
        before = Receiver(listener)
        store.put_object(Bucket="photos", Key="first.jpg", Body=b"1")
        _wait_for(lambda: "/buckets/photos/first.jpg" in before.seen())
        before.end()
        for number in range(10):
            store.put_object(Bucket="photos", Key=f"meanwhile-{number}.jpg", Body=b"2")
        time.sleep(0.5)
        after = Receiver(listener)
        missed = {f"/buckets/photos/meanwhile-{number}.jpg" for number in range(10)}
        try:
            _wait_for(lambda: missed <= set(after.seen()))
        finally:
            after.end()
    token, event = next(event for event in before.events if event[1]["key"] == "/buckets/photos/first.jpg")

    assert (token, event["path"], event["event_type"]) == (
        f"Bearer {running.info.api_token}",
        "/v1/events/seaweedfs",
        "create",
    )


# -- lives -------------------------------------------------------------------------------------------------------------
def test_a_second_start_resumes_with_the_same_data_and_keys_also_on_other_ports(tmp_path: Path):
    """Objects, rows and credentials survive; a moved port base changes addresses only."""
    with start_servers(tmp_path / "home", [Part.STORE, Part.DATABASE]) as first:
        _s3(first.info).put_object(Bucket="photos", Key="kept.jpg", Body=b"kept")
        _query(first.database_url, "CREATE TABLE kept AS SELECT 42 AS answer")
    for ports in (first.ports, PortPlan(base=free_port_base())):
        with start_servers(tmp_path / "home", [Part.STORE, Part.DATABASE], ports=ports) as again:
            store = _s3(again.info)
            assert store.get_object(Bucket="photos", Key="kept.jpg")["Body"].read() == b"kept"
            assert _query(again.database_url, "SELECT answer FROM kept") == [(42,)]
            assert again.info.s3_secret_access_key == first.info.s3_secret_access_key
            store.put_object(Bucket="photos", Key="new.jpg", Body=b"new")


def test_servers_die_with_a_killed_parent_and_the_next_start_recovers(tmp_path: Path):
    """kill -9 in the middle of a run: seconds later nothing runs; a start at once waits for that and has the data."""
    base = free_port_base()
    with _runner(tmp_path / "home", base, *Part) as process:
        running = _await_up(process)
        info = read_connection_info(tmp_path / "home")
        _s3(info).put_object(Bucket="photos", Key="kept.jpg", Body=b"kept")
        _query(info.database_url, "CREATE TABLE kept AS SELECT 42 AS answer")
        process.kill()
        process.wait()
        with pytest.raises(ServerError, match="nothing is running"):
            read_connection_info(tmp_path / "home")

        with start_servers(tmp_path / "home", ports=PortPlan(base=base)) as again:
            assert _left(running) == []
            assert _s3(again.info).get_object(Bucket="photos", Key="kept.jpg")["Body"].read() == b"kept"
            assert _query(again.database_url, "SELECT answer FROM kept") == [(42,)]


def test_sigterm_ends_the_run_cleanly(tmp_path: Path):
    """Status 0, nothing left, nothing said to be running, and PostgreSQL was shut down, not cut off."""
    with _runner(tmp_path / "home", free_port_base(), "database", "broker") as process:
        running = _await_up(process)
        process.terminate()
        assert process.wait(timeout=20) == 0

    assert _left(running) == []
    assert not (tmp_path / "home" / "run" / "env.json").exists()
    assert "database system is shut down" in (tmp_path / "home" / "logs" / "postgres.log").read_text()


@pytest.mark.parametrize("delay", [0.3, 1.0])
def test_ctrl_c_while_starting_ends_at_once(tmp_path: Path, delay: float):
    """Also before the servers are ready, and without leaving any behind."""
    with _runner(tmp_path / "home", free_port_base(), *Part) as process:
        time.sleep(delay)
        started = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGINT)
        process.wait(timeout=10)

        assert process.returncode != 0
    _wait_for(lambda: _left(started) == [], seconds=2)


def test_a_server_that_is_killed_comes_back(tmp_path: Path):
    """It is named, restarted, and has its data."""
    with start_servers(tmp_path / "home", [Part.DATABASE]) as running:
        _query(running.database_url, "CREATE TABLE kept AS SELECT 42 AS answer")
        postmaster = int((tmp_path / "home" / "data" / "postgres" / "postmaster.pid").read_text().split()[0])
        os.kill(postmaster, signal.SIGKILL)

        def answers() -> bool:
            running.supervisor.check()
            try:
                return _query(running.database_url, "SELECT answer FROM kept") == [(42,)]
            except OperationalError:
                return False

        _wait_for(lambda: not psutil.pid_exists(postmaster) or answers())
        _wait_for(answers)


def test_a_server_that_does_not_start_is_reported_with_its_log_and_the_others_are_stopped(tmp_path: Path):
    """Here somebody broke postgresql.conf."""
    home = tmp_path / "home"
    with start_servers(home, [Part.DATABASE]) as running:
        ports = running.ports
    with (home / "data" / "postgres" / "postgresql.conf").open("a") as configuration:
        configuration.write("shared_bufers = 1\n")

    with pytest.raises(ServerError) as failed:
        LocalStack(home, ports=ports, parts=[Part.DATABASE, Part.BROKER]).start()

    assert "postgres ended while starting" in str(failed.value)
    assert 'unrecognized configuration parameter "shared_bufers"' in str(failed.value)
    listen(ports.valkey).close()
    with pytest.raises(ServerError, match="nothing is running"):
        read_connection_info(home)


def test_a_long_path_with_spaces_is_fine(tmp_path: Path):
    """Unix sockets allow 107 bytes; nothing here depends on one under the home."""
    home = tmp_path / ("a long name with spaces " * 6).strip() / "ü"

    with start_servers(home) as running:
        assert _query(running.database_url, "SELECT 1") == [(1,)]
        assert _s3(running.info).list_buckets()["Buckets"][0]["Name"] == "photos"


@pytest.mark.skipif(os.geteuid() != 0, reason="every other test here already runs without root")
def test_it_runs_without_root(tmp_path: Path):
    """As an ordinary user, who needs no account but their own."""
    nobody = pwd.getpwnam("nobody")
    if not _can_run_python("nobody"):
        pytest.skip("this interpreter is in a place that other users cannot read")
    for directory in (tmp_path, *tmp_path.parents[:2]):
        directory.chmod(directory.stat().st_mode | 0o011)
    os.chown(tmp_path, nobody.pw_uid, nobody.pw_gid)

    with _runner(tmp_path / "home", free_port_base(), *Part, user="nobody") as process:
        running = _await_up(process)
        owners = {child.username() for child in running}

    assert owners == {"nobody"}
    assert _left(running) == []
    assert (tmp_path / "home").stat().st_mode & 0o777 == 0o700
