"""A database that cannot hold every object's name is refused before anything is written."""

from __future__ import annotations

import subprocess

import pytest

from tests.acceptance.commands import ENRICH
from tests.integration.local.running import query
from tests.servers import RunningServers


@pytest.fixture(params=["LATIN1", "SQL_ASCII", "EUC_JP"])
def foreign(request, postgres: RunningServers):
    """URL of a database with another encoding than UTF8."""
    name = f"in_{request.param.lower()}"
    owner = postgres._postgres()
    owner.query(f"CREATE DATABASE {name} ENCODING '{request.param}' LOCALE 'C' LOCALE_PROVIDER libc TEMPLATE template0")
    yield request.param, owner.url_of(name)
    owner.query(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.mark.parametrize("command", [["migrate"], ["status"], ["scheduler"]])
def test_another_encoding_than_utf8_is_refused_in_a_sentence(foreign, command, tmp_path):
    """At `enrich migrate` and at every start: with what to do, and without a traceback."""
    encoding, url = foreign
    done = subprocess.run(
        [ENRICH, *command], env={"ENRICH_DATABASE_URL": url, "PATH": "/usr/bin:/bin"}, cwd=tmp_path,
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode != 0
    assert f"has the encoding {encoding}, but object names need UTF8" in done.stderr
    assert "Traceback" not in done.stderr
    assert [(0,)] == query(url, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")
