"""``enrich``: commands, thin. Results go to stdout, everything else to stderr."""

from __future__ import annotations

import os
import sys

import typer

from worker.cli import operate, quarantine, read, run, tag, up, verify
from worker.db import is_unavailable
from worker.errors import EnrichError

__all__ = ["app", "main"]

app = typer.Typer(
    name="enrich",
    help="Tag and embed every image of an object store, and read the results back.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for module in (up, tag, read, verify, operate, quarantine, run):
    module.register(app)


def main() -> None:
    """Entry point: errors of ours are one sentence, not a traceback."""
    try:
        app()
    except EnrichError as error:
        _stop(str(error))
    except BrokenPipeError:
        # The reader of our pipe has gone (`enrich search … | head`). Python would complain once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except Exception as error:
        if not is_unavailable(error):
            raise
        _stop(f"the database went away: {' '.join(str(error).split())[:300]}; try again when it is back")


def _stop(message: str) -> None:
    sys.stderr.write(f"enrich: {message}\n")
    sys.exit(1)
