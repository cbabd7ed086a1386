"""Workers as real processes, on real servers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.processes.site import Site
from tests.servers import RunningServers


@pytest.fixture
def site(servers: RunningServers, migrated_everywhere: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A database, bucket and broker of this test's own."""
    with servers.fresh_database(template=migrated_everywhere) as url:
        site = Site(
            database_url=url,
            broker_url=servers.fresh_broker_url(),
            store_of=servers,
            bucket=servers.fresh_bucket(),
            logs=tmp_path_factory.mktemp("logs"),
        )
        yield site
        site.close()


@pytest.fixture(scope="session")
def migrated_everywhere(servers: RunningServers) -> str:
    """Name of a migrated template database beside the store and the broker."""
    from tests.conftest import _migrate

    return servers.create_template("migrated_everywhere", _migrate)
