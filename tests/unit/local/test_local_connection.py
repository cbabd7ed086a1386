"""How to reach what runs, for people and programs."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.errors import ServerError
from worker.local.connection import ConnectionInfo, forget_connection_info, read_connection_info, save_connection_info
from worker.local.home import Home, HomeLock
from worker.settings import Settings

INFO = ConnectionInfo(
    pid=os.getpid(),
    home="/somewhere/.enrich",
    api_url="http://127.0.0.1:8700",
    api_port=8700,
    api_token="token",
    api_events_token="events",
    database_url="postgresql://enrich:secret@127.0.0.1:8706/enrich",
    broker_url="redis://:secret@127.0.0.1:8705/0",
    s3_endpoint_url="http://127.0.0.1:8701",
    s3_region="us-east-1",
    s3_access_key_id="AK",
    s3_secret_access_key="SK",
    s3_addressing_style="path",
    bucket="photos",
    buckets=("photos", "scans/in"),
)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home.at(tmp_path / "home")
    home.prepare()
    return home


def test_every_variable_is_a_setting(monkeypatch: pytest.MonkeyPatch):
    """What children are given is what they read: no variable is misspelt."""
    for name, value in INFO.environment().items():
        monkeypatch.setenv(name, value)
    settings = Settings(_env_file=None)
    names = {f"ENRICH_{name.upper()}" for name in Settings.model_fields}

    assert INFO.environment().keys() <= names
    assert (INFO.database_url, INFO.broker_url, INFO.s3_endpoint_url, "path") == (
        settings.database_url,
        settings.broker_url,
        settings.s3_endpoint_url,
        settings.s3_addressing_style,
    )


def test_exports_say_what_is_watched(monkeypatch: pytest.MonkeyPatch):
    """Commands in a shell that has them may read what the running system reads; an empty list is not exported."""
    for name, value in INFO.client_environment().items():
        monkeypatch.setenv(name, value)

    assert ("photos", "scans/in") == Settings(_env_file=None).buckets
    assert "ENRICH_BUCKETS" not in replace(INFO, buckets=()).environment()


def test_a_store_with_its_own_credentials_gets_none_from_us():
    """boto3's usual chain must not be overridden by empty variables."""
    foreign = replace(INFO, s3_access_key_id=None, s3_secret_access_key=None)

    names = foreign.client_environment().keys()
    assert not names & {"ENRICH_S3_ACCESS_KEY_ID", "ENRICH_S3_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID"}


@given(token=st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), min_size=1, max_size=20))
def test_exports_survive_a_shell(token: str):
    """Whatever a token contains, `eval "$(enrich env)"` exports exactly it."""
    exports = replace(INFO, api_token=token).shell()

    printed = subprocess.run(
        ["/bin/sh", "-c", exports + 'printf %s "$ENRICH_API_TOKEN"'], capture_output=True, check=True, env={}
    )
    assert token == printed.stdout.decode()


def test_exports_let_any_s3_client_connect():
    """The AWS SDKs' own variables are among them."""
    assert "export AWS_ENDPOINT_URL_S3=http://127.0.0.1:8701\n" in INFO.shell()


def test_json_has_the_fields_by_name():
    """Scripts read one object."""
    assert "http://127.0.0.1:8701" == json.loads(INFO.json())["s3_endpoint_url"]


def test_what_was_saved_is_read_while_it_runs(home: Home):
    """A second terminal finds the running system."""
    lock = HomeLock(home)
    lock.acquire()
    save_connection_info(home, INFO)
    try:
        assert read_connection_info(home.root) == INFO
    finally:
        lock.release()


def _never_started(home: Home) -> None:
    pass


def _stopped(home: Home) -> None:
    save_connection_info(home, INFO)
    forget_connection_info(home)


def _killed(home: Home) -> None:
    save_connection_info(home, INFO)  # nobody holds the lock


def _damaged(home: Home) -> None:
    (home.run / "env.json").write_text("{")


@pytest.mark.parametrize("left_behind", [_never_started, _stopped, _killed, _damaged])
def test_nothing_running_is_said_with_the_command_that_changes_it(home: Home, left_behind):
    """Whatever an earlier run left behind, a stale address is never printed."""
    left_behind(home)

    with pytest.raises(ServerError, match=r"nothing is running under .*; start it with `enrich up`"):
        read_connection_info(home.root)
