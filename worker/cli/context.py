"""What every command needs: settings, the database, a console."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from rich.console import Console

from worker import bootstrap, local, logs, settings
from worker.db import Engine
from worker.errors import ServerError
from worker.settings import Settings

#: Any of these given means that the user points at servers of their own.
_OWN = ("ENRICH_DATABASE_URL", "ENRICH_BROKER_URL", "ENRICH_S3_ENDPOINT_URL")

out = Console()
err = Console(stderr=True)


def own_settings() -> Settings:
    """The environment's settings and nothing else."""
    loaded = settings.load()
    logs.configure(level=loaded.log_level, json=loaded.log_json)
    return loaded


def load_settings() -> Settings:
    """The environment's settings; those of a running ``enrich up`` of this directory where it says nothing else."""
    _borrow_from_running_system()
    loaded = settings.load()
    logs.configure(level=loaded.log_level, json=loaded.log_json)
    return loaded


def database(loaded: Settings) -> Engine:
    """The migrated database, for a command that reads a little."""
    return bootstrap.database(loaded, "cli", pool_size=1)


def say(sentence: str) -> None:
    """Tell a person what is going on."""
    err.print(sentence, highlight=False, markup=False)


def is_terminal() -> bool:
    """Whether a person is looking at stdout."""
    return sys.stdout.isatty()


def _borrow_from_running_system() -> None:
    plain = settings.load()
    if any(name in os.environ for name in _OWN) or plain.model_fields_set & {"database_url", "broker_url"}:
        return
    try:
        running = local.read_connection_info(Path(plain.home))
    except ServerError:
        return
    for name, value in running.environment().items():
        os.environ.setdefault(name, value)
