"""All commands as one program, and how their errors are reported."""

from __future__ import annotations

import signal
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Annotated

import typer

from worker.cli import context

__all__ = ["MODULES", "main", "program"]

_USAGE = 2
#: They take file names, which may hold any bytes.
_FILE_COMMANDS = ("tag", "demo")
#: Restarting does not help: someone has to restore files or libraries.
_EX_CONFIG = 78

#: The commands of each module, in the order of ``enrich --help``.
MODULES: Mapping[str, tuple[str, ...]] = {
    "up": ("demo", "up", "env"),
    "login": ("login",),
    "tag": ("tag",),
    "read": ("show",),
    "search": ("search",),
    "similarity": ("similarity",),
    "queries": ("queries",),
    "embed": ("embed",),
    "classify": ("classify",),
    "listing": ("list",),
    "counting": ("count",),
    "facets": ("facets", "sample", "duplicates"),
    "stats": ("stats",),
    "explain": ("explain",),
    "labels": ("labels",),
    "review": ("review",),
    "decide": ("decide",),
    "decisions": ("decisions",),
    "decisions_import": ("decisions",),
    "evaluate": ("evaluate",),
    "learn": ("learn",),
    "calibrate": ("calibrate", "certificates"),
    "verify": ("verify",),
    "quarantine": ("quarantine",),
    "bucket": ("bucket",),
    "model": ("model",),
    "space": ("space",),
    "map": ("map",),
    "taxonomy": ("taxonomy",),
    "taxonomy_apply": ("taxonomy",),
    "taxonomy_try": ("taxonomy",),
    "operations": ("status", "reconcile", "backfill", "rejected"),
    "run": ("api", "worker", "scheduler", "listen", "migrate", "health"),
}


def program(command: str | None = None) -> typer.Typer:
    """All commands, or only the modules of one: importing all of them takes longer than most commands run."""
    modules = [module for module, names in MODULES.items() if command in names] or MODULES
    app = typer.Typer(
        name="enrich",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_common)
    for module in modules:
        import_module(f"worker.cli.{module}").register(app)
    return app


def _common(
    _: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=lambda asked: _print_version() if asked else None,
            is_eager=True,
            help="Print the version and exit.",
        ),
    ] = False,
) -> None:
    """Tag and embed every image of an object store, and read the results back."""


def main() -> None:
    """Entry point. Our own errors are one sentence and exit status 1, not a traceback.

    docs/reference/command-line.md lists the other statuses.
    """
    for stream in (sys.stdout, sys.stderr):
        _never_fail_to_encode(stream)
    # If our parent ignores SIGCHLD, we inherit that. The kernel then discards the exit statuses of our children, and
    # all of them seem to have succeeded.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    _require_utf8(sys.argv[1:])
    try:
        program(sys.argv[1] if len(sys.argv) > 1 else None)()
    except Exception as error:
        sentence = context.sentence(error)
        if sentence is None:
            raise
        sys.stderr.write(f"enrich: {sentence}\n")
        sys.exit(exit_status(error))


def _never_fail_to_encode(stream: object) -> None:
    """File names may hold bytes that are not text: print these escaped."""
    reconfigure = getattr(stream, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors="backslashreplace")


def _require_utf8(arguments: Sequence[str]) -> None:
    """Refuse bytes that are not UTF-8. Python decodes them to lone surrogates, which no database or model takes."""
    for argument in arguments if arguments[:1] and arguments[0] not in _FILE_COMMANDS else ():
        try:
            argument.encode()
        except UnicodeEncodeError:
            sys.stderr.write(f"enrich: {argument} is not UTF-8; buckets, keys, labels and search texts must be\n")
            sys.exit(_USAGE)


def _print_version() -> None:
    import worker

    typer.echo(worker.__version__)
    raise typer.Exit


def exit_status(error: Exception) -> int:
    """The exit status of a command that ended with one of our errors."""
    from worker.errors import SpaceMismatchError

    return _EX_CONFIG if isinstance(error, SpaceMismatchError) else 1
