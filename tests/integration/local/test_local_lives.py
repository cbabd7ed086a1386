"""The real servers through their lives: they keep their data, end with their parent, and come back."""

from __future__ import annotations

import os
import pwd
import signal
import time
from pathlib import Path

import psutil
import pytest
from sqlalchemy.exc import OperationalError

from tests.integration.local.running import await_up, can_run_python, left, query, runner, s3_client
from tests.servers import start_servers
from tests.waiting import until
from worker.errors import ServerError
from worker.local.connection import read_connection_info
from worker.local.ports import PortPlan, free_port_base, listen
from worker.local.stack import LocalStack, Part


def test_a_second_start_resumes_with_the_same_data_and_keys_also_on_other_ports(tmp_path: Path):
    """Objects, rows and credentials survive; a moved port base changes addresses only."""
    with start_servers(tmp_path / "home", [Part.STORE, Part.DATABASE]) as first:
        s3_client(first.info).put_object(Bucket="photos", Key="kept.jpg", Body=b"kept")
        query(first.database_url, "CREATE TABLE kept AS SELECT 42 AS answer")
    for ports in (first.ports, PortPlan(base=free_port_base())):
        with start_servers(tmp_path / "home", [Part.STORE, Part.DATABASE], ports=ports) as again:
            store = s3_client(again.info)
            assert b"kept" == store.get_object(Bucket="photos", Key="kept.jpg")["Body"].read()
            assert [(42,)] == query(again.database_url, "SELECT answer FROM kept")
            assert again.info.s3_secret_access_key == first.info.s3_secret_access_key
            store.put_object(Bucket="photos", Key="new.jpg", Body=b"new")


def test_servers_die_with_a_killed_parent_and_the_next_start_recovers(tmp_path: Path):
    """kill -9 in the middle of a run: seconds later nothing runs; a start at once waits for that and has the data."""
    base = free_port_base()
    with runner(tmp_path / "home", base, *Part) as process:
        running = await_up(process)
        info = read_connection_info(tmp_path / "home")
        s3_client(info).put_object(Bucket="photos", Key="kept.jpg", Body=b"kept")
        query(info.database_url, "CREATE TABLE kept AS SELECT 42 AS answer")
        process.kill()
        process.wait()
        with pytest.raises(ServerError, match="nothing is running"):
            read_connection_info(tmp_path / "home")

        with start_servers(tmp_path / "home", ports=PortPlan(base=base)) as again:
            assert [] == left(running)
            assert b"kept" == s3_client(again.info).get_object(Bucket="photos", Key="kept.jpg")["Body"].read()
            assert [(42,)] == query(again.database_url, "SELECT answer FROM kept")


def test_sigterm_ends_the_run_cleanly(tmp_path: Path):
    """Status 0, nothing left, nothing said to be running, and PostgreSQL was shut down, not cut off."""
    with runner(tmp_path / "home", free_port_base(), "database", "broker") as process:
        running = await_up(process)
        process.terminate()
        assert 0 == process.wait(timeout=20)

    assert [] == left(running)
    assert not (tmp_path / "home" / "run" / "env.json").exists()
    assert "database system is shut down" in (tmp_path / "home" / "logs" / "postgres.log").read_text()


@pytest.mark.parametrize("delay", [0.3, 1.0])
def test_ctrl_c_while_starting_ends_at_once(tmp_path: Path, delay: float):
    """Also before the servers are ready, and without leaving any behind."""
    with runner(tmp_path / "home", free_port_base(), *Part) as process:
        time.sleep(delay)
        started = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGINT)
        process.wait(timeout=10)

        assert process.returncode != 0
    until(lambda: left(started) == [], seconds=2)


def test_a_server_that_is_killed_comes_back(tmp_path: Path):
    """It is named, restarted, and has its data."""
    with start_servers(tmp_path / "home", [Part.DATABASE]) as running:
        query(running.database_url, "CREATE TABLE kept AS SELECT 42 AS answer")
        postmaster = int((tmp_path / "home" / "data" / "postgres" / "postmaster.pid").read_text().split()[0])
        os.kill(postmaster, signal.SIGKILL)

        def answers() -> bool:
            running.supervisor.check()
            try:
                return query(running.database_url, "SELECT answer FROM kept") == [(42,)]
            except OperationalError:
                return False

        until(lambda: not psutil.pid_exists(postmaster) or answers())
        until(answers)


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
        assert [(1,)] == query(running.database_url, "SELECT 1")
        assert "photos" == s3_client(running.info).list_buckets()["Buckets"][0]["Name"]


@pytest.mark.skipif(os.geteuid() != 0, reason="every other test here already runs without root")
def test_it_runs_without_root(tmp_path: Path):
    """As an ordinary user, who needs no account but their own."""
    nobody = pwd.getpwnam("nobody")
    if not can_run_python("nobody"):
        pytest.skip("this interpreter is in a place that other users cannot read")
    for directory in (tmp_path, *tmp_path.parents[:2]):
        directory.chmod(directory.stat().st_mode | 0o011)
    os.chown(tmp_path, nobody.pw_uid, nobody.pw_gid)

    with runner(tmp_path / "home", free_port_base(), *Part, user="nobody") as process:
        running = await_up(process)
        owners = {child.username() for child in running}

    assert {"nobody"} == owners
    assert [] == left(running)
    assert 0o700 == (tmp_path / "home").stat().st_mode & 0o777
