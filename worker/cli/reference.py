"""The reference of the command line, from the commands themselves: ``make docs`` writes it into the page."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer.main

_MARKER = "<!-- From here on written by `make docs`. -->\n"


def reference() -> str:
    """A section for every command, in the order of ``enrich --help``."""
    from worker.cli import app

    # Typed loosely: which click a typer carries is its own affair.
    group: Any = typer.main.get_command(app)
    return "\n".join(section for name, command in group.commands.items() for section in _sections(name, command))


def with_reference(document: str) -> str:
    """A document whose part behind the marker is the reference."""
    return document.partition(_MARKER)[0] + _MARKER + "\n" + reference()


def _sections(name: str, command: Any) -> Iterator[str]:
    if hasattr(command, "commands"):
        for sub, each in command.commands.items():
            yield from _sections(f"{name} {sub}", each)
        return
    shown = [each for each in command.params if not getattr(each, "hidden", False)]
    arguments = [each for each in shown if each.param_type_name == "argument"]
    options = [each for each in shown if each.param_type_name == "option"]
    usage = " ".join(["enrich", name, *(_metavar(each) for each in arguments), *(["[OPTIONS]"] if options else [])])
    rows = "".join(f"- `{_usage(each)}`: {each.help or ''}{_default(each)}\n" for each in options)
    yield f"### `{usage}`\n\n{' '.join(command.help.split())}\n" + (f"\n{rows}" if rows else "")


def _metavar(argument: Any) -> str:
    return str(argument.metavar)


def _usage(option: Any) -> str:
    names = ", ".join(option.opts)
    return names if option.is_flag else f"{names} {option.metavar}"


def _default(option: Any) -> str:
    if option.is_flag or option.default in (None, "", 0):
        return ""
    return f" Default: {option.default}."


if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.write_text(with_reference(path.read_text()))
