"""What every command needs: consoles, settings, the database."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import typer
from rich.cells import cell_len
from rich.console import Console
from rich.progress import Progress, ProgressColumn
from rich.table import Table

from worker.cli import tables

if TYPE_CHECKING:
    from worker.db import Engine
    from worker.local.connection import ConnectionInfo
    from worker.settings import Settings
    from worker.types import ObjectRef

#: Settings that identify a system.
_SERVERS = ("database_url", "broker_url", "s3_endpoint_url")
#: Width in columns when the output is not a terminal: files and pipes need no line breaks.
_WIDE = 100_000


class _Console(Console):
    """Prints tables in full at any width."""

    def print(self, *objects: Any, **how: Any) -> None:
        super().print(*(tables.fitted(each, self) if isinstance(each, Table) else each for each in objects), **how)


def _console(stream: TextIO, *, stderr: bool = False) -> Console:
    # No markup: file names and keys may hold brackets.
    wide = None if stream.isatty() or "COLUMNS" in os.environ else _WIDE
    return _Console(stderr=stderr, width=wide, markup=False, highlight=False, emoji=False)


out = _console(sys.stdout)
err = _console(sys.stderr, stderr=True)


# -- output ------------------------------------------------------------------------------------------------------------
def say(sentence: str) -> None:
    """Print a message for people, on stderr. Addresses and paths are left whole, to be copied."""
    _print(err, sentence)


def line(sentence: str, *, style: str | None = None) -> None:
    """Print one line of the result, broken between words only."""
    _print(out, sentence, style)


def _print(console: Console, sentence: str, style: str | None = None) -> None:
    """A line that has a word wider than the terminal is left to the terminal, which breaks what it shows only."""
    for each in sentence.split("\n"):
        longest = max(map(cell_len, each.split()), default=0)
        console.print(printable(each), style=style, soft_wrap=longest > console.width)


def json_line(value: object) -> None:
    """Print one JSON object on a line of its own."""
    _write(json.dumps(value, ensure_ascii=not _speaks_unicode(), default=_plain))


def json_document(value: object) -> None:
    """Print one indented JSON document."""
    _write(json.dumps(value, ensure_ascii=not _speaks_unicode(), default=_plain, indent=2))


def is_terminal() -> bool:
    """Whether stdout is a terminal."""
    return sys.stdout.isatty()


def printable(text: str) -> str:
    """Escape unprintable characters, so that a text cannot move the cursor or break a table."""
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text)


def name(text: str) -> str:
    """A file name or key, printable and on one line."""
    return printable(text).replace("\n", "\\n")


def confirm(question: str, *, declined: str) -> None:
    """Ask whether to go on. End the command if the answer is no, or if stdin is not a terminal.

    Args:
        question: what to ask.
        declined: what to say when the command ends.
    """
    if not sys.stdin.isatty():
        say(f"{question} Not a terminal: pass --yes to confirm. {declined}")
        raise typer.Exit(1)
    if not typer.confirm(question, err=True):
        say(declined)
        raise typer.Exit(1)


def progress(*columns: ProgressColumn) -> Progress:
    """A transient progress bar on stderr; disabled if stderr is not a terminal.

    Results printed meanwhile appear above it, unless stdout is a file or a pipe.
    """
    return Progress(
        *columns,
        console=err,
        transient=True,
        disable=not sys.stderr.isatty(),
        redirect_stdout=sys.stdout.isatty(),
    )


def duration(seconds: float) -> str:
    """For people: ``42 s``, ``3 min``, ``5 h 20 min``, ``2 d 4 h``."""
    minutes, hours, days = int(seconds // 60), int(seconds // 3_600), int(seconds // 86_400)
    if days:
        return f"{days} d {hours % 24} h"
    if hours:
        return f"{hours} h {minutes % 60} min"
    return f"{minutes} min" if minutes else f"{seconds:.0f} s"


def sentence(error: Exception) -> str | None:
    """The message for people; None if the error is a bug of ours."""
    from worker.errors import EnrichError

    if isinstance(error, EnrichError):
        return str(error)
    from worker.db import in_one_line, is_forbidden, is_unavailable

    if is_forbidden(error):
        return (
            f"the database user of ENRICH_DATABASE_URL may not do this ({in_one_line(error)}): use the role that owns "
            "the tables, the one that runs `enrich migrate`"
        )
    if is_unavailable(error):
        return f"the database went away: {' '.join(str(error).split())[:300]}; try again when it is back"
    return None


def _write(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _speaks_unicode() -> bool:
    return (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"


def _plain(value: object) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, bytes | memoryview):
        return bytes(value).hex()
    raise TypeError(f"{type(value).__name__} has no JSON form")


# -- settings ----------------------------------------------------------------------------------------------------------
def own_settings() -> Settings:
    """Settings from the environment alone, for an interactive command."""
    from worker import settings

    return _for_a_person(settings.load())


def load_settings() -> Settings:
    """Settings from the environment; where it names no server, those of the ``enrich up`` running in this directory."""
    from worker import settings

    _borrow_from_running_system()
    return _for_a_person(settings.load())


def process_settings() -> Settings:
    """The same for a long-running process, which reports through its log only."""
    from worker import logs, settings, unknown_settings

    _borrow_from_running_system()
    loaded = settings.load()
    logs.configure(level=loaded.log_level, json=loaded.log_json)
    for sentence in unknown_settings.unknown():
        logs.get("settings").warning(sentence, action="settings")
    return loaded


def log_watched(loaded: Settings) -> None:
    """Log at start-up which buckets this process reads, or that it reads none."""
    from worker import logs

    watched = loaded.watched
    level = logging.INFO if watched.names else logging.WARNING
    logs.get("settings").log(level, watched.described(), action="watch")


def image_ref(image: str) -> ObjectRef:
    """Parse BUCKET/KEY."""
    from worker.types import ObjectRef

    bucket, slash, key = image.partition("/")
    if not (bucket and slash and key):
        raise typer.BadParameter(f"{image!r} does not name an image: write BUCKET/KEY")
    return ObjectRef(bucket=bucket, key=key)


def output(path: Path | None) -> Path | None:
    """Check an output path before the work is done; for an option's ``callback``.

    Raises:
        ConfigurationError: no file can be written there.
    """
    from worker.errors import ConfigurationError

    if path is not None and path.is_dir():
        raise ConfigurationError(f"{path} is a directory: name a file to write")
    if path is not None and not path.parent.is_dir():
        raise ConfigurationError(f"{path} cannot be written: create the directory {path.parent} first")
    return path


def write_file(path: Path, data: bytes) -> None:
    """Write a result.

    Raises:
        ConfigurationError: it cannot be written there.
    """
    from worker.errors import ConfigurationError

    try:
        path.write_bytes(data)
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be written: {error.strerror}") from error


def database(loaded: Settings, *, pool_size: int = 1) -> Engine:
    """The migrated database, for a short command; at most twice ``pool_size`` connections."""
    from worker.errors import ConfigurationError
    from worker.open_database import database

    try:
        return database(loaded, "cli", pool_size=pool_size)
    except ConfigurationError as error:
        if "database_url" in loaded.model_fields_set and not _is_of_this_directory(loaded):
            raise
        raise ConfigurationError(
            "nothing runs in this directory: start it with `enrich up`, or name another system's database in "
            f"ENRICH_DATABASE_URL ({error})"
        ) from error


def _is_of_this_directory(loaded: Settings) -> bool:
    """Whether the URL is that of `enrich up` in this directory, as `enrich env` exports it."""
    from urllib.parse import urlsplit

    from worker.local.home import Home
    from worker.local.ports import LOOPBACK, PortPlan

    base, address = Home.at(loaded.home).port_base, urlsplit(loaded.database_url)
    return base is not None and (address.hostname, address.port) == (LOOPBACK, PortPlan(base=base).postgres)


def notifier(loaded: Settings) -> Callable[[], None]:
    """A function that wakes a worker. The broker's client is imported on first use: most commands never need it."""

    def notify() -> None:
        from worker import broker

        broker.WakeUp(loaded).send()

    return notify


