"""The model's files, before anything needs them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from worker.cli import context


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    commands = typer.Typer(no_args_is_help=True, help="Put a model's files where processes look for them.")
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
            help="Copy it from here instead: another machine's hub cache, or one model's files, with their commit as "
            "the revision.",
        ),
    ] = None,
) -> None:
    """Have a model in this machine's hub cache, so that no later start asks the network.

    Does nothing where it is there already.
    """
    from worker.encoder import fetch_model

    settings = context.load_settings()
    if model is None:
        model, revision = settings.model, revision or settings.model_revision
    found = fetch_model(model, revision or None, source)
    context.say(f"{model}: {found}")
