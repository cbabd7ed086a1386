"""Fixtures shared by all tests: the real servers, once per session, and clean slates in them."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path

import hypothesis
import pytest

from tests import lanes
from tests.servers import RunningServers, start_servers
from worker import catalog, db
from worker.db import Engine
from worker.local.stack import Part

# Started in the background of a script, this process and its children would ignore SIGINT, and tests that send one
# would wait for ever. A handler of ours is reset to the default in children.
signal.signal(signal.SIGINT, signal.default_int_handler)
# The same script has children ignore SIGQUIT, which workers must obey.
signal.signal(signal.SIGQUIT, signal.SIG_DFL)
# Under nohup, children would ignore SIGHUP, which ends a process that tries an image.
signal.signal(signal.SIGHUP, signal.SIG_DFL)
# And where this is ignored, nobody learns how a child ended.
signal.signal(signal.SIGCHLD, signal.SIG_DFL)
# pytest imports readline, which tells the children the size of a terminal, even where there is none.
os.environ.pop("COLUMNS", None)
os.environ.pop("LINES", None)

_TEMP_ROOT = "PYTEST_DEBUG_TEMPROOT"
_own_temp_root: Path | None = None
# Root's PostgreSQL runs as another user, who is let pass the folder that all runs of pytest share. Whichever run begins
# next takes that right away, and PostgreSQL crashes. So this run, with its workers, has a folder of its own.
if os.geteuid() == 0 and _TEMP_ROOT not in os.environ:
    _own_temp_root = Path(tempfile.mkdtemp(prefix="pytest-"))
    os.environ[_TEMP_ROOT] = str(_own_temp_root)


# For `make test-unit`; everything else tries a hundred.
hypothesis.settings.register_profile("quick", max_examples=25)
_guard = lanes.Guard()


@pytest.hookimpl(tryfirst=True)  # before `-m` selects
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give each test the marker of its lane."""
    for item in items:
        item.add_marker(lanes.lane_of(item))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Refuse servers while a unit test and its fixtures run."""
    with _guard.around(item):
        return (yield)


def pytest_sessionfinish(exitstatus: int) -> None:
    """Leave nothing behind, unless there is something to look into."""
    if _own_temp_root is not None and exitstatus == pytest.ExitCode.OK:
        shutil.rmtree(_own_temp_root, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServers]:
    """PostgreSQL alone, ready in about a second."""
    with start_servers(tmp_path_factory.mktemp("postgres"), parts=[Part.DATABASE]) as servers:
        yield servers


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServers]:
    """All three servers."""
    with start_servers(tmp_path_factory.mktemp("servers")) as servers:
        yield servers


@pytest.fixture(scope="session")
def migrated(postgres: RunningServers) -> str:
    """Name of a template database with the current schema."""
    return postgres.create_template("migrated", _migrate)


@pytest.fixture
def empty_engine(postgres: RunningServers) -> Iterator[Engine]:
    """A database without our schema."""
    with postgres.fresh_database() as url:
        yield from _engine(url)


@pytest.fixture
def engine(postgres: RunningServers, migrated: str) -> Iterator[Engine]:
    """A database of this test's own, migrated."""
    with postgres.fresh_database(template=migrated) as url:
        yield from _engine(url)


def _engine(url: str) -> Iterator[Engine]:
    engine = db.connect(url, name="test", pool_size=10)
    yield engine
    engine.dispose()


def _migrate(url: str) -> None:
    for engine in _engine(url):
        catalog.schema.migrate(engine)
