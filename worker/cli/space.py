"""``enrich space``: which model's vectors answer."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer
from rich.table import Table

from worker.cli import context

_group = typer.Typer(no_args_is_help=True, help="Embedding spaces, one per model: list, activate.")


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.add_typer(_group, name="space", rich_help_panel="Operating it")


@_group.command("list")
def list_spaces(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """All spaces, and how many images have a vector in each."""
    from worker.pipeline import spaces as use_case

    found = use_case.filled(context.database(context.load_settings()))
    if as_json:
        context.json_document([asdict(each) for each in found])
        return
    table = Table("space", "model", "revision", "dimension", "state", "images", box=None, pad_edge=False)
    for each in found:
        table.add_row(str(each.id), each.model, each.revision[:12], str(each.dimension), each.state, f"{each.images:,}")
    if found:
        context.out.print(table)
    else:
        context.line("no image was embedded yet")


@_group.command()
def activate(
    space: Annotated[int, typer.Argument(metavar="NUMBER", help="As `enrich space list` shows it.")],
    force: Annotated[bool, typer.Option("--force", help="Also if images are missing in it.")] = False,
) -> None:
    """Let views and tag filters answer from this space, at once and for all readers. The other one is kept."""
    from worker.pipeline import spaces as use_case

    before = use_case.activate(context.database(context.load_settings()), space, force=force)
    back = f"; `enrich space activate {before}` goes back" if before is not None else ""
    context.say(f"space {space} is active{back}")
