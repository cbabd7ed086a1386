"""``enrich queries``: searches that were saved under a name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from worker.cli import context, read
from worker.cli.read import Json

if TYPE_CHECKING:
    from worker.pipeline.reading.saved_queries import SavedQueries

_Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the saved search.")]


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    group = typer.Typer(no_args_is_help=True, help="List, show and delete saved searches: `enrich search --save NAME`.")
    group.command("list")(list_queries)
    group.command("show")(show_query)
    group.command("delete")(delete_query)
    app.add_typer(group, name="queries", rich_help_panel=read.PANEL)


def list_queries(*, as_json: Json = False) -> None:
    """List all saved searches by name."""
    from worker.api.search_models import SavedQuery, SavedQueryList

    found = [SavedQuery.model_validate(each) for each in _queries().every()]
    if as_json:
        context.json_document(SavedQueryList(queries=found).model_dump(mode="json"))
        return
    table = Table("name", "space", "saved", box=None, pad_edge=False)
    for each in found:
        saved = each.updated_at.isoformat(sep=" ", timespec="minutes")
        table.add_row(context.name(each.name), "any" if each.space is None else str(each.space), saved)
    context.out.print(table if found else "no search is saved: `enrich search … --save NAME` saves one")


def show_query(name: _Name) -> None:
    """Show a saved search as JSON, in the format of the API's requests."""
    from worker.api.search_models import SavedQuery

    context.json_document(SavedQuery.model_validate(_queries().find(name)).model_dump(mode="json"))


def delete_query(name: _Name) -> None:
    """Delete a saved search."""
    _queries().delete(name)
    context.say(f"deleted the saved search {name!r}")


def _queries() -> SavedQueries:
    from worker.pipeline.reading.saved_queries import SavedQueries

    return SavedQueries(engine=context.database(context.load_settings()))
