"""The change feed, read from a hot standby: it knows nothing of the sessions that write it."""

from __future__ import annotations

import pwd
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.ledger import ref
from tests.servers import RunningServers
from tests.waiting import until
from worker import db, outbox
from worker.db import Engine, transaction
from worker.local import binaries
from worker.local.home import Home
from worker.local.ports import PortPlan, free_port_base
from worker.local.postgres import Postgres
from worker.outbox import NewEntry
from worker.supervision.child import NotReadyError


@contextmanager
def standby_of(servers: RunningServers, home: Home) -> Iterator[Postgres]:
    """A second server that follows the first one, and answers queries."""
    home.prepare()
    follower = Postgres(home=home, ports=PortPlan(base=free_port_base()), credentials=servers.stack.home.credentials())
    follower.prepare()  # an empty cluster, whose directory the server's account may read
    child, cluster = follower.child(), home.data / "postgres"
    for each in cluster.iterdir():
        shutil.rmtree(each) if each.is_dir() else each.unlink()
    account: dict[str, Any] = {"user": child.user, "group": pwd.getpwnam(child.user).pw_gid} if child.user else {}
    subprocess.run(
        [binaries.postgres() / "pg_basebackup", "--pgdata", cluster, "--write-recovery-conf", "--checkpoint=fast",
         "--dbname", f"{servers.database_url.removesuffix('/enrich')}/postgres"],
        check=True, env=child.env, cwd="/", **account,
    )  # fmt: skip
    with (home.root / "log").open("w") as log:
        process = subprocess.Popen([*child.argv], env=child.env, cwd="/", stderr=log, **account)
    try:
        until(lambda: answers(follower))
        yield follower
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(20)


def answers(server: Postgres) -> bool:
    try:
        return server.query("SELECT pg_is_in_recovery()") == "t"
    except NotReadyError:
        return False


def entries(*keys: str) -> list[NewEntry]:
    return [NewEntry(kind="enriched", ref=ref(key), etag=None) for key in keys]


def read(engine: Engine) -> list[str]:
    with transaction(engine) as connection:
        return [change.key for change in outbox.read(connection, after=None, limit=10)]


def test_a_standby_skips_nothing_that_is_still_being_written(engine, postgres, tmp_path):
    """A later change is there already, and an earlier one is not: as on the first server, both wait."""
    with standby_of(postgres, Home(tmp_path / "standby")) as follower:
        copy = db.connect(follower.url_of(engine.url.database), name="reader", pool_size=1)

        def replayed(count: int) -> bool:
            with copy.connect() as connection:
                return count == int(connection.exec_driver_sql("SELECT count(*) FROM changes").scalar_one())

        with engine.begin() as slow:
            outbox.append(slow, entries("slow"))
            with transaction(engine) as connection:
                outbox.append(connection, entries("fast"))
            until(lambda: replayed(1))
            assert [] == read(copy)
        until(lambda: replayed(2))
        assert ["slow", "fast"] == read(copy)
        copy.dispose()
