"""``enrich bucket``: list buckets that are missing from the store, and drop one that is gone."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from worker.cli import context

if TYPE_CHECKING:
    from worker.ledger.buckets import Bucket
    from worker.watched_buckets import Watched

_Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]

_group = typer.Typer(
    no_args_is_help=True, help="Buckets that objects were announced in: list them, drop one that is gone."
)


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.add_typer(_group, name="bucket", rich_help_panel="Operating it")


@_group.command("list")
def list_buckets(*, as_json: _Json = False) -> None:
    """List known buckets: when and where each was last found, and how long it has been missing from the store."""
    from worker.pipeline.operations import buckets as use_case

    settings = context.load_settings()
    found = use_case.listing(context.database(settings))
    if as_json:
        context.json_document([asdict(each) for each in found])
    elif found:
        _print(found, settings.watched)
    else:
        context.line("no object has been announced yet")


def _print(found: list[Bucket], watched: Watched) -> None:
    table = Table("bucket", "state", "last found", "endpoint", box=None, pad_edge=False)
    for each in found:
        when = f"{each.found_at:%F %T}" if each.found_at else "never"
        table.add_row(context.name(each.name), _state(each, watched), when, context.name(each.endpoint or ""))
    context.out.print(table)


def _state(each: Bucket, watched: Watched) -> str:
    if not watched.touches(each.name):
        return "not watched (ENRICH_BUCKETS)"
    if each.gone_for is not None:
        return f"gone for {context.duration(each.gone_for)}"
    if each.missing_for is not None:
        return f"missing for {context.duration(each.missing_for)}"
    return "found" if each.found_at else "not checked yet"


@_group.command("drop")
def drop(bucket: Annotated[str, typer.Argument(metavar="BUCKET")]) -> None:
    """Treat a missing bucket as deleted now: its events are closed, and its images leave the catalog.

    Workers first ask the store for each object once more, so nothing that still exists is lost.
    """
    from worker import broker
    from worker.pipeline.operations import buckets as use_case

    settings = context.load_settings()
    if not settings.watched.touches(bucket):
        settings.watched.require(bucket)  # workers would not ask the store for its objects
    use_case.drop(context.database(settings), bucket, notify=broker.WakeUp(settings).send)
    context.say(
        f"{context.name(bucket)}: workers remove its objects once they have confirmed that these are gone; "
        "`enrich status` shows progress"
    )
