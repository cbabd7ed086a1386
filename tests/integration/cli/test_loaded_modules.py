"""What a command loads is what it costs: answering takes most of them less time than one import that is not needed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer.main

from worker import ledger
from worker.cli import app
from worker.cli.commands import MODULES, program
from worker.db import Engine, transaction

#: Nothing that only reads the database needs one of these.
_HEAVY = {"torch", "transformers", "fastapi", "uvicorn", "numpy", "PIL", "boto3", "botocore", "celery", "kombu"}
_HEAVY |= {"redis", "alembic", "jsonschema", "yaml", "structlog", "prometheus_client", "urllib3"}
_DATABASE = {"sqlalchemy", "psycopg2"}
_SETTINGS = {"pydantic", "pydantic_settings"}

#: Runs a command, and then says which modules it has loaded.
_RUN = """
import json, sys
from worker.cli import main
sys.argv = ["enrich", *sys.argv[1:]]
try:
    main()
finally:
    sys.stderr.write("\\n" + json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""


def loaded(*command: str, cwd: Path, url: str = "") -> tuple[int, set[str]]:
    """The exit status, and the distributions that were loaded."""
    given = {name: value for name, value in os.environ.items() if not name.startswith("ENRICH_")}
    environment = {**given, **({"ENRICH_DATABASE_URL": url} if url else {})}
    done = subprocess.run(
        [sys.executable, "-c", _RUN, *command], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    return done.returncode, set(json.loads(done.stderr.splitlines()[-1]))


@pytest.mark.parametrize(
    "command",
    [
        ("status",),
        ("status", "--json"),
        ("list",),
        ("count",),
        ("list", "photos/2026", "--since", "2d"),
        ("quarantine", "list"),
        ("bucket", "list"),
        ("rejected",),
    ],
)
def test_what_reads_the_database_loads_little_else(command: tuple[str, ...], engine: Engine, tmp_path: Path) -> None:
    """No model, no arrays, no web framework, no queue, no object store."""
    url = engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    with transaction(engine) as connection:
        ledger.reconciliations.watch(connection, [ledger.reconciliations.Target(bucket="photos")], interval=60)
    status, modules = loaded(*command, cwd=tmp_path, url=url)
    assert (0, set()) == (status, modules & _HEAVY)
    assert modules >= _DATABASE


def test_showing_an_image_loads_little_else(engine: Engine, tmp_path: Path) -> None:
    """Not even the web framework, whose answer it prints as JSON."""
    url = engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    status, modules = loaded("show", "photos/none.jpg", cwd=tmp_path, url=url)
    assert (1, set()) == (status, modules & _HEAVY)


def test_env_loads_no_database(tmp_path: Path) -> None:
    """It reads a file."""
    status, modules = loaded("env", cwd=tmp_path)
    assert (1, set()) == (status, modules & (_HEAVY | _DATABASE))


@pytest.mark.parametrize("command", [("--help",), ("--version",), ("status", "--help"), ("search", "--help")])
def test_help_loads_nothing(command: tuple[str, ...], tmp_path: Path) -> None:
    """Neither settings nor the database."""
    status, modules = loaded(*command, cwd=tmp_path)
    assert (0, set()) == (status, modules & (_HEAVY | _DATABASE | _SETTINGS))


@pytest.mark.parametrize("name", sorted({name for names in MODULES.values() for name in names}))
def test_a_command_is_the_same_whether_alone_or_among_all(name: str) -> None:
    """Only the modules that have it are loaded, and they have all of it."""
    alone, among = (typer.main.get_command(each).commands for each in (program(name), app))  # type: ignore[attr-defined]
    assert [each.name for each in among[name].params] == [each.name for each in alone[name].params]
    assert list(getattr(among[name], "commands", {})) == list(getattr(alone[name], "commands", {}))


def test_every_module_has_the_commands_that_it_is_said_to_have() -> None:
    """And no others."""
    group = typer.main.get_command(app)
    assert {name for names in MODULES.values() for name in names} == set(group.commands)  # type: ignore[attr-defined]
