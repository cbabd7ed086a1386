"""``enrich bucket``: which buckets are missing from the store, and giving one of these up."""

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

_group = typer.Typer(no_args_is_help=True, help="Buckets of which objects were named: list, drop one that is gone.")


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.add_typer(_group, name="bucket", rich_help_panel="Operating it")


@_group.command("list")
def list_buckets(*, as_json: _Json = False) -> None:
    """Where each was found last, and since when it is missing from the store."""
    from worker.pipeline.operations import buckets as use_case

    settings = context.load_settings()
    found = use_case.listing(context.database(settings))
    if as_json:
        context.json_document([asdict(each) for each in found])
    elif found:
        _print(found, settings.watched)
    else:
        context.line("no object was ever named")


def _print(found: list[Bucket], watched: Watched) -> None:
    table = Table("bucket", "now", "found last", "at", box=None, pad_edge=False)
    for each in found:
        when = f"{each.found_at:%F %T}" if each.found_at else "never"
        table.add_row(context.name(each.name), _now(each, watched), when, context.name(each.endpoint or ""))
    context.out.print(table)


def _now(each: Bucket, watched: Watched) -> str:
    if not watched.touches(each.name):
        return "not watched (ENRICH_BUCKETS)"
    if each.gone_for is not None:
        return f"gone since {context.duration(each.gone_for)}"
    if each.missing_for is not None:
        return f"missing since {context.duration(each.missing_for)}"
    return "found" if each.found_at else "not looked for yet"


@_group.command("drop")
def drop(bucket: Annotated[str, typer.Argument(metavar="BUCKET")]) -> None:
    """Have a bucket that does not exist count as deleted now: its events end, its images leave the catalog.

    A worker asks the store for each object once more, so nothing that is still there is lost.
    """
    from worker import broker
    from worker.pipeline.operations import buckets as use_case

    settings = context.load_settings()
    if not settings.watched.touches(bucket):
        settings.watched.require(bucket)  # workers would not ask the store for its objects
    use_case.drop(context.database(settings), bucket, notify=broker.WakeUp(settings).send)
    context.say(f"{context.name(bucket)}: its objects end as workers find them gone; `enrich status` shows how far")
