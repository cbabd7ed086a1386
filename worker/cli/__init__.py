"""``enrich``: thin commands. Results go to stdout, everything else to stderr.

Modules here import heavy dependencies inside their functions, so that ``enrich --help`` answers at once.
``enrich health`` runs every few seconds, so it answers before the commands are even imported.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import typer

    app: typer.Typer  # with all commands

__all__ = ["app", "main"]

_PARTS = ("api", "worker", "scheduler", "listener")


def main() -> None:
    """Entry point."""
    if sys.argv[1:2] == ["health"] and len(sys.argv) == 3 and sys.argv[2] in _PARTS:  # noqa: PLR2004
        from worker import quick_health

        if quick_health.is_well(sys.argv[2]):
            sys.stderr.write(f"{sys.argv[2]} is healthy\n")
            return
    from worker.cli import commands

    commands.main()


def __getattr__(name: str) -> Any:
    if name == "app":
        from worker.cli.commands import program

        return program()
    raise AttributeError(name)
