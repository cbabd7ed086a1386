"""``enrich list``: images by place and tags, without a text search."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from worker.cli import context, filters, read

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from worker.catalog.image_filter import ImageFilter
    from worker.catalog.read import ImageRecord
    from worker.db import Engine
    from worker.pipeline.reading.image_list import ImageListPage


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("list", rich_help_panel="Reading results")(list_images)


def list_images(
    *,
    place: filters.Place = None,
    tag: filters.Tags = None,
    any_tag: filters.AnyTags = None,
    no_tag: filters.NoTags = None,
    conditions: filters.Conditions = None,
    filter_json: filters.FilterJson = None,
    suggested: Annotated[
        list[str] | None,
        typer.Option(metavar="TAXONOMY=LABEL", help="Only images with this suggestion that nobody has decided about."),
    ] = None,
    source: Annotated[
        str | None,
        typer.Option("--source", metavar="SOURCE", help="Only images with a tag from this source: zero-shot, human …"),
    ] = None,
    since: Annotated[
        str | None, typer.Option(metavar="AGE", help="Only images enriched since then: 2d, 12h, or a time.")
    ] = None,
    limit: Annotated[int, typer.Option(metavar="N", min=1, max=1_000, help="Most images to show.")] = 20,
    after: Annotated[str | None, typer.Option(metavar="CURSOR", help="Continue where an earlier list ended.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="JSON on stdout, in the API's format.")] = False,
) -> None:
    """List images and their tags, sorted by bucket and key."""
    from worker.api import image_models, serializers
    from worker.pipeline.common import tag_filters

    engine = context.database(context.load_settings())
    read.require_source(source)
    query = filters.image_filter(
        place=place,
        tags=tag,
        any_tags=any_tag,
        no_tags=no_tag,
        conditions=conditions,
        json=filter_json,
        suggested=tuple(filters.tag_filter(each) for each in suggested or ()),
        source=source,
        enriched_since=_since(since),
    )
    page = _page(engine, query, limit=limit, after=after)
    if as_json:
        answer = image_models.ImageList(images=[serializers.image(each) for each in page.images], next=page.next)
        context.json_document(answer.model_dump(mode="json"))
        return
    named = {each.taxonomy for image in page.images for each in image.tags}
    named |= {each.taxonomy for image in page.images for each in image.suggestions}
    titles = tag_filters.titles(engine, named)
    table = Table("image", "tags", "enriched", box=None, pad_edge=False)
    for image in page.images:
        table.add_row(context.name(f"{image.bucket}/{image.key}"), _tags(image, titles), f"{image.enriched_at:%F %R}")
    context.out.print(table if page.images else "no image matches")
    if not page.images and after is None and not suggested:
        context.say(read.why_nothing(engine, [filters.tag_filter(each) for each in tag or []]))
    if page.next is not None:
        context.say(f"more images match: continue with --after {page.next}, or raise --limit")


def _since(age: str | None) -> datetime | timedelta | None:
    from worker.pipeline.common import time_filters

    try:
        return None if age is None else time_filters.parse(age)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


def _page(engine: Engine, query: ImageFilter, *, limit: int, after: str | None) -> ImageListPage:
    """Fill the page: one query may return fewer images than asked for although more follow."""
    from worker.pipeline.reading import image_list

    page = image_list.images(engine, query, limit=limit, after=after)
    while page.next is not None and len(page.images) < limit:
        following = image_list.images(engine, query, limit=limit - len(page.images), after=page.next)
        page = image_list.ImageListPage(images=(*page.images, *following.images), next=following.next)
    return page


def _tags(image: ImageRecord, titles: Mapping[tuple[str, str], str]) -> str:
    tags = [(tag.taxonomy, tag.label, "") for tag in image.tags if tag.active and tag.label is not None]
    tags += [(each.taxonomy, each.label, "?") for each in image.suggestions]
    return ", ".join(f"{taxonomy}={read.entitled(taxonomy, label, titles)}{mark}" for taxonomy, label, mark in tags)
