"""``enrich labels``: search among labels, and store the vectors that this needs."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer
from rich.table import Table

from worker.cli import context

_group = typer.Typer(no_args_is_help=True, help="The labels nearest to an image, and which labels are searchable.")

_Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.add_typer(_group, name="labels", rich_help_panel="Reading results")


@_group.command()
def near(
    image: Annotated[str, typer.Argument(metavar="BUCKET/KEY")],
    taxonomy: Annotated[list[str] | None, typer.Option(metavar="NAME", help="Only these taxonomies.")] = None,
    limit: Annotated[int, typer.Option(metavar="N", min=1, max=1_000, help="Most labels to show.")] = 10,
    as_json: Annotated[bool, typer.Option("--json", help="JSON on stdout, in the API's format.")] = False,
) -> None:
    """List the labels nearest to an image, from all taxonomies and vocabularies in use. A near label is not a tag."""
    from worker import label_names
    from worker.api import serializers
    from worker.pipeline.reading.label_search import LabelSearch

    ref = context.image_ref(image)
    search = LabelSearch(engine=context.database(context.load_settings()))
    found = search.labels_of(ref, limit=limit, taxonomies=taxonomy or ())
    if as_json:
        context.json_document(serializers.nearest_labels(found).model_dump(mode="json"))
        return
    table = Table("similarity", "taxonomy", "label", "text", box=None, pad_edge=False)
    for each in found.labels:
        cells = (each.taxonomy, label_names.entitled(each.label, each.title), each.text or "")
        table.add_row(f"{each.similarity:.3f}", *map(context.name, cells))
    context.out.print(table)


@_group.command()
def status(as_json: _Json = False) -> None:
    """Show how many labels of each taxonomy in use are searchable in the active space."""
    from worker.pipeline.reading.label_search import LabelSearch

    found = LabelSearch(engine=context.database(context.load_settings())).stored()
    if as_json:
        context.json_document([asdict(each) for each in found])
        return
    table = Table("taxonomy", "version", "space", "labels", "of", "searchable", box=None, pad_edge=False)
    for each in found:
        ready = "yes" if each.ready else "not yet"
        table.add_row(each.taxonomy, each.version, str(each.space), f"{each.labels:,}", f"{each.of:,}", ready)
    context.out.print(table)


@_group.command()
def fill() -> None:
    """Store missing label vectors now instead of waiting for the workers: those of all taxonomies in force, and of the
    files in ENRICH_TAXONOMIES, applied or not.

    Continues where it was interrupted. `enrich labels drop` removes labels that were stored but never applied.
    """
    from worker import bootstrap

    settings = context.load_settings()
    filler = bootstrap.label_filler(settings, context.database(settings))
    stored = filler.run()
    if stored is None:
        context.say("a worker is already storing them; `enrich labels status` shows progress")
    else:
        context.say(f"{stored:,} labels stored in space {filler.space.id}")


@_group.command()
def drop(
    taxonomy: Annotated[str, typer.Argument(metavar="NAME", help="Name as shown by `enrich labels status`.")],
) -> None:
    """Remove the labels of a taxonomy or vocabulary that was stored but never applied. One in force is refused."""
    from worker.pipeline.taxonomies import lifecycle

    settings = context.load_settings()
    lifecycle.drop(context.database(settings, pool_size=2), taxonomy)
    context.say(
        f"{taxonomy} is removed; `enrich labels fill` stores it again if a file in ENRICH_TAXONOMIES defines it"
    )