def running_system(loaded: Settings) -> ConnectionInfo:
    """The system that `enrich up` runs in this directory, or else that of `enrich demo`.

    Raises:
        ServerError: neither is running.
    """
    from worker.errors import ServerError
    from worker.local.connection import read_connection_info

    try:
        return read_connection_info(loaded.home)
    except ServerError:
        try:
            return read_connection_info(loaded.home / "demo")
        except ServerError:
            pass
        raise


def _for_a_person(loaded: Settings) -> Settings:
    """Send notices to stderr, and log warnings only, unless ENRICH_LOG_LEVEL is set."""
    from worker import logs, notices, unknown_settings

    asked = "log_level" in loaded.model_fields_set
    logs.configure(level=loaded.log_level if asked else "WARNING", json=loaded.log_json, plain=not asked)
    notices.listen(say if sys.stderr.isatty() else None)
    for sentence in unknown_settings.unknown():
        say(f"warning: {sentence}")
    return loaded


def _borrow_from_running_system() -> None:
    from worker import settings
    from worker.errors import ServerError

    plain = settings.load()
    named = {name: getattr(plain, name) for name in _SERVERS if name in plain.model_fields_set}
    if len(named) == len(_SERVERS):
        return
    try:
        running = running_system(plain)
    except ServerError:
        return
    # A setting that names a server other than the running system's means another system. One that names the same
    # server, such as the store given to `enrich up`, does not say where its other parts are.
    if all(value == getattr(running, name) for name, value in named.items()):
        for variable, value in running.environment().items():
            os.environ[variable] = os.environ.get(variable) or value


Say = Callable[[str], None]
