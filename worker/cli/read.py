"""``enrich show``, and what other commands that read share with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, get_args

import typer
from rich.table import Table

from worker.cli import context

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import TypeAlias

    from worker.api import image_models
    from worker.catalog.image_filter import TagFilter
    from worker.db import Engine

    #: (taxonomy, label) → its title.
    Titles: TypeAlias = Mapping[tuple[str, str], str]

PANEL = "Reading results"
Json = Annotated[bool, typer.Option("--json", help="JSON on stdout, in the API's format.")]


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command(rich_help_panel=PANEL)(show)


def show(image: Annotated[str, typer.Argument(metavar="BUCKET/KEY")], as_json: Json = False) -> None:
    """Show everything known about one image."""
    from worker.api import serializers
    from worker.pipeline.common import tag_filters
    from worker.pipeline.reading import image_lookup

    ref = context.image_ref(image)
    engine = context.database(context.load_settings())
    record = image_lookup.image(engine, ref)
    presented = serializers.image(record)
    if as_json:
        context.json_document(presented.model_dump(mode="json"))
        return
    _print_metadata(presented)
    decided = [*presented.rejected_tags, *presented.earlier_tags]
    named = {tag.taxonomy for tag in presented.tags} | {tag.taxonomy for tag in decided}
    named |= {each.taxonomy for each in presented.suggestions}
    titles = tag_filters.titles(engine, named)
    _print_tags(presented, titles)
    _print_suggestions(presented, titles)
    _print_decided("rejected by people, whatever the model says:", presented.rejected_tags, titles)
    _print_decided(
        "decided by people for earlier bytes under this key (not in force):",
        presented.earlier_tags,
        titles,
        hashes=True,
    )


def _print_metadata(image: image_models.Image) -> None:
    table = Table(box=None, show_header=False, pad_edge=False)
    lists = {"links", "tags", "suggestions", "rejected_tags", "earlier_tags"}
    for name, value in image.model_dump(exclude=lists).items():
        if value is not None:
            table.add_row(name.replace("_", " "), context.name(str(value)))
    context.out.print(table, "")


def _print_tags(image: image_models.Image, titles: Titles) -> None:
    shows = any(tag.proven for tag in image.tags)
    table = Table("taxonomy", "label", "probability", "similarity", "source", *(["proven"] if shows else []), "space",
                  "model", "version", "decided", pad_edge=False)  # fmt: skip
    for tag in image.tags:
        table.add_row(
            tag.taxonomy,
            "–" if tag.label is None else entitled(tag.taxonomy, tag.label, titles),
            "" if tag.probability is None else f"{tag.probability:.2f}",
            "" if tag.score is None else f"{tag.score:.3f}",
            tag.source if tag.reviewer is None else f"{tag.source}: {context.name(tag.reviewer)}",
            *([_proven(tag.proven)] if shows else []),
            "" if tag.space is None else str(tag.space),
            tag.model or "",
            tag.taxonomy_version,
            tag.decided_at.isoformat(sep=" ", timespec="minutes"),
            style=None if tag.in_force else "dim",
        )
    context.out.print(table)


def _proven(found: image_models.Proven | None) -> str:
    return "" if found is None else f"≥ {found.precision:g} (n {found.n:,}, {found.date:%F})"


def _print_suggestions(image: image_models.Image, titles: Titles) -> None:
    if not image.suggestions:
        return
    table = Table("taxonomy", "label", "probability", "similarity", pad_edge=False)
    for each in image.suggestions:
        table.add_row(
            each.taxonomy,
            entitled(each.taxonomy, each.label, titles),
            "" if each.probability is None else f"{each.probability:.2f}",
            "" if each.score is None else f"{each.score:.3f}",
        )
    heading = "suggested, but not applied, because their precision is not proven (enrich calibrate TAXONOMY):"
    context.out.print("", heading, table, sep="\n")


def _print_decided(
    heading: str, tags: Sequence[image_models.DecidedTag], titles: Titles, *, hashes: bool = False
) -> None:
    """Print what people decided that is not among the tags above."""
    if not tags:
        return
    table = Table("taxonomy", "label", "by", "version", "decided", *(["sha256"] if hashes else []), pad_edge=False)
    for tag in tags:
        label = "–" if tag.label is None else entitled(tag.taxonomy, tag.label, titles)
        table.add_row(
            tag.taxonomy,
            f"not {label}" if tag.rejected and hashes else label,
            context.name(tag.reviewer),
            tag.taxonomy_version,
            tag.decided_at.isoformat(sep=" ", timespec="minutes"),
            *([tag.sha256 or ""] if hashes else []),
        )
    context.out.print("", heading, table, sep="\n")


def why_nothing(engine: Engine, tags: Sequence[TagFilter]) -> str:
    """Why nothing was found, and what to do next."""
    from worker.pipeline.operations import system_status

    totals = system_status.totals(engine)
    if totals.enriched:
        asked = " and ".join(f"{each.taxonomy}={each.label}" for each in tags)
        what = f"has {context.name(asked)} there" if tags else "is there"
        return f"none of {totals.enriched:,} images {what}: `enrich count` shows how many images each label has"
    if totals.pending:
        return f"no image is enriched yet; {totals.pending:,} are pending: `enrich status` shows progress"
    return (
        "no image is enriched yet: upload some to a watched bucket, or queue existing ones with `enrich backfill "
        "BUCKET`; `enrich status` shows their states"
    )


def entitled(taxonomy: str, label: str, titles: Titles) -> str:
    from worker import label_names

    return context.name(label_names.entitled(label, titles.get((taxonomy, label), "")))


def require_source(source: str | None) -> None:
    """Refuse an unknown source of tags."""
    from worker.api.models import TagSource
    from worker.suggestions import shown, suggested

    known = get_args(TagSource)
    if source is not None and source not in known:
        raise typer.BadParameter(
            f"unknown source {shown(source)}; {suggested(source, known, otherwise=', '.join(known))}"
        )
