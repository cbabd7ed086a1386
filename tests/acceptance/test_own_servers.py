"""Any part is replaced by its URL, and is then not started."""

from __future__ import annotations

from pathlib import Path

from tests.acceptance.commands import RunningSystem, enrich, up
from tests.pictures import picture
from tests.servers import RunningServers
from worker.local.ports import free_port_base


def _kinds(system: RunningSystem) -> set[str]:
    return {path.stem for path in (system.home / "logs").iterdir()}


def test_a_database_and_a_broker_of_ones_own(postgres: RunningServers, servers: RunningServers, tmp_path: Path) -> None:
    """They are migrated and used; ours are not started; `enrich env` names theirs."""
    with postgres.fresh_database() as url:
        own = {"ENRICH_DATABASE_URL": url, "ENRICH_BROKER_URL": servers.fresh_broker_url()}
        with up(tmp_path, free_port_base(), env=own) as system:
            assert not _kinds(system) & {"postgres", "valkey"}
            assert (system.env["database_url"], system.env["broker_url"]) == tuple(own.values())
            system.upload(picture(), "mine.jpg")
            system.until_totals(enriched=1, pending=0)
            shown = enrich("show", "photos/mine.jpg", cwd=tmp_path, ENRICH_DATABASE_URL=url)
            assert "mine.jpg" in shown.stdout


def test_a_database_that_is_not_there_is_named(tmp_path: Path) -> None:
    """Before anything is started."""
    done = enrich("up", cwd=tmp_path, ENRICH_DATABASE_URL="postgresql://enrich@127.0.0.1:1/enrich")
    assert 1 == done.returncode
    assert "ENRICH_DATABASE_URL" in done.stderr
    assert not list((tmp_path / ".enrich" / "logs").iterdir())
