"""The home directory: format, credentials, lock."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from worker.errors import ServerError
from worker.local.home import Home, HomeLock


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home.at(tmp_path / "home")
    home.prepare()
    return home


def test_credentials_are_generated_once(home: Home):
    """A client that was set up once goes on working."""
    assert home.credentials() == home.credentials()


def test_credentials_differ_between_homes(home: Home, tmp_path: Path):
    """There are no default passwords."""
    other = Home.at(tmp_path / "other")
    other.prepare()

    assert home.credentials() != other.credentials()


def test_credentials_are_readable_by_the_owner_alone(home: Home):
    """Also under a permissive umask."""
    before = os.umask(0)
    try:
        home.credentials()
    finally:
        os.umask(before)

    assert 0o600 == stat.S_IMODE((home.root / "credentials.json").stat().st_mode)


def test_incomplete_credentials_are_an_error_that_names_what_is_missing(home: Home):
    """They are not silently replaced: the database would refuse the new password."""
    home.credentials()
    path = home.root / "credentials.json"
    path.write_text(json.dumps({"api_token": "x"}))

    with pytest.raises(ServerError, match=r"credentials\.json lacks 's3_access_key_id'"):
        home.credentials()


def test_a_home_of_another_format_is_refused_untouched(home: Home):
    """The message says what was found, what is read, and what to do."""
    (home.root / "format.json").write_text('{"format": 99}')
    before = sorted(home.root.rglob("*"))

    with pytest.raises(ServerError, match="has format 99, this version reads 1; nothing was changed"):
        home.prepare()
    assert before == sorted(home.root.rglob("*"))


def test_a_directory_with_foreign_data_is_refused(tmp_path: Path):
    """ENRICH_HOME pointing at somebody's project does not end with a database cluster in its data directory."""
    (tmp_path / "data").mkdir()

    with pytest.raises(ServerError, match=r"has data but no format\.json"):
        Home.at(tmp_path).prepare()


def test_a_home_that_cannot_be_created_is_a_clear_error(tmp_path: Path):
    """Here the path is a file."""
    (tmp_path / "file").write_text("")

    with pytest.raises(ServerError, match="choose another with ENRICH_HOME"):
        Home.at(tmp_path / "file").prepare()


def test_a_second_run_is_told_who_has_the_home(home: Home):
    """The refusal names the process, and comes at once."""
    first = HomeLock(home)
    first.acquire()
    try:
        with pytest.raises(ServerError, match=f"in use by process {os.getpid()}"):
            HomeLock(home).acquire()
    finally:
        first.release()


def test_a_released_lock_can_be_taken_again(home: Home):
    """Nothing has to be deleted by hand after a run."""
    for _ in range(2):
        lock = HomeLock(home)
        lock.acquire()
        assert lock.is_held()
        lock.release()
        assert not lock.is_held()


def test_a_run_waits_while_the_orphan_reaper_of_a_killed_one_cleans_up(home: Home):
    """The lock's owner is dead, but its orphan reaper still has the file descriptor for half a second."""
    lock = HomeLock(home)
    fd = lock.acquire()
    reaper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(0.5)"], pass_fds=[fd])
    dead = subprocess.Popen(["true"])
    dead.wait()
    os.pwrite(fd, f"{dead.pid}\n".encode().ljust(16), 0)
    lock.release()

    second = HomeLock(home)
    second.acquire()
    second.release()

    assert 0 == reaper.wait()


def test_ports_are_remembered(home: Home):
    """Those of the last start; what cannot be read is as if there had been none."""
    assert home.port_base is None
    home.remember_port_base(8800)
    home.remember_port_base(9900)
    assert 9900 == Home.at(home.root).port_base
    (home.root / "ports.json").write_text("{}")
    assert home.port_base is None
