"""``enrich model``: download a model before anything needs it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from worker.cli import context


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    commands = typer.Typer(no_args_is_help=True, help="Download a model's files before they are needed.")
    commands.command()(fetch)
    app.add_typer(commands, name="model", rich_help_panel="Running it")


def fetch(
    model: Annotated[str | None, typer.Argument(metavar="MODEL", help="Hub id [ENRICH_MODEL].")] = None,
    revision: Annotated[
        str | None,
        typer.Option(
            "--revision", metavar="REVISION", help="Branch, tag or commit [ENRICH_MODEL_REVISION, for that model]."
        ),
    ] = None,
    source: Annotated[
        Path | None,
        typer.Option(
            "--from",
            metavar="DIR",
            help="Copy the files from here instead: another machine's hub cache, or a folder with one model's files "
            "and their commit as --revision.",
        ),
    ] = None,
) -> None:
    """Put a model into this machine's hub cache, so that processes start without the network.

    Does nothing if it is there already.
    """
    from worker.encoder import fetch_model

    settings = context.load_settings()
    if model is None:
        model, revision = settings.model, revision or settings.model_revision
    found = fetch_model(model, revision or None, source)
    context.say(f"{model}: {found}")
