"""``enrich list``: images by place and tags, without a text search."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from worker.cli import context, read

if TYPE_CHECKING:
    from worker.catalog.read import ImageRecord
    from worker.db import Engine
    from worker.pipeline.reading.image_list import ImageListPage, ImageQuery


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("list", rich_help_panel="Reading results")(list_images)


def list_images(
    *,
    where: Annotated[
        str | None, typer.Argument(metavar="[BUCKET[/PREFIX]]", help="Only in this place.", show_default=False)
    ] = None,
    tag: Annotated[list[str] | None, typer.Option(metavar="TAXONOMY=LABEL", help="Only images with this tag.")] = None,
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
    from worker.api import models, serializers
    from worker.pipeline.common import tag_filters

    engine = context.database(context.load_settings())
    page = _page(engine, _query(where, tag or [], source, since), limit=limit, after=after)
    if as_json:
        answer = models.ImageList(images=[serializers.image(each) for each in page.images], next=page.next)
        context.json_document(answer.model_dump(mode="json"))
        return
    titles = tag_filters.titles(engine, {each.taxonomy for image in page.images for each in image.tags})
    table = Table("image", "tags", "enriched", box=None, pad_edge=False)
    for image in page.images:
        table.add_row(context.name(f"{image.bucket}/{image.key}"), _tags(image, titles), f"{image.enriched_at:%F %R}")
    context.out.print(table if page.images else "no image matches")
    if not page.images and after is None:
        context.say(read.why_nothing(engine, [read.tag_filter(each) for each in tag or []]))
    if page.next is not None:
        context.say(f"more images match: continue with --after {page.next}, or raise --limit")


def _query(where: str | None, tags: list[str], source: str | None, since: str | None) -> ImageQuery:
    from worker.errors import ChoiceError
    from worker.pipeline.common.time_filters import parse
    from worker.pipeline.reading.image_list import ImageQuery

    read.require_source(source)
    bucket, _, prefix = (where or "").partition("/")
    try:
        return ImageQuery(
            bucket=bucket or None,
            prefix=prefix or None,
            tags=tuple(read.tag_filter(each) for each in tags),
            source=source,
            updated_since=None if since is None else parse(since),
        )
    except (ValueError, ChoiceError) as error:
        raise typer.BadParameter(str(error)) from error


def _page(engine: Engine, query: ImageQuery, *, limit: int, after: str | None) -> ImageListPage:
    """Fill the page: one query may return fewer images than asked for although more follow."""
    from worker.pipeline.reading import image_list

    page = image_list.images(engine, query, limit=limit, after=after)
    while page.next is not None and len(page.images) < limit:
        following = image_list.images(engine, query, limit=limit - len(page.images), after=page.next)
        page = image_list.ImageListPage(images=(*page.images, *following.images), next=following.next)
    return page


def _tags(image: ImageRecord, titles: Mapping[tuple[str, str], str]) -> str:
    return ", ".join(
        f"{tag.taxonomy}={read.entitled(tag.taxonomy, tag.label, titles)}"
        for tag in image.tags
        if tag.active and tag.label is not None
    )
