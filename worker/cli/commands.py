"""All commands as one program, and what their errors come to."""

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
#: They take names of files, which may be any bytes.
_OF_FILES = ("tag", "demo")
#: Starting again does not help: a person has to restore files or libraries.
_EX_CONFIG = 78

#: Which module of this room has which commands, in the order of ``enrich --help``.
MODULES: Mapping[str, tuple[str, ...]] = {
    "up": ("demo", "up", "env"),
    "tag": ("tag",),
    "read": ("show", "search"),
    "listing": ("list",),
    "counting": ("count",),
    "explain": ("explain",),
    "labels": ("labels",),
    "verify": ("verify",),
    "quarantine": ("quarantine",),
    "bucket": ("bucket",),
    "model": ("model",),
    "space": ("space",),
    "taxonomy": ("taxonomy",),
    "taxonomy_apply": ("taxonomy",),
    "operations": ("status", "reconcile", "backfill", "rejected"),
    "run": ("api", "worker", "scheduler", "listen", "migrate", "health"),
}


def program(command: str | None = None) -> typer.Typer:
    """All commands, or the modules of one: reading what all of them take would cost more than most of them do."""
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
            callback=lambda asked: _tell_version() if asked else None,
            is_eager=True,
            help="Print the version and stop.",
        ),
    ] = False,
) -> None:
    """Tag and embed every image of an object store, and read the results back."""


def main() -> None:
    """Entry point: errors of ours are one sentence and exit status 1, not a traceback.

    docs/reference/command-line.md lists the others.
    """
    for stream in (sys.stdout, sys.stderr):
        _never_fail_to_encode(stream)
    # Ignored by who started us, it is ignored here: then the kernel forgets how our children ended, and all of them
    # seem to have ended well.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    _refuse_what_is_no_text(sys.argv[1:])
    try:
        program(sys.argv[1] if len(sys.argv) > 1 else None)()
    except Exception as error:
        sentence = context.sentence(error)
        if sentence is None:
            raise
        sys.stderr.write(f"enrich: {sentence}\n")
        sys.exit(exit_status(error))


def _never_fail_to_encode(stream: object) -> None:
    """A file's name may hold bytes that are no text; printing it shows them escaped."""
    reconfigure = getattr(stream, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors="backslashreplace")


def _refuse_what_is_no_text(arguments: Sequence[str]) -> None:
    """Neither a database nor a model takes bytes that are not UTF-8; Python hands them on as halves of characters."""
    for argument in arguments if arguments[:1] and arguments[0] not in _OF_FILES else ():
        try:
            argument.encode()
        except UnicodeEncodeError:
            sys.stderr.write(f"enrich: {argument} is not UTF-8, and no bucket, key, label or word is anything else\n")
            sys.exit(_USAGE)


def _tell_version() -> None:
    import worker

    typer.echo(worker.__version__)
    raise typer.Exit


def exit_status(error: Exception) -> int:
    """Of a command that ended with an error of ours."""
    from worker.errors import SpaceMismatchError

    return _EX_CONFIG if isinstance(error, SpaceMismatchError) else 1
