"""``enrich count``: how many images have each label."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from worker.cli import context, read

if TYPE_CHECKING:
    from worker.pipeline.reading.label_counts import LabelCountResult


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("count", rich_help_panel="Reading results")(count)


def count(
    where: Annotated[
        str | None, typer.Argument(metavar="[BUCKET[/PREFIX]]", help="Only in this place.", show_default=False)
    ] = None,
    taxonomy: Annotated[list[str] | None, typer.Option(metavar="NAME", help="Only these taxonomies.")] = None,
    source: Annotated[
        str | None,
        typer.Option("--source", metavar="SOURCE", help="Only tags from this source: zero-shot, human …"),
    ] = None,
    limit: Annotated[int, typer.Option(metavar="N", min=1, max=10_000, help="Most labels per taxonomy.")] = 50,
    as_json: Annotated[bool, typer.Option("--json", help="JSON on stdout, in the API's format.")] = False,
) -> None:
    """Count the images that have each label now, and those for which a taxonomy is undecided."""
    from worker.pipeline.common import tag_filters
    from worker.pipeline.reading import label_counts

    read.require_source(source)
    bucket, _, prefix = (where or "").partition("/")
    place = label_counts.CountScope(bucket=bucket or None, prefix=prefix or None)
    engine = context.database(context.load_settings())
    found = label_counts.count(engine, place, taxonomies=taxonomy or (), source=source, limit=limit)
    if as_json:
        from worker.api.count_models import LabelCounts

        context.json_document(LabelCounts.model_validate(found).model_dump(mode="json"))
        return
    _print(found, tag_filters.titles(engine, [each.taxonomy for each in found.taxonomies]))


def _print(found: LabelCountResult, titles: read.Titles) -> None:
    table = Table("taxonomy", "label", "images", box=None, pad_edge=False)
    table.columns[-1].justify = "right"
    about = "" if found.exact else "about "
    for each in found.taxonomies:
        for own in each.labels:
            table.add_row(
                each.taxonomy, read.entitled(each.taxonomy, own.label or "", titles), f"{about}{own.images:,}"
            )
        if each.left_out:
            table.add_row(each.taxonomy, f"… and {each.left_out:,} more labels: --limit", "")
        table.add_row(each.taxonomy, "– (undecided)", f"{about}{each.undecided:,}", style="dim")
    context.out.print(table if found.taxonomies else "no image has a tag there")
    if not found.exact:
        context.say("estimated from a sample: there are very many tags")
